//! Tests the reference implementation with edge cases of the input format. A person derived all inputs and
//! expected results by hand.
#![allow(clippy::pedantic, reason = "the style of the reference: plain, row by row")]

use crate::reference::*;
use chrono_tz::Tz;

const H: &str = "user_id,song_id,timestamp,duration_sec\n";
const C: &str = "song_id,title,artist,genre,mood\ns1,T1,A,Rock,Sad\ns2,T2,A,,HAPPY\ns3,\"T,3\",A,Pop,happy\n";

fn run(log: &[u8], s: &Settings) -> Output {
    replay(&[("a.csv".into(), log.to_vec())], &("c".into(), C.into()), s)
}
fn file(o: &Output, n: &str) -> String {
    String::from_utf8(o.files[&format!("{n}/part-00000.csv")].clone()).unwrap()
}
fn body(o: &Output, n: &str) -> String {
    file(o, n).split_once('\n').unwrap().1.to_string()
}
fn rejects(log: &[u8]) -> String {
    body(&run(log, &Settings::default()), "_rejects")
}
fn reason(log: &[u8]) -> String {
    let r = rejects(log);
    if r.is_empty() { String::new() } else { r.split(',').nth(3).unwrap().to_string() }
}
fn row(line: &str) -> String {
    reason(format!("{H}{line}\n").as_bytes())
}

#[test]
fn lines_and_fields() {
    let ok = "u,s,2025-01-01 00:00,1";
    assert_eq!(row(ok), "");
    for (line, want) in [
        ("u,s,2025-01-01 00:00,1\r", ""), // The line ends with CRLF.
        ("u,s,2025-01-01 00:00,1\r\r", "bare_cr"),
        ("u\rx,s,2025-01-01 00:00,1", "bare_cr"),
        ("\"u\rx\",s,2025-01-01 00:00,1", ""),
        ("\"u\"\rx,s,2025-01-01 00:00,1", "bare_cr"),
        ("\"u\"x\r,s,2025-01-01 00:00,1", "bad_quote"),
        ("\"u\" ,s,2025-01-01 00:00,1", "bad_quote"),
        ("u\"x\",s,2025-01-01 00:00,1", ""),
        ("\"u\"\"x\",s,2025-01-01 00:00,1", ""),
        ("\"u,s,2025-01-01 00:00,1", "unclosed_quote"),
        ("\"\"\",s,2025-01-01 00:00,1", "unclosed_quote"),
        ("u,s,2025-01-01 00:00,\"1\"", ""),
        ("u,s,2025-01-01 00:00,\"", "unclosed_quote"),
        ("u,s,2025-01-01 00:00", "field_count"),
        ("u,s,2025-01-01 00:00,1,", ""),
        ("u,s,2025-01-01 00:00,1,,\"\",", ""),
        ("u,s,2025-01-01 00:00,1,, ", "field_count"),
        (",s,x", "field_count"),
        (",,x,y", "empty_field"),
        (", ,\t,,,,", ""),
        (",\"\"", "field_count"),
        ("\"\",s,2025-01-01 00:00,1", "empty_field"),
        (" ,s,2025-01-01 00:00,1", ""),
        ("u,,x,y", "empty_field"),
        ("u,s,x,y", "bad_timestamp"),
        ("u,s,1969-01-01 00:00,y", "timestamp_range"),
        ("u,s,2025-01-01 00:00,y", "bad_number"),
        (" \t ", ""),
        (" \t \r", ""),
        ("user_id,song_id,timestamp,duration_sec", ""),
        ("user_id,song_id,timestamp,duration_sec ", "bad_timestamp"),
        ("\"user_id\",song_id,timestamp,duration_sec", "bad_timestamp"),
        ("u\0,s,2025-01-01 00:00,1", "nul_byte"),
        ("\0\0", "nul_byte"), // The line ends with LF.
    ] {
        assert_eq!(row(line), want, "{line:?}");
    }
    let id = |n| format!("\"{}\"", "\"\"".repeat(n));
    assert_eq!(row(&format!("{},s,2025-01-01 00:00,1", id(4096))), "");
    assert_eq!(row(&format!("{},s,2025-01-01 00:00,1", id(4097))), "field_too_long");
    assert_eq!(row(&format!("u,{},2025-01-01 00:00,1", id(4097))), "field_too_long");
}

#[test]
fn unterminated() {
    let t = |s: &str| reason(format!("{H}{s}").as_bytes());
    assert_eq!(t("u,s,2025-01-01 00:00,1"), "");
    assert_eq!(t("u,s,2025-01-01 00:00,1\r"), "");
    assert_eq!(t("\0\0\0"), "nul_tail");
    assert_eq!(t("\0\0 "), "nul_byte");
    assert_eq!(t("u,s"), "field_count");
    assert_eq!(t("user_id,song_id,timestamp,duration_sec"), "");
    assert_eq!(t("\r"), "");
}

