//! Reads the inputs again and recomputes the ledger and the rows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_stream::StreamExt;

use crate::catalog::{Catalog, Songs};
use crate::engine::coordinator::Decoded;
use crate::engine::pipeline::spawn_source;
use crate::ingest::source::framing::CHUNK;
use crate::ingest::source::replay::Replay;
use crate::ingest::source::{Event, EventSender};
use crate::insights::enriched_logs::{self, EnrichedLogs, EnrichedRows};
use crate::ledger::Ledger;
use crate::ledger::periods::PeriodPlays;
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;
use crate::model::shutdown::Shutdown;
use crate::publish::formula_escape::FormulaEscape;
use crate::publish::rejects::reject_lines;
use crate::settings::Settings;
use crate::state::input_progress::InputTracker;
use crate::time::date_range::DateRange;
use crate::verify::committed::Committed;
use crate::verify::rows::{Comparison, Rows, SongIds, lines_of, play_len};

/// The recomputed state.
#[derive(Debug)]
pub struct Recomputed {
    /// The sums over all plays.
    pub ledger: Ledger,
    /// The plays by period.
    pub periods: PeriodPlays,
    /// The ids of listeners and songs.
    pub dictionaries: Arc<Dictionaries>,
    /// The rows of `enriched_logs` (without metadata) and of `_rejects`.
    pub rows: Rows,
    /// Number of plays outside the dates of the run.
    pub outside: u64,
}

/// The inputs to read again.
#[derive(Clone, Debug)]
pub enum ReplaySource {
    /// The logs that a `replay` read, and the time that counts as now.
    Logs(Vec<PathBuf>, i64),
    /// The committed inputs of a `watch`.
    Committed(Committed),
}

/// Reads the inputs again. Only plays within `dates` count. `songs` are all songs that have or had metadata. Plays of these songs count as
/// rows of `enriched_logs`.
///
/// # Errors
/// The first input that cannot be read, or a shutdown.
pub async fn recompute(
    settings: &Settings,
    dates: DateRange,
    shutdown: &Shutdown,
    source: &ReplaySource,
    songs: &SongIds,
    comparison: Comparison,
) -> Result<Recomputed, Error> {
    let dictionaries = Arc::new(Dictionaries::default());
    let rows = Songs::of_ids(songs.iter().map(Vec::as_slice));
    let catalog = Arc::new(Catalog::new(&rows, &dictionaries, 0));
    let mut insight = EnrichedLogs::new(Arc::clone(&catalog));
    let nothing = || Recomputed {
        ledger: Ledger::new(settings.night_window()),
        periods: PeriodPlays::new(settings.periods.rules(), settings.night_window(), None, &BTreeMap::new()),
        dictionaries: Arc::clone(&dictionaries),
        rows: Rows::new(comparison),
        outside: 0,
    };
    let mut recomputed = nothing();
    let reads_once = settings.input.may_start_over();
    let (source, reader_shutdown, dialect) = (source.clone(), shutdown.clone(), settings.dialect());
    let source = move |events: &EventSender| match source {
        ReplaySource::Logs(logs, now) => {
            Replay { logs, dialect, now, chunk: CHUNK, allow_empty: true, reads_once }
                .run(events, &reader_shutdown)
        }
        ReplaySource::Committed(committed) => committed.run(events, &reader_shutdown),
    };
    let (mut decoded, source) = spawn_source(settings, dates, &dictionaries, &Arc::default(), None, source);
    let no_inputs = || InputTracker::new(settings.input.max_bad_lines);
    let mut inputs = no_inputs();
    let mut text = EnrichedRows::default();
    let escape = FormulaEscape::of(enriched_logs::NAME, settings.csv.escape_formulas);
    let mut buffer = Vec::new();
    while let Some(next) = decoded.next().await {
        let mut batch = match next {
            Event::Data(Decoded { batch, .. }) => batch,
            Event::Failed(failure) => return Err(failure),
            Event::StartedOver => {
                (recomputed, inputs) = (nothing(), no_inputs());
                continue;
            }
            Event::Grown(..) | Event::Identified(..) | Event::Advanced(..) => continue,
        };
        if !inputs.apply(&mut batch, &catalog) {
            continue;
        }
        recomputed.ledger.observe(&batch);
        recomputed.periods.add(&batch);
        text.text.clear();
        insight.append(&batch, 0..batch.plays(), &mut text, |_, _| {});
        for row in lines_of(escape.apply(text.text.as_bytes(), &mut buffer)) {
            recomputed.rows.add_play(&row[..play_len(row)]);
        }
        lines_of(&reject_lines(&batch.input.label, &batch.rejects))
            .for_each(|row| recomputed.rows.rejects.add(row));
    }
    source
        .await
        .map_err(|cause| Error::Bug(format!("the thread that reads the inputs has panicked: {cause}")))?;
    if shutdown.is_requested() {
        return Err(Error::MissingInput(
            "stopped before the end: nothing was verified; run it again".to_owned(),
        ));
    }
    recomputed.ledger.cut();
    recomputed.outside = inputs.outside();
    Ok(recomputed)
}
