//! The rows of the two logs, published and computed.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::catalog::{Catalog, Song};
use crate::ingest::decode::record::Record;
use crate::insights::enriched_logs::{self, EnrichedLogs, EnrichedRows};
use crate::model::dictionary::Dictionaries;
use crate::model::error::{Error, FileRole, Op};

use crate::publish::REJECTS;
use crate::publish::formula_escape::FormulaEscape;
use crate::publish::manifest::{InsightEntry, Manifest};
use crate::state::unmatched::UnmatchedPlays;
use crate::text::escape_bytes;
use crate::verify::multiset::Multiset;

/// Bytes that are shown of a row.
const SHOWN_BYTES: usize = 200;

/// The ids of songs that have ever had metadata.
pub type SongIds = HashSet<Vec<u8>>;

/// How rows are compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compare {
    /// The inputs are only a part of what was read.
    pub part: bool,
    /// The bucket of `enriched_logs` that is shown, and that of `_rejects`.
    pub shown: (Option<usize>, Option<usize>),
}

/// Rows of both logs.
#[derive(Debug)]
pub struct Rows {
    /// The plays of `enriched_logs`: song, listener, time and duration.
    pub enriched: Multiset,
    /// The same in their order.
    enriched_order: OrderHash,
    /// The rows of `_rejects`.
    pub rejects: Multiset,
}

impl Rows {
    /// No rows.
    pub fn new(compare: Compare) -> Self {
        Self {
            enriched: Multiset::new(compare.part, compare.shown.0),
            enriched_order: OrderHash(Xxh3::new()),
            rejects: Multiset::new(compare.part, compare.shown.1),
        }
    }

    /// Adds a play of `enriched_logs`.
    pub fn add_play(&mut self, play: &[u8]) {
        self.enriched.add(play);
        self.enriched_order.0.update(play);
    }

    /// A hash of the plays in their order.
    pub fn order(&self) -> u128 {
        self.enriched_order.0.digest128()
    }
}

struct OrderHash(Xxh3);

impl std::fmt::Debug for OrderHash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("OrderHash").finish_non_exhaustive()
    }
}

/// What is known of published rows besides the inputs.
#[derive(Debug)]
pub struct Published {
    /// Hashes of songs as they are written, with the metadata that they have had; nothing in a `replay`.
    pub metadata: Option<HashSet<u128>>,
    /// Plays of songs that had metadata, but have none now: they wait, and are published if it comes
    /// back.
    pub unmatched: Vec<Vec<u8>>,
    /// The label of the catalog in `_rejects`.
    pub catalog_label: String,
    /// The rejected rows of the catalog, in a `replay`.
    pub rejects: Vec<u8>,
}

impl Published {
    /// Of a `replay`, with the rejected rows of its catalog.
    pub fn plain(rejects: Vec<u8>) -> Self {
        let label = rejects.split(|&byte| byte == b',').next().unwrap_or_default();
        let catalog_label = String::from_utf8_lossy(label).into_owned();
        Self { metadata: None, unmatched: Vec::new(), catalog_label, rejects }
    }
}

/// The rows that are published.
///
/// # Errors
/// The part that cannot be read, exit code 66.
pub fn published_rows(
    output: &Path,
    manifest: &Manifest,
    published: &Published,
    compare: Compare,
    mut strange: impl FnMut(&[u8]),
) -> Result<Rows, Error> {
    let mut rows = Rows::new(compare);
    let mut record = Record::default();
    if let Some(entry) = manifest.insights.get(enriched_logs::NAME) {
        each_row(output, enriched_logs::NAME, entry, |row| {
            let play = &row[..play_len(row)];
            rows.add_play(play);
            let Some(metadata) = &published.metadata else { return };
            let song = &row[..cells_len(row, 1)];
            let key = [song, &row[play.len()..], b"\n"].concat();
            if !metadata.contains(&xxh3_128(&key)) {
                strange(row);
            }
        })?;
    }
    for play in &published.unmatched {
        rows.enriched.add(play);
    }
    let catalog_rows = lines_of(&published.rejects).collect::<HashSet<_>>();
    each_row(output, REJECTS, &manifest.rejects, |row| {
        let of_catalog = record.read(row).is_ok()
            && record.field(0) == published.catalog_label.as_bytes()
            && (published.metadata.is_some() || catalog_rows.contains(row));
        if !of_catalog {
            rows.rejects.add(row);
        }
    })?;
    Ok(rows)
}

/// The waiting plays of some songs, as they would stand in `enriched_logs`.
///
/// # Errors
/// If the file of waiting plays is damaged, exit code 65.
pub fn waiting_plays(
    mut unmatched: UnmatchedPlays,
    dictionaries: &Dictionaries,
    songs: &SongIds,
    guard: FormulaEscape,
) -> Result<Vec<Vec<u8>>, Error> {
    let without_metadata: Vec<Song> =
        songs.iter().map(|id| Song { song_id: id.clone(), ..Song::default() }).collect();
    let catalog = Arc::new(Catalog::new(&without_metadata, dictionaries, 0));
    let mut enriching = EnrichedLogs::new(Arc::clone(&catalog));
    let mut rows = Vec::new();
    let (mut text, mut room) = (EnrichedRows::default(), Vec::new());
    for song in unmatched.songs() {
        unmatched.take(song, |plays| {
            if catalog.contains(song) {
                text.text.clear();
                enriching.append_matched(song, plays, dictionaries, &mut text);
                let lines = guard.apply(text.text.as_bytes(), &mut room);
                rows.extend(lines_of(lines).map(|row| row[..play_len(row)].to_vec()));
            }
            Ok(())
        })?;
    }
    Ok(rows)
}

/// The committed rows of a log, without headers and line ends.
///
/// # Errors
/// The part that cannot be read, exit code 66.
pub fn each_row(
    output: &Path,
    name: &str,
    entry: &InsightEntry,
    mut each: impl FnMut(&[u8]),
) -> Result<(), Error> {
    for part in &entry.parts {
        let path = output.join(name).join(&part.file);
        let failed = |cause: std::io::Error| Error::file(FileRole::Input, Op::Read, &path, cause);
        let file = std::fs::File::open(&path).map_err(failed)?;
        let mut reader = BufReader::with_capacity(256 << 10, file.take(part.bytes));
        let mut line = Vec::new();
        let mut header = true;
        while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
            if !std::mem::take(&mut header) {
                each(line.strip_suffix(b"\n").unwrap_or(&line));
            }
            line.clear();
        }
    }
    Ok(())
}

/// The lines of a text, without their ends.
pub fn lines_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.strip_suffix(b"\n").unwrap_or(text);
    let empty = text.is_empty();
    lines.split(|&byte| byte == b'\n').filter(move |_| !empty)
}

/// The length of song, listener, time and duration of a row of `enriched_logs`, the comma behind
/// them included.
pub fn play_len(row: &[u8]) -> usize {
    cells_len(row, 4)
}

/// The length of the first cells of a row, the comma behind them included.
fn cells_len(row: &[u8], cells: usize) -> usize {
    let (mut quoted, mut commas) = (false, 0);
    for (at, &byte) in row.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => commas += 1,
            _ => {}
        }
        if commas == cells {
            return at + 1;
        }
    }
    row.len()
}

/// A row as a terminal may see it.
pub fn shown(row: &[u8]) -> String {
    let text = escape_bytes(&row[..row.len().min(SHOWN_BYTES)]);
    text.chars()
        .flat_map(|char| if char.is_control() { char.escape_default().collect() } else { vec![char] })
        .collect()
}
