//! The progress of the inputs: positions that only move forward, and counts.

mod retry;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::ingest::source::archive::RetirableInput;
use crate::ingest::source::fingerprint::Fingerprint;
use crate::ingest::source::tail::KnownInput;
use crate::model::rejects::{ReasonCounts, by_code, count};
use crate::model::{Batch, Input, InputId, Layout, Position, ReaderState, Reason, Reject};
use crate::publish::manifest::{InputEntry, Totals};
use crate::state::input_record::{InputRecord, Refusal};

pub use crate::state::input_progress::retry::RetriedInputs;

/// The progress of all inputs.
#[derive(Debug, Default)]
pub struct InputTracker {
    inputs: BTreeMap<InputId, InputProgress>,
    unfinished: BTreeSet<InputId>,
    unread: u64,
    bytes: u64,
    rows: u64,
    outside: u64,
    rejected: ReasonCounts,
    max_bad_lines: u64,
    /// Inputs that have changed since the last commit.
    unsaved: BTreeSet<InputId>,
    /// The inputs that were read most recently, latest first.
    latest: VecDeque<InputId>,
    /// The inputs that cannot be read as logs, and their ids by name. An input that later gets the same name
    /// replaces such an input.
    refused: BTreeSet<InputId>,
    refused_names: HashMap<String, InputId>,
}

/// Maximum number of inputs in the list of recently read inputs.
const LATEST: usize = 50;

/// An input that cannot be read as a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedInput {
    /// The name of the input.
    pub path: String,
    /// The reason.
    pub reason: Reason,
    /// What is wrong, and what may help. Empty if an earlier version has read the input.
    pub detail: String,
}

#[derive(Debug)]
struct InputProgress {
    input: Arc<Input>,
    /// Number of bytes that were read or skipped. This number can exceed `position` once the input is given
    /// up.
    taken: u64,
    /// Number of known bytes after `taken`; 0 once the input is given up.
    unread: u64,
    size: u64,
    rows: u64,
    /// Plays outside the dates of the run. Only a `replay` has such plays, so no record contains them.
    outside: u64,
    unmatched: u64,
    rejected: ReasonCounts,
    given_up: bool,
    refusal: Option<Refusal>,
    position: Position,
    /// The layout of an earlier position, if the current position has none.
    layout: Option<Arc<Layout>>,
    /// Whether the file is read again as another input.
    retried: bool,
    /// Whether rows were read with settings of the dialect that have changed since then.
    earlier_settings: bool,
    fingerprint: Option<Box<Fingerprint>>,
}

impl InputTracker {
    /// A tracker without inputs. An input is given up after `max_bad_lines` bad lines; 0 means never.
    pub fn new(max_bad_lines: u64) -> Self {
        Self { max_bad_lines, ..Self::default() }
    }

    /// Records the size of an input in bytes.
    pub fn record_size(&mut self, input: &Arc<Input>, size: u64) {
        let before = std::mem::replace(&mut self.progress(input).size, size);
        self.set_unsaved_if(before != size, input.id);
    }

    /// Records a new position that comes without a batch, for example the position after a header.
    pub fn advance(&mut self, input: &Arc<Input>, position: Position) {
        let progress = self.progress(input);
        let bytes = position.offset.saturating_sub(progress.taken);
        progress.taken += bytes;
        let changed = progress.position != position;
        if !progress.given_up {
            progress.set_position(position);
        }
        self.bytes += bytes;
        self.set_unsaved_if(changed, input.id);
    }

    /// Records the fingerprint of an input. The fingerprint identifies the input after a restart.
    pub fn record_fingerprint(&mut self, input: &Arc<Input>, fingerprint: Box<Fingerprint>) {
        let progress = self.progress(input);
        let changed = progress.fingerprint.as_ref() != Some(&fingerprint);
        progress.fingerprint = Some(fingerprint);
        self.set_unsaved_if(changed, input.id);
    }