#[test]
fn line_length() {
    let h = "user_id,song_id,timestamp,duration_sec,x\n";
    let base = "u,s,2025-01-01 00:00,1,";
    let fill = 1_048_576 - base.len();
    let t = |n: usize, e: &str| reason(format!("{h}{base}{}{e}", "x".repeat(n)).as_bytes());
    for end in ["\n", "\r\n", "", "\r"] {
        assert_eq!(t(fill, end), "");
        assert_eq!(t(fill + 1, end), "line_too_long");
    }
    // `raw` is truncated at 4096 bytes, inside a two-byte character.
    let line = format!("a{}", "é".repeat(600_000));
    let r = rejects(format!("{H}{line}\n").as_bytes());
    assert_eq!(r, format!("a.csv,2,39,line_too_long,a{}\\xc3\n", "é".repeat(2047)));
}

#[test]
fn raw_text() {
    let mut log = H.as_bytes().to_vec();
    log.extend(b"a\\b\xff\xC3(\xED\xA0\x80\n\xe9,\"\n");
    assert_eq!(
        rejects(&log),
        "a.csv,2,39,invalid_utf8,a\\\\b\\xff\\xc3(\\xed\\xa0\\x80\na.csv,3,49,invalid_utf8,\"\\xe9,\"\"\"\n"
    );
}

#[test]
fn bom_blank_lines_offsets() {
    let log = format!("\u{feff}\r\n \t\n{H}\nbad\nu,s9,2025-01-01T00:00:00Z,1\r\nworse\r\n");
    // Line 1 has 5 bytes (BOM and CRLF), line 2 has 3, the header has 39, and line 4 has 1 (LF). `bad`
    // therefore starts at byte 48, in line 5. Lines 5 and 6 have 4 and 29 bytes, so line 7 starts at byte 81.
    let o = run(log.as_bytes(), &Settings::default());
    assert_eq!(body(&o, "_rejects"), "a.csv,5,48,field_count,bad\na.csv,7,81,field_count,worse\n");
    assert_eq!((o.plays, o.unmatched), (1, 1));
    // The header repeats, without the BOM and with CRLF.
    let log = format!("\u{feff}{H}{}\r\n", H.trim());
    assert_eq!(reason(log.as_bytes()), "");
    assert_eq!(rejects("\u{feff}a;b\n".as_bytes()), "a.csv,1,0,wrong_delimiter,a;b\n");
    for empty in ["", "\n\n", "\u{feff}", " ", "\r", "\r\n \t"] {
        assert_eq!(reason(empty.as_bytes()), "", "{empty:?}");
    }
}

#[test]
fn whole_files() {
    for (log, want) in [
        (&b"\x89PNG\r\n"[..], "a.csv,1,0,not_csv,\"\\x89PNG\r\"\n"),
        (b"\x1f\x8b", "a.csv,1,0,not_csv,\x1f\\x8b\n"),
        (b"a\0b\n", "a.csv,1,0,not_csv,a\0b\n"),
        (b"a,b\rc,d", "a.csv,1,0,no_newline,\"a,b\rc,d\"\n"),
        (b"\n\nuser_id,\xff\n", "a.csv,3,2,invalid_utf8,\"user_id,\\xff\"\n"),
        (b"user_id\r,song_id\n", "a.csv,1,0,bare_cr,\"user_id\r,song_id\"\n"),
        (b"\"a\"b\n", "a.csv,1,0,bad_quote,\"\"\"a\"\"b\"\n"),
        (b"\"a\n", "a.csv,1,0,unclosed_quote,\"\"\"a\"\n"),
        (b"a,a\n", "a.csv,1,0,missing_header,\"a,a\"\n"),
        (b"user_id,user_id\n", "a.csv,1,0,duplicate_column,\"user_id,user_id\"\n"),
        (b"x,User ID,user-id\n", "a.csv,1,0,duplicate_column,\"x,User ID,user-id\"\n"),
        (b"user_id;b\nx\n", "a.csv,1,0,wrong_delimiter,user_id;b\n"),
        (b"song_id|b", "a.csv,1,0,wrong_delimiter,song_id|b\n"),
        (b"a\tb", "a.csv,1,0,wrong_delimiter,a\tb\n"),
        (b"a;b,c\n", "a.csv,1,0,missing_header,\"a;b,c\"\n"),
        (b"User_id,x\n", "a.csv,1,0,missing_column,\"User_id,x\"\n"),
        (b"User.id,x\n", "a.csv,1,0,missing_header,\"User.id,x\"\n"),
        (b"user_id\n", "a.csv,1,0,missing_column,user_id\n"),
    ] {
        assert_eq!(rejects(log), want);
    }
    let o = run(b"song_id,song_id\n1\n2\n", &Settings::default());
    assert_eq!(o.rejected.into_iter().collect::<Vec<_>>(), [("duplicate_column".to_string(), 1)]);
    // An LF at index 65535 lies in the first 64 KiB. An LF at index 65536 does not.
    let t = |n: usize, tail: &str| reason(format!("{}{tail}", "x".repeat(n)).as_bytes());
    assert_eq!(t(65535, "\nab"), "missing_header");
    assert_eq!(t(65536, "\nab"), "no_newline");
    assert_eq!(t(65536, ""), "missing_header"); // The file has exactly 64 KiB and no CR.
    assert_eq!(t(65535, "\r"), "missing_header");
    assert_eq!(t(65537, ""), "no_newline");
    // The file has only a header, ended by a CR without an LF.
    assert_eq!(reason(format!("{}\r", H.trim()).as_bytes()), "");
}

