//! What was read of each input: offsets that only move forward, and counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::model::{Batch, Input, InputId, Reason, Reject};
use crate::output::manifest::{Totals, UnfinishedInput};

/// Numbers of rejected rows by reason.
pub type ReasonCounts = BTreeMap<Reason, u64>;

/// All inputs.
#[derive(Debug, Default)]
pub struct Inputs {
    all: BTreeMap<InputId, Reading>,
    unfinished: BTreeSet<InputId>,
    bytes: u64,
    rows: u64,
    rejected: ReasonCounts,
    max_bad_lines: u64,
}

#[derive(Debug)]
struct Reading {
    input: Arc<Input>,
    /// Offset up to which it was taken in.
    taken: u64,
    size: u64,
    rows: u64,
    unmatched: u64,
    rejected: ReasonCounts,
    given_up: bool,
}

impl Inputs {
    /// No inputs yet; one is given up at so many bad lines, if that is not 0.
    pub fn new(max_bad_lines: u64) -> Self {
        Self { max_bad_lines, ..Self::default() }
    }

    /// Notes how long an input is.
    pub fn grow(&mut self, input: &Arc<Input>, size: u64) {
        self.of(input).size = size;
        self.note(input.id);
    }

    /// Notes that an input was read to an offset, bytes without rows included.
    pub fn pass(&mut self, input: &Arc<Input>, offset: u64) {
        let reading = self.of(input);
        let bytes = offset.saturating_sub(reading.taken);
        reading.taken += bytes;
        self.bytes += bytes;
        self.note(input.id);
    }

    /// Counts a batch. Returns whether it counts at all: an input that was given up is only passed
    /// over, and the batch in which that happens is cut short.
    ///
    /// # Panics
    /// If the batch does not begin where the one before ended, or later (after a header): then
    /// rows would be counted twice.
    pub fn take(&mut self, batch: &mut Batch, catalog: &Catalog) -> bool {
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
            self.rows += rows;
            count(&mut self.rejected, &batch.rejects);
        }
        self.bytes += bytes;
        self.note(batch.input.id);
        counts
    }

    fn of(&mut self, input: &Arc<Input>) -> &mut Reading {
        self.all.entry(input.id).or_insert_with(|| Reading {
            input: Arc::clone(input),
            taken: 0,
            size: 0,
            rows: 0,
            unmatched: 0,
            rejected: ReasonCounts::new(),
            given_up: false,
        })
    }

    fn note(&mut self, id: InputId) {
        let reading = &self.all[&id];
        if reading.taken < reading.size && !reading.given_up {
            self.unfinished.insert(id);
        } else {
            self.unfinished.remove(&id);
        }
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
    pub fn unfinished(&self) -> Vec<UnfinishedInput> {
        let unfinished = self.unfinished.iter().map(|id| &self.all[id]);
        unfinished
            .map(|reading| UnfinishedInput {
                path: reading.input.label.clone(),
                bytes: reading.taken,
                size: reading.size,
                rows: reading.rows,
                rejected: by_code(&reading.rejected),
                unmatched: reading.unmatched,
            })
            .collect()
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
