//! A cluster of processes on this machine: the stock scheduler, and executors of this program.

use std::fmt::Write as _;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_music-insights");
/// Bytes of stack per thread. The planner recurses deeply, most of all in a build without optimisation.
pub(crate) const STACK: &str = "33554432";
/// The longest wait for a condition, such as the start of a process.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The path of the stock scheduler, or `None` if the scheduler was not built. To build it next to the
/// program, run `cargo build -p ballista-scheduler`.
pub(crate) fn scheduler_program() -> Option<PathBuf> {
    let neighbour = Path::new(PROGRAM).with_file_name("ballista-scheduler");
    let path = std::env::var_os("BALLISTA_SCHEDULER").map_or(neighbour, PathBuf::from);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing; CI must build it", path.display());
    eprintln!(
        "skipped: {} is missing; run `cargo build -p ballista-scheduler` with the same profile and features",
        path.display()
    );
    None
}

/// A process that is killed when it is dropped.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    fn start(command: &mut Command, log: &Path) -> Self {
        let log = File::create(log).unwrap();
        let command = command.env("RUST_MIN_STACK", STACK).stdin(Stdio::null());
        Self(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }

    /// Kills the process with SIGKILL, and waits for its end.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Sends a signal such as `-STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.0.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A scheduler and its executors.
pub(crate) struct TestCluster {
    pub(crate) scheduler: Process,
    pub(crate) executors: Vec<Process>,
    pub(crate) address: String,
    /// The working directory of all processes. It holds their messages in `*.log`.
    pub(crate) folder: tempfile::TempDir,
}

impl TestCluster {
    /// Starts a scheduler and executors with one core each. All processes get these environment variables.
    /// Returns `None` if the scheduler was not built.
    pub(crate) fn start(executors: usize, environment: &[(&str, String)]) -> Option<Self> {
        let program = scheduler_program()?;
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut command = Command::new(program);
        command
            .args(["--bind-host", "127.0.0.1", "--bind-port", &port.to_string()])
            // With push scheduling, Ballista 55.0 loses a task slot of one executor when another executor dies.
            .args(["--scheduler-policy", "pull-staged"])
            // An executor counts as dead after a few seconds without a heartbeat.
            .args(["--executor-timeout-seconds", "12", "--expire-dead-executor-interval-seconds", "2"])
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(folder.path());
        let scheduler = Process::start(&mut command, &folder.path().join("scheduler.log"));
        let address = format!("df://127.0.0.1:{port}");
        let mut cluster = Self { scheduler, executors: Vec::new(), address, folder };
        wait_until("the scheduler answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        for _ in 0..executors {
            cluster.add_executor(environment);
        }
        Some(cluster)
    }

    /// Starts another executor with these environment variables.
    pub(crate) fn add_executor(&mut self, environment: &[(&str, String)]) {
        let mut command = Command::new(PROGRAM);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        self.start_executor(command);
    }

    /// Starts another executor in a mount namespace of its own, after this shell command.
    pub(crate) fn add_executor_after(&mut self, mount: &str) {
        let mut command = Command::new("unshare");
        let script = format!("{mount} && exec {PROGRAM} \"$@\"");
        command.args(["-Urm", "sh", "-c", &script, "sh"]);
        self.start_executor(command);
    }

    /// Adds the arguments of an executor to a command, and starts it.
    fn start_executor(&mut self, mut command: Command) {
        let name = format!("executor-{}", self.executors.len());
        command
            .args(["executor", "--scheduler", &self.address, "--cores", "1"])
            .args(["--port", &free_port().to_string(), "--task-port", &free_port().to_string()])
            .arg("--work-dir")
            .arg(self.folder.path().join(&name))
            .current_dir(self.folder.path());
        self.executors.push(Process::start(&mut command, &self.folder.path().join(format!("{name}.log"))));
    }

    /// The last messages of all processes, for a failed assertion.
    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for entry in self.folder.path().read_dir().unwrap().map(Result::unwrap) {
            if entry.path().extension().is_some_and(|end| end == "log") {
                let log = std::fs::read_to_string(entry.path()).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(15).collect();
                writeln!(text, "--- {}", entry.path().display()).unwrap();
                for line in last.iter().rev() {
                    writeln!(text, "{}", line.chars().take(300).collect::<String>()).unwrap();
                }
            }
        }
        text
    }
}

/// A port of 127.0.0.1 that is free now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Polls until a condition holds. After [`TIMEOUT`], panics with the clause `event`, such as `a log is read`.
pub(crate) fn wait_until(event: &str, mut has_happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !has_happened() {
        assert!(start.elapsed() < TIMEOUT, "timed out waiting until {event}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs the program in a folder.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

/// A command for the program in a folder.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(folder).env("RUST_MIN_STACK", STACK).stdin(Stdio::null());
    command
}

/// Asserts the exit code of a command, and returns its stdout and stderr.
#[track_caller]
pub(crate) fn assert_exit(output: &Output, code: i32) -> (String, String) {
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8(bytes.clone()).unwrap());
    assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
    (stdout, stderr)
}