#[test]
fn columns_anywhere() {
    let o = run(
        b"x,duration_sec,\"song_id\",y,timestamp,user_id\n,1.5,s3,,2025-03-21T10:00,u\n",
        &Settings::default(),
    );
    assert_eq!(body(&o, "enriched_logs"), "s3,u,2025-03-21T10:00:00Z,1.5,\"T,3\",A,Pop,happy\n");
}

#[test]
fn relaxed_names_and_unnamed_columns() {
    let one = "s1,u,2025-03-21T10:00:00Z,1,T1,A,Rock,Sad\n";
    for (log, rejected) in [
        // An exact name wins. Columns that are not wanted may have the same name.
        ("User ID,user_id,x,x,SongID, TIME-stamp_ ,Duration Sec\nv,u,,,s1,2025-03-21T10:00,1\n", ""),
        // The last two columns have no names, so a row may have four to six fields, and empty ones after them.
        ("user_id,song_id,timestamp,duration_sec,, \nu,s1,2025-03-21T10:00,1\n", ""),
        ("user_id,song_id,timestamp,duration_sec,, \nu,s1,2025-03-21T10:00,1,x\n", ""),
        ("user_id,song_id,timestamp,duration_sec,, \nu,s1,2025-03-21T10:00,1,x,y,,\n", ""),
        ("user_id,song_id,timestamp,duration_sec,, \nu,s1,2025-03-21T10:00,1\nu,s1,x\n", "3,field_count"),
        // A named column after an unnamed one is not optional.
        (
            "user_id,song_id,timestamp,duration_sec,,x\nu,s1,2025-03-21T10:00,1,,\nu,s1,2025-03-21T10:00,1,\n",
            "3,field_count",
        ),
    ] {
        let o = run(log.as_bytes(), &Settings::default());
        assert_eq!(body(&o, "enriched_logs"), one, "{log}");
        let found: Vec<String> = body(&o, "_rejects")
            .lines()
            .map(|line| line.split(',').collect::<Vec<_>>())
            .map(|cells| format!("{},{}", cells[1], cells[3]))
            .collect();
        assert_eq!(found.join(";"), rejected, "{log}");
    }
}

