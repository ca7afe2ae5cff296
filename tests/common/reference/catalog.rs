//! The catalog: `songs_metadata.csv`.

use std::collections::BTreeMap;

use super::dialect::Dialect;
use super::line::parse_line;
use super::play::check_id;
use super::rejects::Reject;
use super::table::{Table, join, open};

/// One song. Its id is never empty. Its other fields may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Song {
    pub title: String,
    pub artist: String,
    pub genre: String,
    pub mood: String,
}

impl Song {
    /// The mood as it is compared: in ASCII lower case, without spaces and tabs around it.
    pub fn plain_mood(&self) -> String {
        self.mood.trim_matches([' ', '\t']).to_ascii_lowercase()
    }

    /// Comparisons of moods ignore ASCII case, and spaces and tabs around them.
    pub fn has_mood(&self, mood: &str) -> bool {
        self.plain_mood() == mood.to_ascii_lowercase()
    }
}

/// The songs, keyed by `song_id`.
pub type Catalog = BTreeMap<String, Song>;

/// Reads the catalog. If several rows have the same `song_id`, the last one counts. Panics with the reason
/// if the catalog is broken.
pub fn read_catalog(path: &str, bytes: &[u8], dialect: &Dialect) -> (Catalog, Vec<Reject>) {
    let dialect = dialect.of_file(path);
    let table = match open(path, bytes, &dialect, true) {
        Ok(table) => table,
        Err(reject) => panic!("broken catalog: {}", reject.reason),
    };
    let mut songs = Catalog::new();
    let mut rejects = Vec::new();
    let mut next = 0;
    while let Some(line) = table.rows.get(next) {
        next += 1;
        if line.is_blank(dialect.delimiter) || table.repeats_header(&line.content) {
            continue;
        }
        let mut row = read_row(&table, &line.content, line.ended(), line.decodable, &dialect);
        if row == Err("unclosed_quote") {
            row = read_several_lines(&table, next - 1, &dialect).map(|(row, lines)| {
                next += lines;
                row
            });
        }
        match row {
            Ok(Some((song_id, song))) => {
                songs.insert(song_id, song);
            }
            Ok(None) => {}
            Err(reason) => rejects.push(Reject::of_line(path, line, reason)),
        }
    }
    (songs, rejects)
}

type Row = Option<(String, Song)>;

/// Reads a record of several lines, and returns the number of its lines after the first. Its faults are the wrong
/// number of fields and a bad id. All other faults are those of the first line, whose quote is not closed.
fn read_several_lines(table: &Table, first: usize, dialect: &Dialect) -> Result<(Row, usize), &'static str> {
    let (line, rest) = (&table.rows[first], &table.rows[first + 1..]);
    let (record, count) = join(line, rest, dialect.delimiter, table.most)?;
    if table.repeats_header(&record) {
        return Ok((None, count));
    }
    let lines = &table.rows[first..=first + count];
    let decodable = lines.iter().all(|line| line.decodable);
    match read_row(table, &record, lines[count].ended(), decodable, dialect) {
        Ok(row) => Ok((row, count)),
        Err(reason @ ("field_count" | "empty_field" | "field_too_long")) => Err(reason),
        Err(_) => Err("unclosed_quote"),
    }
}

fn read_row(
    table: &Table,
    content: &[u8],
    ended: bool,
    decodable: bool,
    dialect: &Dialect,
) -> Result<Row, &'static str> {
    let fields = parse_line(content, ended, decodable, dialect)?;
    if !table.fits(&fields) {
        return Err("field_count");
    }
    let field = |name: &str| on_one_line(&table.field(&fields, name));
    let song_id = table.field(&fields, "song_id");
    check_id(&song_id)?;
    let song =
        Song { title: field("title"), artist: field("artist"), genre: field("genre"), mood: field("mood") };
    Ok(Some((song_id, song)))
}

/// Replaces each line end by a space.
pub fn on_one_line(text: &str) -> String {
    text.replace("\r\n", " ").replace(['\r', '\n'], " ")
}
