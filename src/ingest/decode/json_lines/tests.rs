use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value as Json;

use crate::ingest::decode::{DecodePath, Decoder};
use crate::model::dialect::Dialect;
use crate::model::dialect::columns::{LogColumns, NameMatch, compare_names};
use crate::model::{
    Batch, Chunk, Content, Input, InputId, Layout, Position, RAW_LIMIT, Reason, RowLayout, Span, Text,
};
use crate::time::date_range::DateRange;
use crate::time::zone::Zone;

fn columns([user_id, song_id, timestamp, duration_sec]: [&str; 4]) -> LogColumns {
    let name = |text: &str| text.parse().unwrap();
    LogColumns {
        user_id: name(user_id),
        song_id: name(song_id),
        timestamp: name(timestamp),
        duration_sec: name(duration_sec),
    }
}

/// Decodes a text on both paths.
fn decode(dialect: Dialect, text: &[u8]) -> Batch {
    let fast = decode_in(DecodePath::Fast, dialect.clone(), text);
    let slow = decode_in(DecodePath::Slow, dialect, text);
    assert_eq!(plays(&fast), plays(&slow));
    assert_eq!((&fast.rejects, &fast.plays_before), (&slow.rejects, &slow.plays_before));
    fast
}

/// The plays as CSV rows.
fn plays(batch: &Batch) -> Vec<String> {
    let cell = |field| std::str::from_utf8(batch.text.field(field)).unwrap();
    let row = |row: usize| {
        let (user, song) = (cell(batch.user_cells[row]), cell(batch.song_cells[row]));
        format!("{user},{song},{},{}", batch.play_times[row].instant(), batch.millis[row])
    };
    (0..batch.plays()).map(row).collect()
}

fn decode_in(path: DecodePath, dialect: Dialect, text: &[u8]) -> Batch {
    let encoding = dialect.encoding;
    let decoder = Decoder {
        dictionaries: Arc::default(),
        zone: Zone::named("UTC").unwrap(),
        max_future: 0,
        dialect: Arc::new(dialect),
        dates: DateRange::default(),
    };
    let chunk = Chunk {
        input: Arc::new(Input { id: InputId(0), label: "a.jsonl".to_owned() }),
        span: Span { from: 100, to: 100 + text.len() as u64, first_line: 1 },
        position: Position::default(),
        read_at: 2_000_000_000,
        content: Content::Lines(
            Arc::new(Layout { encoding, rows: RowLayout::JsonLines }),
            Text::new(text.to_vec(), text.len()),
        ),
    };
    decoder.decode_in(path, chunk)
}

/// The play of a line as a CSV row, or its reason.
fn read_in(dialect: &Dialect, line: &[u8]) -> Result<String, Reason> {
    let batch = decode(dialect.clone(), line);
    if let [reject] = batch.rejects.as_slice() {
        assert_eq!((reject.line, reject.offset), (1, 100));
        assert!(line.starts_with(&reject.raw) && reject.raw.len() == line.len().min(RAW_LIMIT));
        return Err(reject.reason);
    }
    assert_eq!((batch.plays(), batch.rejects.len()), (1, 0), "{}", String::from_utf8_lossy(line));
    Ok(plays(&batch).remove(0))
}

fn read(line: &str) -> Result<String, Reason> {
    read_in(&Dialect::default(), line.as_bytes())
}

const REST: &str = r#""timestamp":"2025-03-21 01:09:00","duration_sec":1.5"#;