#[test]
fn dialects() {
    let columns = |names: [&str; 4]| -> Vec<(&'static str, String)> {
        Dialect::of_logs()
            .columns
            .iter()
            .zip(names)
            .map(|((field, _), name)| (*field, name.to_string()))
            .collect()
    };
    let one = "s1,u,2025-03-21T10:00:00Z,1.5,T1,A,Rock,Sad\n";
    let logs = Dialect::of_logs();
    for (dialect, name, log) in [
        (
            Dialect { delimiter: ';', decimal: ',', ..logs.clone() },
            "a.csv",
            &b"user_id;song_id;timestamp;duration_sec\nu;s1;2025-03-21T10:00;1,5\n"[..],
        ),
        (logs.clone(), "a.TSV", b"user_id\tsong_id\ttimestamp\tduration_sec\nu\ts1\t2025-03-21T10:00\t1.5\n"),
        (
            Dialect { header: "none".into(), columns: columns(["#2", "#1", "#5", "#4"]), ..logs.clone() },
            "a.csv",
            b"s1,u,,1.5,2025-03-21T10:00,more\n",
        ),
        (
            Dialect {
                header: "l,u,s,t".into(),
                columns: columns(["u", "S", "t", "#1"]),
                duration: "ms".into(),
                timestamp: "unix_s".into(),
                ..logs.clone()
            },
            "a.csv",
            b"\xef\xbb\xbfl,u,s,t\n1499.5,u,s1,1742551200\nl,u,s,t\n",
        ),
        (
            Dialect { timestamp: "%d.%m.%Y %H:%M Uhr %z".into(), quoting: false, ..logs.clone() },
            "a.csv",
            b"user_id,song_id,timestamp,duration_sec\nu,s1,21.03.2025 12:00 Uhr +0200,1.5\n",
        ),
    ] {
        let s = Settings { input: dialect.clone(), ..Settings::default() };
        let o = replay(&[(name.into(), log.to_vec())], &("c".into(), C.into()), &s);
        assert_eq!(body(&o, "enriched_logs"), one, "{dialect:?}");
        assert_eq!(body(&o, "_rejects"), "", "{dialect:?}");
    }
    let text = "\u{feff}user_id,song_id,timestamp,duration_sec\nü,s1,2025-03-21T10:00,1\nbad\n";
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let western = b"user_id,song_id,timestamp,duration_sec\n\xfc,s1,2025-03-21T10:00,1\nbad\n";
    let s = Settings { input: Dialect { encoding: "windows-1252".into(), ..logs }, ..Settings::default() };
    for (log, offset) in [(&utf16[..], 64), (western, 63)] {
        let o = run(log, &s);
        assert_eq!(body(&o, "enriched_logs"), "s1,ü,2025-03-21T10:00:00Z,1,T1,A,Rock,Sad\n");
        assert_eq!(body(&o, "_rejects"), format!("a.csv,3,{offset},field_count,bad\n"));
    }
    let u = |format: &str, text: &str| {
        parse_timestamp_in(format, text, Tz::UTC).map(|at| (at.seconds, at.nanoseconds))
    };
    assert_eq!(u("unix_s", "1.5"), Ok((1, 500_000_000)));
    assert_eq!(u("unix_ms", "1500.25"), Ok((1, 500_250_000)));
    assert_eq!(u("unix_us", "1500000.001"), Ok((1, 500_000_001)));
    for (format, bad) in [
        ("unix_s", "1.1234567890"),
        ("unix_ms", "1.1234567"),
        ("unix_us", "1.1234"),
        ("unix_s", "+1"),
        ("unix_s", "1."),
        ("unix_s", ""),
    ] {
        assert_eq!(u(format, bad), Err("bad_timestamp"), "{format} {bad}");
    }
    assert_eq!(u("unix_s", "99999999999999999999999999999999999999999"), Err("timestamp_range"));
    assert_eq!(u("%Y%m%d", "20250321"), Ok((1_742_515_200, 0)));
}

#[test]
fn line_ends_in_the_catalog() {
    let read = |rows: &str| {
        let text = format!("song_id,title,artist,genre,mood\n{rows}");
        let (songs, rejects) = read_catalog("c", text.as_bytes(), &Dialect::of_catalog());
        let songs: Vec<_> =
            songs.into_iter().map(|(id, s)| [id, s.title, s.artist, s.genre, s.mood].join("|")).collect();
        let rejects: Vec<_> = rejects.iter().map(|r| (r.line, r.byte_offset, r.reason)).collect();
        (songs, rejects)
    };
    let (songs, rejects) = read("\"a\nb\",\"x\r\n\n\",\"\",\"\r\",\" Sad\n\",,\r\nc,\"\n\",,\n,1,,,\n");
    assert_eq!(songs, ["a\nb|x  || | Sad "]);
    assert_eq!(rejects, [(7, 63, "field_count"), (8, 67, "unclosed_quote"), (9, 71, "empty_field")]);
    // The quote of the first line is never closed, or does not end its field.
    for rows in ["a,\"x,,,\nb,y,,,\n", "a,\"x,,,\nb,\"y\",,,\n"] {
        let (songs, rejects) = read(rows);
        assert_eq!((songs, rejects), (vec!["b|y|||".to_string()], vec![(2, 32, "unclosed_quote")]));
    }
    let (songs, rejects) = read(",\"x\n\",,,\n");
    assert_eq!((songs, rejects), (vec![], vec![(2, 32, "empty_field"), (3, 36, "unclosed_quote")]));
    assert!(read("song_id,title,artist,genre,mood\n").0.is_empty());
    let (songs, _) = read_catalog(
        "c.tsv",
        b"song_id\ttitle\tartist\tgenre\tMood\ns\t\t\t\t happy\t\t\n",
        &Dialect::of_catalog(),
    );
    assert!(songs["s"].has_mood("Happy") && songs["s"].mood == " happy");
}

#[test]
fn bad_line_limit() {
    let s = Settings { max_bad_lines: Some(2), ..Settings::default() };
    let log = format!("{H}x\nu,s1,2025-01-01 00:00,1\n{H}y\nu,s1,2025-01-01 00:00,1\n");
    let o = run(log.as_bytes(), &s);
    assert_eq!(
        body(&o, "_rejects"),
        "a.csv,2,39,field_count,x\na.csv,5,104,field_count,y\na.csv,5,104,too_many_bad_lines,y\n"
    );
    assert_eq!(o.plays, 1);
    assert_eq!((o.rejected["field_count"], o.rejected["too_many_bad_lines"]), (2, 1));
}

