//! What was read of each input: offsets that only move forward, and counts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::ingest::decode::header;
use crate::ingest::source::archive::RetirableInput;
use crate::ingest::source::fingerprint::{FileId, FileStat, Fingerprint, Head};
use crate::ingest::source::tail::KnownInput;
use crate::model::delimiter::Delimiter;
use crate::model::{Batch, Header, Input, InputId, Position, ReaderState, Reason, Reject};
use crate::publish::manifest::{InputEntry, Totals};
use crate::text::{parse_path, path_text};

/// Numbers of rejected rows by reason.
pub type ReasonCounts = BTreeMap<Reason, u64>;

/// All inputs.
#[derive(Debug, Default)]
pub struct InputTracker {
    all: BTreeMap<InputId, InputProgress>,
    unfinished: BTreeSet<InputId>,
    unread: u64,
    bytes: u64,
    rows: u64,
    rejected: ReasonCounts,
    max_bad_lines: u64,
    /// Inputs of which something has changed since they were last saved.
    unsaved: BTreeSet<InputId>,
    /// The inputs that were read last, the latest first.
    latest: VecDeque<InputId>,
}

/// Inputs that are remembered as read last.
const LATEST: usize = 50;

#[derive(Debug)]
struct InputProgress {
    input: Arc<Input>,
    /// Offset up to which it was taken in.
    taken: u64,
    size: u64,
    rows: u64,
    unmatched: u64,
    rejected: ReasonCounts,
    given_up: bool,
    /// Bytes that are known and were not taken in, as far as they are counted.
    unread: u64,
    position: Position,
    fingerprint: Option<Box<Fingerprint>>,
}

/// An input as it is saved.
#[derive(Debug, Serialize, Deserialize)]
pub struct InputRecord {
    id: u32,
    label: String,
    path: String,
    file: FileId,
    head: Head,
    whole: u128,
    stamp: FileStat,
    offset: u64,
    lines: u64,
    stand: StandName,
    header: Option<String>,
    tail: u128,
    size: u64,
    rows: u64,
    unmatched: u64,
    rejected: BTreeMap<String, u64>,
    given_up: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StandName {
    Start,
    Lines,
    AfterEnd,
    Finished,
    Refused,
    Faulted,
}

impl InputTracker {
    /// No inputs yet; one is given up at so many bad lines, if that is not 0.
    pub fn new(max_bad_lines: u64) -> Self {
        Self { max_bad_lines, ..Self::default() }
    }

    /// Notes how long an input is.
    pub fn record_size(&mut self, input: &Arc<Input>, size: u64) {
        let before = std::mem::replace(&mut self.of(input).size, size);
        self.note_if(before != size, input.id);
    }

    /// Notes that an input was read to an offset, bytes without rows included.
    pub fn advance(&mut self, input: &Arc<Input>, position: Position) {
        let reading = self.of(input);
        let bytes = position.offset.saturating_sub(reading.taken);
        reading.taken += bytes;
        let moved = reading.position != position;
        if !reading.given_up {
            reading.position = position;
        }
        self.bytes += bytes;
        self.note_if(moved, input.id);
    }

    /// Notes what an input is, by which it is known again.
    pub fn record_fingerprint(&mut self, input: &Arc<Input>, fingerprint: Box<Fingerprint>) {
        let reading = self.of(input);
        let changed = reading.fingerprint.as_ref() != Some(&fingerprint);
        reading.fingerprint = Some(fingerprint);
        self.note_if(changed, input.id);
    }

    /// Counts a batch. Returns whether it counts at all: an input that was given up is only passed
    /// over, and the batch in which that happens is cut short.
    ///
    /// # Panics
    /// If the batch does not begin where the one before ended, or later (after a header): then
    /// rows would be counted twice.
    pub fn apply(&mut self, batch: &mut Batch, catalog: &Catalog) -> bool {
        let max_bad_lines = self.max_bad_lines as usize;
        let reading = self.of(&batch.input);
        let Input { label, .. } = &*batch.input;
        assert!(reading.taken <= batch.span.from, "{label}: bytes before {} come twice", reading.taken);
        let bytes = batch.span.to - reading.taken;
        reading.taken = batch.span.to;
        reading.size = reading.size.max(batch.span.to);
        let counts = !reading.given_up;
        if counts {
            let bad: u64 = reading.rejected.values().sum();
            if max_bad_lines > 0 && !batch.refused && bad as usize + batch.rejects.len() >= max_bad_lines {
                give_up(batch, max_bad_lines - bad as usize - 1);
                reading.given_up = true;
            }
            reading.given_up |= batch.refused;
            let rows = (batch.plays() + batch.rejects.len()) as u64;
            reading.rows += rows;
            reading.unmatched += catalog.count_unknown(&batch.songs);
            count(&mut reading.rejected, &batch.rejects);
            reading.position = batch.position.clone();
            if reading.given_up && reading.position.state != ReaderState::Faulted {
                reading.position.state = ReaderState::Refused;
            }
            self.rows += rows;
            count(&mut self.rejected, &batch.rejects);
        }
        self.bytes += bytes;
        self.note(batch.input.id);
        self.note_latest(batch.input.id);
        counts
    }