#[test]
fn values_are_strings_or_numbers() {
    for (line, expected) in [
        (r#"{"user_id":"u","song_id":"s",REST}"#, "u,s"),
        (r#" { "song_id" : 0.50 , "user_id" : -12 , REST } "#, "-12,0.50"),
        (r#"{"user_id":"a,b","song_id":"\"s\"",REST}"#, "\"a,b\",\"\"\"s\"\"\""),
        (r#"{"user_id":"\u00e9\ud83c\udfb5","song_id":"\/",REST}"#, "é🎵,/"),
        (r#"{"user_id":" é ","song_id":"\u007f",REST}"#, " é ,\u{7f}"),
        (r#"{"x":[1e999,{"user_id":7}],"user_id":"u","y":null,"z":true,"song_id":"s",REST}"#, "u,s"),
        (r#"{"User-ID":"u","\u0073ongId":"s",REST}"#, "u,s"),
        (r#"{"user_id":"exact","UserId":"u","song_id":"first","song_id":"s",REST}"#, "exact,s"),
        (r#"{"userId":"u1","UserId":"u2","song_id":true,"song_id":"s",REST}"#, "u2,s"),
    ] {
        let line = line.replace("REST", REST);
        assert_eq!(read(&line), Ok(format!("{expected},1742519340,1500")), "{line}");
    }
}

#[test]
fn the_first_fault_is_the_reason() {
    let long = format!(r#"{{"user_id":"{}","song_id":"s",REST}}"#, "u".repeat(4097));
    for (line, reason) in [
        (r#"{"song_id":"s",REST}"#, Reason::EmptyField),
        (r#"{"user_id":null,"song_id":"s",REST}"#, Reason::EmptyField),
        (r#"{"user_id":"u","song_id":"",REST}"#, Reason::EmptyField),
        (long.as_str(), Reason::FieldTooLong),
        (r#"{"user_id":"u","song_id":"s","duration_sec":1}"#, Reason::BadTimestamp),
        (r#"{"user_id":"u","song_id":"s","timestamp":null,"duration_sec":null}"#, Reason::BadTimestamp),
        (r#"{"user_id":"u","song_id":"s","timestamp":20250321,"duration_sec":1}"#, Reason::BadTimestamp),
        (r#"{"user_id":"u","song_id":"s","timestamp":"2025-03-21 01:09"}"#, Reason::BadNumber),
        (
            r#"{"user_id":"u","song_id":"s","timestamp":"2025-03-21 01:09","duration_sec":1e2}"#,
            Reason::BadNumber,
        ),
        (
            r#"{"user_id":"u","song_id":"s","timestamp":"2025-03-21 01:09","duration_sec":"1,5"}"#,
            Reason::BadNumber,
        ),
        (
            r#"{"user_id":"u","song_id":"s","timestamp":"2025-03-21 01:09","duration_sec":-1}"#,
            Reason::NegativeDuration,
        ),
        (r#"{"user_id":"","song_id":1e2,REST}"#, Reason::BadJson),
        (r#"{"user_id":"","song_id":"a\nb",REST}"#, Reason::BadJson),
        (r#"{"user_id":"\u0000","song_id":"s",REST}"#, Reason::BadJson),
        (r#"{"user_id":true,"song_id":"s",REST}"#, Reason::BadJson),
        (r#"{"user_id":["u"],"song_id":"s",REST}"#, Reason::BadJson),
        (r#"{"user_id":"u","song_id":{},REST}"#, Reason::BadJson),
        (r#"{"user_id":"\ud800","song_id":"s",REST}"#, Reason::BadJson),
        (r#"{"user_id":"u","song_id":"s","x":["\udc00\ud800"],REST}"#, Reason::BadJson),
        (r#"{"user_id":"u","song_id":"s","\ud800x":1,REST}"#, Reason::BadJson),
        (r#"{"user_id":"u","song_id":"s","x":"\q",REST}"#, Reason::BadJson),
        (r#"{"user_id":"u","song_id":"s",REST} x"#, Reason::BadJson),
        (r#"{"user_id":"u","song_id":"s",REST}{}"#, Reason::BadJson),
        (r#"{"user_id":"u","song_id":007,REST}"#, Reason::BadJson),
        (r#"{"user_id":"u","song_id":"s",REST,}"#, Reason::BadJson),
        (r#"{'user_id':"u","song_id":"s",REST}"#, Reason::BadJson),
        ("{\"user_id\":\"u\tv\",\"song_id\":\"s\",REST}", Reason::BadJson),
        ("{\"user_id\":\"u\0\",\"song_id\":\"s\",REST}", Reason::NulByte),
        ("[]", Reason::BadJson),
        ("\"text\"", Reason::BadJson),
        ("null", Reason::BadJson),
        ("user_id,song_id,timestamp,duration_sec", Reason::BadJson),
        ("{", Reason::BadJson),
    ] {
        let line = line.replace("REST", REST);
        assert_eq!(read(&line), Err(reason), "{line}");
    }
    let invalid = b"{\"user_id\":\"u\xff\",\"song_id\":\"s\"}";
    assert_eq!(read_in(&Dialect::default(), invalid), Err(Reason::InvalidUtf8));
    let western = Dialect { encoding: "windows-1253".parse().unwrap(), ..Dialect::default() };
    let undecodable = b"{\"user_id\":\"\xe1\xd2\",\"song_id\":\"s\"}";
    let batch = decode(western, undecodable);
    assert_eq!(batch.rejects[0].reason, Reason::InvalidUtf8);
}

#[test]
fn an_overlong_line_is_rejected_and_blank_lines_are_skipped() {
    let long = format!("{}\n \t \n\r\n[]\n", " ".repeat((1 << 20) + 1));
    let batch = decode(Dialect::default(), long.as_bytes());
    let rejects: Vec<_> = batch.rejects.iter().map(|reject| (reject.line, reject.reason)).collect();
    assert_eq!(rejects, [(1, Reason::LineTooLong), (4, Reason::BadJson)]);
}

#[test]
fn dots_name_the_keys_of_nested_objects() {
    let names = ["a.b.user_id", "m.song", "timestamp", "duration_sec"];
    let dialect = Dialect { columns: columns(names), ..Dialect::default() };
    for (line, expected) in [
        (r#"{"a":{"b":{"user_id":"u"}},"m":{"song":7},REST}"#, Ok("u,7")),
        (r#"{"A":{"_b_":{"UserId":"u"}},"M":{"Song":"s"},REST}"#, Ok("u,s")),
        (r#"{"a.b.user_id":"whole","a":{"b":{"user_id":"u"}},"m":{"song":"s"},REST}"#, Ok("whole,s")),
        (r#"{"a":{"b":{"user_id":"u"}},"A.B.UserID":"whole","m":{"song":"s"},REST}"#, Ok("whole,s")),
        (r#"{"a":{"b":{"userid":"x","user_id":"u","user-id":"y"}},"m":{"song":"s"},REST}"#, Ok("u,s")),
        (r#"{"a":{"b":{"user_id":"x"}},"a":{"b":{"user_id":"u"}},"m":{"song":"s"},REST}"#, Ok("u,s")),
        (r#"{"a":{"b":{"user_id":"x"}},"a":{"c":1},"m":{"song":"s"},REST}"#, Err(Reason::EmptyField)),
        (r#"{"a":{"b":{"user_id":"x"}},"a":5,"m":{"song":"s"},REST}"#, Err(Reason::EmptyField)),
        (r#"{"a":null,"m":{"song":"s"},REST}"#, Err(Reason::EmptyField)),
        (r#"{"a":{"b.user_id":"x"},"m":{"song":"s"},REST}"#, Err(Reason::EmptyField)),
        (r#"{"a.b.user_id":null,"a":{"b":{"user_id":"u"}},"m":{"song":"s"},REST}"#, Err(Reason::EmptyField)),
        (r#"{"a":{"b":{"user_id":[]}},"m":{"song":"s"},REST}"#, Err(Reason::BadJson)),
        (r#"{"a":{"b":{"user_id":"u"}},"m":{"song":"s"},REST"#, Err(Reason::BadJson)),
    ] {
        let line = line.replace("REST", REST);
        let expected = expected.map(|ids| format!("{ids},1742519340,1500"));
        assert_eq!(read_in(&dialect, line.as_bytes()), expected, "{line}");
    }
}

#[test]
fn a_column_by_place_is_missing_and_numbers_have_a_point() {
    let text =
        br##"{"user_id":"u","song_id":"s","#2":"x","timestamp":1742519340250.5,"duration_sec":1500.5}"##;
    let settings = r#"{"timestamp":"unix_ms","duration":"ms","decimal":","}"#;
    let dialect: Dialect = serde_json::from_str(settings).unwrap();
    assert_eq!(read_in(&dialect, text), Ok("u,s,1742519340,1501".to_owned()));
    let places = Dialect { columns: columns(["user_id", "#2", "timestamp", "duration_sec"]), ..dialect };
    assert_eq!(read_in(&places, text), Err(Reason::EmptyField));
}

/// The value of the best key: the last exact one, or else the last one with a similar name.
fn best<'a>(entries: &[(&'a str, &'a Json)], name: &str) -> Option<&'a Json> {
    let matches = |wanted: NameMatch| {
        let is_match =
            |(key, _): &&(&str, &Json)| compare_names(key.as_bytes(), name.as_bytes()) == Some(wanted);
        entries.iter().rfind(is_match).map(|(_, value)| *value)
    };
    matches(NameMatch::Exact).or_else(|| matches(NameMatch::Relaxed))
}

/// The value of a field, found in the simplest way in the list of keys and values.
fn expected_value<'a>(object: &'a [(String, Json)], name: &str) -> Option<&'a Json> {
    let entries: Vec<_> = object.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let nested = || {
        let (outer, inner) = name.split_once('.')?;
        let Json::Object(object) = best(&entries, outer)? else { return None };
        best(&object.iter().map(|(key, value)| (key.as_str(), value)).collect::<Vec<_>>(), inner)
    };
    best(&entries, name).or_else(nested)
}

/// The ids that the rules demand, or the reason. The time and the duration are always valid.
fn expected_ids(object: &[(String, Json)], names: [&str; 2]) -> Result<[String; 2], Reason> {
    let values = names.map(|name| expected_value(object, name).unwrap_or(&Json::Null));
    let texts = values.map(|value| match value {
        Json::Null => Ok(String::new()),
        Json::String(text) if text.bytes().all(|byte| byte >= b' ') => Ok(text.clone()),
        Json::Number(number) => Ok(number.to_string()),
        _ => Err(Reason::BadJson),
    });
    let [user, song] = texts;
    let (user, song) = (user?, song?);
    if user.is_empty() || song.is_empty() { Err(Reason::EmptyField) } else { Ok([user, song]) }
}

fn scalar() -> impl Strategy<Value = Json> {
    prop_oneof![
        4 => "[a-z ,\"\\\\é\u{1F3B5}]{0,9}".prop_map(Json::String),
        1 => "\\PC{0,4}|[\u{0}-\u{1f}]".prop_map(Json::String),
        2 => any::<i64>().prop_map(Json::from),
        1 => Just(Json::Null),
        1 => any::<bool>().prop_map(Json::Bool),
    ]
}

fn object() -> impl Strategy<Value = Vec<(String, Json)>> {
    let key =
        || proptest::sample::select(vec!["user_id", "UserId", "user id", "s", "S", "s.id", "S.ID", "x"]);
    let inner = proptest::collection::btree_map(
        proptest::sample::select(vec!["id", "ID", "i-d", "y"]),
        scalar(),
        0..3,
    );
    let nested = inner.prop_map(|inner| {
        Json::Object(inner.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    });
    let value = prop_oneof![
        4 => scalar(),
        3 => nested,
        1 => proptest::collection::vec(scalar(), 0..3).prop_map(Json::Array),
    ];
    proptest::collection::vec((key().prop_map(str::to_owned), value), 0..7)
}

/// A line that has the same shape as its neighbours, with more or less usual values, or with an edit.
fn similar_line() -> impl Strategy<Value = String> {
    let id = prop_oneof![
        6 => "\"[a-z]{1,12}\"",
        1 => "\"[a-z,é🎵 \\\\/nu00d8]{0,12}\"",
        2 => "-?[0-9]{1,4}(\\.[0-9]{0,2})?(e1)?",
        1 => "null|true|\\{\\}|\\[1\\]|[ -~]{0,3}",
    ];
    let time = prop_oneof![
        8 => Just("\"2025-03-21 01:09:00\""),
        1 => Just("\"2025-02-29 01:09\""),
        1 => Just("7"),
    ];
    let duration = prop_oneof![8 => "[1-9][0-9]{0,4}", 1 => "[0-9]{1,6}\\.[0-9]{1,4}", 1 => "\"3\"|\"x\"|-1"];
    let edit = prop_oneof![9 => Just(None), 1 => (any::<proptest::sample::Index>(), "[ -~]?").prop_map(Some)];
    (id.clone(), id.clone(), id, time, duration, any::<bool>(), edit).prop_map(
        |(user, song, other, time, duration, nested, edit)| {
            let song =
                if nested { format!("{{\"id\":{song}}}") } else { format!("{song},\"s.id\":{song}") };
            let mut line = format!(
                "{{\"user_id\":{user}, \"x\":[{other}],\"s\":{song},\"timestamp\":{time},\"duration_sec\":{duration}}}"
            );
            if let Some((at, text)) = edit {
                let at = at.index(line.len());
                if line.is_char_boundary(at) && line.is_char_boundary(at + 1) {
                    line.replace_range(at..=at, &text);
                }
            }
            line
        },
    )
}

proptest! {
    #[test]
    fn the_two_paths_agree(lines in proptest::collection::vec(similar_line(), 1..30), end in "\n|") {
        let dialect =
            Dialect { columns: columns(["user_id", "s.id", "timestamp", "duration_sec"]), ..Dialect::default() };
        let batch = decode(dialect, (lines.join("\n") + &end).as_bytes());
        prop_assert!(batch.plays() + batch.rejects.len() <= lines.len());
    }

    #[test]
    fn the_decoder_agrees_with_a_tree_of_values(objects in proptest::collection::vec(object(), 1..6), escape in any::<bool>()) {
        let names = ["user_id", "s.id"];
        let dialect =
            Dialect { columns: columns([names[0], names[1], "timestamp", "duration_sec"]), ..Dialect::default() };
        let mut text = String::new();
        for object in &objects {
            let entry = |(key, value): &(String, Json)| {
                let key = if escape { key.replace('s', "\\u0073") } else { key.clone() };
                format!("\"{key}\":{value}")
            };
            let entries: Vec<String> = object.iter().map(entry).chain([REST.to_owned()]).collect();
            text.extend(["{", &entries.join(","), "}\n"]);
        }
        let batch = decode(dialect, text.as_bytes());
        let mut rejects = batch.rejects.iter().peekable();
        let mut play = 0;
        for (object, line) in objects.iter().zip(1..) {
            let found = if let Some(reject) = rejects.next_if(|reject| reject.line == line) {
                Err(reject.reason)
            } else {
                let cells = [batch.user_cells[play], batch.song_cells[play]];
                play += 1;
                Ok(cells.map(|cell| unquoted(batch.text.field(cell))))
            };
            prop_assert_eq!(found, expected_ids(object, names), "{}", text);
        }
        prop_assert_eq!(play, batch.plays());
    }

    #[test]
    fn a_line_is_json_for_the_decoder_if_it_is_for_the_library(line in "[ {}\\[\\]\",:0-9eE.+\\-\\\\ud8cnultrfas]{0,24}") {
        let found = read_in(&Dialect::default(), format!("{{\"x\":{line}}}").as_bytes());
        let value: Result<serde_json::Map<String, Json>, _> = serde_json::from_str(&format!("{{\"x\":{line}}}"));
        // Floats that are out of range are valid JSON.
        prop_assume!(!line.contains(['e', 'E']));
        prop_assert_eq!(found == Err(Reason::EmptyField), value.is_ok(), "{}", line);
    }
}

fn unquoted(cell: &[u8]) -> String {
    let mut record = crate::ingest::decode::record::Record::default();
    record.read(cell).unwrap();
    String::from_utf8(record.field(0).to_vec()).unwrap()
}
