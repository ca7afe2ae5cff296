//! Decodes a [`Chunk`] of text into a [`Batch`] of plays and rejects.
//!
//! Each line takes one of two paths. The fast path decodes only lines that have the expected number of
//! fields and no irregular bytes. It never rejects a line: a line that it cannot decode takes the slow
//! path. Only the slow path implements the rules of quoting and the reject reasons, so the two paths
//! cannot disagree on rejects. A property test checks that both paths decode the same plays.

pub mod duration;
mod fast_path;
pub mod header;
mod json_lines;
pub mod line;
pub mod record;
mod rows;
pub mod scan;
pub mod timestamp;
mod transcode;

use std::sync::Arc;

use crate::ingest::decode::duration::DurationReader;
use crate::ingest::decode::fast_path::CsvRows;
use crate::ingest::decode::json_lines::JsonRows;
use crate::ingest::decode::rows::Rows;
use crate::ingest::decode::timestamp::TimestampReader;
use crate::ingest::decode::transcode::{Transcoded, restore_offsets, transcode};
use crate::model::dialect::Dialect;
use crate::model::dialect::timestamp_format::TimestampFormat;
use crate::model::dictionary::Dictionaries;
use crate::model::layout::TypedCells;
use crate::model::{
    Batch, Chunk, Content, Header, Input, OutsidePlays, Position, Reject, RowLayout, Span, Text,
};
use crate::time::date_range::DateRange;
use crate::time::zone::Zone;

/// Decodes chunks. Threads can share a decoder.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// The dictionaries of user and song ids.
    pub dictionaries: Arc<Dictionaries>,
    /// The time zone of timestamps without an offset.
    pub zone: Zone,
    /// How far the time of a play may lie in the future, in seconds after its row was first read.
    pub max_future: i64,
    /// How the rows of logs are written.
    pub dialect: Arc<Dialect>,
    /// The dates of the plays that count.
    pub dates: DateRange,
}

/// How lines are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodePath {
    /// On the fast path if possible.
    Fast,
    /// Always on the slow path, for tests and benchmarks.
    Slow,
}

impl Decoder {
    /// Decodes one chunk.
    pub fn decode(&self, chunk: Chunk) -> Batch {
        self.decode_in(DecodePath::Fast, chunk)
    }

    /// Decodes one chunk on a given path.
    pub fn decode_in(&self, path: DecodePath, chunk: Chunk) -> Batch {
        let latest = chunk.read_at.saturating_add(self.max_future);
        let (text, layout) = match chunk.content {
            Content::Lines(layout, text) => (text, layout),
            Content::Fault(reject) => {
                return batch_of_reject(chunk.input, chunk.span, chunk.position, reject, None);
            }
            Content::Refused(reject, detail) => {
                return batch_of_reject(chunk.input, chunk.span, chunk.position, reject, Some(detail));
            }
        };
        let transcoded = transcode(&text, layout.encoding);
        let (utf8, undecodable) = match &transcoded {
            Some(Transcoded { text, undecodable }) => (text, undecodable.as_slice()),
            None => (&text, [].as_slice()),
        };
        let rows = Rows::new(chunk.span, utf8);
        let mut rows = match &layout.rows {
            RowLayout::Csv(header) => self.decode_csv(path, header, latest, utf8, undecodable, rows),
            RowLayout::JsonLines => self.decode_json(path, latest, utf8, undecodable, rows),
        };
        let outside = rows.take_outside(self.dates);
        if let Some(growth) = text.growth() {
            rows.rejects_mut().iter_mut().for_each(|reject| reject.offset += growth);
        }
        let Some(Transcoded { text: utf8, .. }) = transcoded else {
            return rows.into_batch(&self.dictionaries, chunk.input, chunk.position, text, outside);
        };
        if text.growth().is_none() {
            restore_offsets(rows.rejects_mut(), &text, chunk.span.from, chunk.span.first_line);
        }
        rows.into_batch(&self.dictionaries, chunk.input, chunk.position, utf8, outside)
    }

