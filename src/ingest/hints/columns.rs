//! Hints for headers: columns with other names, another delimiter, or no header.

use crate::ingest::hints::cells::{DELIMITERS, delimiter_name, is_json, likely_delimiter, split_at};
use crate::ingest::hints::subject::{Subject, json_hint};
use crate::ingest::hints::timestamp;
use crate::model::delimiter::Delimiter;
use crate::model::dialect::columns::{CATALOG_FIELDS, LOG_FIELDS};

/// Other names of the fields in practice, in the form of [`simplified`], the likelier ones first.
const OTHER_NAMES: [(&str, &[&str]); 8] = [
    (
        "user_id",
        &["userid", "user", "username", "userkey", "listenerid", "listener", "accountid", "account", "uid"],
    ),
    (
        "song_id",
        &[
            "songid",
            "trackid",
            "recordingmbid",
            "spotifytrackuri",
            "trackuri",
            "trackmbid",
            "isrc",
            "itemid",
            "song",
            "track",
            "mbid",
            "uri",
        ],
    ),
    (
        "timestamp",
        &[
            "timestamp",
            "listenedat",
            "playedat",
            "listentime",
            "playtime",
            "starttime",
            "startedat",
            "uts",
            "utctime",
            "datetime",
            "ts",
            "endtime",
            "createdat",
            "time",
            "date",
        ],
    ),
    (
        "duration_sec",
        &[
            "durationsec",
            "durationseconds",
            "durationms",
            "msplayed",
            "secondsplayed",
            "playduration",
            "listenduration",
            "duration",
            "seconds",
            "length",
        ],
    ),
    ("title", &["songtitle", "tracktitle", "songname", "trackname", "name", "song", "track"]),
    ("artist", &["artistname", "artistsname", "artists", "performer", "band"]),
    ("genre", &["genres", "genrename", "style"]),
    ("mood", &["moods", "feeling", "emotion"]),
];

/// A name in lower case, without spaces, `_` and `-`. Columns are compared in this form.
pub fn simplified(name: &str) -> String {
    let kept = name.chars().filter(|char| !matches!(char, ' ' | '_' | '-'));
    kept.map(|char| char.to_ascii_lowercase()).collect()
}

/// The columns of a kind of file.
pub fn required(subject: Subject) -> &'static [&'static str] {
    match subject {
        Subject::Log => &LOG_FIELDS,
        Subject::Catalog => &CATALOG_FIELDS,
    }
}

/// The name that probably stands for a field. If names have dots, their last part is compared.
pub fn look_alike<'a>(field: &str, names: &'a [String]) -> Option<&'a String> {
    let same = |name: &&String| simplified(name) == simplified(field);
    names.iter().find(same).or_else(|| {
        let (_, others) = OTHER_NAMES.iter().find(|(known, _)| *known == field)?;
        others.iter().find_map(|other| {
            names.iter().find(|name| simplified(name.rsplit('.').next().unwrap_or(name)) == *other)
        })
    })
}

/// Number of fields that some name stands for.
pub fn recognised(subject: Subject, names: &[String]) -> usize {
    required(subject).iter().filter(|field| look_alike(field, names).is_some()).count()
}

/// The hint for a file whose first line is not the expected header. `current` is the delimiter that the
/// settings declare, if it is known.
pub(super) fn header_hint(subject: Subject, line: &[u8], current: Option<Delimiter>) -> String {
    let table = subject.table();
    if subject == Subject::Log && is_json(line) {
        return json_hint();
    }
    let text = String::from_utf8_lossy(line);
    let text = text.trim_start_matches('\u{feff}');
    if text.starts_with("sep=") || text.starts_with('#') {
        return "remove the lines before the header".to_owned();
    }
    let by_delimiter = DELIMITERS.map(|delimiter| (recognised(subject, &names(text, delimiter)), delimiter));
    let default = likely_delimiter(text);
    let (found, delimiter) =
        by_delimiter.into_iter().fold((0, default), |best, next| if next.0 > best.0 { next } else { best });
    let names = names(text, delimiter);
    let mut settings = Vec::new();
    let is_current = current.map_or(delimiter == ',', |current| char::from(current.byte()) == delimiter);
    if !is_current && names.len() > 1 {
        settings.push(format!("{table}.delimiter = \"{}\"", delimiter_name(delimiter)));
    }
    if found == 0 {
        if settings.is_empty() || looks_like_row(&names) {
            settings.extend(no_header(subject, &names));
        }
    } else {
        let fields = required(subject).iter();
        settings.extend(fields.filter_map(|field| {
            let name = look_alike(field, &names);
            if name.is_some_and(|name| simplified(name) == simplified(field)) {
                return None;
            }
            Some(match (name, subject) {
                (Some(name), _) => format!("{table}.columns.{field} = \"{name}\""),
                (None, Subject::Catalog) if *field != "song_id" => {
                    format!("{table}.columns.{field} = \"\" (no such column)")
                }
                (None, _) => format!("{table}.columns.{field} to the column that holds it"),
            })
        }));
    }
    if settings.is_empty() {
        // The names are right, so another setting must be wrong. It can only be the delimiter.
        settings.push(format!("{table}.delimiter = \"{}\"", delimiter_name(delimiter)));
    }
    let mut hint = format!("set {}", settings.join(", "));
    if subject == Subject::Log && settings[0].contains(".delimiter") {
        hint.push_str("; if the catalog has another delimiter, set catalog.delimiter, too");
    }
    hint
}

