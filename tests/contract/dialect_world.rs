//! Writes random plays and songs in random dialects, and the same plays and songs as plain CSV.
//!
//! A case is a list of numbers. Each choice takes the next number, and 0 chooses what is plain. Therefore, a
//! failing case shrinks to a dialect that differs from plain CSV in only a few settings.

use std::fmt::Write as _;
use std::io::Write as _;

use bzip2::write::BzEncoder;
use chrono::{DateTime, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use encoding_rs::Encoding;
use flate2::write::GzEncoder;
use lzma_rust2::{XzOptions, XzWriter};

/// Makes choices with the numbers of a case.
pub(crate) struct Choices {
    numbers: Vec<u16>,
    at: usize,
}

impl Choices {
    pub(crate) fn new(numbers: Vec<u16>) -> Self {
        Self { numbers, at: 0 }
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let number = self.numbers.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        usize::from(number) % limit
    }

    /// One of several values. The first one is the plain one.
    pub(crate) fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    /// Whether to do what is rarely done.
    pub(crate) fn rarely(&mut self) -> bool {
        self.below(4) == 3
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            let distance = self.below(at + 1);
            list.swap(at, at - distance);
        }
    }
}

/// A play with values that every dialect of its case can write.
#[derive(Clone, Debug)]
pub(crate) struct Play {
    user: String,
    song: String,
    seconds: i64,
    nanos: u32,
    millis: u32,
}

/// A song: `song_id`, `title`, `artist`, `genre` and `mood`.
#[derive(Clone, Debug)]
pub(crate) struct Song([String; 5]);

const USERS: &[&str] =
    &["u1", "u2", "u3", "Zoë", "a,b", "x;y", "p|q", "t\tt", "\"o\" o", " sp ", "\u{1F3B5}", "#1"];
const SONGS: &[&str] = &["s1", "s2", "s3", "s4", "Ä", "s,5", "\"s\"", "s;6", "none", "s|7\t"];
const TITLES: &[&str] =
    &["One", "", "A, B", "He said \"no\"", "Größe; x|y", "tab\there", "Łódź", "\u{1F3B5}"];
const GENRES: &[&str] = &["Pop", "Rock", "R&B, Soul", "", "Schön"];
const MOODS: &[&str] = &["Sad", "Happy", "sAD", " happy\t", "Calm", ""];
/// 2025-03-27T21:00:00Z. Three days later, the clocks of Berlin skip an hour.
const START: i64 = 1_743_109_200;

pub(crate) fn plays(choices: &mut Choices) -> Vec<Play> {
    let count = 1 + choices.below(12);
    let play = |choices: &mut Choices| Play {
        user: choices.one(USERS).to_owned(),
        song: choices.one(SONGS).to_owned(),
        seconds: START
            + choices.one(&[0, 3600, 12_345, 86_400, 190_800, 194_400, 600_000, 18_500_000, 18_586_800]),
        nanos: choices.one(&[0, 0, 250_000_000, 1000, 1]),
        millis: choices.one(&[150_000, 7500, 60_000, 0, 1, 86_400_000, 10_010]),
    };
    (0..count).map(|_| play(choices)).collect()
}

pub(crate) fn songs(choices: &mut Choices) -> Vec<Song> {
    let mut ids: Vec<&str> = SONGS[..SONGS.len() - 1].to_vec();
    choices.shuffle(&mut ids);
    ids.truncate(4 + choices.below(5));
    let text = |choices: &mut Choices, of: &[&str]| choices.one(of).to_owned();
    ids.into_iter()
        .map(|id| {
            let (title, artist) = (text(choices, TITLES), text(choices, TITLES));
            Song([id.to_owned(), title, artist, text(choices, GENRES), text(choices, MOODS)])
        })
        .collect()
}

/// How a CSV table is written.
#[allow(clippy::struct_excessive_bools, reason = "each field is an independent feature of a file")]
#[derive(Clone, Debug)]
struct Csv {
    delimiter: char,
    quoting: bool,
    header: Header,
    /// The columns in the order of the file: the field that a column holds, and its name.
    columns: Vec<(Option<usize>, String)>,
    line_end: &'static str,
    last_line_end: bool,
    quote_all: bool,
    /// Blank lines and repeated headers between the rows.
    noise: bool,
    trailing_delimiters: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    FirstLine,
    None,
    Literal,
}