    fn decode_json(
        &self,
        path: DecodePath,
        latest: i64,
        text: &Text,
        undecodable: &[usize],
        rows: Rows,
    ) -> Rows {
        // Numbers in JSON always have a point.
        let typed = TypedCells { timestamp: false, duration: true };
        let mut json = JsonRows {
            columns: &self.dialect.columns,
            timestamps: TimestampReader::new(&self.zone, latest, &self.dialect.timestamp),
            durations: DurationReader::of(&self.dialect, typed),
            undecodable,
            rows,
        };
        match path {
            DecodePath::Fast => json.read(text),
            DecodePath::Slow => json.read_slow(text),
        }
        json.rows
    }

    fn decode_csv(
        &self,
        path: DecodePath,
        header: &Header,
        latest: i64,
        text: &Text,
        undecodable: &[usize],
        rows: Rows,
    ) -> Rows {
        let format = if header.typed.timestamp { &TimestampFormat::Iso } else { &self.dialect.timestamp };
        let timestamps = TimestampReader::new(&self.zone, latest, format);
        let durations = DurationReader::of(&self.dialect, header.typed);
        let mut csv = CsvRows::new(header, timestamps, durations, undecodable, rows);
        match path {
            DecodePath::Fast => csv.read(text),
            DecodePath::Slow => csv.read_slow(text),
        }
        csv.rows
    }
}

