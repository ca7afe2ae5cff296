//! Reads the catalog file `songs_metadata.csv`.
//!
//! The catalog follows the same rules for lines and quotes as logs, but its quoted fields may hold line ends.
//! The slow path of the log decoder checks every record, and splits the records without quotes. csv-async reads the
//! records with quotes.

use std::collections::HashMap;

use csv_async::{AsyncReaderBuilder, ByteRecord};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

use crate::catalog::decoded::{DecodedText, is_utf16};
use crate::catalog::layout::CatalogLayout;
use crate::catalog::records::{CatalogRecord, Records};
use crate::catalog::{Catalog, Song, Songs};
use crate::ingest::decode::header::{HeaderFault, sniff};
use crate::model::delimiter::Delimiter;
use crate::model::dialect::CatalogDialect;
use crate::model::dialect::header_rule::HeaderRule;
use crate::model::dictionary::{Dictionaries, SharedDictionary};
use crate::model::{Reason, Reject, SongId};
use crate::text::on_one_line;

/// The rows of a catalog file, and its rejects.
#[derive(Debug)]
pub struct Rows {
    songs: Songs,
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
    pub fn songs(&self) -> Vec<Song<'_>> {
        let latest: HashMap<&[u8], Song<'_>> = self.songs.iter().map(|song| (song.song_id, song)).collect();
        latest.into_values().collect()
    }

    /// All rows as bytes, for another process. See [`Songs::to_bytes`].
    pub fn to_bytes(&self) -> Vec<u8> {
        self.songs.to_bytes()
    }

    /// Whether the file has no songs.
    pub fn is_empty(&self) -> bool {
        self.songs.is_empty()
    }

    /// The XXH3-128 hash of the file and of the settings that differ from the default.
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
    let decoded = DecodedText::of(file, dialect.encoding);
    if !is_utf16(file) {
        sniff(file)?;
    }
    let mut records = Records::new(&decoded, dialect);
    let layout = match &dialect.header {
        HeaderRule::FirstLine => records.header(|header| CatalogLayout::of_header(header, dialect))?,
        HeaderRule::None => CatalogLayout::without_header(dialect),
        HeaderRule::Literal(header) => CatalogLayout::of_header(header.as_bytes(), dialect)?,
    };
    let mut songs = Songs::with_room(decoded.text.len());
    let (mut quoted, mut numbers, mut rejects) = (QuotedRecords::default(), Vec::new(), Vec::new());
    while let Some(record) = records.next(&layout) {
        match record {
            CatalogRecord::Song(number, text) => {
                if dialect.quoting && memchr::memchr(b'"', text).is_some() {
                    quoted.add(songs.len(), text);
                    songs.push([b""; 5]);
                } else {
                    songs.push(layout.fields_of(|index| records.field(index)));
                }
                numbers.push(number);
            }
            CatalogRecord::Reject(reject) => rejects.push(reject),
        }
    }
    // The reader is large, so it does not become part of the futures of all callers.
    Box::pin(quoted.read(&mut songs, &layout, dialect.delimiter)).await?;
    let replaced = find_replaced(&songs, &numbers);
    Ok(Rows { songs, fingerprint: fingerprint(file, dialect), rejects, replaced })
}

/// The valid records with quotes.
struct QuotedRecords {
    text: Vec<u8>,
    /// The index of each record among the songs.
    songs: Vec<usize>,
}

impl Default for QuotedRecords {
    fn default() -> Self {
        // csv-async removes a byte order mark at the start of its text, so the first line is not a record.
        Self { text: b"header\n".to_vec(), songs: Vec::new() }
    }
}

impl QuotedRecords {
    fn add(&mut self, song: usize, text: &[u8]) {
        self.songs.push(song);
        self.text.extend_from_slice(text);
        self.text.push(b'\n');
    }