    /// Counts a batch. Returns whether its rows count. The rows of an input that was given up do not count.
    /// If a batch reaches the limit of bad lines, it is truncated after the last counted line.
    ///
    /// # Panics
    /// If the batch begins before the end of the previous batch, because rows would count twice. A gap
    /// between batches is allowed, for example for a header.
    pub fn apply(&mut self, batch: &mut Batch, catalog: &Catalog) -> bool {
        let max_bad_lines = self.max_bad_lines as usize;
        let progress = self.progress(&batch.input);
        let Input { label, .. } = &*batch.input;
        assert!(progress.taken <= batch.span.from, "{label}: bytes before {} count twice", progress.taken);
        let bytes = batch.span.to - progress.taken;
        progress.taken = batch.span.to;
        progress.size = progress.size.max(batch.span.to);
        let counts = !progress.given_up;
        if counts {
            let bad: u64 = progress.rejected.values().sum();
            if max_bad_lines > 0
                && batch.refused.is_none()
                && bad as usize + batch.rejects.len() >= max_bad_lines
            {
                give_up(batch, max_bad_lines - bad as usize - 1);
                progress.given_up = true;
            }
            if let Some(detail) = &batch.refused {
                let reason = batch.rejects.first().map_or(Reason::NotCsv, |reject| reject.reason);
                progress.refusal = Some(Refusal { reason, detail: detail.to_string() });
                progress.given_up = true;
            }
            let (rows, outside) = (batch.rows() as u64, batch.outside.len() as u64);
            progress.rows += rows;
            progress.outside += outside;
            progress.unmatched += catalog.count_unknown(&batch.songs);
            count(&mut progress.rejected, &batch.rejects);
            progress.set_position(batch.position.clone());
            if progress.given_up && progress.position.state != ReaderState::Faulted {
                let refused = Position { state: ReaderState::Refused, ..progress.position.clone() };
                progress.set_position(refused);
            }
            self.rows += rows;
            self.outside += outside;
            count(&mut self.rejected, &batch.rejects);
            if batch.refused.is_some() {
                self.set_refused(batch.input.id);
            }
        }
        self.bytes += bytes;
        self.set_unsaved(batch.input.id);
        self.set_latest(batch.input.id);
        counts
    }

    /// The progress of an input. Creates it if the input is new.
    fn progress(&mut self, input: &Arc<Input>) -> &mut InputProgress {
        let refused_names = &mut self.refused_names;
        let refused = &mut self.refused;
        self.inputs.entry(input.id).or_insert_with(|| {
            // A repaired file has taken the place of one that could not be read.
            if let Some(replaced) = refused_names.remove(&input.label) {
                refused.remove(&replaced);
            }
            InputProgress {
                input: Arc::clone(input),
                taken: 0,
                unread: 0,
                size: 0,
                rows: 0,
                outside: 0,
                unmatched: 0,
                rejected: ReasonCounts::new(),
                given_up: false,
                refusal: None,
                position: Position::default(),
                layout: None,
                retried: false,
                earlier_settings: false,
                fingerprint: None,
            }
        })
    }

    fn set_refused(&mut self, id: InputId) {
        self.refused.insert(id);
        if let Some(replaced) = self.refused_names.insert(self.inputs[&id].input.label.clone(), id)
            && replaced != id
        {
            self.refused.remove(&replaced);
        }
    }

    /// Marks an input as unsaved if it has changed. Sources also report unchanged inputs at every scan. Such
    /// a report must not cause a commit.
    fn set_unsaved_if(&mut self, changed: bool, id: InputId) {
        if changed {
            self.set_unsaved(id);
        }
    }

    fn set_unsaved(&mut self, id: InputId) {
        self.unsaved.insert(id);
        self.update_unread(id);
    }

    fn update_unread(&mut self, id: InputId) {
        let Some(progress) = self.inputs.get_mut(&id) else { return };
        let unread = if progress.given_up || progress.retried {
            0
        } else {
            progress.size.saturating_sub(progress.taken)
        };
        let before = std::mem::replace(&mut progress.unread, unread);
        self.unread = self.unread - before + unread;
        if unread > 0 {
            self.unfinished.insert(id);
        } else {
            self.unfinished.remove(&id);
        }
    }

    fn set_latest(&mut self, id: InputId) {
        if self.latest.front() != Some(&id) {
            self.latest.retain(|&other| other != id);
            self.latest.push_front(id);
            self.latest.truncate(LATEST);
        }
    }

    /// Whether an input has changed since the last commit.
    pub fn has_unsaved(&self) -> bool {
        !self.unsaved.is_empty()
    }

    /// Takes the records of the inputs that have changed since the last call, in ascending order.
    /// An input without a fingerprint has no record, because a restart could not recognise it.
    pub fn take_unsaved(&mut self) -> Vec<(InputId, InputRecord)> {
        let unsaved = std::mem::take(&mut self.unsaved);
        unsaved.into_iter().filter_map(|id| Some((id, self.inputs[&id].record()?))).collect()
    }

