//! Logs with other delimiters give the same output as logs with commas.

use crate::daemon::{CATALOG_HEADER, LOG_HEADER, Place, stderr};

const SONGS: &str = "s1,\"One, two\",A,Rock,Sad\ns2,Two,\"B;|\tb\",Pop,Happy\n";
const ROWS: &str = "u1,s1,2025-03-21 01:09:00,150\n\"u,2\",s2,2025-03-21 12:00:00,7.5\n\"u;|\t3\",s2,2025-03-22 01:09:00,10\n";

/// Replaces the commas between fields by a different delimiter. Quotes the fields that contain this
/// delimiter.
fn with_delimiter(delimiter: char, text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let (mut field, mut fields, mut quoted) = (String::new(), Vec::new(), false);
        for char in line.chars() {
            match char {
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(std::mem::take(&mut field)),
                other => field.push(other),
            }
        }
        fields.push(field);
        let cell =
            |field: &String| if field.contains(delimiter) { format!("\"{field}\"") } else { field.clone() };
        let cells: Vec<String> = fields.iter().map(cell).collect();
        out += &(cells.join(&delimiter.to_string()) + "\n");
    }
    out
}

fn published(place: &Place) -> Vec<(String, String)> {
    place.files("output").into_iter().filter(|(name, _)| name != "_manifest.json").collect()
}

fn place_for(delimiter: char) -> Place {
    let place = Place::new("");
    place.write("data/songs_metadata.csv", &with_delimiter(delimiter, &format!("{CATALOG_HEADER}{SONGS}")));
    place.write("data/incoming/a.csv", &with_delimiter(delimiter, &format!("{LOG_HEADER}{ROWS}")));
    place
}

#[test]
fn the_output_is_the_same_for_all_delimiters() {
    let commas = place_for(',');
    commas.done(&["replay"]);
    let expected = published(&commas);
    assert!(
        expected.iter().any(|(name, text)| name.starts_with("enriched_logs") && text.lines().count() == 4)
    );
    for (delimiter, named) in [(';', ";"), ('|', "|"), ('\t', "tab"), ('\t', "\\t"), ('\x1f', "\x1f")] {
        let place = place_for(delimiter);
        place.done(&["replay", "--delimiter", named]);
        assert_eq!(published(&place), expected, "{named}");
        place.done(&["verify", "--delimiter", named]);
        place.write(
            "music-insights.toml",
            &format!("[input]\ndelimiter = {named:?}\n").replace("\\u{1f}", "\\u001f"),
        );
        place.done(&["replay"]);
        assert_eq!(published(&place), expected, "{named}");
        place.done(&["check"]);
    }
}

#[test]
fn watch_refuses_a_delimiter_that_differs_from_its_state() {
    let place = place_for(';');
    let watch = |more: &[&str]| place.run(&[&["watch", "--once", "--http", "off"], more].concat());
    assert!(watch(&["--delimiter", ";"]).status.success());
    place.append("data/incoming/a.csv", "u4;s1;2025-03-21 01:09:00;1\nu5,s1\n");
    let catalog = place.read("data/songs_metadata.csv");
    place.write("data/songs_metadata.csv", &format!("{CATALOG_HEADER}{SONGS}"));
    let other = watch(&[]);
    assert_eq!(other.status.code(), Some(78));
    assert!(stderr(&other).contains("input.delimiter is ; in the state and , now"), "{}", stderr(&other));
    place.write("data/songs_metadata.csv", &catalog);
    assert!(watch(&["--delimiter", ";"]).status.success());
    assert_eq!(place.manifest("output").unwrap()["totals"]["rows"], 5);
    assert!(place.read("output/_rejects/part-00000.csv").ends_with(",field_count,\"u5,s1\"\n"));
    place.done(&["verify", "--delimiter", ";"]);
}

#[test]
fn a_message_names_the_delimiter_that_the_file_uses() {
    let place = Place::new("s1,One,A,Rock,Sad\n");
    for (line, message) in [
        (
            "user_id;song_id;timestamp;duration_sec",
            "separated by `;` instead of `,`; set input.delimiter = \";\"; if the catalog",
        ),
        ("user_id\tsong_id\ttimestamp\tduration_sec", "separated by `tab` instead of `,`"),
    ] {
        place.write("data/incoming/a.csv", &format!("{line}\n"));
        let output = place.run(&["watch", "--once"]);
        assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
        assert!(place.read("output/_rejects/part-00000.csv").contains("a.csv,1,0,wrong_delimiter,"));
    }
    // The program reports a wrong delimiter of the catalog in the same way, with the setting of the catalog.
    let output = place.run(&["replay", "--delimiter", ";"]);
    assert_eq!(output.status.code(), Some(65));
    let message = "separated by `,` instead of `;`; set catalog.delimiter = \",\"";
    assert!(stderr(&output).contains(message), "{}", stderr(&output));
    let output = place.run(&["replay", "--delimiter", "-"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(stderr(&output).contains("--delimiter"), "{}", stderr(&output));
}
