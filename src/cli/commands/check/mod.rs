//! `music-insights check`: reads settings, catalog and logs, and writes no files.

mod sample;
mod suggest;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use indicatif::HumanCount;
use tokio_stream::StreamExt;

use crate::catalog::Catalog;
use crate::catalog::reload::{self, CatalogVersion};
use crate::cli::args::CheckArgs;
use crate::cli::commands::check::suggest::suggest;
use crate::cli::commands::logs::find_logs_of_arguments;
use crate::cli::commands::print::print;
use crate::cli::commands::runtime::run_until_stopped;
use crate::cli::commands::summary::{outside_text, rejected_text};
use crate::engine::coordinator::Decoded;
use crate::engine::pipeline::spawn_source;
use crate::engine::tally::{Acceptance, RunTally};
use crate::ingest::hints::{Subject, hint};
use crate::ingest::source::Event;
use crate::ingest::source::framing::CHUNK;
use crate::ingest::source::replay::Replay;
use crate::ingest::source::stdin::is_stdin;
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;
use crate::model::rejects::{by_code, count};
use crate::model::shutdown::Shutdown;
use crate::model::{Batch, InputId, Reason, Reject};
use crate::settings::Settings;
use crate::state::input_progress::InputTracker;
use crate::text::{escape_bytes, harmless, path_text, shown};
use crate::time::clock::Clock;
use crate::time::date_range::DateRange;

/// The number of rejected rows shown for each reason.
const EXAMPLES: usize = 3;
/// The number of unreadable logs for which settings are suggested.
const SUGGESTIONS: usize = 3;
/// The maximum number of bytes shown of a rejected row.
const SHOWN: usize = 80;

/// Prints counts and examples of rejected rows.
///
/// # Errors
/// Unusable settings, an unusable catalog or log, an argument that names no log (66), or rejects that a
/// `replay` would not accept (65).
pub fn run(args: CheckArgs) -> Result<(), Error> {
    let settings = args.common.settings()?;
    let dates = args.dates.range()?;
    let logs = find_logs_of_arguments(args.logs, &settings, args.allow_empty)?;
    let replay = Replay {
        logs,
        dialect: settings.dialect(),
        now: args.now.unwrap_or_else(|| Clock::System.now()),
        chunk: CHUNK,
        allow_empty: args.allow_empty,
        reads_once: settings.input.may_start_over(),
    };
    let shutdown = Shutdown::default();
    let (now, logs) = (replay.now, replay.logs.clone());
    let report = run_until_stopped(&settings, &shutdown, check(&settings, dates, replay, shutdown.clone()))?;
    print(&report.text)?;
    print(&suggestions(&report.unreadable, &logs, &settings, now))?;
    if let Some(warning) = report.tally.clock_warning(now, settings.input.max_future) {
        tracing::warn!("{warning}");
    }
    let acceptance = Acceptance { strict: args.strict, allow_empty: args.allow_empty };
    report.tally.judge(acceptance, dates, "")
}

/// The result of a check.
struct CheckReport {
    text: String,
    tally: RunTally,
    /// The inputs of which no row was accepted although there are rejects.
    unreadable: Vec<InputId>,
}

/// What may help with the first unreadable logs.
fn suggestions(unreadable: &[InputId], logs: &[PathBuf], settings: &Settings, now: i64) -> String {
    let paths = unreadable.iter().filter_map(|input| logs.get(input.0 as usize));
    let mut text = String::new();
    for path in paths.filter(|path| !is_stdin(path)).take(SUGGESTIONS) {
        text.push_str(&suggest(path, &path_text(path), settings, now));
    }
    if unreadable.len() > SUGGESTIONS {
        let _ = writeln!(text, "\n{} more logs cannot be read", unreadable.len() - SUGGESTIONS);
    }
    text
}