    /// Adds an input from its record.
    pub fn restore(&mut self, record: InputRecord) {
        let progress = InputProgress::from_record(record);
        self.bytes += progress.taken;
        self.rows += progress.rows;
        for (&reason, rows) in &progress.rejected {
            *self.rejected.entry(reason).or_default() += rows;
        }
        let id = progress.input.id;
        if let Some(replaced) = self.refused_names.remove(&progress.input.label) {
            self.refused.remove(&replaced);
        }
        let is_refused = progress.refusal.is_some() && !progress.retried;
        self.inputs.insert(id, progress);
        if is_refused {
            self.set_refused(id);
        }
        self.update_unread(id);
        self.set_latest(id);
    }

    /// The inputs with a fingerprint, in ascending order. A source continues with these inputs after a
    /// restart.
    pub fn known(&self) -> Vec<KnownInput> {
        let known = self.inputs.values().filter_map(|progress| {
            let fingerprint = progress.fingerprint.as_deref()?.clone();
            Some(KnownInput {
                input: Arc::clone(&progress.input),
                fingerprint,
                position: progress.position.clone(),
                layout: progress.layout.clone(),
                rows: progress.rows,
                retried: progress.retried,
                earlier_settings: progress.earlier_settings,
            })
        });
        known.collect()
    }

    /// Number of inputs.
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// Whether there are no inputs.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// Number of inputs that are not fully read.
    pub fn unfinished_len(&self) -> usize {
        self.unfinished.len()
    }

    /// Number of known bytes that are not read yet, over all inputs.
    pub fn bytes_unread(&self) -> u64 {
        self.unread
    }

    /// The inputs `ids` that may be archived or deleted, with their current offsets. An input that was
    /// rejected or given up, or of which every row was rejected, is not one of them: once the cause is
    /// corrected, it is needed again.
    pub fn retirable(&self, ids: &[InputId]) -> Vec<RetirableInput> {
        let inputs = ids.iter().map(|id| (*id, &self.inputs[id]));
        let inputs = inputs.filter(|(_, progress)| !progress.given_up && !progress.has_only_rejects());
        inputs.map(|(input, progress)| RetirableInput { input, offset: progress.position.offset }).collect()
    }

    /// The ids of all inputs, in ascending order.
    pub fn ids(&self) -> Vec<InputId> {
        self.inputs.keys().copied().collect()
    }

    /// Number of rows that were read: plays, rejects, and plays outside the dates of the run.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Number of plays outside the dates of the run.
    pub fn outside(&self) -> u64 {
        self.outside
    }

    /// Number of rows that were read from one input.
    pub fn rows_of(&self, id: InputId) -> u64 {
        self.inputs.get(&id).map_or(0, |progress| progress.rows)
    }

    /// Number of bytes that were read, after decompression.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Rejected rows of all inputs by reason.
    pub fn rejected(&self) -> &ReasonCounts {
        &self.rejected
    }

    /// Number of inputs that cannot be read as logs.
    pub fn refused_len(&self) -> usize {
        self.refused.len()
    }

    /// The 50 latest inputs that cannot be read as logs, latest first.
    pub fn refused(&self) -> Vec<RefusedInput> {
        let refused = self.refused.iter().rev().take(LATEST).filter_map(|id| {
            let progress = &self.inputs[id];
            let Refusal { reason, detail } = progress.refusal.clone()?;
            Some(RefusedInput { path: progress.input.label.clone(), reason, detail })
        });
        refused.collect()
    }

    /// The sums over all inputs, without the plays outside the dates of the run. `unmatched` is the current number of unmatched plays.
    pub fn totals(&self, unmatched: u64) -> Totals {
        Totals {
            inputs: self.inputs.values().filter(|progress| !progress.retried).count() as u64,
            bytes: self.bytes,
            rows: self.rows,
            outside: None,
            rejected: by_code(&self.rejected),
            unmatched,
        }
    }

    /// The inputs that are not fully read.
    pub fn unfinished(&self) -> Vec<InputEntry> {
        self.unfinished.iter().map(|id| self.inputs[id].entry()).collect()
    }

    /// The 50 inputs that were read most recently, latest first.
    pub fn latest(&self) -> Vec<InputEntry> {
        self.latest.iter().map(|id| self.inputs[id].entry()).collect()
    }
}

impl InputProgress {
    /// Changes the position. A layout that the new position no longer has is kept.
    fn set_position(&mut self, position: Position) {
        let before = std::mem::replace(&mut self.position, position);
        if self.position.state.layout().is_none()
            && let Some(layout) = before.state.layout()
        {
            self.layout = Some(Arc::clone(layout));
        }
    }

    /// Whether rows were read, and all of them were rejected.
    fn has_only_rejects(&self) -> bool {
        self.rows > 0 && self.rejected.values().sum::<u64>() >= self.rows
    }

