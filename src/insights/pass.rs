//! One pass: renders several tables for one listener after the other, in the order of the tables.
//!
//! The plays of a listener are read, and counted by genre, only once for all tables. No rows are kept. The tables of
//! a closed period are rendered only once, so keeping their rows would cost more than it saves.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::insights::genre_counts::GenreCounts;
use crate::insights::insight::{Cut, Listener, ListenerTable, SongTable};
use crate::insights::ranges::in_ranges_of;
use crate::ledger::user_index::UserIndex;
use crate::model::UserId;
use crate::text::padded::PaddedText;

/// Number of listeners in a range. The text of a range fits into the second-level cache.
const RANGE: usize = 2 << 10;
/// Number of listeners in a group. The plays of a group are loaded into the cache before they are read.
const GROUP: usize = 32;

/// Number of bytes of the rows of songs that are emitted at once.
const SONG_TEXT: usize = 64 << 10;

/// A table of a pass.
#[derive(Debug)]
pub struct PassTable<'a> {
    /// The rows.
    pub rows: &'a dyn ListenerTable,
    /// The first line.
    pub header: String,
}

/// Renders all `tables` of a cut for the listeners of `index`. Passes the place of a table in `tables` and its next lines
/// to `emit`, the header first. Returns the number of rows of each table without the header.
pub fn render(
    cut: &Cut,
    index: &UserIndex<'_>,
    tables: &[PassTable<'_>],
    mut emit: impl FnMut(usize, &[u8]),
) -> Vec<u64> {
    if tables.is_empty() {
        return Vec::new();
    }
    let users = cut.dictionaries.users.read();
    let played = index.users();
    let order = cut.user_order.ids().iter().copied();
    let listeners: Vec<UserId> = order.filter(|user| played.contains(user.index())).collect();
    // Growing a text would copy it several times.
    let longest: Vec<AtomicUsize> = tables.iter().map(|_| AtomicUsize::new(0)).collect();
    let render_range = |range: &[UserId]| {
        let empty = |longest: &AtomicUsize| Vec::with_capacity(longest.load(Ordering::Relaxed));
        let mut texts: Vec<Vec<u8>> = longest.iter().map(empty).collect();
        let (mut plays, mut genres, mut cell) = (Vec::new(), GenreCounts::default(), PaddedText::default());
        for group in range.chunks(GROUP) {
            index.prefetch(group);
            users.prefetch(group);
            cut.ledger.nights().prefetch(group);
            for &user in group {
                index.read(user, &mut plays);
                genres.count(&plays, &cut.catalog);
                cell.set_cell(users.resolve(user));
                let listener = Listener { user, cell: &cell, plays: &plays, genres: &genres };
                for (table, text) in tables.iter().zip(&mut texts) {
                    table.rows.push_rows(cut, &listener, text);
                }
            }
        }
        for (text, longest) in texts.iter().zip(&longest) {
            longest.fetch_max(text.len() + text.len() / 8, Ordering::Relaxed);
        }
        texts
    };
    let mut rows = vec![0; tables.len()];
    in_ranges_of(RANGE, &listeners, cut.threads, render_range, |texts| {
        for (index, text) in texts.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
            if rows[index] == 0 {
                emit(index, tables[index].header.as_bytes());
            }
            rows[index] += count(text);
            emit(index, text);
        }
    });
    for (index, (table, rows)) in
        tables.iter().zip(&mut rows).enumerate().filter(|(_, (_, rows))| **rows == 0)
    {
        let message = table.rows.message();
        *rows = u64::from(message.is_some());
        emit(index, message.as_ref().unwrap_or(&table.header).as_bytes());
    }
    rows
}

/// Renders a table by song. Passes the next lines to `emit`, first the header. Returns the number of rows, not
/// counting the header.
pub fn render_songs(cut: &Cut, table: &dyn SongTable, header: &str, emit: &mut dyn FnMut(&[u8])) -> u64 {
    emit(header.as_bytes());
    let songs = cut.dictionaries.songs.read();
    let (mut lines, mut rows) = (Vec::with_capacity(SONG_TEXT), 0);
    for &song in cut.song_order.ids() {
        let total = cut.ledger.song_plays().total(song);
        if total.plays > 0 {
            table.push_row(songs.resolve(song), total, &mut lines);
            rows += 1;
        }
        if lines.len() >= SONG_TEXT {
            emit(&lines);
            lines.clear();
        }
    }
    emit(&lines);
    rows
}

/// The number of lines. No cell holds a line feed, because a record of a log is one line.
fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}