    fn of(&mut self, input: &Arc<Input>) -> &mut InputProgress {
        self.all.entry(input.id).or_insert_with(|| InputProgress {
            input: Arc::clone(input),
            taken: 0,
            size: 0,
            rows: 0,
            unmatched: 0,
            rejected: ReasonCounts::new(),
            given_up: false,
            unread: 0,
            position: Position::default(),
            fingerprint: None,
        })
    }

    /// A file that is looked at again and again is only saved if something has changed.
    fn note_if(&mut self, changed: bool, id: InputId) {
        if changed {
            self.note(id);
        }
    }

    fn note(&mut self, id: InputId) {
        self.unsaved.insert(id);
        self.keep_unfinished(id);
    }

    fn keep_unfinished(&mut self, id: InputId) {
        let Some(reading) = self.all.get_mut(&id) else { return };
        let unread = if reading.given_up { 0 } else { reading.size.saturating_sub(reading.taken) };
        let before = std::mem::replace(&mut reading.unread, unread);
        self.unread = self.unread - before + unread;
        if unread > 0 {
            self.unfinished.insert(id);
        } else {
            self.unfinished.remove(&id);
        }
    }

    fn note_latest(&mut self, id: InputId) {
        if self.latest.front() != Some(&id) {
            self.latest.retain(|&other| other != id);
            self.latest.push_front(id);
            self.latest.truncate(LATEST);
        }
    }

    /// Whether there is anything to be saved.
    pub fn has_unsaved(&self) -> bool {
        !self.unsaved.is_empty()
    }

    /// What has changed since the last time, to be saved: numbers, ascending, and records.
    pub fn take_unsaved(&mut self) -> Vec<(InputId, InputRecord)> {
        let unsaved = std::mem::take(&mut self.unsaved);
        unsaved.into_iter().filter_map(|id| Some((id, self.all[&id].record()?))).collect()
    }

    /// Takes an input back in that was saved.
    ///
    /// # Errors
    /// What is wrong with the record.
    pub fn restore(&mut self, record: InputRecord, delimiter: Delimiter) -> Result<(), String> {
        let reading = InputProgress::of_record(record, delimiter)?;
        self.bytes += reading.taken;
        self.rows += reading.rows;
        for (&reason, rows) in &reading.rejected {
            *self.rejected.entry(reason).or_default() += rows;
        }
        let id = reading.input.id;
        self.all.insert(id, reading);
        self.keep_unfinished(id);
        self.note_latest(id);
        Ok(())
    }

    /// What a source must know to go on, by number.
    pub fn known(&self) -> Vec<KnownInput> {
        let known = self.all.values().filter_map(|reading| {
            let fingerprint = reading.fingerprint.as_deref()?.clone();
            Some(KnownInput {
                input: Arc::clone(&reading.input),
                fingerprint,
                position: reading.position.clone(),
            })
        });
        known.collect()
    }

    /// Number of inputs.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Number of inputs of which a part was not yet taken in.
    pub fn unfinished_len(&self) -> usize {
        self.unfinished.len()
    }

    /// Bytes of all inputs that are known and were not yet taken in.
    pub fn bytes_unread(&self) -> u64 {
        self.unread
    }

    /// How far these inputs were read.
    pub fn retirable(&self, ids: &[InputId]) -> Vec<RetirableInput> {
        ids.iter().map(|id| RetirableInput { input: *id, offset: self.all[id].position.offset }).collect()
    }

    /// All numbers.
    pub fn ids(&self) -> Vec<InputId> {
        self.all.keys().copied().collect()
    }

    /// Rows taken in: plays and rejects.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes taken in.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Rejected rows by reason.
    pub fn rejected(&self) -> &ReasonCounts {
        &self.rejected
    }

