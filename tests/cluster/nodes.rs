//! A cluster of real processes on this machine: the stock scheduler, and executors of our binary.

use std::fmt::Write as _;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Our program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_music-insights");
/// The planner recurses deeply, above all in a build without optimisation.
const STACK: &str = "33554432";
/// How long a process may take to start, or to be declared dead.
const PATIENCE: Duration = Duration::from_mins(1);

/// The stock scheduler, if it was built. `cargo build -p ballista-scheduler` puts it next to our program.
pub(crate) fn scheduler_program() -> Option<PathBuf> {
    let beside = Path::new(PROGRAM).with_file_name("ballista-scheduler");
    let found = std::env::var_os("BALLISTA_SCHEDULER").map_or(beside, PathBuf::from);
    if found.exists() {
        return Some(found);
    }
    assert!(std::env::var_os("CI").is_none(), "CI builds the scheduler: {}", found.display());
    eprintln!(
        "skipped: there is no {}; `cargo build -p ballista-scheduler` with the same profile and features makes it",
        found.display()
    );
    None
}

/// A process, killed at the end of the test.
pub(crate) struct Node(pub(crate) Child);

impl Node {
    fn start(command: &mut Command, log: &Path) -> Self {
        let log = File::create(log).unwrap();
        let command = command.env("RUST_MIN_STACK", STACK).stdin(Stdio::null());
        Self(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }

    /// Kills it at once.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A scheduler and its executors.
pub(crate) struct Nodes {
    pub(crate) scheduler: Node,
    pub(crate) executors: Vec<Node>,
    pub(crate) address: String,
    /// Their working directory, with their messages.
    pub(crate) folder: tempfile::TempDir,
}

impl Nodes {
    /// Starts this number of executors with one core each and these environment variables. `None` if the
    /// scheduler is not installed.
    pub(crate) fn start(executors: usize, environment: &[(&str, String)]) -> Option<Self> {
        let program = scheduler_program()?;
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut command = Command::new(program);
        command
            .args(["--bind-host", "127.0.0.1", "--bind-port", &port.to_string()])
            // With push scheduling, Ballista 55.0 loses a slot of one executor when another one is lost.
            .args(["--scheduler-policy", "pull-staged"])
            // Dead executors are detected after a few seconds.
            .args(["--executor-timeout-seconds", "12", "--expire-dead-executor-interval-seconds", "2"])
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(folder.path());
        let scheduler = Node::start(&mut command, &folder.path().join("scheduler.log"));
        let address = format!("df://127.0.0.1:{port}");
        let mut nodes = Self { scheduler, executors: Vec::new(), address, folder };
        wait_until("the scheduler answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        for _ in 0..executors {
            nodes.add_executor(environment);
        }
        Some(nodes)
    }

    /// Starts another executor.
    pub(crate) fn add_executor(&mut self, environment: &[(&str, String)]) {
        let name = format!("executor-{}", self.executors.len());
        let mut command = Command::new(PROGRAM);
        command
            .args(["executor", "--scheduler", &self.address, "--cores", "1"])
            .args(["--port", &free_port().to_string(), "--task-port", &free_port().to_string()])
            .arg("--work-dir")
            .arg(self.folder.path().join(&name))
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path());
        self.executors.push(Node::start(&mut command, &self.folder.path().join(format!("{name}.log"))));
    }

    /// The messages of all processes, to show with a failure.
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

/// A free port.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Waits until a condition holds.
pub(crate) fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs our program in a folder.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

/// Our program in a folder, to be started.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(folder).env("RUST_MIN_STACK", STACK).stdin(Stdio::null());
    command
}

/// The output of a command, which must have this exit code.
pub(crate) fn said(output: &Output, code: i32) -> (String, String) {
    let [out, error] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8(bytes.clone()).unwrap());
    assert_eq!(output.status.code(), Some(code), "{out}{error}");
    (out, error)
}