/// How the bytes of a file are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bytes {
    Utf8,
    Utf8WithMark,
    /// An encoding with one byte per character.
    Single(&'static str),
    Utf16Le,
    Utf16Be,
}

impl Bytes {
    fn can_write(self, text: &str) -> bool {
        match self {
            Self::Single(label) => !Encoding::for_label(label.as_bytes()).unwrap().encode(text).2,
            _ => true,
        }
    }

    pub(crate) fn of(self, text: &str) -> Vec<u8> {
        let units = |text: &str| "\u{feff}".encode_utf16().chain(text.encode_utf16()).collect::<Vec<u16>>();
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Utf8WithMark => [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            Self::Single(label) => Encoding::for_label(label.as_bytes()).unwrap().encode(text).0.into_owned(),
            Self::Utf16Le => units(text).into_iter().flat_map(u16::to_le_bytes).collect(),
            Self::Utf16Be => units(text).into_iter().flat_map(u16::to_be_bytes).collect(),
        }
    }

    pub(crate) fn is_utf16(self) -> bool {
        matches!(self, Self::Utf16Le | Self::Utf16Be)
    }
}

/// A table in a random dialect: the settings below its table in the settings file, and the writing.
#[derive(Debug)]
pub(crate) struct TableDialect {
    pub(crate) settings: Vec<(String, String)>,
    csv: Csv,
    pub(crate) bytes: Bytes,
    /// The ending of the file name.
    pub(crate) ending: String,
}

const LOG_FIELDS: [&str; 4] = ["user_id", "song_id", "timestamp", "duration_sec"];
const SONG_FIELDS: [&str; 5] = ["song_id", "title", "artist", "genre", "mood"];

/// Names for a column without a name in the settings.
fn relaxed(field: &str, way: usize) -> String {
    let words: Vec<&str> = field.split('_').collect();
    let title = |word: &&str| format!("{}{}", word[..1].to_ascii_uppercase(), &word[1..]);
    match way {
        0 => field.to_owned(),
        1 => words.iter().map(title).collect::<Vec<_>>().join(" "),
        2 => words.concat().to_ascii_uppercase(),
        _ => format!(" {}_", words.join("-")),
    }
}

const ENCODINGS: [Bytes; 6] = [
    Bytes::Utf8,
    Bytes::Utf8WithMark,
    Bytes::Single("windows-1252"),
    Bytes::Single("iso-8859-2"),
    Bytes::Utf16Le,
    Bytes::Utf16Be,
];

