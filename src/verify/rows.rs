//! The rows of the append-only tables, published and recomputed.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::catalog::{Catalog, Songs};
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

/// Maximum number of bytes of a row in a message.
const SHOWN_BYTES: usize = 200;

/// The ids of all songs that have or had metadata.
pub type SongIds = HashSet<Vec<u8>>;

/// The data to keep for a comparison of rows. See [`Multiset::new`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Comparison {
    /// Whether to keep the hashes of all rows.
    pub keep_hashes: bool,
    /// The bucket of `enriched_logs` to keep with its rows.
    pub enriched_bucket: Option<usize>,
    /// The bucket of `_rejects` to keep with its rows.
    pub rejects_bucket: Option<usize>,
}

/// The rows of both tables, as multisets.
#[derive(Debug)]
pub struct Rows {
    /// The plays in `enriched_logs`: song, listener, time and duration.
    pub enriched: Multiset,
    /// A hash of the plays in their order.
    enriched_order: OrderHash,
    /// The rows of `_rejects`.
    pub rejects: Multiset,
}

impl Rows {
    /// Both tables without rows.
    pub fn new(comparison: Comparison) -> Self {
        let Comparison { keep_hashes, enriched_bucket, rejects_bucket } = comparison;
        Self {
            enriched: Multiset::new(keep_hashes, enriched_bucket),
            enriched_order: OrderHash(Xxh3::new()),
            rejects: Multiset::new(keep_hashes, rejects_bucket),
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

/// Facts about the published rows that cannot be recomputed from the inputs.
#[derive(Debug)]
pub struct Published {
    /// Hashes of songs. Each hash covers the id of a song, and metadata that the song has or had. `None` for
    /// a `replay`.
    pub metadata: Option<HashSet<u128>>,
    /// Unmatched plays of songs that had metadata in an earlier catalog. These plays are recomputed but not
    /// published.
    pub unmatched: Vec<Vec<u8>>,
    /// The label of the catalog in `_rejects`.
    pub catalog_label: String,
    /// For a `replay`: the lines of `_rejects` for rejected rows of the catalog.
    pub catalog_rejects: Vec<u8>,
    /// For a `watch`: the labels of all inputs. A row of `_rejects` with a different label is one of a
    /// catalog, whose path may have been spelled differently.
    pub input_labels: HashSet<String>,
    /// For a `watch`: the reason and the text of each rejected row of a catalog. The catalog and an input may
    /// have the same label.
    pub catalog_rows: HashSet<(&'static str, String)>,
}

impl Published {
    /// The facts about the output of a `replay`. `catalog_rejects` are the lines of `_rejects` for rejected
    /// rows of the catalog.
    pub fn by_replay(catalog_rejects: Vec<u8>) -> Self {
        let label = catalog_rejects.split(|&byte| byte == b',').next().unwrap_or_default();
        let catalog_label = String::from_utf8_lossy(label).into_owned();
        let (input_labels, catalog_rows) = (HashSet::new(), HashSet::new());
        Self {
            metadata: None,
            unmatched: Vec::new(),
            catalog_label,
            catalog_rejects,
            input_labels,
            catalog_rows,
        }
    }

    /// Whether a row of `_rejects` of a `watch` is one of a catalog.
    fn is_of_catalog(&self, row: &Record) -> bool {
        let text = |field| String::from_utf8_lossy(row.field(field));
        let is_listed = || {
            let raw = text(4);
            self.catalog_rows.iter().any(|(reason, listed)| text(3) == *reason && raw == *listed)
        };
        !self.input_labels.contains(&*text(0)) || text(0) == self.catalog_label && is_listed()
    }
}

/// Reads the published rows, except for rejected rows of the catalog. If a row of `enriched_logs` has
/// metadata that its song never had, calls `wrong_metadata` with the row.
///
/// # Errors
/// The first part that cannot be read, exit code 66.
pub fn published_rows(
    output: &Path,
    manifest: &Manifest,
    published: &Published,
    comparison: Comparison,
    mut wrong_metadata: impl FnMut(&[u8]),
) -> Result<Rows, Error> {
    let mut rows = Rows::new(comparison);
    let mut record = Record::default();
    if let Some(entry) = manifest.insights.get(enriched_logs::NAME) {
        each_row(output, enriched_logs::NAME, entry, |row| {
            let play = &row[..play_len(row)];
            rows.add_play(play);
            let Some(metadata) = &published.metadata else { return };
            let song = &row[..cells_len(row, 1)];
            let key = [song, &row[play.len()..], b"\n"].concat();
            if !metadata.contains(&xxh3_128(&key)) {
                wrong_metadata(row);
            }
        })?;
    }
    for play in &published.unmatched {
        rows.enriched.add(play);
    }
    let catalog_rows = lines_of(&published.catalog_rejects).collect::<HashSet<_>>();
    each_row(output, REJECTS, &manifest.rejects, |row| {
        let of_catalog = record.read(row).is_ok()
            && if published.metadata.is_some() {
                published.is_of_catalog(&record)
            } else {
                record.field(0) == published.catalog_label.as_bytes() && catalog_rows.contains(row)
            };
        if !of_catalog {
            rows.rejects.add(row);
        }
    })?;
    Ok(rows)
}

/// The unmatched plays of some songs, in the form of `enriched_logs` rows.
///
/// # Errors
/// If the file with unmatched plays is damaged, exit code 65.
pub fn unmatched_rows(
    mut unmatched: UnmatchedPlays,
    dictionaries: &Dictionaries,
    songs: &SongIds,
    escape: FormulaEscape,
) -> Result<Vec<Vec<u8>>, Error> {
    let without_metadata = Songs::of_ids(songs.iter().map(Vec::as_slice));
    let catalog = Arc::new(Catalog::new(&without_metadata, dictionaries, 0));
    let mut insight = EnrichedLogs::new(Arc::clone(&catalog));
    let mut rows = Vec::new();
    let (mut text, mut buffer) = (EnrichedRows::default(), Vec::new());
    for song in unmatched.songs() {
        unmatched.take(song, |plays| {
            if catalog.contains(song) {
                text.text.clear();
                insight.append_matched(song, plays, dictionaries, &mut text);
                let lines = escape.apply(text.text.as_bytes(), &mut buffer);
                rows.extend(lines_of(lines).map(|row| row[..play_len(row)].to_vec()));
            }
            Ok(())
        })?;
    }
    Ok(rows)
}

/// Calls `each` with every published row of an append-only table, without headers and line endings.
///
/// # Errors
/// The first part that cannot be read, exit code 66.
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
        let mut is_header = true;
        while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
            if !std::mem::take(&mut is_header) {
                each(line.strip_suffix(b"\n").unwrap_or(&line));
            }
            line.clear();
        }
    }
    Ok(())
}

/// The lines of a text, without line endings.
pub fn lines_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.strip_suffix(b"\n").unwrap_or(text);
    let empty = text.is_empty();
    lines.split(|&byte| byte == b'\n').filter(move |_| !empty)
}

/// The length of the cells for song, listener, time and duration in a row of `enriched_logs`,
/// including the comma after them.
pub fn play_len(row: &[u8]) -> usize {
    cells_len(row, 4)
}

/// The length of the first cells of a row, including the comma after them.
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

/// Shortens a row, and converts it to text that is safe to print on a terminal.
pub fn shown(row: &[u8]) -> String {
    let text = escape_bytes(&row[..row.len().min(SHOWN_BYTES)]);
    text.chars()
        .flat_map(|char| if char.is_control() { char.escape_default().collect() } else { vec![char] })
        .collect()
}
