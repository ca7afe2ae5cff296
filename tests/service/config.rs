//! `config` prints the current settings, an example file and the schema. Other tests check the format of
//! messages.

use std::fs;
use std::path::Path;

use crate::daemon::{Place, stderr, stdout};
use regex::Regex;
use serde_json::Value;

fn committed(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn the_schema_and_the_example_are_up_to_date() {
    let place = Place::new("");
    for (flag, name) in
        [("--schema", "music-insights.schema.json"), ("--example", "music-insights.example.toml")]
    {
        let now = stdout(&place.done(&["config", flag]));
        assert_eq!(
            committed(name),
            now,
            "{name} is out of date; run `music-insights config {flag} > {name}`"
        );
    }
}

#[test]
fn the_example_contains_every_setting_with_its_default() {
    let place = Place::new("");
    let defaults = stdout(&place.done(&["config", "--json"]));
    let defaults: Value = serde_json::from_str(&defaults).unwrap();
    place.write("music-insights.toml", &committed("music-insights.example.toml"));
    let read: Value = serde_json::from_str(&stdout(&place.done(&["config", "--json"]))).unwrap();
    assert_eq!(read["settings"], defaults["settings"]);
    for (name, origin) in read["origins"].as_object().unwrap() {
        assert_eq!(defaults["origins"][name], "default");
        let origin = origin.as_str().unwrap();
        // In the example, a setting without a default is a comment.
        let without_default =
            ["threads", "http_token_file", "catalog.delimiter", "catalog.encoding", "catalog.quoting"];
        let is_set = !without_default.contains(&name.as_str());
        assert_eq!(
            origin.starts_with("music-insights.toml:"),
            is_set,
            "the value of {name} comes from {origin}"
        );
    }
}

#[test]
fn config_prints_a_valid_file_and_the_origins_of_its_values() {
    let place = Place::new("");
    place.write(
        "music-insights.toml",
        "songs = \"a # \\\"b\\\"\\n\\u007f.csv\"\n[insights]\ntop_songs_this_week.week = '2025-W13'\n\
         genre_loyalty_scores.threshold = 0.000000001\nenriched_logs.roll_bytes = '1 MiB'\n[input]\nwhen_done = 'archive'\n",
    );
    let args = ["config", "--timezone", "Europe/Berlin", "--set", "http=off", "--threads", "2"];
    let show = |args: &[&str]| {
        let mut command = place.command(args);
        stdout(&command.env("MUSIC_INSIGHTS_FLUSH_INTERVAL", "90s").output().unwrap())
    };
    let shown = show(&args);
    for line in [
        "output = \"output\"  # default",
        "timezone = \"Europe/Berlin\"  # --timezone",
        "http = \"off\"  # --set http",
        "flush_interval = \"90s\"  # MUSIC_INSIGHTS_FLUSH_INTERVAL",
        "threads = 2  # --threads",
        "week = \"2025-W13\"  # music-insights.toml:3",
        "threshold = 1e-9  # music-insights.toml:4",
        "roll_bytes = 1048576  # music-insights.toml:5",
        "when_done = \"archive\"  # music-insights.toml:7",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line:?} is missing in\n{shown}");
    }
    let before: Value = serde_json::from_str(&show(&[&args[..], &["--json"]].concat())).unwrap();
    place.write("music-insights.toml", &shown);
    let after: Value = serde_json::from_str(&stdout(&place.done(&["config", "--json"]))).unwrap();
    assert_eq!(before["settings"], after["settings"]);
    assert_eq!(after["settings"]["songs"], "a # \"b\"\n\u{7f}.csv");
}

/// Whether a schema accepts a value. Supports only the keywords in the schema of this program.
fn accepts(schema: &Value, value: &Value) -> bool {
    schema.as_object().unwrap().iter().all(|(keyword, rule)| match keyword.as_str() {
        "$schema" | "title" | "description" | "default" | "examples" => true,
        "type" => {
            let is = |kind: &Value| match kind.as_str().unwrap() {
                "object" => value.is_object(),
                "string" => value.is_string(),
                "array" => value.is_array(),
                "boolean" => value.is_boolean(),
                "number" => value.is_number(),
                "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
                kind => panic!("unknown type {kind}"),
            };
            rule.as_array().map_or_else(|| is(rule), |kinds| kinds.iter().any(is))
        }
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| accepts(rule, item))),
        "enum" => rule.as_array().unwrap().contains(value),
        "pattern" => {
            value.as_str().is_none_or(|text| Regex::new(rule.as_str().unwrap()).unwrap().is_match(text))
        }
        "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
        "minLength" => value.as_str().is_none_or(|text| text.len() as u64 >= rule.as_u64().unwrap()),
        "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
        "properties" => {
            let mut fields = value.as_object().into_iter().flatten();
            fields.all(|(key, value)| rule.get(key).is_none_or(|schema| accepts(schema, value)))
        }
        "additionalProperties" => {
            assert_eq!(*rule, false);
            let mut keys = value.as_object().into_iter().flatten().map(|(key, _)| key);
            keys.all(|key| schema["properties"].get(key).is_some())
        }
        keyword => panic!("unknown keyword {keyword}"),
    })
}