impl TableDialect {
    /// Chooses a dialect for a table with these fields. `absent` are fields without a column.
    fn choose(choices: &mut Choices, fields: &[&str], absent: &[usize], quoting: bool) -> Self {
        let mut settings = Vec::new();
        let header = choices.one(&[Header::FirstLine, Header::FirstLine, Header::None, Header::Literal]);
        let delimiter = choices.one(&[',', ';', '\t', '|']);
        let bytes = choices.one(&ENCODINGS);
        let present = (0..fields.len()).filter(|field| !absent.contains(field));
        let mut columns: Vec<(Option<usize>, String)> =
            present.map(|field| (Some(field), fields[field].to_owned())).collect();
        for extra in ["note", "Größe", "note"].into_iter().take(choices.below(4)) {
            columns.push((None, extra.to_owned()));
        }
        if choices.below(2) == 1 {
            choices.shuffle(&mut columns);
        }
        for _ in 0..if header == Header::None { 0 } else { choices.one(&[0, 0, 1, 2]) } {
            columns.push((None, choices.one(&["", " "]).to_owned()));
        }
        for (place, (field, column)) in columns.iter_mut().enumerate() {
            let Some(field) = *field else { continue };
            let place_of = format!("#{}", place + 1);
            let (name, setting) = match choices.below(6) {
                _ if header == Header::None => ("-".to_owned(), Some(place_of)),
                way @ 0..4 => (relaxed(fields[field], way), None),
                4 => (format!("Spalte {field}ü"), Some(format!("spalte{field}ü"))),
                _ => (choices.one(&["", "note", "x"]).to_owned(), Some(place_of)),
            };
            *column = name;
            settings.extend(setting.map(|setting| (format!("columns.{}", fields[field]), setting)));
        }
        for &field in absent {
            settings.push((format!("columns.{}", fields[field]), String::new()));
        }
        let (ending, as_tsv) = match delimiter {
            '\t' if choices.below(2) == 1 => (choices.one(&[".tsv", ".TSV"]), true),
            _ => (".csv", false),
        };
        if delimiter != ',' && !as_tsv {
            let delimiter = if delimiter == '\t' { "tab".to_owned() } else { delimiter.to_string() };
            settings.push(("delimiter".to_owned(), delimiter));
        }
        if let Bytes::Single(label) = bytes {
            settings.push(("encoding".to_owned(), label.to_owned()));
        } else if choices.rarely() && bytes != Bytes::Utf8 {
            // A byte order mark overrides the setting.
            settings.push(("encoding".to_owned(), "koi8-r".to_owned()));
        }
        if !quoting {
            settings.push(("quoting".to_owned(), "false".to_owned()));
        }
        let csv = Csv {
            delimiter,
            quoting,
            header,
            columns,
            line_end: choices.one(&["\n", "\r\n"]),
            last_line_end: !choices.rarely(),
            quote_all: quoting && choices.rarely(),
            noise: choices.rarely(),
            trailing_delimiters: choices.rarely(),
        };
        match header {
            Header::FirstLine => {}
            Header::None => settings.push(("header".to_owned(), "none".to_owned())),
            Header::Literal => settings.push(("header".to_owned(), csv.header_line())),
        }
        Self { settings, csv, bytes, ending: ending.to_owned() }
    }

    /// The text that this dialect can write. Characters that it cannot write become an `x`.
    fn writable(&self, text: &str) -> String {
        let is_writable = |character: char| {
            let in_csv = self.csv.quoting || (character != self.csv.delimiter && !"\r\n".contains(character));
            in_csv && self.bytes.can_write(character.encode_utf8(&mut [0; 4]))
        };
        text.chars().map(|character| if is_writable(character) { character } else { 'x' }).collect()
    }
}

impl Csv {
    fn cell(&self, text: &str) -> String {
        let needs_quotes = text.contains([self.delimiter, '\r', '\n']) || text.starts_with('"');
        if self.quoting && (needs_quotes || self.quote_all) {
            return format!("\"{}\"", text.replace('"', "\"\""));
        }
        text.to_owned()
    }

    fn line<'a>(&self, cells: impl Iterator<Item = &'a str>) -> String {
        let cells: Vec<String> = cells.map(|cell| self.cell(cell)).collect();
        cells.join(&self.delimiter.to_string())
    }

    fn header_line(&self) -> String {
        self.line(self.columns.iter().map(|(_, name)| name.as_str()))
    }

    /// The text of a table with these rows.
    fn table(&self, choices: &mut Choices, rows: &[Vec<String>]) -> String {
        let mut lines = Vec::new();
        let delimiter = self.delimiter.to_string();
        if self.header == Header::FirstLine || (self.header == Header::Literal && choices.below(2) == 1) {
            if self.noise {
                lines.push(format!(" {delimiter}\t"));
            }
            lines.push(self.header_line());
        }
        for row in rows {
            let cells = self.columns.iter().map(|(field, _)| match field {
                Some(field) => row[*field].as_str(),
                None => choices.one(&["", "x", "\u{e9}"]),
            });
            let cells: Vec<&str> = cells.collect();
            let mut line = self.line(cells.into_iter());
            if self.trailing_delimiters {
                line.push_str(&delimiter.repeat(1 + choices.below(3)));
            }
            lines.push(line);
            if self.noise {
                lines.push(choices.one(&["", " \t", &delimiter.repeat(5)]).to_owned());
                if self.header != Header::None && choices.rarely() {
                    lines.push(self.header_line());
                }
            }
        }
        let mut text = lines.join(self.line_end);
        if self.last_line_end && !lines.is_empty() {
            text += self.line_end;
        }
        text
    }
}