/// The names in a header line.
fn names(text: &str, delimiter: char) -> Vec<String> {
    split_at(text, delimiter).iter().map(|name| name.trim().to_owned()).collect()
}

/// Whether cells are a row rather than a header.
fn looks_like_row(cells: &[String]) -> bool {
    let is_number = |cell: &String| cell.parse::<f64>().is_ok();
    let is_time = |cell: &String| timestamp::guess(cell).is_some();
    cells.iter().any(|cell| is_number(cell) || is_time(cell))
}

/// The settings for a file that probably has no header.
fn no_header(subject: Subject, cells: &[String]) -> Vec<String> {
    let table = subject.table();
    let fields = required(subject);
    if !looks_like_row(cells) {
        return vec![format!("{table}.columns.{} and so on to the names of the columns", fields[0])];
    }
    let mut settings = vec![format!("{table}.header = \"none\"")];
    settings.extend(
        fields.iter().zip(1..).map(|(field, number)| format!("{table}.columns.{field} = \"#{number}\"")),
    );
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(line: &str) -> String {
        header_hint(Subject::Log, line.as_bytes(), None)
    }

    #[test]
    fn each_header_gets_the_setting_that_reads_it() {
        for (line, setting) in [
            (
                "user_id,track_id,listen_time",
                "input.columns.song_id = \"track_id\", input.columns.timestamp = \"listen_time\"",
            ),
            ("user_id,track_id,listen_time", "input.columns.duration_sec to the column"),
            ("user_id|song_id|timestamp|duration_sec", "set input.delimiter = \"|\"; if the catalog"),
            ("user_id;song_id;timestamp;duration_sec", "input.delimiter = \";\""),
            ("user;track;played at;ms_played", "input.columns.duration_sec = \"ms_played\""),
            ("sep=,", "remove the lines"),
            ("# exported by hand", "remove the lines"),
            ("{\"user_id\":\"ann\"}", "input.format = \"jsonl\""),
            ("ann,t1,2025-03-21 01:09:00,150", "input.header = \"none\", input.columns.user_id = \"#1\""),
            ("ann\tt1\t2025-03-21 01:09:00\t150", "input.delimiter = \"tab\", input.header = \"none\""),
            ("alpha,beta", "input.columns.user_id and so on"),
        ] {
            assert!(hint(line).contains(setting), "{line}: {}", hint(line));
        }
    }

    #[test]
    fn a_delimiter_that_is_set_already_is_not_suggested_again() {
        let line = b"user_id\ttrack_id\tuts\tseconds";
        let hint = header_hint(Subject::Log, line, Some(Delimiter::TAB));
        assert!(!hint.contains("delimiter"), "{hint}");
        assert!(hint.contains("input.columns.timestamp = \"uts\""), "{hint}");
        let hint = header_hint(Subject::Catalog, b"song_id,title,artist,genre,mood", Some(Delimiter::TAB));
        assert_eq!(hint, "set catalog.delimiter = \",\"");
    }

    #[test]
    fn the_catalog_has_its_own_settings() {
        let hint = |line: &str| header_hint(Subject::Catalog, line.as_bytes(), None);
        assert_eq!(hint("song_id,title,artist,genre,mood"), "set catalog.delimiter = \",\"");
        assert_eq!(hint("song_id;title;artist;genre;mood"), "set catalog.delimiter = \";\"");
        let other = hint("track_id,name,artist,genre");
        assert!(
            other.contains("catalog.columns.song_id = \"track_id\", catalog.columns.title = \"name\""),
            "{other}"
        );
        assert!(other.contains("catalog.columns.mood = \"\" (no such column)"), "{other}");
    }
}