    /// Reads the records into their places among the songs.
    async fn read(
        &self,
        songs: &mut Songs,
        layout: &CatalogLayout,
        delimiter: Delimiter,
    ) -> Result<(), HeaderFault> {
        let mut reader = AsyncReaderBuilder::new()
            .delimiter(delimiter.byte())
            .flexible(true)
            .create_reader(self.text.as_slice());
        let mut record = ByteRecord::new();
        for &song in &self.songs {
            reader.read_byte_record(&mut record).await.map_err(|cause| HeaderFault {
                reason: Reason::NotCsv,
                detail: format!("the catalog cannot be read: {cause}"),
            })?;
            let [song_id, metadata @ ..] = layout.fields_of(|index| record.get(index));
            let [title, artist, genre, mood] = metadata.map(on_one_line);
            songs.replace(song, [song_id, &title, &artist, &genre, &mood]);
        }
        Ok(())
    }
}

/// The hash of a file and of the settings that differ from the default. With the default dialect it is the
/// hash of the file, as in earlier versions.
fn fingerprint(file: &[u8], dialect: &CatalogDialect) -> u128 {
    let of_file = xxh3_128(file);
    let settings = dialect.changed_settings();
    if settings.is_empty() {
        return of_file;
    }
    let mut hash = Xxh3Default::new();
    hash.update(&of_file.to_le_bytes());
    for (name, value) in settings {
        for text in [name, value.as_str()] {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
    }
    hash.digest128()
}

/// The rows that a later row replaces, as (replaced line, later line). `numbers` are the lines of the rows.
fn find_replaced(songs: &Songs, numbers: &[u64]) -> Vec<(u64, u64)> {
    let ids = SharedDictionary::<SongId>::default().intern_all(songs.iter().map(|song| song.song_id));
    let mut latest: Vec<u64> = Vec::with_capacity(ids.len());
    let mut replaced = Vec::new();
    for (id, &number) in ids.iter().zip(numbers) {
        match latest.get_mut(id.index()) {
            Some(line) => replaced.push((std::mem::replace(line, number), number)),
            None => latest.push(number),
        }
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::MoodId;
    use crate::ingest::decode::record::Record;
    use futures::executor::block_on;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn csv_async_reads_valid_records_like_the_decoder(text in "[\\x22,a \u{feff}\u{e9}]{1,16}") {
            let mut record = Record::default();
            if record.read(text.as_bytes()).is_ok() {
                let columns = [0, 1, 2, 3, 4].map(|index| if index < record.len() { record.field(index) } else { b"" });
                let mut quoted = QuotedRecords::default();
                quoted.add(0, text.as_bytes());
                let layout = CatalogLayout::of_header(HEADER.trim_end().as_bytes(), &CatalogDialect::default());
                let mut songs = Songs::default();
                songs.push([b""; 5]);
                block_on(quoted.read(&mut songs, &layout.unwrap(), Delimiter::COMMA)).unwrap();
                let Song { song_id, title, artist, genre, mood } = songs.iter().next().unwrap();
                prop_assert_eq!([song_id, title, artist, genre, mood], columns);
            }
        }
    }

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

    fn dialect(change: impl FnOnce(&mut CatalogDialect)) -> CatalogDialect {
        let mut dialect = CatalogDialect::default();
        change(&mut dialect);
        dialect
    }

    /// The songs as lines, and the rejects as line, offset and reason.
    fn read(file: &[u8], dialect: &CatalogDialect) -> (Vec<String>, Vec<(u64, u64, Reason)>) {
        let rows = block_on(parse(file, dialect)).unwrap();
        let line = |song: Song<'_>| {
            let fields = [song.song_id, song.title, song.artist, song.genre, song.mood];
            fields.map(|field| String::from_utf8(field.to_vec()).unwrap()).join("|")
        };
        let rejects = rows.rejects.iter().map(|reject| (reject.line, reject.offset, reject.reason));
        (rows.songs.iter().map(line).collect(), rejects.collect())
    }

    const HEADER: &str = "song_id,title,artist,genre,mood\n";

    fn read_default(rows: &str) -> (Vec<String>, Vec<(u64, u64, Reason)>) {
        read(format!("{HEADER}{rows}").as_bytes(), &CatalogDialect::default())
    }

    #[test]
    fn quoted_fields_hold_line_ends_that_become_spaces() {
        let (songs, rejects) = read_default(
            "a,\"One\r\nTwo\n\n\",\"x,\n\"\"y\"\"\",P,\"Sad\r\"\r\n\"b\nc\",,,,\n,1,,,\nd,\"\n\",,,,,\"\"\ne,2,,,\"\n\"",
        );
        assert_eq!(songs, ["a|One Two  |x, \"y\"|P|Sad ", "b\nc||||", "d| |||", "e|2||| "]);
        assert_eq!(rejects, [(9, 78, Reason::EmptyField)]);
    }

    #[test]
    fn only_the_first_line_of_a_bad_record_is_rejected() {
        // The first field never ends, so the lines after it are records of their own.
        let (songs, rejects) = read_default("a,\"A,,,\nb,B,,,\nc,C,,,\n");
        assert_eq!(songs, ["b|B|||", "c|C|||"]);
        assert_eq!(rejects, [(2, 32, Reason::UnclosedQuote)]);
        // The quotes fit together, but the records of several lines have a fault.
        for (first, second, reason) in [
            ("\"", "\",1,,,,x", Reason::FieldCount),
            ("a,\"A", "\"B\",,,", Reason::UnclosedQuote),
            ("a,\"A", "B\",,", Reason::FieldCount),
            ("a,\"A", "B\",,,,,C", Reason::FieldCount),
            (",\"A", "B\",,,", Reason::EmptyField),
            ("a,\"A", "\0\",,,", Reason::UnclosedQuote),
            ("a,\"A", "\",\r,,", Reason::UnclosedQuote),
        ] {
            let (songs, rejects) = read_default(&format!("{first}\n{second}\nc,C,,,\n"));
            assert_eq!(songs, ["c|C|||"], "{first:?} {second:?}");
            assert_eq!(rejects[0], (2, 32, reason), "{first:?} {second:?}");
            assert_eq!(rejects[1..].iter().map(|reject| reject.0).collect::<Vec<_>>(), [3]);
        }
    }

    #[test]
    fn a_header_may_have_several_lines_and_repeat() {
        let header = "\"Song\nID\",Title,\"Artist\n(all)\",GENRE,mood\n";
        let columns = dialect(|dialect| {
            dialect.columns.song_id = "#1".parse().unwrap();
            dialect.columns.artist = "#3".parse().unwrap();
        });
        let file = format!("\n{header}a,A,,,\n{header}b,B,,,\n,,x,,\n");
        let (songs, rejects) = read(file.as_bytes(), &columns);
        assert_eq!(songs, ["a|A|||", "b|B|||"]);
        assert_eq!(rejects, [(10, 99, Reason::EmptyField)]);
        let (songs, rejects) = read_default(&format!("a,A,,,\n{HEADER}"));
        assert_eq!((songs.len(), rejects.len()), (1, 0));
    }

    #[test]
    fn trailing_delimiters_and_unnamed_columns_are_fine() {
        let file = b"Song ID,title,artist,genre,Mood,, \na,A,,,Sad\n\t, ,,\nb,B,,,,,,,\nc,C,,\nd,D,,,,,,x\n";
        let (songs, rejects) = read(file, &CatalogDialect::default());
        assert_eq!(songs, ["a|A|||Sad", "b|B|||"]);
        assert_eq!(
            rejects.iter().map(|reject| (reject.0, reject.2)).collect::<Vec<_>>(),
            [(5, Reason::FieldCount), (6, Reason::FieldCount)]
        );
    }

    #[test]
    fn a_catalog_has_a_dialect_of_its_own() {
        let without_header = dialect(|dialect| {
            dialect.header = HeaderRule::None;
            dialect.columns.song_id = "#2".parse().unwrap();
            dialect.columns.title = "#1".parse().unwrap();
            dialect.columns.artist = "".parse().unwrap();
            dialect.columns.genre = "#4".parse().unwrap();
            dialect.columns.mood = "".parse().unwrap();
            dialect.delimiter = ";".parse().unwrap();
            dialect.quoting = false;
            dialect.encoding = "iso-8859-2".parse().unwrap();
        });
        let file = b"\"\xb1\";a;x;Pop;more\nOne;b;;\n\n;;;;\nTwo;c;x\n\xb1\xb1;;x;\"\n";
        let (songs, rejects) = read(file, &without_header);
        assert_eq!(songs, ["a|\"ą\"||Pop|", "b|One|||"]);
        assert_eq!(rejects, [(5, 31, Reason::FieldCount), (6, 39, Reason::EmptyField)]);

        let literal = dialect(|dialect| {
            dialect.header = HeaderRule::Literal("id,title,artist,genre,mood".to_owned());
            dialect.columns.song_id = "id".parse().unwrap();
        });
        for first in
            ["", "\u{feff}", "id,title,artist,genre,mood\n", "\u{feff}id,title,artist,genre,mood\r\n"]
        {
            let (songs, rejects) = read(format!("{first}a,A,,,\n").as_bytes(), &literal);
            assert_eq!((songs, rejects), (vec!["a|A|||".to_owned()], vec![]));
        }
        assert!(
            block_on(parse(b"a,b\n", &dialect(|dialect| dialect.columns.mood = "m".parse().unwrap())))
                .is_err()
        );
    }

    #[test]
    fn utf16_and_bytes_without_a_character() {
        let text = format!("\u{feff}{HEADER}a,\"É\n\",,,\n,é,,,\n");
        let file: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let (songs, rejects) = read(&file, &CatalogDialect::default());
        assert_eq!(songs, ["a|É |||"]);
        assert_eq!(rejects, [(4, 43, Reason::EmptyField)]);
        let greek = dialect(|dialect| dialect.encoding = "windows-1253".parse().unwrap());
        let file = [HEADER.as_bytes(), b"a,\"\xe1\n\xd2\xaa\",,,\nb,\xe2,,,\n"].concat();
        let (songs, rejects) = read(&file, &greek);
        assert_eq!(songs, ["b|β|||"]);
        assert_eq!(rejects, [(2, 32, Reason::UnclosedQuote), (3, 37, Reason::InvalidUtf8)]);
    }

    #[test]
    fn a_fingerprint_includes_changed_settings() {
        let file = HEADER.as_bytes();
        let fingerprint = |dialect: &CatalogDialect| block_on(parse(file, dialect)).unwrap().fingerprint();
        assert_eq!(fingerprint(&CatalogDialect::default()), xxh3_128(file));
        let others = [
            dialect(|dialect| dialect.quoting = false),
            dialect(|dialect| dialect.columns.mood = "".parse().unwrap()),
            dialect(|dialect| dialect.columns.genre = "mood".parse().unwrap()),
            dialect(|dialect| dialect.encoding = "koi8-r".parse().unwrap()),
        ];
        let all: std::collections::BTreeSet<u128> =
            others.iter().chain([&CatalogDialect::default()]).map(fingerprint).collect();
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn moods_are_compared_without_case_and_surrounding_spaces() {
        let (_, catalog, dictionaries) =
            load("song_id,title,artist,genre,mood\na,,,, hAPPY\t\nb,,,,\t \nc,,,,Ha ppy\n");
        let song = |id: &str| dictionaries.songs.read().get(id.as_bytes()).unwrap();
        assert_eq!(catalog.happy_songs(), [song("a")]);
        assert_eq!(catalog.mood(song("b")), MoodId::NONE);
        let (text, len) = catalog.row_end(song("a")).unwrap();
        assert_eq!(&text[..len], b",,,, hAPPY\t\n");
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
