//! The command line: what can be said, and how it becomes settings.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::generate::GenerateArgs;
use crate::ingest::decode::timestamp::TimestampReader;
use crate::model::PlayTime;
use crate::model::error::Error;

use crate::model::value::ByteSize;
use crate::settings::{Effective, Layers, Settings};
use crate::telemetry::logging;
use crate::time::zone::Zone;

const EXAMPLES: &str = "\
Examples:
  music-insights replay                              the sample data to output/
  music-insights replay logs/ 'more/2025-*.csv.gz'   folders, files, patterns
  music-insights watch                               tail data/incoming until stopped
  music-insights watch --flush-interval 250ms --set insights.top_songs_this_week.limit=50
  music-insights generate --rate 1000 --start now    a live feed into data/incoming
  music-insights check logs/                         what would be rejected, and why
  music-insights verify                              is what is published what the inputs come to?
  music-insights state                               what is committed, and is it sound?
  music-insights report                              what is published, as a page with charts

Settings: flags go before MUSIC_INSIGHTS_* variables, those before music-insights.toml.
Exit codes: 0 done, 64 usage, 65 damaged data, 66 missing input, 70 bug, 73 cannot create output,
74 I/O error, 75 already running, 78 configuration.";

/// Turns a live stream of music listening logs into always-correct insights.
#[derive(Debug, Parser)]
#[command(name = "music-insights", version, about, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read finished logs into output, then print a summary
    #[command(
        after_help = "Examples:\n  music-insights replay\n  music-insights replay logs/ --timezone Europe/Berlin\n  zcat logs/*.csv.gz | music-insights replay -\n  music-insights replay 'logs/2025-*.csv.zst' --output march --set insights.top_songs_this_week.week=2025-W13"
    )]
    Replay(ReplayArgs),
    /// Work for a cluster: read logs and answer queries for `replay --cluster`
    #[command(
        after_help = "Example:\n  ballista-scheduler &\n  music-insights executor --scheduler df://127.0.0.1:50050 &\n  music-insights replay --cluster df://127.0.0.1:50050 /srv/logs --output /srv/insights"
    )]
    Executor(ExecutorArgs),
    /// Tail data/incoming until stopped, publishing as rows arrive
    #[command(
        after_help = "Examples:\n  music-insights watch\n  music-insights watch --once\n  music-insights watch --incoming /srv/logs --output /srv/insights --flush-interval 5s --http off"
    )]
    Watch(WatchArgs),
    /// Make a synthetic catalog and logs, the same bytes for the same seed
    #[command(
        after_help = "Examples:\n  music-insights generate --out demo --rows 1000000 --users 20000 --songs 5000 --files 8\n  music-insights generate --rate 1000 --start now"
    )]
    Generate(GenerateCommand),
    /// Check settings, catalog and logs without writing anything
    #[command(
        after_help = "Examples:\n  music-insights check\n  music-insights check logs/ --songs new_catalog.csv"
    )]
    Check(CheckArgs),
    /// Compute everything again from the inputs and compare it with what is published
    #[command(
        after_help = "Examples:\n  music-insights verify\n  music-insights verify logs/ --output march\n\nA difference is exit code 65."
    )]
    Verify(VerifyArgs),
    /// Write what is published as a page with charts, which needs no server
    #[command(
        after_help = "Examples:\n  music-insights report\n  music-insights report --output march --html march.html --svg march_charts\n  music-insights report --html - | gzip > report.html.gz"
    )]
    Report(ReportArgs),
    /// Show what a watch has committed, and whether it is sound
    #[command(after_help = "Examples:\n  music-insights state\n  music-insights state --inputs")]
    State(StateArgs),
    /// Show the settings in force, and where each comes from
    #[command(
        after_help = "Examples:\n  music-insights config\n  music-insights config --json --set logging.level=debug\n  music-insights config --example > music-insights.toml\n  music-insights config --schema > music-insights.schema.json"
    )]
    Config(ConfigArgs),
    /// Print a script that completes commands and flags in a shell
    #[command(
        after_help = "Examples:\n  music-insights completions bash > ~/.local/share/bash-completion/completions/music-insights\n  music-insights completions zsh > ~/.zfunc/_music-insights\n  music-insights completions fish > ~/.config/fish/completions/music-insights.fish"
    )]
    Completions(CompletionsArgs),
    /// Print the manual, or write its pages into a folder
    #[command(
        after_help = "Examples:\n  music-insights man | man -l -\n  music-insights man watch | man -l -\n  music-insights man --out ~/.local/share/man/man1"
    )]
    Man(ManArgs),
}

