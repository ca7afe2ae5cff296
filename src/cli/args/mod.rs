//! Arguments of the command line.

pub mod dates;
pub mod generate;
pub mod settings;

use std::path::PathBuf;

use clap::{Arg, Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::cli::args::dates::DateArgs;
use crate::cli::args::generate::GenerateCommand;
use crate::cli::args::settings::{LoggingArgs, SettingArgs, setting};
use crate::ingest::decode::timestamp::TimestampReader;
use crate::model::PlayTime;
use crate::model::dialect::timestamp_format::TimestampFormat;
use crate::time::period::Period;
use crate::time::zone::Zone;

const AFTER_HELP: &str = "\
Examples:
  music-insights replay                              process the sample data, write to output/
  music-insights replay logs/ 'more/2025-*.csv.gz'   read a folder and all files that match
  music-insights watch                               tail data/incoming until stopped
  music-insights watch --flush-interval 250ms --set insights.top_songs_this_week.limit=50
  music-insights generate --rate 1000 --start now    write a live feed into data/incoming
  music-insights check logs/                         show rows that would be rejected, and why
  music-insights verify                              recompute the output and compare
  music-insights state                               check the committed state of a watch
  music-insights report                              write a page with charts

Settings: flags, then environment (MUSIC_INSIGHTS_*), then file (music-insights.toml), then defaults.
Exit codes: 0 success, 64 usage, 65 damaged data, 66 missing input, 70 bug, 73 cannot create output,
74 I/O error, 75 already running, 78 configuration.";

const REPLAY: &str = "\
Examples:
  music-insights replay
  music-insights replay logs/ --timezone Europe/Berlin
  zcat logs/*.csv.gz | music-insights replay -
  music-insights replay 'logs/2025-*.csv.zst' --output march --set insights.top_songs_this_week.week=2025-W13
  music-insights replay logs/ --output spring --from 2025-03-01 --to 2025-05-31";

const WATCH: &str = "\
Examples:
  music-insights watch
  music-insights watch --once
  music-insights watch --incoming /srv/logs --output /srv/insights --flush-interval 5s --http off";

const GENERATE: &str = "\
Examples:
  music-insights generate --out demo --rows 1000000 --users 20000 --songs 5000 --files 8
  music-insights generate --out decade --rows 1000000 --start 2015-01-01 --days 3650
  music-insights generate --rate 1000 --start now

Up to 366 days, all songs and listeners are there from the first day to the last. In a longer period, a song is
released on a day, and four of five songs fade; a listener joins on a day and may leave again; and plays become
four times as frequent.";

const CHECK: &str = "\
Examples:
  music-insights check
  music-insights check logs/ --songs new_catalog.csv";

const VERIFY: &str = "\
Examples:
  music-insights verify
  music-insights verify logs/ --output march

If anything differs, the exit code is 65.";

const REPORT: &str = "\
Examples:
  music-insights report
  music-insights report --output march --html march.html --svg march_charts
  music-insights report --period 2025-03
  music-insights report --html - | gzip > report.html.gz";

const STATE: &str = "\
Examples:
  music-insights state
  music-insights state --inputs";

const HEALTH: &str = "\
Examples:
  music-insights health
  music-insights health --ready --http 127.0.0.1:9000

A failed check exits with 74.";

const EXECUTOR: &str = "\
Example:
  ballista-scheduler --scheduler-policy pull-staged &
  music-insights executor --scheduler df://127.0.0.1:50050 &
  music-insights replay --cluster df://127.0.0.1:50050 /srv/logs --output /srv/insights";

const CONFIG: &str = "\
Examples:
  music-insights config
  music-insights config --json --set logging.level=debug
  music-insights config --example > music-insights.toml
  music-insights config --schema > music-insights.schema.json";

const COMPLETIONS: &str = "\
Examples:
  music-insights completions bash > ~/.local/share/bash-completion/completions/music-insights
  music-insights completions zsh > ~/.zfunc/_music-insights
  music-insights completions fish > ~/.config/fish/completions/music-insights.fish";

const MAN: &str = "\
Examples:
  music-insights man | man -l -
  music-insights man watch | man -l -
  music-insights man --out ~/.local/share/man/man1";

/// Compute insights from music listening logs: once from finished logs, or continuously as rows arrive
#[derive(Debug, Parser)]
#[command(name = "music-insights", version, after_help = AFTER_HELP)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// A command and its arguments.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compute all insights from finished logs, then print a summary
    #[command(after_help = REPLAY)]
    Replay(ReplayArgs),
    /// Tail a folder of logs and publish insights as rows arrive
    #[command(after_help = WATCH)]
    Watch(WatchArgs),
    /// Generate a synthetic catalog and synthetic logs; the same seed gives the same bytes
    #[command(after_help = GENERATE)]
    Generate(GenerateCommand),
    /// Check settings, catalog and logs, and show rejected rows; writes no files
    #[command(after_help = CHECK)]
    Check(CheckArgs),
    /// Recompute all tables from the inputs and compare them with the published output
    #[command(after_help = VERIFY)]
    Verify(VerifyArgs),
    /// Write the published output as an HTML page with charts; the page needs no server
    #[command(after_help = REPORT)]
    Report(ReportArgs),
    /// Show the committed state of `watch`, and check it for damage
    #[command(after_help = STATE)]
    State(StateArgs),
    /// Ask a running `watch` whether it is alive: the health check of a container
    #[command(after_help = HEALTH)]
    Health(HealthArgs),
    /// Run one executor of a Ballista cluster; `replay --cluster` sends its work to executors
    #[command(after_help = EXECUTOR)]
    Executor(ExecutorArgs),
    /// Show the settings in force and the origin of each setting
    #[command(after_help = CONFIG)]
    Config(ConfigArgs),
    /// Print a completion script for a shell
    #[command(after_help = COMPLETIONS)]
    Completions(CompletionsArgs),
    /// Print one manual page, or write all manual pages into a folder
    #[command(after_help = MAN)]
    Man(ManArgs),
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
#[command(arg = format())]
pub struct ReplayArgs {
    /// Files, folders, patterns, or `-` for stdin. A folder stands for the logs inside it; see
    /// `input.names` and `input.recursive` [default: data/incoming]
    pub logs: Vec<PathBuf>,
    /// Time to use as the current time, such as 2025-03-31T00:00:00Z [default: the system clock]
    #[arg(long, value_name = "TIME", value_parser = parse_now)]
    pub now: Option<i64>,
    /// Dates of the plays that count.
    #[command(flatten)]
    pub dates: DateArgs,
    /// Replace the output even if `watch` wrote it
    #[arg(long)]
    pub fresh: bool,
    /// Fail if any row or file of a log, or any row of the catalog, is rejected
    #[arg(long)]
    pub strict: bool,
    /// Publish empty tables if a folder or pattern names no log, stdin is empty, or all plays are outside
    /// --from and --to
    #[arg(long)]
    pub allow_empty: bool,
    /// Run on the Ballista cluster with this scheduler, such as `df://scheduler:50050`; LOGS, --songs and
    /// --output may then be in a bucket, such as `s3://bucket/folder/`
    #[arg(long, value_name = "ADDRESS")]
    pub cluster: Option<String>,
    /// Shared folder where the cluster keeps sums and rows for the next run; needs --cluster [default:
    /// _tables in the output folder]
    #[arg(long, value_name = "PLACE", requires = "cluster")]
    pub tables: Option<PathBuf>,
    /// Common settings.
    #[command(flatten)]
    pub common: SettingArgs,
}

/// Arguments of `executor`.
#[derive(Debug, Args)]
pub struct ExecutorArgs {
    /// Address of the scheduler
    #[arg(long, value_name = "ADDRESS", default_value = "df://127.0.0.1:50050")]
    pub scheduler: String,
    /// Address to listen on; the scheduler and the client connect to it
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub listen: String,
    /// Host name or address at which other machines reach this executor [default: the address of --listen]
    #[arg(long, value_name = "NAME")]
    pub advertise: Option<String>,
    /// Port for data transfer
    #[arg(long, default_value_t = 50051)]
    pub port: u16,
    /// Port for tasks from the scheduler
    #[arg(long, default_value_t = 50052)]
    pub task_port: u16,
    /// Number of jobs that run in parallel [default: one per processor]
    #[arg(long, value_name = "COUNT")]
    pub cores: Option<usize>,
    /// Folder for temporary files of jobs [default: a folder in the temporary folder of the system]
    #[arg(long, value_name = "DIR")]
    pub work_dir: Option<PathBuf>,
    /// Settings of messages.
    #[command(flatten)]
    pub logging: LoggingArgs,
}

/// Arguments of `watch`.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each one is a flag")]
#[command(args = [
    incoming(),
    state(),
    setting(
        "flush_interval",
        "flush-interval",
        "TIME",
        "Interval between the starts of two publications, such as 500ms [default: 1s]",
    ),
    http(),
    setting(
        "http_token_file",
        "http-token-file",
        "FILE",
        "File that contains the access token of the dashboard; required if other machines can reach it",
    ),
    format(),
])]
pub struct WatchArgs {
    /// Read all rows that the logs contain now, publish the results, then exit
    #[arg(long)]
    pub once: bool,
    /// Discard the state and read all inputs again, including archived inputs
    #[arg(long, conflicts_with = "rollback")]
    pub fresh: bool,
    /// If the newest generation of the state is damaged, continue from an older generation
    #[arg(long)]
    pub rollback: bool,
    /// Fail if any row or file of a log, or any row of the catalog, is rejected; needs --once, and publishes
    /// first
    #[arg(long, requires = "once")]
    pub strict: bool,
    /// Accept a catalog that has lost all its songs
    #[arg(long)]
    pub allow_empty: bool,
    /// After settings were corrected, read the inputs again that were rejected, or of which all rows were
    /// rejected
    #[arg(long, conflicts_with_all = ["fresh", "rollback"])]
    pub retry_rejected: bool,
    /// Continue although published rows of `enriched_logs` or `_rejects` are lost: the table begins again, and
    /// the manifest says since when
    #[arg(long)]
    pub accept_missing_output: bool,
    /// Common settings.
    #[command(flatten)]
    pub common: SettingArgs,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(args = [incoming(), state()])]
pub struct VerifyArgs {
    /// Logs that the replay read: files, folders or patterns [default: data/incoming]
    pub logs: Vec<PathBuf>,
    /// Time to use as the current time [default: the time when each row was first read]
    #[arg(long, value_name = "TIME", value_parser = parse_now)]
    pub now: Option<i64>,
    /// Recompute the output of a `replay` on the Ballista cluster with this scheduler, such as
    /// `df://scheduler:50050`; LOGS, --songs and --output may then be in a bucket
    #[arg(long, value_name = "ADDRESS")]
    pub cluster: Option<String>,
    /// Shared folder for the recomputed output; needs --cluster [default: _tables in the output folder]
    #[arg(long, value_name = "PLACE", requires = "cluster")]
    pub tables: Option<PathBuf>,
    /// Common settings.
    #[command(flatten)]
    pub common: SettingArgs,
}

/// Arguments of `state`.
#[derive(Debug, Args)]
#[command(arg = state())]
pub struct StateArgs {
    /// List all inputs, not only inputs with unread bytes
    #[arg(long)]
    pub inputs: bool,
    /// Common settings.
    #[command(flatten)]
    pub common: SettingArgs,
}

/// Arguments of `health`.
#[derive(Debug, Args)]
#[command(arg = http())]
pub struct HealthArgs {
    /// Ask whether the published output is up to date, not only whether the engine is alive
    #[arg(long)]
    pub ready: bool,
    /// Common settings.
    #[command(flatten)]
    pub common: SettingArgs,
}

/// Arguments of `config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Print settings and origins as JSON
    #[arg(long)]
    pub json: bool,
    /// Print the JSON schema (draft 2020-12) of the settings file instead of the settings
    #[arg(long, conflicts_with_all = ["json", "example"])]
    pub schema: bool,
    /// Print a commented settings file with all defaults instead of the settings
    #[arg(long, conflicts_with = "json")]
    pub example: bool,
    /// Common settings.
    #[command(flatten)]
    pub common: SettingArgs,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell to print the script for
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Command whose manual page to print [default: the program itself]
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    pub page: Option<String>,
    /// Write the pages of the program and of all commands into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// File to write the page to, or `-` for stdout
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    pub html: PathBuf,
    /// Also write each chart as an SVG file into this folder
    #[arg(long, value_name = "DIR")]
    pub svg: Option<PathBuf>,
    /// Show this published period instead of all time, such as 2025-03-21, 2025-W12, 2025-03, 2025-Q1 or 2025
    #[arg(long, value_name = "PERIOD")]
    pub period: Option<Period>,
    /// Common settings.
    #[command(flatten)]
    pub common: SettingArgs,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Files, folders, patterns, or `-` for stdin [default: data/incoming]
    pub logs: Vec<PathBuf>,
    /// Time to use as the current time [default: the system clock]
    #[arg(long, value_name = "TIME", value_parser = parse_now)]
    pub now: Option<i64>,
    /// Dates of the plays that count.
    #[command(flatten)]
    pub dates: DateArgs,
    /// Fail if any row or file of a log, or any row of the catalog, is rejected
    #[arg(long)]
    pub strict: bool,
    /// Accept a folder or pattern that names no log, an empty stdin, and logs whose plays are all outside
    /// --from and --to
    #[arg(long)]
    pub allow_empty: bool,
    /// Common settings.
    #[command(flatten)]
    pub common: SettingArgs,
}

fn incoming() -> Arg {
    setting("incoming", "incoming", "DIR", "Folder that `watch` reads logs from [default: data/incoming]")
}

fn state() -> Arg {
    setting("state", "state", "DIR", "Folder where `watch` keeps its state [default: data/state]")
}

fn http() -> Arg {
    setting("http", "http", "ADDRESS", "Address of the dashboard, or `off` [default: 127.0.0.1:8080]")
}

fn format() -> Arg {
    setting("format", "format", "FORMATS", "Formats of the tables: `csv` or `csv,parquet` [default: csv]")
}

/// The latest time that the time zone tables cover, 2199-12-31T23:59:59Z.
const LATEST_NOW: i64 = 7_258_118_399;

/// Parses an instant in any timestamp format of the logs. A time without an offset is in UTC. Fractions of a
/// second are dropped.
fn parse_now(text: &str) -> Result<i64, String> {
    let utc = Zone::named("UTC").expect("UTC is a zone");
    let time = TimestampReader::new(&utc, LATEST_NOW, &TimestampFormat::Iso).read(text.as_bytes());
    time.map(PlayTime::instant).map_err(|_| "expected a time such as 2025-03-31T00:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn all_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
