//! What the inputs come to, read once more.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_stream::StreamExt;

use crate::catalog::{Catalog, Song};
use crate::engine::coordinator::{Decoded, reject_lines};
use crate::engine::pipeline::spawn_source;
use crate::ingest::source::framing::CHUNK;
use crate::ingest::source::replay::Replay;
use crate::ingest::source::{Event, EventSender};
use crate::insights::enriched_logs::{self, EnrichedLogs, EnrichedRows};
use crate::ledger::Ledger;
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;

use crate::model::shutdown::Shutdown;
use crate::publish::formula_escape::FormulaEscape;
use crate::settings::Settings;
use crate::state::input_progress::InputTracker;
use crate::verify::committed::Committed;
use crate::verify::rows::{Compare, Rows, SongIds, lines_of, play_len};

/// What the inputs come to.
#[derive(Debug)]
pub struct Recomputed {
    /// The tables.
    pub ledger: Ledger,
    /// The dictionaries.
    pub dictionaries: Arc<Dictionaries>,
    /// The rows of `enriched_logs`, without metadata, and of `_rejects`.
    pub rows: Rows,
}

/// Where plays come from.
#[derive(Clone, Debug)]
pub enum From {
    /// The logs of a `replay`, and what counted as now.
    Logs(Vec<PathBuf>, i64),
    /// What a `watch` has committed.
    Committed(Committed),
}

/// Reads the inputs again. `songs` are those that have ever had metadata.
///
/// # Errors
/// The first input that cannot be read, or a stop.
pub async fn recompute(
    settings: &Settings,
    stop: &Shutdown,
    from: &From,
    songs: &SongIds,
    compare: Compare,
) -> Result<Recomputed, Error> {
    let dictionaries = Arc::new(Dictionaries::default());
    let rows: Vec<Song> = songs.iter().map(|id| Song { song_id: id.clone(), ..Song::default() }).collect();
    let catalog = Arc::new(Catalog::new(&rows, &dictionaries, 0));
    let mut enriching = EnrichedLogs::new(Arc::clone(&catalog));
    let mut found = Recomputed {
        ledger: Ledger::new(settings.night_window()),
        dictionaries: Arc::clone(&dictionaries),
        rows: Rows::new(compare),
    };
    let (from, reader_stop, delimiter) = (from.clone(), stop.clone(), settings.input.delimiter);
    let source = move |events: &EventSender| match from {
        From::Logs(logs, now) => Replay { logs, delimiter, now, chunk: CHUNK }.run(events, &reader_stop),
        From::Committed(committed) => committed.run(events, &reader_stop),
    };
    let (mut decoded, source) = spawn_source(settings, &dictionaries, &Arc::default(), source);
    let mut inputs = InputTracker::new(settings.input.max_bad_lines);
    let mut text = EnrichedRows::default();
    let (guard, mut room) =
        (FormulaEscape::of(enriched_logs::NAME, settings.csv.escape_formulas), Vec::new());
    while let Some(next) = decoded.next().await {
        let mut batch = match next {
            Event::Data(Decoded { batch, .. }) => batch,
            Event::Failed(failure) => return Err(failure),
            Event::Grown(..) | Event::Identified(..) | Event::Advanced(..) => continue,
        };
        if !inputs.apply(&mut batch, &catalog) {
            continue;
        }
        found.ledger.observe(&batch);
        text.text.clear();
        enriching.append(&batch, 0..batch.plays(), &mut text, |_, _| {});
        for row in lines_of(guard.apply(text.text.as_bytes(), &mut room)) {
            found.rows.add_play(&row[..play_len(row)]);
        }
        lines_of(&reject_lines(&batch.input.label, &batch.rejects))
            .for_each(|row| found.rows.rejects.add(row));
    }
    source.await.map_err(|cause| Error::Bug(format!("the reader has died: {cause}")))?;
    if stop.is_requested() {
        return Err(Error::MissingInput("stopped before the end: nothing was verified".to_owned()));
    }
    found.ledger.cut();
    Ok(found)
}