/// A catalog in a random dialect.
pub(crate) struct CatalogForm {
    pub(crate) table: TableDialect,
    /// Fields without a column. Their values are empty.
    absent: Vec<usize>,
    /// What stands for a space in values.
    space: &'static str,
}

impl CatalogForm {
    pub(crate) fn choose(choices: &mut Choices) -> Self {
        let absent: Vec<usize> = (1..5).filter(|_| choices.below(6) == 5).collect();
        let quoting = !choices.rarely();
        let mut table = TableDialect::choose(choices, &SONG_FIELDS, &absent, quoting);
        if choices.rarely() {
            table.ending += choices.one(&[".gz", ".zst", ".bz2", ".xz"]);
        }
        let space = if quoting { choices.one(&[" ", " ", "\n", "\r\n", "\r"]) } else { " " };
        Self { table, absent, space }
    }

    /// The songs as this catalog can hold them.
    pub(crate) fn writable(&self, songs: &[Song]) -> Vec<Song> {
        let song = |song: &Song| {
            let mut song = Song(song.0.clone().map(|field| self.table.writable(&field)));
            for &field in &self.absent {
                song.0[field].clear();
            }
            song
        };
        songs.iter().map(song).collect()
    }

    pub(crate) fn file(&self, choices: &mut Choices, songs: &[Song]) -> Vec<u8> {
        let row = |song: &Song| {
            let [id, metadata @ ..] = song.0.clone();
            // Line ends around a mood would not be ignored.
            let spaced = metadata
                .map(|field| if field.starts_with(' ') { field } else { field.replace(' ', self.space) });
            [vec![id], spaced.to_vec()].concat()
        };
        let rows: Vec<_> = songs.iter().map(row).collect();
        compressed(&self.table.ending, self.table.bytes.of(&self.table.csv.table(choices, &rows)))
    }
}

/// Logs in a random dialect.
pub(crate) struct LogForm {
    pub(crate) table: TableDialect,
    json: Option<Json>,
    timestamp: &'static str,
    millis: bool,
    comma: bool,
    zone: Tz,
}

/// The columns of JSON objects: for each field the path of its key.
struct Json {
    paths: [String; 4],
}

const PATTERNS: [&str; 6] = [
    "%d/%b/%Y:%H:%M:%S %z",
    "%d.%m.%Y %H:%M",
    "%m/%d/%y %I:%M:%S%.f %p",
    "%s%.f",
    "%Y-%m-%dT%H:%M:%S%.f%:z",
    "%d %B %Y",
];

impl LogForm {
    pub(crate) fn choose(choices: &mut Choices, zone: Tz) -> Self {
        let is_json = choices.rarely();
        let quoting = is_json || !choices.rarely();
        let mut table = TableDialect::choose(choices, &LOG_FIELDS, &[], quoting);
        let formats = [&["iso", "iso", "unix_s", "unix_ms", "unix_us"][..], &PATTERNS].concat();
        let timestamp = choices.one(&formats);
        let millis = choices.rarely();
        // Without quotes, a comma in a number would be a delimiter.
        let comma = choices.rarely() && (quoting || table.csv.delimiter != ',');
        let json = is_json.then(|| Json::choose(choices, &mut table));
        table.ending += choices.one(&["", "", ".gz", ".zst", ".bz2", ".xz"]);
        let own = [
            ("timestamp", timestamp, timestamp != "iso"),
            ("duration", "ms", millis),
            ("decimal", ",", comma),
        ];
        let own = own.into_iter().filter(|(.., is_set)| *is_set);
        table.settings.extend(own.map(|(name, value, _)| (name.to_owned(), value.to_owned())));
        Self { table, json, timestamp, millis, comma, zone }
    }

    /// The plays as these logs can hold them.
    pub(crate) fn writable(&self, plays: &[Play]) -> Vec<Play> {
        plays.iter().map(|play| self.writable_play(play)).collect()
    }