/// What messages on stderr look like.
#[derive(Clone, Debug, Args)]
pub struct LogArgs {
    /// `text`, or `json` for one object a line [default: text]
    #[arg(long, value_name = "FORMAT", help_heading = "Messages")]
    log_format: Option<String>,
    /// The least important messages: `error`, `warn`, `info` or `debug` [default: info]
    #[arg(long, value_name = "LEVEL", help_heading = "Messages")]
    log_level: Option<String>,
}

/// Arguments of all commands that read logs.
#[derive(Clone, Debug, Args)]
pub struct Common {
    #[arg(long, value_name = "FILE", help = "The catalog [default: data/songs_metadata.csv]")]
    songs: Option<String>,
    /// Folder for the insights [default: output]
    #[arg(long, value_name = "DIR")]
    output: Option<String>,
    /// Zone of timestamps without an offset, of weeks and of nights [default: UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// What parts the fields of logs and of the catalog: one character, or tab [default: ,]
    #[arg(long, value_name = "CHAR")]
    delimiter: Option<String>,
    /// Settings file [default: music-insights.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A setting by its name in the settings file; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Chunks decoded at the same time [default: one per processor]
    #[arg(long, value_name = "N")]
    threads: Option<String>,
    /// Messages.
    #[command(flatten)]
    log: LogArgs,
}

/// Arguments of `generate`.
#[derive(Clone, Debug, Args)]
pub struct GenerateCommand {
    /// What is made.
    #[command(flatten)]
    pub generate: GenerateArgs,
    /// Messages.
    #[command(flatten)]
    log: LogArgs,
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Files, folders (the *.csv, *.csv.gz, *.csv.zst and *.parquet directly in them), patterns, or - for stdin [default: data/incoming]
    pub logs: Vec<PathBuf>,
    /// What everybody needs.
    #[command(flatten)]
    pub common: Common,
    /// The moment that counts as now, such as 2025-03-31T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_now)]
    pub now: Option<i64>,
    /// Formats of the insights: csv or csv,parquet [default: csv]
    #[arg(long, value_name = "FORMATS")]
    format: Option<String>,
    /// Replace the output of a watch, too
    #[arg(long)]
    pub fresh: bool,
    /// Let a Ballista cluster do the work, such as `df://scheduler:50050`; logs may then be `s3://bucket/folder/`, too
    #[arg(long, value_name = "ADDRESS")]
    pub cluster: Option<String>,
    /// With --cluster: where tables are kept for the next run, seen by all nodes [default: _tables in the output]
    #[arg(long, value_name = "PLACE", requires = "cluster")]
    pub tables: Option<PathBuf>,
}

/// Arguments of `executor`.
#[derive(Debug, Args)]
pub struct ExecutorArgs {
    /// The scheduler to work for
    #[arg(long, value_name = "ADDRESS", default_value = "df://127.0.0.1:50050")]
    pub scheduler: String,
    /// The address on which the scheduler, the other executors and the client reach this one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub listen: String,
    /// What the others call this machine, if not by that address
    #[arg(long, value_name = "NAME")]
    pub advertise: Option<String>,
    /// The port for data
    #[arg(long, default_value_t = 50051)]
    pub port: u16,
    /// The port for tasks
    #[arg(long, default_value_t = 50052)]
    pub task_port: u16,
    /// Tasks at a time [default: as many as there are processors]
    #[arg(long, value_name = "COUNT")]
    pub cores: Option<usize>,
    /// Memory for queries, such as 8GiB; what goes beyond is put on disk [default: 70 % of the machine]
    #[arg(long, value_name = "BYTES")]
    pub memory: Option<ByteSize>,
    /// Folder for what only matters while a job runs [default: one of the system's for temporary files]
    #[arg(long, value_name = "DIR")]
    pub work_dir: Option<PathBuf>,
    #[command(flatten)]
    log: LogArgs,
}