fn batch_of_reject(
    input: Arc<Input>,
    span: Span,
    position: Position,
    reject: Reject,
    refused: Option<Box<str>>,
) -> Batch {
    Batch {
        input,
        span,
        position,
        text: Text::default(),
        users: Vec::new(),
        songs: Vec::new(),
        play_times: Vec::new(),
        millis: Vec::new(),
        user_cells: Vec::new(),
        song_cells: Vec::new(),
        rejects: vec![reject],
        plays_before: vec![0],
        outside: OutsidePlays::default(),
        future: 0,
        refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Layout;
    use crate::model::delimiter::Delimiter;
    use crate::model::dialect::RowFormat;
    use crate::model::dialect::encoding::TextEncoding;
    use crate::model::{InputId, Reason};
    use proptest::prelude::*;

    fn decode(path: DecodePath, header: &str, text: &[u8]) -> Batch {
        decode_with(Delimiter::COMMA, path, header, text)
    }

    fn decode_with(delimiter: Delimiter, path: DecodePath, header: &str, text: &[u8]) -> Batch {
        let decoder = Decoder {
            dictionaries: Arc::default(),
            zone: Zone::named("UTC").unwrap(),
            max_future: 0,
            dialect: Arc::default(),
            dates: DateRange::default(),
        };
        let format = RowFormat::Csv(delimiter);
        let (header, _) = header::parse(header.as_bytes(), &decoder.dialect, format).unwrap();
        let layout = Layout { encoding: TextEncoding::UTF_8, rows: RowLayout::Csv(header) };
        decoder.decode_in(
            path,
            Chunk {
                input: Arc::new(Input { id: InputId(0), label: "a.csv".to_owned() }),
                span: Span { from: 100, to: 100 + text.len() as u64, first_line: 2 },
                position: Position::default(),
                read_at: 2_000_000_000,
                content: Content::Lines(Arc::new(layout), Text::new(text.to_vec(), text.len())),
            },
        )
    }

    fn rows(batch: &Batch) -> Vec<(String, String, i64, u32)> {
        let cell = |field| String::from_utf8(batch.text.field(field).to_vec()).unwrap();
        (0..batch.plays())
            .map(|row| {
                let (user, song) = (cell(batch.user_cells[row]), cell(batch.song_cells[row]));
                (user, song, batch.play_times[row].instant(), batch.millis[row])
            })
            .collect()
    }

    const HEADER: &str = "user_id,song_id,timestamp,duration_sec";

    #[test]
    fn plays_and_rejects_keep_their_positions() {
        let text = b"u1,s1,2025-03-21 01:09:00,150\r\n\nu2,s2,2025-03-21 01:09:00\n \t\n\
            \"u,3\",\"s\"\"3\",2025-03-21 01:09,1.5\nuser_id,song_id,timestamp,duration_sec\n\
            ,s,2025-03-21 01:09,1\nu4,s4,2025-03-21 01:09:00,7";
        let batch = decode(DecodePath::Fast, HEADER, text);
        let expected = [("u1", "s1", 150_000), ("\"u,3\"", "\"s\"\"3\"", 1_500), ("u4", "s4", 7_000)];
        let expected = expected.map(|(user, song, millis)| (user.into(), song.into(), 1_742_519_340, millis));
        assert_eq!(rows(&batch)[1..], expected[1..]);
        let places: Vec<_> =
            batch.rejects.iter().map(|reject| (reject.line, reject.offset, reject.reason)).collect();
        assert_eq!(places, [(4, 132, Reason::FieldCount), (8, 234, Reason::EmptyField)]);
        assert_eq!(batch.rejects[0].raw, b"u2,s2,2025-03-21 01:09:00");
    }

    #[test]
    fn an_overlong_blank_line_is_rejected_on_both_paths() {
        let text = format!("{}\n", " ".repeat(line::LINE_LIMIT + 1));
        assert_eq!(decode(DecodePath::Fast, HEADER, text.as_bytes()).rejects[0].reason, Reason::LineTooLong);
        assert!(decode(DecodePath::Fast, HEADER, &text.as_bytes()[1..]).rejects.is_empty());
    }

    #[test]
    fn a_header_with_fewer_fields_is_rejected_like_a_row() {
        let batch = decode(
            DecodePath::Fast,
            "x,user_id,song_id,timestamp,duration_sec",
            b"user_id,song_id,timestamp,duration_sec\n",
        );
        assert_eq!(batch.rejects[0].reason, Reason::FieldCount);
    }

    #[test]
    fn with_another_delimiter_ids_with_commas_are_quoted_in_the_output() {
        let tab = "tab".parse().unwrap();
        let header = HEADER.replace(',', "\t");
        let text =
            b"u,1\ts1\t2025-03-21 01:09:00\t150\n\t\t\t\n \n\"u\t2\"\t\"s\"\t2025-03-21 01:09\t1\nu,s\n";
        for path in [DecodePath::Fast, DecodePath::Slow] {
            let batch = decode_with(tab, path, &header, text);
            let expected = [("\"u,1\"", "s1", 150_000), ("u\t2", "s", 1000)];
            assert_eq!(
                rows(&batch),
                expected.map(|(user, song, millis)| (user.into(), song.into(), 1_742_519_340, millis))
            );
            let reasons: Vec<_> = batch.rejects.iter().map(|reject| (reject.line, reject.reason)).collect();
            assert_eq!(reasons, [(6, Reason::FieldCount)]);
        }
    }

    /// Decodes text in a dialect, given as JSON, on both paths. Returns the plays and the rejects.
    fn decode_dialect(
        dialect: &str,
        encoding: &str,
        header: &str,
        text: &[u8],
    ) -> (Vec<String>, Vec<Reject>) {
        let dialect: Dialect = serde_json::from_str(dialect).unwrap();
        let format = dialect.row_format("a.csv".as_ref());
        let row_layout = match format {
            RowFormat::Csv(delimiter) if header.is_empty() => {
                RowLayout::Csv(header::without_header(&dialect, delimiter).unwrap())
            }
            format => RowLayout::Csv(header::parse(header.as_bytes(), &dialect, format).unwrap().0),
        };
        let layout = Arc::new(Layout { encoding: encoding.parse().unwrap(), rows: row_layout });
        let decoder = Decoder {
            dictionaries: Arc::default(),
            zone: Zone::named("UTC").unwrap(),
            max_future: 0,
            dialect: Arc::new(dialect),
            dates: DateRange::default(),
        };
        let [fast, slow] = [DecodePath::Fast, DecodePath::Slow].map(|path| {
            let chunk = Chunk {
                input: Arc::new(Input { id: InputId(0), label: "a.csv".to_owned() }),
                span: Span { from: 100, to: 100 + text.len() as u64, first_line: 2 },
                position: Position::default(),
                read_at: 2_000_000_000,
                content: Content::Lines(Arc::clone(&layout), Text::new(text.to_vec(), text.len())),
            };
            let batch = decoder.decode_in(path, chunk);
            let plays = rows(&batch).into_iter().map(|(user, song, ..)| format!("{user} {song}"));
            (plays.collect::<Vec<_>>(), batch.rejects)
        });
        assert_eq!(fast, slow);
        fast
    }

    fn places(rejects: &[Reject]) -> Vec<(u64, u64, Reason)> {
        rejects.iter().map(|reject| (reject.line, reject.offset, reject.reason)).collect()
    }

    #[test]
    fn trailing_delimiters_and_unnamed_columns_need_no_fields() {
        let text = b"u1,s1,2025-03-21 01:09,1,,\nu2,s2,2025-03-21 01:09,1\nu3,s3,2025-03-21 01:09,1,x\n\
            u4,s4,2025-03-21 01:09,1,,,,\nu5,s5,2025-03-21 01:09,1,,,x\n";
        let (plays, rejects) = decode_dialect("{}", "utf-8", &format!("{HEADER},, "), text);
        assert_eq!(plays, ["u1 s1", "u2 s2", "u3 s3", "u4 s4"]);
        assert_eq!(places(&rejects), [(6, 208, Reason::FieldCount)]);
        let (plays, rejects) =
            decode_dialect("{}", "utf-8", HEADER, b"u,s,2025-03-21 01:09,1,\nu,s,2025-03-21 01:09\n");
        assert_eq!((plays.len(), places(&rejects)), (1, vec![(3, 124, Reason::FieldCount)]));
    }

    #[test]
    fn rows_without_a_header_are_found_by_place() {
        let dialect = r##"{"columns":{"user_id":"#2","song_id":"#1","timestamp":"#3","duration_sec":"#4"}}"##;
        let text = b"s1,u1,2025-03-21 01:09,1,more\ns2,u2,2025-03-21 01:09,1\ns3,u3,2025-03-21 01:09\n";
        let (plays, rejects) = decode_dialect(dialect, "utf-8", "", text);
        assert_eq!(plays, ["u1 s1", "u2 s2"]);
        assert_eq!(places(&rejects), [(4, 155, Reason::FieldCount)]);
        // The first line is the header, although it could be a row. Lines that are equal to it are skipped.
        let header = "s1,u1,2025-03-21 01:09,1";
        let text = format!("s2,u2,2025-03-21 01:09,1\n{header}\n{header}\n");
        let (plays, rejects) = decode_dialect(dialect, "utf-8", header, text.as_bytes());
        assert_eq!((plays, rejects.len()), (vec!["u2 s2".to_owned()], 0));
    }

    #[test]
    fn quotes_can_be_text() {
        let text = b"\"u\" 1,\"s1,2025-03-21 01:09,1\nu2,s2,2025-03-21 01:09,1\n";
        let (plays, rejects) = decode_dialect("{\"quoting\":false}", "utf-8", HEADER, text);
        assert_eq!(
            (plays, rejects.len()),
            (vec!["\"\"\"u\"\" 1\" \"\"\"s1\"".to_owned(), "u2 s2".to_owned()], 0)
        );
    }

    #[test]
    fn text_in_other_encodings_keeps_its_offsets() {
        let text =
            b"\xe1,s1,2025-03-21 01:09,1\n\xe1\xe1,s2,bad,1\n\xd2\xe1,s3,2025-03-21 01:09,1\nu,\xe2,bad,1\n";
        let (plays, rejects) = decode_dialect("{}", "windows-1253", HEADER, text);
        assert_eq!(plays, ["α s1"]);
        let expected =
            [(3, 124, Reason::BadTimestamp), (4, 136, Reason::InvalidUtf8), (5, 161, Reason::BadTimestamp)];
        assert_eq!(places(&rejects), expected);
        assert_eq!(rejects[0].raw, "αα,s2,bad,1".as_bytes());
        assert_eq!(rejects[1].raw, [b"\xd2".as_slice(), "α,s3,2025-03-21 01:09,1".as_bytes()].concat());
    }

    fn line() -> impl Strategy<Value = Vec<u8>> {
        let id = prop_oneof![
            5 => "[a-c]{1,3}",
            1 => "[a-cé\u{1F3B5} ]{14,18}",
            1 => Just(String::new()),
            1 => Just("\"q,uo\"\"ted\"".to_owned()),
            1 => Just("a\"b".to_owned()),
        ];
        let time = prop_oneof![
            5 => Just("2025-03-21 01:09:00".to_owned()),
            1 => Just("2025-03-21T01:09Z".to_owned()),
            1 => Just("2025-02-30 01:09:00".to_owned()),
            1 => Just("2099-02-20 01:09:00".to_owned()),
        ];
        let duration = prop_oneof![5 => "[0-9]{1,6}", 1 => "[0-9]{1,3}\\.[0-9]{1,4}", 1 => "\\PC{0,3}"];
        let play = (id.clone(), id, time, duration)
            .prop_map(|(user, song, time, duration)| format!("{user},{song},{time},{duration}").into_bytes());
        let noise = proptest::collection::vec(
            prop_oneof![Just(b','), Just(b'"'), Just(b'\r'), Just(0), Just(b' '), any::<u8>()],
            0..12,
        )
        .prop_map(|bytes| bytes.into_iter().filter(|&byte| byte != b'\n').collect());
        (prop_oneof![8 => play, 2 => noise], prop_oneof![Just(&b"\n"[..]), Just(&b"\r\n"[..])]).prop_map(
            |(mut line, end): (Vec<u8>, _)| {
                line.extend_from_slice(end);
                line
            },
        )
    }

    proptest! {
        #[test]
        fn the_two_paths_agree(lines in proptest::collection::vec(line(), 0..20), cut in 0_usize..3) {
            let mut text = lines.concat();
            text.truncate(text.len().saturating_sub(cut));
            let fast = decode(DecodePath::Fast, HEADER, &text);
            let slow = decode(DecodePath::Slow, HEADER, &text);
            prop_assert_eq!(rows(&fast), rows(&slow));
            prop_assert_eq!(fast.rejects, slow.rejects);
            prop_assert_eq!(fast.plays_before, slow.plays_before);
            prop_assert_eq!(fast.users, slow.users);
            prop_assert_eq!(fast.songs, slow.songs);
        }

        #[test]
        fn the_two_paths_agree_with_any_delimiter(
            lines in proptest::collection::vec(line(), 0..20), delimiter in "[;|\t]",
        ) {
            // Swaps commas and the delimiter, so that some fields contain commas.
            let byte = delimiter.as_bytes()[0];
            let swapped = |at: &u8| if *at == b',' { byte } else if *at == byte { b',' } else { *at };
            let text: Vec<u8> = lines.concat().iter().map(swapped).collect();
            let header = HEADER.replace(',', &delimiter);
            let delimiter = delimiter.parse().unwrap_or_else(|_| "tab".parse().unwrap());
            let fast = decode_with(delimiter, DecodePath::Fast, &header, &text);
            let slow = decode_with(delimiter, DecodePath::Slow, &header, &text);
            prop_assert_eq!(rows(&fast), rows(&slow));
            prop_assert_eq!(fast.rejects, slow.rejects);
        }
    }
}