#[test]
fn the_schema_accepts_what_the_program_accepts() {
    let place = Place::new("");
    let schema: Value = serde_json::from_str(&committed("music-insights.schema.json")).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    for (text, sound) in [
        ("", true),
        ("songs = 'a.csv'\nthreads = 4\nhttp = 'off'", true),
        ("threads = '4'\nhttp = '[::1]:80'", true),
        ("threads = 0", false),
        ("threads = 1.5", false),
        ("threads = 'four'", false),
        ("flush_interval = '250ms'", true),
        ("flush_interval = 250", false),
        ("flush_interval = '1 s'", false),
        ("http = 'here'", false),
        ("http = true", false),
        ("[input]\nwhen_done = 'archive'\nmax_bad_lines = '7'", true),
        ("[input]\nwhen_done = 'burn'", false),
        ("[input]\nwhendone = 'keep'", false),
        ("input = 'x'", false),
        ("[input]\nnames = ['*.log']\n[input.columns]\nuser_id = '#2'", true),
        ("[input]\nnames = '*.log,*.csv'\nquoting = false\ntimestamp = '%d.%m.%Y'", true),
        ("[input]\ndecimal = ';'", false),
        ("[catalog]\ndelimiter = 'tab'\ncolumns.title = ''", true),
        ("[catalog]\ncolumns.song = 'x'", false),
        ("[logging]\nformat = 'json'\nlevel = 'debug'", true),
        ("[logging]\nlevel = 'trace'", false),
        ("[insights.genre_loyalty_scores]\nthreshold = 0.333333333\ndecimals = 18", true),
        ("[insights.genre_loyalty_scores]\nthreshold = '0.5'\nenabled = 'false'", true),
        ("[insights.genre_loyalty_scores]\nthreshold = 1", true),
        ("[insights.genre_loyalty_scores]\nthreshold = 1.5", false),
        ("[insights.genre_loyalty_scores]\nthreshold = '.5'", false),
        ("[insights.genre_loyalty_scores]\ndecimals = 19", false),
        ("[insights.genre_loyalty_scores]\nenabled = 'yes'", false),
        ("[insights.top_songs_this_week]\nweek = '2025-W13'\nlimit = 3", true),
        ("[insights.top_songs_this_week]\nlimit = -3", false),
        ("[insights.top_songs_this_week]\nweek = '2025-13'", false),
        ("[insights.night_owl_users]\nfrom = '23:59'\nmin_plays = 2", true),
        ("[insights.night_owl_users]\nfrom = '24:00'", false),
        ("[insights.happy_recommendations]\nmin_sad_plays = 0", false),
        ("[insights.enriched_logs]\nroll_bytes = '256 MiB'", true),
        ("[insights.enriched_logs]\nroll_bytes = '256 MB'", false),
        ("[insights.enriched_logs]\nroll_bytes = 0", false),
        ("[insights.nonsense]\nlimit = 3", false),
        ("limit = 3", false),
    ] {
        place.write("music-insights.toml", text);
        let loaded = place.run(&["config"]);
        assert_eq!(loaded.status.success(), sound, "{text}: {}", stderr(&loaded));
        let value = serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap();
        assert_eq!(accepts(&schema, &value), sound, "the schema and the program disagree about {text}");
    }
    let example: toml::Table = committed("music-insights.example.toml").parse().unwrap();
    assert!(accepts(&schema, &serde_json::to_value(example).unwrap()));
}

#[test]
fn every_command_uses_the_settings_for_messages() {
    let place = Place::new("s1,One,A,Rock,Sad\n");
    place.write("data/incoming/a.csv", "user_id,song_id,timestamp,duration_sec,more\n");
    place.write("broken.toml", "songz = 'a'\n");
    let lines = |args: &[&str]| -> Vec<Value> {
        let output = stderr(&place.run(args));
        output.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    };
    let output = lines(&["replay", "--log-format", "json"]);
    assert_eq!(output.len(), 1);
    assert_eq!(output[0]["level"], "warn");
    assert!(output[0]["message"].as_str().unwrap().contains("a.csv: unknown columns are ignored: more"));
    assert!(output[0]["timestamp"].as_str().unwrap().ends_with('Z'));
    assert!(lines(&["replay", "--log-format", "json", "--log-level", "error"]).is_empty());
    // The format also applies to messages about errors in the settings.
    let output = lines(&["check", "--log-format", "json", "--config", "broken.toml"]);
    let message = "broken.toml:1: unknown setting `songz`; did you mean `songs`?";
    assert_eq!((&output[0]["message"], &output[0]["exit"]), (&message.into(), &78.into()));
    let output = lines(&["generate", "--out", "data/songs_metadata.csv", "--log-format", "json"]);
    assert_eq!(output[0]["level"], "error", "{output:?}");
    let failed = place.run(&["replay", "--log-level", "loud"]);
    assert_eq!(stderr(&failed), "error: --log-level: `loud`: expected `error`, `warn`, `info` or `debug`\n");
    place.write("music-insights.toml", "logging = { format = 'json', level = 'warn' }\n");
    assert_eq!(lines(&["replay"]).len(), 1);
    let output = stderr(&place.run(&["replay", "--log-format", "text"]));
    assert!(output.starts_with("warning: data/incoming/a.csv: "), "{output}");
}

#[test]
fn file_names_are_escaped_for_the_terminal() {
    let place = Place::new("s1,One,A,Rock,Sad\n");
    place.write(
        "data/incoming/\u{1b}[2J\u{202e}\n.csv",
        "user_id,song_id,timestamp,duration_sec,more\nu1,s1,2025-03-21 01:09:00,150,x\n",
    );
    let output = stderr(&place.done(&["replay"]));
    assert_eq!(output.lines().count(), 1, "{output}");
    assert!(!output.contains(['\u{1b}', '\u{202e}']) && output.contains(r"\u{202e}"), "{output}");
}