impl ExecutorArgs {
    /// The settings, which here only say what messages look like.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn settings(&self) -> Result<Settings, Error> {
        effective(None, self.log.layer()).map(|effective| effective.settings)
    }
}

/// Arguments of `watch`.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// What everybody needs.
    #[command(flatten)]
    pub common: Common,
    /// The folder to tail [default: data/incoming]
    #[arg(long, value_name = "DIR")]
    incoming: Option<String>,
    /// Folder for what must outlive the memory [default: data/state]
    #[arg(long, value_name = "DIR")]
    state: Option<String>,
    /// How often to publish, if there is news [default: 1s]
    #[arg(long, value_name = "TIME")]
    flush_interval: Option<String>,
    /// Address of the dashboard, or `off` [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
    /// File with the token that readers of the dashboard must show; needed where others can reach it
    #[arg(long, value_name = "FILE")]
    http_token_file: Option<String>,
    /// Formats of the insights: csv or csv,parquet [default: csv]
    #[arg(long, value_name = "FORMATS")]
    format: Option<String>,
    /// Take in everything that is there now, then stop
    #[arg(long)]
    pub once: bool,
    /// Forget what was read, and read all inputs and the archive again
    #[arg(long, conflicts_with = "rollback")]
    pub fresh: bool,
    /// If the newest generation of the state is damaged, go back to an older one
    #[arg(long)]
    pub rollback: bool,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The logs of a replay: files, folders or patterns [default: data/incoming]
    pub logs: Vec<PathBuf>,
    /// What everybody needs.
    #[command(flatten)]
    pub common: Common,
    /// The folder that was tailed [default: data/incoming]
    #[arg(long, value_name = "DIR")]
    incoming: Option<String>,
    /// Folder of the state [default: data/state]
    #[arg(long, value_name = "DIR")]
    state: Option<String>,
    /// The moment that counts as now [default: when each row was first read]
    #[arg(long, value_name = "TIME", value_parser = parse_now)]
    pub now: Option<i64>,
}

/// Arguments of `state`.
#[derive(Debug, Args)]
pub struct StateArgs {
    /// What everybody needs.
    #[command(flatten)]
    pub common: Common,
    /// Folder of the state [default: data/state]
    #[arg(long, value_name = "DIR")]
    state: Option<String>,
    /// List all inputs, not only those of which a part was not read
    #[arg(long)]
    pub inputs: bool,
}

/// Arguments of `config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// What everybody needs.
    #[command(flatten)]
    pub common: Common,
    /// As JSON: the settings, and where they come from
    #[arg(long)]
    pub json: bool,
    /// Print the JSON schema (draft 2020-12) of the settings file instead
    #[arg(long, conflicts_with_all = ["json", "example"])]
    pub schema: bool,
    /// Print a settings file with all defaults and what they mean instead
    #[arg(long, conflicts_with = "json")]
    pub example: bool,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The command whose page is printed [default: that of the program]
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    pub page: Option<String>,
    /// Write the pages of the program and of all commands into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// What everybody needs.
    #[command(flatten)]
    pub common: Common,
    /// The page, or `-` for stdout
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    pub html: PathBuf,
    /// Folder for the charts as single pictures
    #[arg(long, value_name = "DIR")]
    pub svg: Option<PathBuf>,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Files, folders, patterns, or - for stdin [default: data/incoming]
    pub logs: Vec<PathBuf>,
    /// What everybody needs.
    #[command(flatten)]
    pub common: Common,
    /// The moment that counts as now [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_now)]
    pub now: Option<i64>,
}