    /// The entry of the input in the manifest.
    fn entry(&self) -> InputEntry {
        InputEntry {
            path: self.input.label.clone(),
            bytes: self.taken,
            size: self.size,
            rows: self.rows,
            outside: (self.outside > 0).then_some(self.outside),
            rejected: by_code(&self.rejected),
            unmatched: self.unmatched,
        }
    }

    fn record(&self) -> Option<InputRecord> {
        Some(InputRecord {
            id: self.input.id.0,
            label: self.input.label.clone(),
            fingerprint: self.fingerprint.as_deref()?.clone(),
            position: self.position.clone(),
            size: self.size,
            rows: self.rows,
            unmatched: self.unmatched,
            rejected: self.rejected.clone(),
            given_up: self.given_up,
            refusal: self.refusal.clone(),
            layout: self.layout.clone().filter(|_| self.position.state.layout().is_none()),
            retried: self.retried,
            earlier_settings: self.earlier_settings,
        })
    }

    fn from_record(record: InputRecord) -> Self {
        let InputRecord {
            id,
            label,
            fingerprint,
            position,
            size,
            rows,
            unmatched,
            rejected,
            given_up,
            refusal,
            layout,
            retried,
            earlier_settings,
        } = record;
        // A state of an earlier version does not say why an input was rejected as a whole.
        let is_refused = matches!(position.state, ReaderState::Refused | ReaderState::Faulted);
        let only_reason = rejected.keys().next().filter(|_| is_refused && rows == 1).copied();
        let of_counts = only_reason.map(|reason| Refusal { reason, detail: String::new() });
        let refusal = refusal.or(of_counts);
        Self {
            input: Arc::new(Input { id: InputId(id), label }),
            taken: position.offset,
            unread: 0,
            size,
            rows,
            outside: 0,
            unmatched,
            rejected,
            given_up,
            refusal,
            position,
            layout,
            retried,
            earlier_settings,
            fingerprint: Some(Box::new(fingerprint)),
        }
    }
}

/// Truncates a batch after the reject with index `last`, and adds a reject that says why the rest of the
/// input is ignored.
fn give_up(batch: &mut Batch, last: usize) {
    batch.truncate_after_reject(last);
    let end = Reject { reason: Reason::TooManyBadLines, ..batch.rejects[last].clone() };
    tracing::warn!(
        "{}:{}: too many bad lines; the rest of the file is not read",
        batch.input.label,
        end.line
    );
    batch.rejects.push(end);
    batch.plays_before.push(batch.plays() as u32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::decode::Decoder;
    use crate::model::{Chunk, Content, Span};
    use crate::time::date_range::DateRange;
    use crate::time::zone::Zone;

    fn refuse(tracker: &mut InputTracker, id: u32, label: &str, detail: &str) {
        let decoder = Decoder {
            dictionaries: Arc::default(),
            zone: Zone::named("UTC").unwrap(),
            max_future: 0,
            dialect: Arc::default(),
            dates: DateRange::default(),
        };
        let mut batch = decoder.decode(Chunk {
            input: Arc::new(Input { id: InputId(id), label: label.to_owned() }),
            span: Span { from: 0, to: 0, first_line: 1 },
            position: Position { state: ReaderState::Refused, ..Position::default() },
            read_at: 0,
            content: Content::Refused(Reject::new(Reason::NotCsv, 1, 0, b"x"), detail.into()),
        });
        assert!(tracker.apply(&mut batch, &Catalog::default()));
    }

    fn refused(tracker: &InputTracker) -> Vec<(String, String)> {
        tracker.refused().into_iter().map(|input| (input.path, input.detail)).collect()
    }

    #[test]
    fn an_input_is_refused_until_a_later_one_has_its_name() {
        let mut tracker = InputTracker::default();
        refuse(&mut tracker, 0, "a.csv", "first");
        refuse(&mut tracker, 1, "b.csv", "second");
        let pair = |path: &str, detail: &str| (path.to_owned(), detail.to_owned());
        assert_eq!(refused(&tracker), [pair("b.csv", "second"), pair("a.csv", "first")]);
        refuse(&mut tracker, 2, "a.csv", "third");
        assert_eq!(refused(&tracker), [pair("a.csv", "third"), pair("b.csv", "second")]);
        tracker.record_size(&Arc::new(Input { id: InputId(3), label: "a.csv".to_owned() }), 9);
        assert_eq!(refused(&tracker), [pair("b.csv", "second")]);
        assert_eq!(tracker.refused_len(), 1);
        (4..4 + 2 * LATEST as u32).for_each(|id| refuse(&mut tracker, id, &format!("{id}.csv"), "more"));
        assert_eq!((tracker.refused_len(), tracker.refused().len()), (1 + 2 * LATEST, LATEST));
    }
}
