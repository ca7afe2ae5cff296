//! The command line: what can be said, and how it becomes settings.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::decode::timestamp::TimestampReader;
use crate::failure::{Exit, Failure};
use crate::generate::GenerateArgs;
use crate::model::Moment;
use crate::settings::{Layers, Settings, load};
use crate::zone::Zone;

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
    /// Tail data/incoming until stopped, publishing as rows arrive
    #[command(
        after_help = "Examples:\n  music-insights watch\n  music-insights watch --once\n  music-insights watch --incoming /srv/logs --output /srv/insights --flush-interval 5s --http off"
    )]
    Watch(WatchArgs),
    /// Make a synthetic catalog and logs, the same bytes for the same seed
    #[command(
        after_help = "Examples:\n  music-insights generate --out demo --rows 1000000 --users 20000 --songs 5000 --files 8\n  music-insights generate --rate 1000 --start now"
    )]
    Generate(GenerateArgs),
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
    /// Show what a watch has committed, and whether it is sound
    #[command(after_help = "Examples:\n  music-insights state\n  music-insights state --inputs")]
    State(StateArgs),
}

/// Arguments of all commands that read logs.
#[derive(Debug, Args)]
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
}

/// Arguments of `watch`.
#[derive(Debug, Args)]
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
    pub fn settings(&self, flags: &[(&str, &Option<String>)]) -> Result<Settings, Failure> {
        let common = [
            ("--songs", &self.songs),
            ("--output", &self.output),
            ("--timezone", &self.timezone),
            ("--threads", &self.threads),
            ("--delimiter", &self.delimiter),
        ];
        let given = common.iter().chain(flags).filter_map(|(flag, value)| Some((*flag, value.as_ref()?)));
        let key = |flag: &str| match flag {
            "--delimiter" => "input.delimiter".to_owned(),
            flag => flag.trim_start_matches('-').replace('-', "_"),
        };
        let mut layer: Vec<_> =
            given.map(|(flag, value)| (flag.to_owned(), key(flag), value.clone())).collect();
        for pair in &self.set {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| Failure::new(Exit::Usage, format!("--set {pair}: expected KEY=VALUE")))?;
            layer.push((format!("--set {key}"), key.trim().to_owned(), value.trim().to_owned()));
        }
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        load(&Layers { config: self.config.clone(), environment, flags: layer })
    }
}

impl ReplayArgs {
    /// The settings.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn settings(&self) -> Result<Settings, Failure> {
        self.common.settings(&[("--format", &self.format)])
    }
}

impl WatchArgs {
    /// The settings.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn settings(&self) -> Result<Settings, Failure> {
        self.common.settings(&[
            ("--incoming", &self.incoming),
            ("--state", &self.state),
            ("--flush-interval", &self.flush_interval),
            ("--http", &self.http),
            ("--format", &self.format),
        ])
    }
}

impl VerifyArgs {
    /// The settings.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn settings(&self) -> Result<Settings, Failure> {
        self.common.settings(&[("--incoming", &self.incoming), ("--state", &self.state)])
    }
}

impl StateArgs {
    /// The settings.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn settings(&self) -> Result<Settings, Failure> {
        self.common.settings(&[("--state", &self.state)])
    }
}

/// 2199-12-31T23:59:59Z: until then the changes of time zones are known.
const LATEST_NOW: i64 = 7_258_118_399;

/// Reads a moment in the forms of the logs, in UTC unless it says otherwise; full seconds count.
fn parse_now(text: &str) -> Result<i64, String> {
    let utc = Zone::named("UTC").expect("UTC is a zone");
    let moment = TimestampReader::new(&utc, LATEST_NOW).read(text.as_bytes());
    moment.map(Moment::instant).map_err(|_| "expected a time such as 2025-03-31T00:00:00Z".to_owned())
}