    fn writable_play(&self, play: &Play) -> Play {
        let id = |id: &str| match &self.json {
            Some(_) => id
                .chars()
                .map(|c| if c < ' ' || !self.table.bytes.can_write(&c.to_string()) { 'x' } else { c })
                .collect(),
            None => self.table.writable(id),
        };
        let mut play = Play { user: id(&play.user), song: id(&play.song), ..play.clone() };
        if self.timestamp.contains('%') {
            if !self.timestamp.contains("%.f") {
                play.nanos = 0;
            }
            let local = self.zone.from_utc_datetime(&play.utc().naive_utc()).naive_local();
            let local = match self.timestamp {
                "%d.%m.%Y %H:%M" => local.date().and_hms_opt(11, 7, 0).unwrap(),
                "%d %B %Y" => local.date().and_hms_opt(0, 0, 0).unwrap(),
                _ => local,
            };
            // Of a local time that comes twice, the earlier is read.
            play.seconds = self.zone.from_local_datetime(&local).earliest().unwrap().timestamp();
        }
        play
    }

    fn timestamp(&self, choices: &mut Choices, play: &Play) -> String {
        let decimals = |whole: i64, fraction: u32, digits: usize| match fraction {
            0 => whole.to_string(),
            _ => format!("{whole}.{fraction:0digits$}"),
        };
        let Play { seconds, nanos, .. } = *play;
        let local = self.zone.from_utc_datetime(&play.utc().naive_utc());
        match self.timestamp {
            "iso" => iso(play, choices.below(5)),
            "unix_s" => decimals(seconds, nanos, 9),
            "unix_ms" => decimals(seconds * 1000 + i64::from(nanos / 1_000_000), nanos % 1_000_000, 6),
            "unix_us" => decimals(seconds * 1_000_000 + i64::from(nanos / 1000), nanos % 1000, 3),
            "%s%.f" => play.utc().format("%s%.f").to_string(),
            pattern => local.format(pattern).to_string(),
        }
    }

    fn duration(&self, choices: &mut Choices, play: &Play) -> String {
        let text = if self.millis {
            format!("{}{}", play.millis, choices.one(&["", ".0", ".49"]))
        } else {
            match choices.below(3) {
                0 if play.millis.is_multiple_of(1000) => (play.millis / 1000).to_string(),
                1 => format!("{}.{:03}4999", play.millis / 1000, play.millis % 1000),
                _ => format!("{}.{:03}", play.millis / 1000, play.millis % 1000),
            }
        };
        if self.comma && self.json.is_none() { text.replace('.', ",") } else { text }
    }

    /// A file with these plays.
    pub(crate) fn file(&self, choices: &mut Choices, plays: &[Play]) -> Vec<u8> {
        let row = |choices: &mut Choices, play: &Play| {
            vec![
                play.user.clone(),
                play.song.clone(),
                self.timestamp(choices, play),
                self.duration(choices, play),
            ]
        };
        let rows: Vec<_> = plays.iter().map(|play| row(choices, play)).collect();
        let text = match &self.json {
            None => self.table.csv.table(choices, &rows),
            Some(json) => json.text(choices, &rows),
        };
        compressed(&self.table.ending, self.table.bytes.of(&text))
    }

    /// Whether `watch` reads a file only when it is complete.
    pub(crate) fn is_read_whole(&self) -> bool {
        self.table.bytes.is_utf16()
            || [".gz", ".zst", ".bz2", ".xz"].iter().any(|end| self.table.ending.ends_with(end))
    }
}

impl Json {
    fn choose(choices: &mut Choices, table: &mut TableDialect) -> Self {
        table.settings.retain(|(name, _)| name == "encoding");
        let mut paths = LOG_FIELDS.map(str::to_owned);
        for (path, field) in paths.iter_mut().zip(LOG_FIELDS) {
            let (key, setting) = match choices.below(4) {
                0 => continue,
                1 => (relaxed(field, 2), None),
                2 => (format!("{field}.in.it"), Some(format!("{field}.IN.it"))),
                _ => ("play.".to_owned() + field, Some("play.".to_owned() + field)),
            };
            *path = key;
            table.settings.extend(setting.map(|setting| (format!("columns.{field}"), setting)));
        }
        choices.one(&[".jsonl", ".ndjson", ".JSONL", ".csv"]).clone_into(&mut table.ending);
        if table.ending == ".csv" {
            table.settings.push(("format".to_owned(), "jsonl".to_owned()));
        }
        Self { paths }
    }

