//! The columns of a batch while its rows are decoded.

mod outside;

use std::sync::Arc;

use crate::model::dictionary::Dictionaries;
use crate::model::{Batch, Field, Input, OutsidePlays, PlayTime, Position, Reject, Span, Text};
use crate::text::{needs_quotes, push_cell};

/// The columns of a batch that is being decoded.
#[derive(Debug)]
pub(super) struct Rows {
    span: Span,
    users: Vec<Field>,
    songs: Vec<Field>,
    play_times: Vec<PlayTime>,
    millis: Vec<u32>,
    /// The last rows, which are not in the columns yet.
    block: Block,
    rejects: Vec<Reject>,
    plays_before: Vec<u32>,
    /// Number of rejected rows whose timestamp is too far in the future.
    pub(super) future: u32,
    /// Ids that differ from their text in the chunk. They are appended to the text of the chunk. `base` is
    /// the length of that text.
    unquoted: Vec<u8>,
    base: usize,
}

/// Columns with room for a fixed number of rows, so that adding a row needs a single check.
#[derive(Debug)]
struct Block {
    users: [Field; BLOCK],
    songs: [Field; BLOCK],
    play_times: [PlayTime; BLOCK],
    millis: [u32; BLOCK],
    len: usize,
}

/// The number of rows in a block.
const BLOCK: usize = 64;

impl Default for Block {
    fn default() -> Self {
        Self {
            users: [Field { start: 0, len: 0 }; BLOCK],
            songs: [Field { start: 0, len: 0 }; BLOCK],
            play_times: [PlayTime { local: 0, offset: 0, nanos: 0 }; BLOCK],
            millis: [0; BLOCK],
            len: 0,
        }
    }
}

/// A play before its ids are interned.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) user: Field,
    pub(super) song: Field,
    pub(super) play_time: PlayTime,
    pub(super) millis: u32,
}

impl Rows {
    pub(super) fn new(span: Span, text: &Text) -> Self {
        Self {
            span,
            users: Vec::new(),
            songs: Vec::new(),
            play_times: Vec::new(),
            millis: Vec::new(),
            block: Block::default(),
            rejects: Vec::new(),
            plays_before: Vec::new(),
            future: 0,
            unquoted: Vec::new(),
            base: text.as_bytes().len(),
        }
    }

    /// Makes room for further rows.
    pub(super) fn reserve(&mut self, rows: usize) {
        self.users.reserve(rows);
        self.songs.reserve(rows);
        self.play_times.reserve(rows);
        self.millis.reserve(rows);
    }

    /// The number of the first line.
    pub(super) fn first_line(&self) -> u64 {
        self.span.first_line
    }

    #[inline]
    pub(super) fn push(&mut self, row: &Row) {
        let block = &mut self.block;
        let at = block.len % BLOCK;
        block.users[at] = row.user;
        block.songs[at] = row.song;
        block.play_times[at] = row.play_time;
        block.millis[at] = row.millis;
        block.len = at + 1;
        if block.len == BLOCK {
            self.empty_block();
        }
    }

    /// Moves the rows of the block to the columns.
    fn empty_block(&mut self) {
        let len = self.block.len;
        self.users.extend_from_slice(&self.block.users[..len]);
        self.songs.extend_from_slice(&self.block.songs[..len]);
        self.play_times.extend_from_slice(&self.block.play_times[..len]);
        self.millis.extend_from_slice(&self.block.millis[..len]);
        self.block.len = 0;
    }

    /// Adds a reject. Its offset is relative to the text of the chunk.
    pub(super) fn reject(&mut self, mut reject: Reject) {
        reject.offset += self.span.from;
        self.plays_before.push((self.users.len() + self.block.len) as u32);
        self.rejects.push(reject);
    }

    /// Keeps an id that differs from its text in the chunk, or that may need quotes in CSV output.
    pub(super) fn keep(&mut self, id: &[u8]) -> Field {
        let start = self.base + self.unquoted.len();
        self.unquoted.extend_from_slice(id);
        Field { start: start as u32, len: id.len() as u32 }
    }

    /// Changes the offsets of the rejects, which are ascending by line.
    pub(super) fn rejects_mut(&mut self) -> &mut [Reject] {
        &mut self.rejects
    }

    pub(super) fn into_batch(
        mut self,
        dictionaries: &Dictionaries,
        input: Arc<Input>,
        position: Position,
        mut text: Text,
        outside: OutsidePlays,
    ) -> Batch {
        self.empty_block();
        if !self.unquoted.is_empty() {
            text.append(&self.unquoted);
        }
        let users = dictionaries.users.intern_column(&text, &self.users);
        let songs = dictionaries.songs.intern_column(&text, &self.songs);
        let mut batch = Batch {
            input,
            span: self.span,
            position,
            text,
            users,
            songs,
            play_times: self.play_times,
            millis: self.millis,
            user_cells: self.users,
            song_cells: self.songs,
            rejects: self.rejects,
            plays_before: self.plays_before,
            outside,
            future: self.future,
            refused: None,
        };
        if !self.unquoted.is_empty() {
            quote_cells(&mut batch.text, self.base, &mut batch.user_cells);
            quote_cells(&mut batch.text, self.base, &mut batch.song_cells);
        }
        batch
    }
}

/// Quotes the ids that need quotes in CSV output. Only ids that were kept can need quotes. Their text starts
/// at `base`.
fn quote_cells(text: &mut Text, base: usize, cells: &mut [Field]) {
    for cell in cells.iter_mut().filter(|cell| cell.start as usize >= base) {
        let id = text.field(*cell);
        if needs_quotes(id) {
            let mut quoted = Vec::with_capacity(id.len() + 2);
            push_cell(&mut quoted, id);
            *cell = text.append(&quoted);
        }
    }
}