#[test]
fn timestamps() {
    let p = |t: &str| parse_timestamp(t, Tz::UTC);
    let at = |s, n| Ok(Instant { seconds: s, nanoseconds: n });
    assert_eq!(p("1970-01-01 00:00"), at(0, 0));
    assert_eq!(p("1970-01-01T00:00:01.5"), at(1, 500_000_000));
    assert_eq!(p("1970-01-01T00:00:01.000000001Z"), at(1, 1));
    assert_eq!(p("1970-01-01 00:00+00:00"), at(0, 0));
    assert_eq!(p("1970-01-01 00:00-23:59"), at(86340, 0));
    assert_eq!(p("1970-01-02T00:00:00.25+01:30"), at(86400 - 5400, 250_000_000));
    assert_eq!(p("2024-02-29 00:00:59Z"), at(1_709_164_859, 0));
    assert!(p("0000-02-29 00:00").is_ok());
    for zero in ["Z", " Z", "UTC", " UTC", "+00:00", "-0000", " +00", "-00"] {
        assert_eq!(p(&format!("1970-01-01 00:00{zero}")), at(0, 0), "{zero}");
    }
    for hour in ["-01:00", "-0100", "-01", " -01", " -0100"] {
        assert_eq!(p(&format!("1970-01-01 00:00:00.5{hour}")), at(3600, 500_000_000), "{hour}");
    }
    for bad in [
        "",
        "2025-01-01",
        "2025-01-01 0:00",
        "2025-01-01  00:00",
        "2025-01-01t00:00",
        "2025-01-01 00:00z",
        "2025-01-01 00:00:00.",
        "2025-01-01 00:00:00.1234567890",
        "2025-01-01 00:00.5",
        "2025-01-01 24:00",
        "2025-01-01 00:60",
        "2025-01-01 23:59:60",
        "2025-02-29 00:00",
        "2025-13-01 00:00",
        "2025-00-01 00:00",
        "2025-01-00 00:00",
        "2025-01-01 00:00+24:00",
        "2025-01-01 00:00+23:60",
        "2025-01-01 00:00Z ",
        "2025-01-01 00:00  Z",
        "2025-01-01 00:00 ",
        "2025-01-01 00:00utc",
        "2025-01-01 00:00UT",
        "2025-01-01 00:00+010",
        "2025-01-01 00:00+01:",
        "2025-01-01 00:00+1",
        "2025-01-01 00:00+2400",
        "2025-01-01 00:00+01:0",
        "2025-01-01 00:00 +01 ",
        " 2025-01-01 00:00",
        "2025/01/01 00:00",
        "2025-01-01 00:00−01:00",
        "２025-01-01 00:00",
        "+2025-01-01 00:00",
        "12025-01-01 00:00",
        "2025-01-01 00:00:",
        "2025-01-01 00:00:0",
        "2025-01-01 00:00:00,5",
        "2025-01-01 00:00ZZ",
        "1735689600",
        "2025-01-01 00:00:00.5.5",
        "2025-01-01 00:00:00.Z",
    ] {
        assert_eq!(p(bad), Err("bad_timestamp"), "{bad}");
    }
    // In Berlin, clocks skip 2025-03-30 02:00..03:00, and repeat 2025-10-26 02:00..03:00.
    let b = |t: &str| parse_timestamp(t, Tz::Europe__Berlin);
    assert_eq!(b("2025-03-30 01:59:59.9"), at(1_743_296_399, 900_000_000));
    assert_eq!(b("2025-03-30 02:00"), Err("dst_gap"));
    assert_eq!(b("2025-03-30 02:59:59.999"), Err("dst_gap"));
    assert_eq!(b("2025-03-30 03:00"), at(1_743_296_400, 0));
    assert_eq!(b("2025-03-30 02:30Z"), at(1_743_301_800, 0));
    assert_eq!(b("2025-10-26 02:30"), b("2025-10-26 02:30+02:00"));
    assert_eq!(b("2025-10-26 03:00"), b("2025-10-26 03:00+01:00"));
    // Samoa skipped the whole day 2011-12-30.
    assert_eq!(parse_timestamp("2011-12-30 12:00", Tz::Pacific__Apia), Err("dst_gap"));
    // Lord Howe changes its clocks by half an hour.
    assert_eq!(parse_timestamp("2025-10-05 02:15", Tz::Australia__Lord_Howe), Err("dst_gap"));
}

#[test]
fn timestamps_printed() {
    let f = |t: &str, z: Tz| format_timestamp(parse_timestamp(t, z).unwrap(), z);
    assert_eq!(f("2025-03-21 01:09", Tz::UTC), "2025-03-21T01:09:00Z");
    assert_eq!(f("2025-03-21 01:09:00.250", Tz::Europe__Berlin), "2025-03-21T01:09:00.25+01:00");
    assert_eq!(f("2025-07-21 01:09:07.000000001", Tz::Europe__London), "2025-07-21T01:09:07.000000001+01:00");
    assert_eq!(f("2025-01-21 01:09", Tz::Europe__London), "2025-01-21T01:09:00Z");
    assert_eq!(f("2025-01-21 01:09", Tz::Asia__Kathmandu), "2025-01-21T01:09:00+05:45");
    assert_eq!(f("2025-01-21 01:09", Tz::America__St_Johns), "2025-01-21T01:09:00-03:30");
    assert_eq!(f("1971-01-01 00:00:00Z", Tz::Africa__Monrovia), "1970-12-31T23:15:30-00:44");
}