    fn text(&self, choices: &mut Choices, rows: &[Vec<String>]) -> String {
        let mut text = String::new();
        for row in rows {
            text += &self.object(choices, row);
            text += choices.one(&["\n", "\r\n", "\n \n"]);
        }
        text
    }

    fn object(&self, choices: &mut Choices, row: &[String]) -> String {
        let mut members = Vec::new();
        for (place, (path, cell)) in self.paths.iter().zip(row).enumerate() {
            let is_number = place >= 2 && cell.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            let value =
                if is_number && choices.below(2) == 1 { cell.clone() } else { json_text(choices, cell) };
            let mut keys = path.split('.').rev();
            let mut member = format!("{}:{value}", json_text(choices, keys.next().unwrap()));
            for key in keys {
                member = format!("\"{key}\": {{{member}}}");
            }
            members.push(member);
        }
        // Objects with the same key would hide each other, so only separate keys are merged.
        let (inner, mut members): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|member| member.starts_with("\"play\": {"));
        if !inner.is_empty() {
            let inner: Vec<&str> =
                inner.iter().map(|member| &member["\"play\": {".len()..member.len() - 1]).collect();
            members.push(format!("\"play\":{{{}}}", inner.join(",")));
        }
        if choices.rarely() {
            members.push("\"more\":[{\"user_id\":null}]".to_owned());
        }
        choices.shuffle(&mut members);
        format!("{{{}}}", members.join(" , "))
    }
}

/// A JSON string, sometimes with escapes that are not necessary.
fn json_text(choices: &mut Choices, text: &str) -> String {
    if choices.below(3) < 2 {
        return serde_json::to_string(text).unwrap();
    }
    let mut escaped = String::from("\"");
    for unit in text.encode_utf16() {
        write!(escaped, "\\u{unit:04X}").unwrap();
    }
    escaped + "\""
}

impl Play {
    fn utc(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.seconds, self.nanos).unwrap()
    }
}

/// One of the default forms of a timestamp.
fn iso(play: &Play, way: usize) -> String {
    let utc = play.utc();
    let ahead = |hours: i64| -> NaiveDateTime { utc.naive_utc() + chrono::Duration::hours(hours) };
    match way {
        0 => utc.format("%Y-%m-%dT%H:%M:%S%.fZ").to_string(),
        1 => utc.format("%Y-%m-%d %H:%M:%S%.f UTC").to_string(),
        2 => ahead(2).format("%Y-%m-%d %H:%M:%S%.f+02:00").to_string(),
        3 => ahead(-5).format("%Y-%m-%dT%H:%M:%S%.f -0500").to_string(),
        _ => ahead(11).format("%Y-%m-%d %H:%M:%S%.f+11").to_string(),
    }
}

fn plain_cell(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// The plays as plain CSV.
pub(crate) fn plain_log(plays: &[Play]) -> String {
    let mut text = LOG_FIELDS.join(",") + "\n";
    for play in plays {
        let (user, song) = (plain_cell(&play.user), plain_cell(&play.song));
        let millis = play.millis;
        writeln!(text, "{user},{song},{},{}.{:03}", iso(play, 0), millis / 1000, millis % 1000).unwrap();
    }
    text
}

/// The songs as plain CSV.
pub(crate) fn plain_catalog(songs: &[Song]) -> String {
    let mut text = SONG_FIELDS.join(",") + "\n";
    for Song(fields) in songs {
        text += &fields.each_ref().map(|field| plain_cell(field)).join(",");
        text.push('\n');
    }
    text
}

/// The file with the compression that the ending of its name says.
fn compressed(ending: &str, bytes: Vec<u8>) -> Vec<u8> {
    match ending.rsplit('.').next() {
        Some("gz") => {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&bytes).unwrap();
            encoder.finish().unwrap()
        }
        Some("zst") => zstd::encode_all(bytes.as_slice(), 1).unwrap(),
        Some("bz2") => {
            let mut encoder = BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(&bytes).unwrap();
            encoder.finish().unwrap()
        }
        Some("xz") => {
            let mut encoder = XzWriter::new(Vec::new(), XzOptions::with_preset(0)).unwrap();
            encoder.write_all(&bytes).unwrap();
            encoder.finish().unwrap()
        }
        _ => bytes,
    }
}
