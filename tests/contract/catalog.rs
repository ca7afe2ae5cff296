//! Catalogs in dialects of their own.

use std::fs;
use std::io::Write;

use flate2::write::GzEncoder;

use crate::daemon::{LOG_HEADER, Place, stderr};

const ROWS: &str = "ann,a1,2025-04-02 08:00:00,61\nbea,b2,2025-04-02 09:30:00,62\n";
const PLAIN: &str = "a1,Old Oak,\"\"\"Al\"\" Moe\",Folk,Sad\nb2,\"Two \",Bo,Pop, Happy\n";

/// A place with a log, and with a catalog of two songs as plain CSV.
fn place() -> Place {
    let place = Place::new(PLAIN);
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{ROWS}"));
    place
}

/// The tables without manifest and rejects.
fn published(place: &Place) -> Vec<(String, String)> {
    place.files("output").into_iter().filter(|(name, _)| !name.starts_with('_')).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn the_same_songs_in_other_dialects_give_the_same_tables() {
    let plain = place();
    plain.done(&["replay"]);
    let expected = published(&plain);
    let header = "song_id,title,artist,genre,mood\n";
    let utf16 = |text: &str| -> Vec<u8> {
        format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
    };
    let text = format!("{header}{PLAIN}");
    for (name, bytes, settings) in [
        ("songs.csv.gz", gzip(&text), &[][..]),
        ("songs.csv.zst", zstd::encode_all(text.as_bytes(), 1).unwrap(), &[]),
        ("songs.csv", utf16(&text), &[]),
        ("songs.csv", text.replace("Old Oak", "\"Old\r\nOak\"").replace("\"Two \"", "\"Two\r\"").into(), &[]),
        (
            "SONGS.TSV",
            "Song ID\tTitle\tArtist\tGenre\tMood\na1\tOld Oak\t\"Al\" Moe\tFolk\tSad\nb2\tTwo \tBo\tPop\t Happy\n".into(),
            &["catalog.quoting=false"],
        ),
        (
            "songs.csv",
            "x;Sad;a1;Old Oak;\"Al\" Moe;Folk;more\n;;;\ny; Happy;b2;Two ;Bo;Pop\n".into(),
            &[
                "catalog.header=none",
                "catalog.delimiter=;",
                "catalog.quoting=false",
                "catalog.columns.song_id=#3",
                "catalog.columns.title=#4",
                "catalog.columns.artist=#5",
                "catalog.columns.genre=#6",
                "catalog.columns.mood=#2",
            ],
        ),
    ] {
        let place = place();
        fs::write(place.path(name), bytes).unwrap();
        let mut args = vec!["--songs", name];
        args.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        place.done(&[&["replay"], args.as_slice()].concat());
        assert_eq!(published(&place), expected, "{name} {settings:?}");
        assert_eq!(place.read("output/_rejects/part-00000.csv").lines().count(), 1, "{name} {settings:?}");
        fs::remove_dir_all(place.path("output")).unwrap();
        place.done(&[&["watch", "--once", "--http", "off"], args.as_slice()].concat());
        assert_eq!(published(&place), expected, "watch: {name} {settings:?}");
        place.done(&[&["verify"], args.as_slice()].concat());
    }
}

#[test]
fn a_changed_setting_is_a_changed_catalog() {
    let place = place();
    let watch = |settings: &[&str]| {
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let args: Vec<&str> = ["watch", "--once", "--http", "off"].into_iter().chain(settings).collect();
        place.done(&args);
        let manifest = place.manifest("output").unwrap();
        (manifest["epoch"].as_u64().unwrap(), manifest["catalog"]["fingerprint"].clone())
    };
    let genres = || place.read("output/user_favorite_genres/part-00000.csv");
    let first = watch(&[]);
    assert!(genres().ends_with("ann,Folk,1\nbea,Pop,1\n"));
    assert_eq!(watch(&[]), first);
    let swapped = ["catalog.columns.genre=artist", "catalog.columns.artist=genre"];
    let second = watch(&swapped);
    assert_ne!(second.1, first.1);
    assert!(second.0 > first.0);
    assert!(genres().contains("bea,Bo,1\n"));
    assert_eq!(watch(&swapped), second);
    assert_eq!(watch(&["catalog.columns.genre="]).0, second.0 + 1);
    assert_eq!(genres().lines().count(), 1);
    assert_eq!(watch(&[]).1, first.1);
    assert!(genres().ends_with("ann,Folk,1\nbea,Pop,1\n"));
}

#[test]
fn messages_name_the_setting_that_helps() {
    let place = place();
    let check = |name: &str, bytes: &[u8], settings: &[&str]| {
        fs::write(place.path(name), bytes).unwrap();
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let args: Vec<&str> = ["check", "--songs", name].into_iter().chain(settings).collect();
        let output = place.run(&args);
        (output.status.code(), stderr(&output))
    };
    let header = b"song_id,title,artist,genre,mood\n".as_slice();
    let (_, message) = check("q.csv", &[header, b"a1,\"The \\\"best\\\" one\",,,\n"].concat(), &[]);
    assert!(message.contains("q.csv:2: rejected: bad_quote"), "{message}");
    assert!(message.contains("catalog.quoting"), "{message}");
    let (_, message) = check("w.csv", &[header, b"a1,Caf\xe9,,,\n"].concat(), &[]);
    assert!(message.contains("w.csv:2: rejected: invalid_utf8"), "{message}");
    assert!(message.contains("catalog.encoding"), "{message}");
    let (_, message) =
        check("w.csv", &[header, b"a1,Caf\xe9,,,\n"].concat(), &["catalog.encoding=windows-1252"]);
    assert!(!message.contains("w.csv"), "{message}");
    let mut damaged = gzip("song_id,title,artist,genre,mood\n");
    damaged.pop();
    let (code, message) = check("d.csv.gz", &damaged, &[]);
    assert!(code != Some(0) && message.contains("d.csv.gz"), "{message}");
    assert!(message.contains("the file is truncated or damaged"), "{message}");
    for settings in [
        &["catalog.header=none"][..],
        &["catalog.header=song_id,title,artist,genre"],
        &["catalog.columns.song_id="],
        &["catalog.columns.mood=#0"],
        &["catalog.encoding=utf-16le"],
    ] {
        let (code, message) = check("q.csv", header, settings);
        assert_eq!(code, Some(78), "{settings:?}: {message}");
        assert!(message.contains("catalog."), "{settings:?}: {message}");
    }
}
