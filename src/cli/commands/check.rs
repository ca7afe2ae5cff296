//! `music-insights check`: reads settings, catalog and logs, and writes no files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use indicatif::HumanCount;
use tokio_stream::StreamExt;

use crate::catalog::reload;
use crate::cli::args::CheckArgs;
use crate::cli::commands::logs::find_logs_of_arguments;
use crate::cli::commands::print::print;
use crate::cli::commands::runtime::run_until_stopped;
use crate::cli::commands::summary::rejected_text;
use crate::engine::coordinator::Decoded;
use crate::engine::pipeline::spawn_source;
use crate::ingest::source::Event;
use crate::ingest::source::framing::CHUNK;
use crate::ingest::source::replay::Replay;
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;
use crate::model::rejects::{by_code, count};
use crate::model::shutdown::Shutdown;
use crate::model::{Reason, Reject};
use crate::settings::Settings;
use crate::state::input_progress::InputTracker;
use crate::text::{escape_bytes, harmless, shown};
use crate::time::clock::Clock;

/// The number of rejected rows shown for each reason.
const EXAMPLES: usize = 3;
/// The maximum number of bytes shown of a rejected row.
const SHOWN: usize = 80;

/// Prints counts and examples of rejected rows.
///
/// # Errors
/// Unusable settings, or an unusable catalog or log. Rejected rows are not an error.
pub fn run(args: CheckArgs) -> Result<(), Error> {
    let settings = args.common.settings()?;
    let logs = find_logs_of_arguments(args.logs, &settings)?;
    let replay = Replay {
        logs,
        dialect: settings.dialect(),
        now: args.now.unwrap_or_else(|| Clock::System.now()),
        chunk: CHUNK,
    };
    let shutdown = Shutdown::default();
    print(&run_until_stopped(&settings, &shutdown, check(&settings, replay, shutdown.clone()))?)
}

async fn check(settings: &Settings, replay: Replay, shutdown: Shutdown) -> Result<String, Error> {
    let dictionaries = Arc::new(Dictionaries::default());
    let catalog = reload::load(&settings.songs, &settings.catalog_dialect(), &dictionaries).await?;
    let mut catalog_rejects = BTreeMap::new();
    count(&mut catalog_rejects, &catalog.rejects);
    let mut examples = Examples::default();
    let songs = shown(&settings.songs);
    catalog.rejects.iter().for_each(|reject| examples.add(&songs, reject));

    let logs = replay.logs.len();
    let (mut decoded, source) = spawn_source(settings, &dictionaries, &Arc::default(), move |events: &_| {
        replay.run(events, &shutdown)
    });
    let mut inputs = InputTracker::new(settings.input.max_bad_lines);
    let mut unmatched = 0;
    while let Some(next) = decoded.next().await {
        let mut batch = match next {
            Event::Data(Decoded { batch, .. }) => batch,
            Event::Failed(error) => return Err(error),
            Event::Grown(..) | Event::Identified(..) | Event::Advanced(..) => continue,
        };
        if inputs.apply(&mut batch, &catalog.catalog) {
            unmatched += catalog.catalog.count_unknown(&batch.songs);
            batch.rejects.iter().for_each(|reject| examples.add(&batch.input.label, reject));
        }
    }
    source.await.map_err(|cause| Error::Bug(format!("the reader panicked: {cause}")))?;

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
    let _ = writeln!(text, "rejected  {}", rejected_text(&by_code(inputs.rejected())));
    text.push_str(&examples.text());
    Ok(text)
}

/// The first rejects for each reason.
#[derive(Default)]
struct Examples(BTreeMap<Reason, Vec<String>>);

impl Examples {
    fn add(&mut self, file: &str, reject: &Reject) {
        let examples = self.0.entry(reject.reason).or_default();
        if examples.len() < EXAMPLES {
            let raw = escape_bytes(&reject.raw[..reject.raw.len().min(SHOWN)]);
            let example = format!("{file}:{}: {}: {raw}", reject.line, reject.reason.code());
            examples.push(format!("  {}\n", harmless(&example)));
        }
    }

    fn text(self) -> String {
        self.0.into_values().flatten().collect()
    }
}