impl Common {
    /// The settings, with flags of the command on top.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn settings(&self, flags: &[(&str, &Option<String>)]) -> Result<Settings, Error> {
        self.effective(flags).map(|effective| effective.settings)
    }

    /// The settings, and where they come from.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn effective(&self, flags: &[(&str, &Option<String>)]) -> Result<Effective, Error> {
        let common = [
            ("--songs", &self.songs),
            ("--output", &self.output),
            ("--timezone", &self.timezone),
            ("--threads", &self.threads),
            ("--delimiter", &self.delimiter),
        ];
        let mut layer = layer_of(common.iter().chain(flags));
        layer.extend(self.log.layer());
        for pair in &self.set {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| Error::Usage(format!("--set {pair}: expected KEY=VALUE")))?;
            layer.push((format!("--set {key}"), key.trim().to_owned(), value.trim().to_owned()));
        }
        effective(self.config.clone(), layer)
    }
}

/// A setting of the command line: its flag, its name and its value.
type Flag = (String, String, String);

fn layer_of<'a>(flags: impl Iterator<Item = &'a (&'a str, &'a Option<String>)>) -> Vec<Flag> {
    let given = flags.filter_map(|(flag, value)| Some((*flag, value.as_ref()?)));
    let name = |flag: &str| match flag {
        "--delimiter" => "input.delimiter".to_owned(),
        flag => flag.trim_start_matches('-').replace("log-", "logging.").replace('-', "_"),
    };
    given.map(|(flag, value)| (flag.to_owned(), name(flag), value.clone())).collect()
}

/// The settings of all layers; from here on, messages are as they say.
fn effective(config: Option<PathBuf>, flags: Vec<Flag>) -> Result<Effective, Error> {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let layers = Layers { config, environment, flags };
    // What is wrong with the file should already be said in the form that was asked for elsewhere.
    let log = layers.logging_without_file();
    logging::configure(log.format, log.level);
    let effective = Effective::of(&layers)?;
    logging::configure(effective.settings.logging.format, effective.settings.logging.level);
    Ok(effective)
}

impl LogArgs {
    fn layer(&self) -> Vec<Flag> {
        layer_of([("--log-format", &self.log_format), ("--log-level", &self.log_level)].iter())
    }
}

impl GenerateCommand {
    /// The settings, which here only say what messages look like.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn settings(&self) -> Result<Settings, Error> {
        effective(None, self.log.layer()).map(|effective| effective.settings)
    }
}

impl ReplayArgs {
    /// The settings.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn settings(&self) -> Result<Settings, Error> {
        self.common.settings(&[("--format", &self.format)])
    }
}

impl WatchArgs {
    /// The settings.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn settings(&self) -> Result<Settings, Error> {
        self.common.settings(&[
            ("--incoming", &self.incoming),
            ("--state", &self.state),
            ("--flush-interval", &self.flush_interval),
            ("--http", &self.http),
            ("--http-token-file", &self.http_token_file),
            ("--format", &self.format),
        ])
    }
}

impl VerifyArgs {
    /// The settings.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn settings(&self) -> Result<Settings, Error> {
        self.common.settings(&[("--incoming", &self.incoming), ("--state", &self.state)])
    }
}

impl StateArgs {
    /// The settings.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn settings(&self) -> Result<Settings, Error> {
        self.common.settings(&[("--state", &self.state)])
    }
}

/// 2199-12-31T23:59:59Z: until then the changes of time zones are known.
const LATEST_NOW: i64 = 7_258_118_399;

/// Reads a moment in the forms of the logs, in UTC unless it says otherwise; full seconds count.
fn parse_now(text: &str) -> Result<i64, String> {
    let utc = Zone::named("UTC").expect("UTC is a zone");
    let moment = TimestampReader::new(&utc, LATEST_NOW).read(text.as_bytes());
    moment.map(PlayTime::instant).map_err(|_| "expected a time such as 2025-03-31T00:00:00Z".to_owned())
}