    /// The sums, with the plays that are unmatched now.
    pub fn totals(&self, unmatched: u64) -> Totals {
        Totals {
            inputs: self.all.len() as u64,
            bytes: self.bytes,
            rows: self.rows,
            rejected: by_code(&self.rejected),
            unmatched,
        }
    }

    /// The inputs of which a part was not yet taken in.
    pub fn unfinished(&self) -> Vec<InputEntry> {
        self.unfinished.iter().map(|id| self.all[id].entry()).collect()
    }

    /// The inputs that were read last, the latest first.
    pub fn latest(&self) -> Vec<InputEntry> {
        self.latest.iter().map(|id| self.all[id].entry()).collect()
    }
}

impl InputProgress {
    fn entry(&self) -> InputEntry {
        InputEntry {
            path: self.input.label.clone(),
            bytes: self.taken,
            size: self.size,
            rows: self.rows,
            rejected: by_code(&self.rejected),
            unmatched: self.unmatched,
        }
    }

    /// Nothing, if nobody could know the input again.
    fn record(&self) -> Option<InputRecord> {
        let fingerprint = self.fingerprint.as_deref()?;
        let (stand, header) = match &self.position.state {
            ReaderState::Start => (StandName::Start, None),
            ReaderState::Lines(header) => (StandName::Lines, Some(header)),
            ReaderState::AfterEnd(header) => (StandName::AfterEnd, Some(header)),
            ReaderState::Finished => (StandName::Finished, None),
            ReaderState::Refused => (StandName::Refused, None),
            ReaderState::Faulted => (StandName::Faulted, None),
        };
        Some(InputRecord {
            id: self.input.id.0,
            label: self.input.label.clone(),
            path: path_text(&fingerprint.path),
            file: fingerprint.id,
            head: fingerprint.head,
            whole: fingerprint.whole,
            stamp: fingerprint.stat,
            offset: self.position.offset,
            lines: self.position.lines,
            stand,
            header: header.map(|header| String::from_utf8_lossy(&header.line).into_owned()),
            tail: self.position.tail,
            size: self.size,
            rows: self.rows,
            unmatched: self.unmatched,
            rejected: by_code(&self.rejected),
            given_up: self.given_up,
        })
    }

    fn of_record(record: InputRecord, delimiter: Delimiter) -> Result<Self, String> {
        let header = record
            .header
            .map(|line| header::parse(line.as_bytes(), delimiter).map(|(header, _)| Arc::new(header)));
        let header = || -> Result<Arc<Header>, String> {
            match &header {
                Some(Ok(header)) => Ok(Arc::clone(header)),
                Some(Err(fault)) => Err(fault.detail.clone()),
                None => Err("an input without its header".to_owned()),
            }
        };
        let stand = match record.stand {
            StandName::Start => ReaderState::Start,
            StandName::Lines => ReaderState::Lines(header()?),
            StandName::AfterEnd => ReaderState::AfterEnd(header()?),
            StandName::Finished => ReaderState::Finished,
            StandName::Refused => ReaderState::Refused,
            StandName::Faulted => ReaderState::Faulted,
        };
        let mut rejected = ReasonCounts::new();
        for (code, rows) in record.rejected {
            let reason = Reason::ALL.iter().find(|reason| reason.code() == code);
            rejected.insert(*reason.ok_or_else(|| format!("an unknown reason: {code}"))?, rows);
        }
        let (path, id, head, whole) = (parse_path(&record.path), record.file, record.head, record.whole);
        Ok(Self {
            input: Arc::new(Input { id: InputId(record.id), label: record.label }),
            taken: record.offset,
            size: record.size,
            rows: record.rows,
            unmatched: record.unmatched,
            rejected,
            given_up: record.given_up,
            unread: 0,
            position: Position {
                offset: record.offset,
                lines: record.lines,
                state: stand,
                tail: record.tail,
            },
            fingerprint: Some(Box::new(Fingerprint { path, id, head, whole, stat: record.stamp })),
        })
    }
}

/// Ends a batch at its bad line number `last` and says why nothing more follows.
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

/// Adds rejects to counts.
pub fn count(counts: &mut ReasonCounts, rejects: &[Reject]) {
    for reject in rejects {
        *counts.entry(reject.reason).or_default() += 1;
    }
}

/// Counts by the code of the reason.
pub fn by_code(counts: &ReasonCounts) -> BTreeMap<String, u64> {
    counts.iter().map(|(reason, &rows)| (reason.code().to_owned(), rows)).collect()
}
