//! Reads the catalog file `songs_metadata.csv`.
//!
//! The catalog follows the same rules for lines and quotes as logs. Therefore, the slow path of the log
//! decoder checks every line first. Then csv-async reads the valid lines.

use csv_async::{AsyncReaderBuilder, ByteRecord};
use futures::StreamExt;

use crate::catalog::{Catalog, Song};
use crate::ingest::decode::header::{BYTE_ORDER_MARK, ColumnSearch, Columns, HeaderFault, sniff};
use crate::ingest::decode::line;
use crate::ingest::decode::record::{Record, check_id};
use crate::model::dialect::CatalogDialect;
use crate::model::dialect::columns::CATALOG_FIELDS;
use crate::model::dictionary::Dictionaries;
use crate::model::{Reason, Reject};
use std::collections::HashMap;

/// The rows of a catalog file, and its rejects.
#[derive(Debug)]
pub struct Rows {
    songs: Vec<Song>,
    fingerprint: u128,
    /// Rejects for rows that are not valid songs.
    pub rejects: Vec<Reject>,
    /// Rows that a later row with the same `song_id` replaces, as (replaced line, later line).
    pub replaced: Vec<(u64, u64)>,
}

impl Rows {
    /// Builds the catalog of these rows, and interns their songs.
    pub fn catalog(&self, dictionaries: &Dictionaries) -> Catalog {
        Catalog::new(&self.songs, dictionaries, self.fingerprint)
    }

    /// The songs without duplicates. If several rows have the same `song_id`, the last row counts.
    pub fn songs(&self) -> Vec<&Song> {
        let latest: HashMap<&[u8], &Song> =
            self.songs.iter().map(|song| (song.song_id.as_slice(), song)).collect();
        latest.into_values().collect()
    }

    /// Whether the file has no songs.
    pub fn is_empty(&self) -> bool {
        self.songs.is_empty()
    }

    /// The XXH3-128 hash of the file.
    pub fn fingerprint(&self) -> u128 {
        self.fingerprint
    }
}

/// Parses a whole catalog file.
///
/// # Errors
/// A fault of the header. A catalog without a valid header is broken and must not be used. A file
/// without lines has no header.
pub async fn parse(file: &[u8], dialect: &CatalogDialect) -> Result<Rows, HeaderFault> {
    let Checked { columns, clean, numbers, rejects } = check_lines(file, dialect)?;
    let mut records =
        AsyncReaderBuilder::new().delimiter(dialect.delimiter.byte()).create_reader(clean.as_slice());
    let mut records = records.byte_records();
    let mut songs: Vec<Song> = Vec::with_capacity(numbers.len());
    while let Some(record) = records.next().await {
        let record = record.map_err(|cause| HeaderFault {
            reason: Reason::NotCsv,
            detail: format!("the catalog cannot be read: {cause}"),
        })?;
        songs.push(song(&record, &columns));
    }
    let replaced = find_replaced(&songs, &numbers);
    let fingerprint = xxhash_rust::xxh3::xxh3_128(file);
    Ok(Rows { songs, fingerprint, rejects, replaced })
}

/// The valid lines of a catalog file, and the rejects for all other lines.
struct Checked {
    columns: Columns<5>,
    clean: Vec<u8>,
    /// The line number of each line in `clean`.
    numbers: Vec<u64>,
    rejects: Vec<Reject>,
}

fn check_lines(file: &[u8], dialect: &CatalogDialect) -> Result<Checked, HeaderFault> {
    sniff(file)?;
    let text = file.strip_prefix(BYTE_ORDER_MARK).unwrap_or(file);
    let position = file.len() - text.len();
    let mut lines =
        line::lines(text).zip(1..).filter(|((_, line, _), _)| !line::is_blank(line, dialect.delimiter));
    let ((_, header, _), _) = lines.next().unwrap_or(((0, &[], line::Ending::EndOfFile), 1));
    let columns = ColumnSearch {
        table: "catalog",
        delimiter: dialect.delimiter,
        quoting: dialect.quoting,
        fields: CATALOG_FIELDS,
        columns: dialect.columns.in_order(),
    }
    .find(header)?;
    let mut checked =
        Checked { columns, clean: Vec::with_capacity(text.len()), numbers: Vec::new(), rejects: Vec::new() };
    // The header stays in front, because csv-async removes a byte order mark from the first line that it
    // reads.
    checked.clean.extend_from_slice(header);
    checked.clean.push(b'\n');
    let mut record = Record::new(dialect.delimiter, dialect.quoting);
    for ((start, line, ending), number) in lines {
        match check_record(&mut record, line, ending, &checked.columns) {
            Ok(()) => {
                checked.clean.extend_from_slice(line);
                checked.clean.push(b'\n');
                checked.numbers.push(number);
            }
            Err(_) if line == header => {}
            Err(reason) => {
                checked.rejects.push(Reject::new(reason, number, (position + start) as u64, line));
            }
        }
    }
    Ok(checked)
}

