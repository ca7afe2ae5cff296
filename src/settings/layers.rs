//! The order of precedence: flags over environment over file over defaults.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use crate::failure::{Exit, Failure};
use crate::settings::Settings;

/// What stands above the defaults, lowest first.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The file named by `--config`; without one `music-insights.toml` is read if it is there.
    pub config: Option<PathBuf>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// Settings of the command line as (flag, key, value).
    pub flags: Vec<(String, String, String)>,
}

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "music-insights.toml";
/// Environment variables that start like this are settings: `MUSIC_INSIGHTS_FLUSH_INTERVAL`, and
/// with two underscores for a dot `MUSIC_INSIGHTS_INPUT__MAX_FUTURE`.
const PREFIX: &str = "MUSIC_INSIGHTS_";

/// Puts the layers on top of each other.
///
/// # Errors
/// The file that cannot be read (66), or the first value that cannot be used (78), with where it
/// stands.
pub fn load(layers: &Layers) -> Result<Settings, Failure> {
    let from_environment = |(name, value): &(String, String)| {
        let key = name.strip_prefix(PREFIX)?.to_lowercase().replace("__", ".");
        Some((name.clone(), key, value.clone()))
    };
    let environment: Vec<_> = layers.environment.iter().filter_map(from_environment).collect();
    let named =
        environment.iter().find(|(_, key, _)| key == "config").map(|(.., value)| PathBuf::from(value));
    let mut table = read_file(layers.config.clone().or(named).as_deref())?;
    let mut settings = read(&table, "settings")?;
    let environment = environment.iter().filter(|(_, key, _)| key != "config");
    for (origin, key, value) in environment.chain(&layers.flags) {
        insert(&mut table, key, bare(value)).map_err(|cause| wrong(origin, &cause))?;
        settings = read(&table, origin)?;
    }
    settings.check()?;
    Ok(settings)
}

fn read_file(named: Option<&Path>) -> Result<Table, Failure> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(cause) if named.is_none() && cause.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Table::new());
        }
        Err(cause) => return Err(Failure::io(Exit::NoInput, "read", path, &cause)),
    };
    let place = |cause: &toml::de::Error| {
        let before = cause.span().map_or("", |span| &text[..span.start.min(text.len())]);
        let line = before.matches('\n').count() + 1;
        Failure::new(Exit::Config, format!("{}:{line}: {}", path.display(), cause.message().trim_end()))
    };
    // Read as settings at once, because only here an error knows its line.
    toml::from_str::<Settings>(&text).map_err(|cause| place(&cause))?;
    toml::from_str(&text).map_err(|cause| place(&cause))
}

fn read(table: &Table, origin: &str) -> Result<Settings, Failure> {
    Settings::deserialize(table.clone()).map_err(|cause| wrong(origin, cause.message()))
}

fn wrong(origin: &str, cause: &str) -> Failure {
    Failure::new(Exit::Config, format!("{origin}: {}", cause.trim_end()))
}

/// The text of a value: what is quoted as TOML loses its quotes.
fn bare(value: &str) -> String {
    let quoted = value.starts_with(['"', '\'']).then(|| format!("value = {value}").parse::<Table>());
    match quoted {
        Some(Ok(table)) => table["value"].as_str().unwrap_or(value).to_owned(),
        _ => value.to_owned(),
    }
}

/// Sets `a.b.c` in nested tables.
fn insert(table: &mut Table, key: &str, value: String) -> Result<(), String> {
    let (path, last) = key.rsplit_once('.').map_or((None, key), |(path, last)| (Some(path), last));
    let mut inner = table;
    for name in path.into_iter().flat_map(|path| path.split('.')) {
        let entry = inner.entry(name).or_insert_with(|| Value::Table(Table::new()));
        inner = entry.as_table_mut().ok_or_else(|| format!("`{name}` in `{key}` is not a table"))?;
    }
    inner.insert(last.to_owned(), Value::String(value));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::{Fraction, Ties};

    fn set(pairs: &[(&str, &str)]) -> Result<Settings, Failure> {
        let flags =
            pairs.iter().map(|(key, value)| ("--set".into(), (*key).into(), (*value).into())).collect();
        load(&Layers { flags, ..Layers::default() })
    }

    #[test]
    fn values_are_read_by_the_type_of_their_key() {
        for value in ["first", "\"first\"", "'first'"] {
            let settings = set(&[("insights.user_favorite_genres.ties", value)]).unwrap();
            assert_eq!(settings.insights.user_favorite_genres.ties, Ties::First);
        }
        let settings = set(&[
            ("insights.top_songs_this_week.limit", "3"),
            ("insights.top_songs_this_week.enabled", "false"),
            ("insights.genre_loyalty_scores.threshold", "0.333333333"),
            ("insights.night_owl_users.from", "22:00"),
        ])
        .unwrap();
        assert_eq!(settings.insights.top_songs_this_week.limit, 3);
        assert!(!settings.insights.top_songs_this_week.enabled);
        assert_eq!(settings.insights.genre_loyalty_scores.threshold, Fraction::from_billionths(333_333_333));
    }

    #[test]
    fn later_layers_win() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.toml");
        std::fs::write(
            &file,
            "output = 'a'\nsongs = 'a'\nstate = 'a'\n[insights.genre_loyalty_scores]\nthreshold = 0.7\n",
        )
        .unwrap();
        let settings = load(&Layers {
            config: Some(file),
            environment: vec![
                ("MUSIC_INSIGHTS_SONGS".into(), "b".into()),
                ("MUSIC_INSIGHTS_STATE".into(), "b".into()),
                ("MUSIC_INSIGHTS_INPUT__MAX_FUTURE".into(), "1h".into()),
                ("PATH".into(), "b".into()),
            ],
            flags: vec![("--state".into(), "state".into(), "c".into())],
        })
        .unwrap();
        let paths = [settings.output, settings.songs, settings.state].map(|path| path.display().to_string());
        assert_eq!(paths, ["a", "b", "c"]);
        assert_eq!(settings.input.max_future.0.as_secs(), 3600);
        assert_eq!(settings.insights.genre_loyalty_scores.threshold, Fraction::from_billionths(700_000_000));
    }

    #[test]
    fn errors_name_their_place_and_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.toml");
        std::fs::write(&file, "output = 'a'\n[insights.top_songs_this_week]\nlimt = 3\n").unwrap();
        let failure = load(&Layers { config: Some(file), ..Layers::default() }).unwrap_err();
        assert_eq!(failure.exit, Exit::Config);
        assert!(failure.to_string().contains("settings.toml:3: unknown field `limt`"), "{failure}");
        let failure = set(&[("insights.night_owl_users.to", "5am")]).unwrap_err();
        assert!(failure.to_string().starts_with("--set: `5am`: expected a time of day"), "{failure}");
        assert!(set(&[("insights.night_owl_users.from", "05:00")]).is_err());
        assert!(set(&[("insights.happy_recommendations.min_sad_plays", "0")]).is_err());
        assert!(set(&[("output.x", "0")]).is_err());
    }
}