#[test]
fn ranges() {
    assert_eq!(row("u,s,1970-01-01 00:00:00,1"), "");
    assert_eq!(row("u,s,1969-12-31 23:59:59.999999999,1"), "timestamp_range");
    assert_eq!(row("u,s,1970-01-01 00:59+01:00,1"), "timestamp_range");
    assert_eq!(row("u,s,2026-11-25 00:00:00,1"), "");
    assert_eq!(row("u,s,2026-11-25 00:00:00.000000001,1"), "timestamp_range");
    assert_eq!(row("u,s,9999-12-31 23:59:59-23:59,1"), "timestamp_range");
    assert_eq!(row("u,s,0000-01-01 00:00+23:59,1"), "timestamp_range");
}

#[test]
fn durations() {
    for (t, want) in [
        ("0", Ok(0)),
        ("007", Ok(7000)),
        ("1.5", Ok(1500)),
        ("1.05", Ok(1050)),
        ("1.005", Ok(1005)),
        ("86400", Ok(86_400_000)),
        ("86400.000", Ok(86_400_000)),
        ("86400.001", Err("duration_range")),
        ("86401", Err("duration_range")),
        ("18446744073709551615", Err("duration_range")),
        ("18446744073709551616", Err("overflow")),
        ("00000000000000000000000000000001", Ok(1000)),
        ("-1", Err("negative_duration")),
        ("-0.5", Err("negative_duration")),
        ("-99999999999999999999999", Err("negative_duration")),
        ("-", Err("bad_number")),
        ("--1", Err("bad_number")),
        ("-x", Err("bad_number")),
        ("", Err("bad_number")),
        ("+1", Err("bad_number")),
        ("1.", Err("bad_number")),
        (".5", Err("bad_number")),
        ("1.0000", Ok(1000)),
        ("1.2344999", Ok(1234)),
        ("1.00049999", Ok(1000)),
        ("1.2345", Ok(1235)),
        ("1.9995", Ok(2000)),
        ("86400.0004", Ok(86_400_000)),
        ("86400.0005", Err("duration_range")),
        ("1e3", Err("bad_number")),
        (" 1", Err("bad_number")),
        ("NaN", Err("bad_number")),
        ("0x10", Err("bad_number")),
        ("1,2", Err("bad_number")),
        ("1.2.3", Err("bad_number")),
        ("١", Err("bad_number")),
        ("99999999999999999999.1234", Err("overflow")),
    ] {
        assert_eq!(parse_duration(t, &Dialect::of_logs()), want, "{t}");
    }
    assert_eq!([0, 250, 1000, 1050, 150_000].map(format_duration), ["0", "0.25", "1", "1.05", "150"]);
}

#[test]
fn decimals() {
    for (n, d, k, want) in [
        (1808, 10, 2, "180.8"),
        (20857, 100, 2, "208.57"),
        (150, 1, 2, "150.0"),
        (1, 200, 2, "0.01"),
        (1, 201, 2, "0.0"),
        (999, 1000, 2, "1.0"),
        (5, 2, 0, "3.0"),
        (1, 3, 4, "0.3333"),
        (2, 3, 4, "0.6667"),
        (1004, 1000, 2, "1.0"),
        (1005, 1000, 2, "1.01"),
        (10, 1, 0, "10.0"),
    ] {
        assert_eq!(decimal_ratio(n, d, k), want);
    }
    assert_eq!(
        [0, ONE, 800_000_000, 850_000_000, 1, 100_000_000].map(format_fraction),
        ["0", "1", "0.8", "0.85", "0.000000001", "0.1"]
    );
}