async fn check(
    settings: &Settings,
    dates: DateRange,
    replay: Replay,
    shutdown: Shutdown,
) -> Result<CheckReport, Error> {
    let dictionaries = Arc::new(Dictionaries::default());
    let catalog = reload::load(&settings.songs, &settings.catalog_dialect(), &dictionaries).await?;
    let mut catalog_rejects = BTreeMap::new();
    count(&mut catalog_rejects, &catalog.rejects);
    let songs = shown(&settings.songs);
    let nothing = || Findings::new(settings, &songs, &catalog);
    let mut findings = nothing();
    let logs = replay.logs.len();
    let (mut decoded, source) =
        spawn_source(settings, dates, &dictionaries, &Arc::default(), None, move |events: &_| {
            replay.run(events, &shutdown)
        });
    while let Some(next) = decoded.next().await {
        let mut batch = match next {
            Event::Data(Decoded { batch, .. }) => batch,
            Event::Failed(error) => return Err(error),
            Event::StartedOver => {
                findings = nothing();
                continue;
            }
            Event::Grown(..) | Event::Identified(..) | Event::Advanced(..) => continue,
        };
        findings.add(&mut batch, &catalog.catalog);
    }
    source.await.map_err(|cause| Error::Bug(format!("the reader panicked: {cause}")))?;
    let Findings { examples, inputs, unmatched, accepted, tally } = findings;

    let mut text = String::from("settings  valid\n");
    let _ = writeln!(
        text,
        "catalog   {songs}: {} songs, rejected {}",
        HumanCount(catalog.catalog.len()),
        rejected_text(&by_code(&catalog_rejects))
    );
    let _ = writeln!(
        text,
        "logs      {logs} files, {} rows, {} plays unmatched",
        HumanCount(inputs.rows()),
        HumanCount(unmatched)
    );
    text.push_str(&outside_text(dates, inputs.outside()));
    let _ = writeln!(text, "rejected  {}", rejected_text(&by_code(inputs.rejected())));
    text.push_str(&examples.text());
    let unreadable = accepted.into_iter().filter(|(_, accepted)| !accepted).map(|(input, _)| input).collect();
    Ok(CheckReport { text, tally, unreadable })
}

/// What the logs contain.
struct Findings {
    examples: Examples,
    inputs: InputTracker,
    unmatched: u64,
    /// Whether rows of an input were accepted, within or outside the dates of the run. Inputs without rows are left out.
    accepted: BTreeMap<InputId, bool>,
    tally: RunTally,
}

impl Findings {
    /// The findings before the first row of a log. `songs` is the name of the catalog.
    fn new(settings: &Settings, songs: &str, catalog: &CatalogVersion) -> Self {
        let (mut examples, mut tally) = (Examples::default(), RunTally::default());
        catalog.rejects.iter().for_each(|reject| examples.add(Subject::Catalog, songs, reject, None));
        tally.set_catalog(songs, &catalog.rejects);
        let inputs = InputTracker::new(settings.input.max_bad_lines);
        Self { examples, inputs, unmatched: 0, accepted: BTreeMap::new(), tally }
    }

    /// Adds the rows of a batch, unless its input was given up.
    fn add(&mut self, batch: &mut Batch, catalog: &Catalog) {
        if !self.inputs.apply(batch, catalog) {
            return;
        }
        if batch.rows() > 0 {
            *self.accepted.entry(batch.input.id).or_default() |= batch.rows() > batch.rejects.len();
        }
        self.tally.add(batch, self.inputs.rows_of(batch.input.id));
        self.unmatched += catalog.count_unknown(&batch.songs);
        for reject in &batch.rejects {
            self.examples.add(Subject::Log, &batch.input.label, reject, batch.refused.as_deref());
        }
    }
}

/// The first rejects for each reason, and what may help.
#[derive(Default)]
struct Examples(BTreeMap<(Subject, Reason), Vec<String>>);

impl Examples {
    fn add(&mut self, subject: Subject, file: &str, reject: &Reject, refusal: Option<&str>) {
        let examples = self.0.entry((subject, reject.reason)).or_default();
        if examples.is_empty()
            && let Some(hint) = refusal.map(ToOwned::to_owned).or_else(|| hint(subject, reject))
        {
            examples.push(format!("  {}: {}\n", reject.reason.code(), harmless(&hint)));
        }
        if examples.len() <= EXAMPLES {
            let raw = escape_bytes(&reject.raw[..reject.raw.len().min(SHOWN)]);
            let example = format!("{file}:{}: {}: {raw}", reject.line, reject.reason.code());
            examples.push(format!("  {}\n", harmless(&example)));
        }
    }

    fn text(self) -> String {
        self.0.into_values().flatten().collect()
    }
}