fn check_record(
    record: &mut Record,
    line: &[u8],
    ending: line::Ending,
    columns: &Columns<5>,
) -> Result<(), Reason> {
    line::check(line, ending)?;
    record.read(line)?;
    if record.len() != columns.fields {
        return Err(Reason::FieldCount);
    }
    check_id(record.field(columns.positions[0].unwrap_or_default()))
}

fn song(record: &ByteRecord, columns: &Columns<5>) -> Song {
    let [song_id, title, artist, genre, mood] = columns
        .positions
        .map(|position| position.map_or_else(Vec::new, |position| record[position].to_vec()));
    Song { song_id, title, artist, genre, mood }
}

fn find_replaced(songs: &[Song], numbers: &[u64]) -> Vec<(u64, u64)> {
    let mut latest: HashMap<&[u8], u64> = HashMap::with_capacity(songs.len());
    let pairs = songs.iter().zip(numbers);
    pairs
        .filter_map(|(song, &number)| latest.insert(&song.song_id, number).map(|earlier| (earlier, number)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::MoodId;
    use futures::executor::block_on;

    fn load(text: &str) -> (Rows, Catalog, Dictionaries) {
        let dictionaries = Dictionaries::default();
        let rows = block_on(parse(text.as_bytes(), &CatalogDialect::default())).unwrap();
        let catalog = rows.catalog(&dictionaries);
        (rows, catalog, dictionaries)
    }

    #[test]
    fn columns_are_joined_by_name_and_cells_are_quoted_again() {
        let (_, catalog, dictionaries) = load(
            "\u{feff}mood,genre,artist,title,song_id,year\r\nHAPPY,Pop,\"A, B\",\"Say \"\"hi\"\"\",s1,1999\n\nsad,,,,s2,\n",
        );
        let song = |id: &str| dictionaries.songs.read().get(id.as_bytes()).unwrap();
        let row_end = |song| catalog.row_end(song).map(|(text, len)| &text[..len]);
        assert_eq!(row_end(song("s1")).unwrap(), b",\"Say \"\"hi\"\"\",\"A, B\",Pop,HAPPY\n");
        assert_eq!(catalog.title_cell(song("s1")), b",\"Say \"\"hi\"\"\"");
        assert_eq!(catalog.mood(song("s1")), MoodId::HAPPY);
        assert_eq!(catalog.happy_songs(), [song("s1")]);
        assert_eq!(row_end(song("s2")).unwrap(), b",,,,sad\n");
        assert_eq!(catalog.len(), 2);
    }

    #[test]
    fn bad_rows_are_rejected_singly_and_the_later_of_two_wins() {
        let (rows, catalog, dictionaries) =
            load("song_id,title,artist,genre,mood\na,1,,,\n,2,,,\na,3,,,\nb,\"4,,,\nc,5,,");
        let reasons: Vec<_> =
            rows.rejects.iter().map(|reject| (reject.line, reject.offset, reject.reason)).collect();
        assert_eq!(
            reasons,
            [(3, 39, Reason::EmptyField), (5, 52, Reason::UnclosedQuote), (6, 60, Reason::FieldCount)]
        );
        assert_eq!(rows.replaced, [(2, 4)]);
        let song = dictionaries.songs.read().get(b"a").unwrap();
        assert_eq!(catalog.title_cell(song), b",3");
    }

    #[test]
    fn a_byte_order_mark_in_front_of_the_first_song_is_part_of_its_id() {
        let (_, _, dictionaries) = load("song_id,title,artist,genre,mood\n\u{feff}s1,1,,,\n");
        assert!(dictionaries.songs.read().get("\u{feff}s1".as_bytes()).is_some());
    }

    #[test]
    fn a_catalog_without_its_columns_is_broken() {
        for file in ["", "\n\n", "song_id,title,artist,genre\n", "a;b\n"] {
            assert!(block_on(parse(file.as_bytes(), &CatalogDialect::default())).is_err(), "{file:?}");
        }
    }
}