#[test]
fn insights_small() {
    // User a: two plays of s1 (Sad), one of s2 (Happy, no genre), one of s9 (unmatched). User b: one Pop
    // play. User c: one unmatched play at night.
    let log = format!(
        "{H}a,s1,2025-01-05 23:59:59.9,10\na,s1,2025-01-06 05:00,11\na,s2,2025-01-06 04:59:59.999,1\n\
         a,s9,2025-01-06 12:00,2\nb,s3,2025-01-12 23:59:59.999,0.005\nc,s9,2025-01-07 00:00,3\n"
    );
    let o = run(log.as_bytes(), &Settings::default());
    assert_eq!((o.plays, o.unmatched), (6, 2));
    assert_eq!(body(&o, "user_favorite_genres"), "a,Rock,2\nb,Pop,1\n");
    assert_eq!(body(&o, "avg_listen_time_per_song"), "s1,10.5\ns2,1.0\ns3,0.01\ns9,2.5\n");
    // Week 2 is 6 to 12 January. The play of s1 on 5 January belongs to week 1.
    assert_eq!(body(&o, "top_songs_this_week"), "s9,2\ns1,1\ns2,1\ns3,1\n");
    assert_eq!(body(&o, "happy_recommendations"), "a,s3,2,\"T,3\"\n");
    assert_eq!(
        file(&o, "genre_loyalty_scores"),
        "user_id,genre,genre_plays,total_plays,loyalty_score\na,Rock,2,2,1.0\nb,Pop,1,1,1.0\n"
    );
    assert_eq!(body(&o, "night_owl_users"), "a\nc\n");

    let s = |f: fn(&mut Settings)| {
        let mut s = Settings::default();
        f(&mut s);
        run(log.as_bytes(), &s)
    };
    let o = s(|s| s.threshold = ONE);
    assert_eq!(
        file(&o, "genre_loyalty_scores"),
        "message\nNo users found with genre loyalty score above 1.\n"
    );
    assert_eq!(body(&s(|s| s.week = Week::Named(2025, 1)), "top_songs_this_week"), "s1,1\n");
    assert_eq!(body(&s(|s| s.week = Week::Current), "top_songs_this_week"), "");
    assert_eq!(body(&s(|s| s.top_limit = 1), "top_songs_this_week"), "s9,2\n");
    // Two of three matched plays are Sad.
    assert_eq!(body(&s(|s| s.min_sad_share = 666_666_666), "happy_recommendations"), "a,s3,2,\"T,3\"\n");
    assert_eq!(body(&s(|s| s.min_sad_share = 666_666_667), "happy_recommendations"), "");
    assert_eq!(body(&s(|s| s.min_sad_plays = 3), "happy_recommendations"), "");
    // Nights that include midnight: a and b play at 23:59:59, c plays at 00:00.
    assert_eq!(
        body(
            &s(|s| {
                s.night_from = 23 * 60;
                s.night_to = 1
            }),
            "night_owl_users"
        ),
        "a\nb\nc\n"
    );
    assert_eq!(
        body(
            &s(|s| {
                s.night_from = 1439;
                s.night_to = 0
            }),
            "night_owl_users"
        ),
        "a\nb\n"
    );
    // In Berlin, timestamps without an offset are local times, so only the printed offsets differ.
    let o = s(|s| s.timezone = Tz::Europe__Berlin);
    assert!(body(&o, "enriched_logs").starts_with("s1,a,2025-01-05T23:59:59.9+01:00,10,T1,A,Rock,Sad\n"));
    // One row per part.
    let o = s(|s| s.roll_bytes = 1);
    assert_eq!(o.files.keys().filter(|k| k.starts_with("enriched_logs/")).count(), 4);
    let full = file(&s(|_| ()), "enriched_logs");
    let mut st = Settings { roll_bytes: full.len() as u64, ..Settings::default() };
    assert!(!run(log.as_bytes(), &st).files.contains_key("enriched_logs/part-00001.csv"));
    st.roll_bytes -= 1;
    let o = run(log.as_bytes(), &st);
    assert_eq!(String::from_utf8_lossy(&o.files["enriched_logs/part-00001.csv"]).lines().count(), 2);
}

#[test]
fn dominance_and_ranks() {
    let c = "song_id,title,artist,genre,mood\ns,,,g,sAd\nx,,,h,\ne1,,,h,Calm\ne2,,,h,CALM\nh1,,,,Happy\nh2,,,,Happy\nh3,,,,Happy\nh4,,,,Happy\n";
    let mut log = H.to_string();
    for (u, s) in [
        ("u", "s"),
        ("u", "e1"),
        ("u", "x"),
        ("u", "x"),
        ("v", "s"),
        ("v", "e1"),
        ("v", "e2"),
        ("z", "h4"),
        ("z", "h4"),
        ("z", "h3"),
        ("u", "h3"),
    ] {
        log += &format!("{u},{s},2025-01-01 00:00,1\n");
    }
    let go = |s: &Settings| {
        body(
            &replay(&[("l".into(), log.clone().into())], &("c".into(), c.into()), s),
            "happy_recommendations",
        )
    };
    assert_eq!(go(&Settings::default()), "u,h4,1,\nu,h1,1,\nu,h2,1,\nv,h3,1,\nv,h4,1,\nv,h1,1,\n");
    // User u has 1 Sad play, 1 Calm play, 1 Happy play and 2 plays without a mood, and is included. User v
    // has 2 Calm plays and only 1 Sad play, and is excluded.
    assert_eq!(go(&Settings { dominant: true, ..Settings::default() }), "u,h4,1,\nu,h1,1,\nu,h2,1,\n");
    let s = Settings::default();
    let o = replay(&[("l".into(), log.clone().into())], &("c".into(), c.into()), &s);
    // User u has 1 play of genre g and 3 of h, so the score is 0.75. User v has 1 of g and 2 of h.
    assert_eq!(file(&o, "genre_loyalty_scores").lines().next(), Some("message"));
    let o = replay(
        &[("l".into(), log.into())],
        &("c".into(), c.into()),
        &Settings { threshold: 250_000_000, ..s },
    );
    assert_eq!(body(&o, "genre_loyalty_scores"), "u,h,3,4,0.75\nv,g,1,3,0.3333\nv,h,2,3,0.6667\n");
    assert_eq!(body(&o, "user_favorite_genres"), "u,h,3\nv,h,2\n");
}

