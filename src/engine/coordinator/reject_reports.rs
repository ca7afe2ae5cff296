//! The rejects of a run, and the texts of the warnings about them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::engine::tally::{Example, RunTally, shown};
use crate::ingest::hints::{self, Subject};
use crate::model::{Batch, InputId, Reason};

/// Minimum time between two warnings about the same file and reason.
const PAUSE: Duration = Duration::from_mins(1);
/// Maximum number of warnings in [`PAUSE`]. Further rejects are only counted, so that a folder full of bad
/// files does not flood the messages.
const MAX_WARNINGS: usize = 20;
/// Maximum number of pairs of file and reason that are counted separately, which bounds the memory.
const CAPACITY: usize = 1000;

/// The rejects of a run, and the warnings about them.
#[derive(Debug, Default)]
pub(super) struct RejectReports {
    pub(super) tally: RunTally,
    pub(super) warnings: RejectWarnings,
    /// Whether the warning about the clock was given.
    pub(super) warned_of_clock: bool,
}

impl RejectReports {
    /// Counts a batch. `rows_of_input` is the number of rows that were ever read from its input.
    pub(super) fn add(&mut self, batch: &Batch, rows_of_input: u64) {
        self.tally.add(batch, rows_of_input);
        // The source has already warned of an input that was rejected as a whole.
        if batch.refused.is_none() {
            self.warnings.add(batch);
        }
    }
}

/// Rejected rows that no warning has reported yet, by file and reason.
#[derive(Debug, Default)]
pub(super) struct RejectWarnings {
    unreported: BTreeMap<(InputId, Reason), (u64, Example)>,
    /// When the last warning about a file and reason was given.
    reported: BTreeMap<(InputId, Reason), Instant>,
    /// The start of the current window, and the number of its warnings.
    window: Option<(Instant, usize)>,
    /// Rows beyond the limits.
    others: u64,
}

impl RejectWarnings {
    fn add(&mut self, batch: &Batch) {
        for reject in &batch.rejects {
            let key = (batch.input.id, reject.reason);
            if let Some((rows, _)) = self.unreported.get_mut(&key) {
                *rows += 1;
            } else if self.unreported.len() < CAPACITY {
                self.unreported.insert(key, (1, Example::new(&batch.input.label, reject)));
            } else {
                self.others += 1;
            }
        }
    }

    /// Takes the warnings that are due.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<String> {
        let is_over = |since: &Instant| now.saturating_duration_since(*since) >= PAUSE;
        self.reported.retain(|_, since| !is_over(since));
        let mut texts = Vec::new();
        let window = self.window.filter(|(start, _)| !is_over(start));
        if window.is_none() && self.window.is_some() {
            texts.extend(others_text(std::mem::take(&mut self.others)));
        }
        let (start, mut given) = window.unwrap_or((now, 0));
        let reported = &mut self.reported;
        let due: Vec<_> = self.unreported.extract_if(.., |key, _| !reported.contains_key(key)).collect();
        for (key, (rows, example)) in due {
            if given == MAX_WARNINGS {
                self.others += rows;
                continue;
            }
            given += 1;
            texts.push(text(rows, &example));
            reported.insert(key, now);
        }
        self.window = Some((start, given));
        texts
    }

    /// Takes all warnings, because the run ends.
    pub(super) fn take_all(&mut self) -> Vec<String> {
        let unreported = std::mem::take(&mut self.unreported);
        let others: u64 = unreported.values().skip(MAX_WARNINGS).map(|(rows, _)| rows).sum();
        let mut texts: Vec<String> =
            unreported.values().take(MAX_WARNINGS).map(|(rows, example)| text(*rows, example)).collect();
        texts.extend(others_text(std::mem::take(&mut self.others) + others));
        texts
    }
}

fn text(rows: u64, example: &Example) -> String {
    let Example { file, reject, .. } = example;
    let code = reject.reason.code();
    let count = if rows == 1 { "1 row" } else { &format!("{rows} rows") };
    let (line, raw) = (reject.line, shown(&reject.raw));
    let mut text = format!("{file}: {count} rejected as {code}, such as line {line}: {raw}");
    if let Some(hint) = hints::hint(Subject::Log, reject) {
        let _ = write!(text, "; {hint}");
    }
    text
}

fn others_text(rows: u64) -> Option<String> {
    (rows > 0).then(|| format!("{rows} more rows were rejected; all are in _rejects"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Content, Input, Position, Reject, Span};

    fn batch(input: u32, reasons: &[Reason]) -> Batch {
        let rejects: Vec<Reject> =
            reasons.iter().zip(2..).map(|(&reason, line)| Reject::new(reason, line, 0, b"bad")).collect();
        let first = Reject::new(Reason::BadNumber, 2, 0, b"bad");
        let decoder = crate::ingest::decode::Decoder {
            dictionaries: Arc::default(),
            zone: crate::time::zone::Zone::named("UTC").unwrap(),
            max_future: 0,
            dialect: Arc::default(),
            dates: crate::time::date_range::DateRange::default(),
        };
        let mut batch = decoder.decode(crate::model::Chunk {
            input: Arc::new(Input { id: InputId(input), label: format!("{input}.csv") }),
            span: Span { from: 0, to: 0, first_line: 2 },
            position: Position::default(),
            read_at: 0,
            content: Content::Fault(first),
        });
        batch.rejects = rejects;
        batch
    }

    #[test]
    fn a_file_and_reason_is_reported_at_once_and_then_once_a_minute() {
        let (mut warnings, began) = (RejectWarnings::default(), Instant::now());
        warnings.add(&batch(1, &[Reason::BadTimestamp, Reason::BadTimestamp, Reason::NulByte]));
        let texts = warnings.take_due(began);
        assert_eq!(texts.len(), 2);
        assert!(
            texts[0].starts_with("1.csv: 2 rows rejected as bad_timestamp, such as line 2: bad; "),
            "{texts:?}"
        );
        assert_eq!(texts[1], "1.csv: 1 row rejected as nul_byte, such as line 4: bad");
        warnings.add(&batch(1, &[Reason::NulByte]));
        warnings.add(&batch(2, &[Reason::NulByte]));
        assert_eq!(
            warnings.take_due(began + PAUSE / 2),
            ["2.csv: 1 row rejected as nul_byte, such as line 2: bad"]
        );
        warnings.add(&batch(1, &[Reason::NulByte]));
        assert_eq!(
            warnings.take_due(began + PAUSE),
            ["1.csv: 2 rows rejected as nul_byte, such as line 2: bad"]
        );
    }

    #[test]
    fn many_files_do_not_flood_the_messages() {
        let (mut warnings, began) = (RejectWarnings::default(), Instant::now());
        (0..CAPACITY as u32 + 7).for_each(|input| warnings.add(&batch(input, &[Reason::NulByte])));
        assert_eq!(warnings.take_due(began).len(), MAX_WARNINGS);
        assert!(warnings.take_due(began + PAUSE / 2).is_empty());
        let rest = CAPACITY + 7 - MAX_WARNINGS;
        let others = format!("{rest} more rows were rejected; all are in _rejects");
        assert_eq!(warnings.take_due(began + PAUSE), [others]);
        warnings.add(&batch(1, &[Reason::NulByte]));
        assert_eq!(warnings.take_all(), ["1.csv: 1 row rejected as nul_byte, such as line 2: bad"]);
    }
}