#[test]
fn ties_and_catalog() {
    let c = "mood,genre,song_id,title,artist\nSad,B,s1,old,\n,A,s2,,\n,,,x,y\nbad\n\"mood\",genre,s1,new,\nmood,genre,song_id,title,artist\n,B,s1,newest,\n\n,,,,\n";
    let log = format!("{H}u,s1,2025-01-01 00:00,1\nu,s2,2025-01-01 00:00,1\n");
    let logs = [("l".to_string(), log.into_bytes())];
    let o = replay(&logs, &("c".into(), c.into()), &Settings::default());
    assert_eq!(body(&o, "user_favorite_genres"), "u,A,1\nu,B,1\n");
    assert_eq!(body(&o, "_rejects"), "c,4,54,empty_field,\",,,x,y\"\nc,5,61,field_count,bad\n");
    let o = replay(&logs, &("c".into(), c.into()), &Settings { ties_first: true, ..Settings::default() });
    assert_eq!(body(&o, "user_favorite_genres"), "u,A,1\n");
}

#[test]
#[should_panic(expected = "missing_column")]
fn broken_catalog() {
    let _ = replay(&[], &("c".into(), "song_id,title\n".into()), &Settings::default());
}

#[test]
fn nothing() {
    let o = replay(&[], &("c".into(), C.into()), &Settings::default());
    assert_eq!(o.files.len(), 8);
    for (name, text) in &o.files {
        let lines = text.iter().filter(|b| **b == b'\n').count();
        assert_eq!(lines, 1 + usize::from(name.starts_with("genre_loyalty")), "{name}");
    }
}

/// Zones with all kinds of offset changes: by an hour, half an hour, a day or some seconds, and for Ramadan.
const ZONES: [Tz; 8] = [
    Tz::Europe__Berlin,
    Tz::Europe__London,
    Tz::America__St_Johns,
    Tz::Australia__Lord_Howe,
    Tz::Pacific__Apia,
    Tz::Africa__Monrovia,
    Tz::Africa__Casablanca,
    Tz::Asia__Tehran,
];

/// The reference tries all offsets to find a local time. The result agrees with chrono around every offset
/// change since 1970. With `LONG_TESTS=1`, the test covers all zones.
#[test]
fn local_times_against_chrono() {
    use chrono::{Duration, MappedLocalTime, NaiveDate, Offset, TimeZone};
    let mut differ = std::collections::BTreeMap::new();
    let (mut checked, mut gaps, mut twice) = (0_u64, 0_u64, 0_u64);
    let long = std::env::var("LONG_TESTS").is_ok_and(|value| value == "1");
    let zones = if long { chrono_tz::TZ_VARIANTS.to_vec() } else { ZONES.to_vec() };
    for tz in zones {
        let start = NaiveDate::from_ymd_opt(1969, 12, 30).unwrap().and_hms_opt(0, 0, 0).unwrap();
        let off = |n| tz.offset_from_utc_datetime(&n).fix().local_minus_utc();
        let mut day = start;
        for _ in 0..(58 * 365) {
            let next = day + Duration::days(1);
            if off(day) != off(next) {
                for step in (-26 * 4)..(26 * 4 + 96) {
                    for extra in [0, 1, 899] {
                        let local = day + Duration::minutes(step * 15) + Duration::seconds(extra);
                        let mine = parse_timestamp(&local.format("%Y-%m-%d %H:%M:%S").to_string(), tz);
                        let theirs = match tz.from_local_datetime(&local) {
                            MappedLocalTime::None => {
                                gaps += 1;
                                Err("dst_gap")
                            }
                            MappedLocalTime::Single(t) => Ok(t.timestamp()),
                            MappedLocalTime::Ambiguous(a, b) => {
                                twice += 1;
                                Ok(a.timestamp().min(b.timestamp()))
                            }
                        };
                        checked += 1;
                        if mine.map(|i| i.seconds) != theirs {
                            differ.entry(tz.name()).or_insert_with(Vec::new).push((local, mine, theirs));
                        }
                    }
                }
            }
            day = next;
        }
    }
    assert!(checked > 1000 && gaps > 100 && twice > 100, "checked {checked}, gaps {gaps}, twice {twice}");
    assert!(differ.is_empty(), "{differ:?}");
}
