//! Merges the layers of settings. Flags override the environment, the environment overrides the file, and the
//! file overrides the defaults.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use crate::model::error::{Error, FileRole, Op};
use crate::settings::keys::{Keys, Kind, below};
use crate::settings::{Logging, Settings};
use crate::text::shown;

/// The sources of settings that override the defaults, lowest precedence first.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The file that `--config` names. If `None`, `music-insights.toml` is read if it exists.
    pub config: Option<PathBuf>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// Settings on the command line as (flag, key, value).
    pub flags: Vec<(String, String, String)>,
}

impl Layers {
    /// The format and level of messages before the file is read. Invalid values are ignored.
    pub fn logging_without_file(&self) -> Logging {
        let variables = self.environment.iter();
        let variables = variables.filter_map(|(name, value)| Some((setting_of(name)?, value)));
        let flags = self.flags.iter().map(|(_, key, value)| (key.clone(), value));
        let mut log = Logging::default();
        for (key, value) in variables.chain(flags) {
            match key.as_str() {
                "logging.format" => log.format = bare(value).parse().unwrap_or(log.format),
                "logging.level" => log.level = bare(value).parse().unwrap_or(log.level),
                _ => {}
            }
        }
        log
    }
}

/// The source of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The default value.
    Default,
    /// A file, and the line in it.
    File(PathBuf, usize),
    /// An environment variable.
    Variable(String),
    /// A flag on the command line.
    Flag(String),
}

impl Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File(path, line) => write!(formatter, "{}:{line}", shown(path)),
            Self::Variable(name) | Self::Flag(name) => formatter.write_str(name),
        }
    }
}

impl Origin {
    /// A configuration error that starts with this source.
    fn error(&self, cause: &str) -> Error {
        // Error messages of the parser can have several lines.
        let cause: Vec<&str> = cause.lines().map(str::trim).collect();
        Error::Config(format!("{self}: {}", cause.join("; ")))
    }

    /// The name of a setting in the spelling of this source.
    fn spelling(&self, name: &str) -> String {
        match self {
            Self::Variable(_) => format!("{PREFIX}{}", name.replace('.', "__").to_uppercase()),
            _ => name.to_owned(),
        }
    }
}

/// The merged settings, and the source of each setting.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The merged settings.
    pub settings: Settings,
    origins: BTreeMap<String, Origin>,
}

impl Effective {
    /// Merges the layers and validates the result.
    ///
    /// # Errors
    /// As [`load`].
    pub fn of(layers: &Layers) -> Result<Self, Error> {
        let from_environment = |(name, value): &(String, String)| {
            Some((Origin::Variable(name.clone()), setting_of(name)?, value.clone()))
        };
        let (named, environment): (Vec<_>, Vec<_>) =
            layers.environment.iter().filter_map(from_environment).partition(|(_, key, _)| key == "config");
        let named = named.first().map(|(.., value)| PathBuf::from(value));
        let keys = Keys::all();
        let (mut table, mut origins) = read_file(layers.config.clone().or(named).as_deref(), &keys)?;
        let mut settings =
            Settings::deserialize(table.clone()).map_err(|cause| Origin::Default.error(cause.message()))?;
        let flags = layers.flags.iter();
        let flags = flags.map(|(flag, key, value)| (Origin::Flag(flag.clone()), key.clone(), value.clone()));
        for (origin, key, value) in environment.into_iter().chain(flags) {
            check_name(&keys, &key, &origin)?;
            insert(&mut table, &key, bare(&value)).map_err(|cause| origin.error(&cause))?;
            settings = Settings::deserialize(table.clone()).map_err(|cause| origin.error(cause.message()))?;
            origins.insert(key, origin);
        }
        settings.check()?;
        Ok(Self { settings, origins })
    }

    /// The source of the setting with this full name.
    pub fn origin(&self, name: &str) -> &Origin {
        self.origins.get(name).unwrap_or(&Origin::Default)
    }
}

/// The settings file that is read if `--config` is not given.
const DEFAULT_FILE: &str = "music-insights.toml";
/// The prefix of environment variables that set settings, such as `MUSIC_INSIGHTS_FLUSH_INTERVAL`.
/// Two underscores stand for a dot: `MUSIC_INSIGHTS_INPUT__MAX_FUTURE`.
const PREFIX: &str = "MUSIC_INSIGHTS_";

/// The full name of the setting that an environment variable sets.
fn setting_of(variable: &str) -> Option<String> {
    variable.strip_prefix(PREFIX).map(|name| name.to_lowercase().replace("__", "."))
}

/// Merges the layers and validates the result.
///
/// # Errors
/// An unreadable file (exit code 66), or the first invalid name or value with its source (78).
pub fn load(layers: &Layers) -> Result<Settings, Error> {
    Effective::of(layers).map(|effective| effective.settings)
}

/// Reads the file, and returns the source line of each setting.
fn read_file(named: Option<&Path>, keys: &Keys) -> Result<(Table, BTreeMap<String, Origin>), Error> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(cause) if named.is_none() && cause.kind() == std::io::ErrorKind::NotFound => {
            return Ok((Table::new(), BTreeMap::new()));
        }
        Err(cause) => return Err(Error::file(FileRole::Input, Op::Read, path, cause)),
    };
    let line_at = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let line_of = |cause: &toml::de::Error| line_at(cause.span().map_or(0, |span| span.start));
    let at = |line: usize| Origin::File(path.to_owned(), line);
    let table = DeTable::parse(&text).map_err(|cause| at(line_of(&cause)).error(cause.message()))?;
    let mut places = Vec::new();
    list_settings(None, table.get_ref(), keys, &mut places);
    places.sort_by_key(|(_, place)| *place);
    let mut origins = BTreeMap::new();
    for (name, place) in places {
        let origin = at(line_at(place));
        check_name(keys, &name, &origin)?;
        origins.insert(name, origin);
    }
    // A type error has a line number only if the settings are parsed directly from the text.
    toml::from_str::<Settings>(&text).map_err(|cause| {
        let origin = at(line_of(&cause));
        let name = origins.iter().find(|(_, other)| **other == origin).map(|(name, _)| format!("{name}: "));
        origin.error(&(name.unwrap_or_default() + cause.message()))
    })?;
    let table = toml::from_str(&text).map_err(|cause| at(line_of(&cause)).error(cause.message()))?;
    Ok((table, origins))
}

/// Collects the full names of all settings in a table, with their byte offsets. An unknown table
/// counts as a setting.
fn list_settings(table: Option<&str>, values: &DeTable<'_>, keys: &Keys, into: &mut Vec<(String, usize)>) {
    for (key, value) in values {
        let name = below(table, key.get_ref());
        match value.get_ref() {
            DeValue::Table(values) if keys.kind(&name) == Some(Kind::Table) => {
                list_settings(Some(&name), values, keys, into);
            }
            _ => into.push((name, key.span().start)),
        }
    }
}

/// Returns an error for a name that is not a setting.
fn check_name(keys: &Keys, name: &str, origin: &Origin) -> Result<(), Error> {
    let Some(unknown) = keys.unknown_part(name) else {
        return match keys.kind(name) {
            Some(Kind::Table) => {
                Err(origin
                    .error(&format!("`{name}` is a table of settings; set one of its settings instead")))
            }
            _ => Ok(()),
        };
    };
    let hint = match keys.nearest(unknown) {
        Some(nearest) => format!("did you mean `{}`?", origin.spelling(nearest)),
        None => "run `music-insights config` for a list".to_owned(),
    };
    Err(origin.error(&format!("unknown setting `{unknown}`; {hint}")))
}

/// The text of a value. A quoted TOML string loses its quotes.
fn bare(value: &str) -> String {
    let quoted = value.starts_with(['"', '\'']).then(|| format!("value = {value}").parse::<Table>());
    match quoted {
        Some(Ok(table)) => table["value"].as_str().unwrap_or(value).to_owned(),
        _ => value.to_owned(),
    }
}

/// Sets a key such as `a.b.c` in nested tables.
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
    use crate::insights::user_favorite_genres::Ties;
    use crate::model::value::Fraction;
    use crate::telemetry::logging::{LoggingFormat, LoggingLevel};

    fn set(pairs: &[(&str, &str)]) -> Result<Settings, Error> {
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
        let paths = [settings.output, settings.songs, settings.state].map(|path| shown(&path));
        assert_eq!(paths, ["a", "b", "c"]);
        assert_eq!(settings.input.max_future.0.as_secs(), 3600);
        assert_eq!(settings.insights.genre_loyalty_scores.threshold, Fraction::from_billionths(700_000_000));
    }

    #[test]
    fn each_setting_has_its_source() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.toml");
        std::fs::write(
            &file,
            "output = 'a'\ninput = { max_future = '1h' }\n[insights]\nnight_owl_users.min_plays = 2\n",
        )
        .unwrap();
        let variable = "MUSIC_INSIGHTS_LOGGING__LEVEL".to_owned();
        let effective = Effective::of(&Layers {
            config: Some(file.clone()),
            environment: vec![(variable.clone(), "warn".into())],
            flags: vec![("--set output".into(), "output".into(), "b".into())],
        })
        .unwrap();
        for (name, origin) in [
            ("songs", Origin::Default),
            ("output", Origin::Flag("--set output".into())),
            ("input.max_future", Origin::File(file.clone(), 2)),
            ("insights.night_owl_users.min_plays", Origin::File(file, 4)),
            ("logging.level", Origin::Variable(variable)),
        ] {
            assert_eq!(*effective.origin(name), origin, "{name}");
        }
    }

    #[test]
    fn logging_settings_are_known_before_the_file_is_read() {
        let layers = Layers {
            environment: vec![("MUSIC_INSIGHTS_LOGGING__FORMAT".into(), "json".into())],
            flags: vec![
                ("--set logging.level".into(), "logging.level".into(), "'debug'".into()),
                ("--log-level".into(), "logging.level".into(), "loud".into()),
            ],
            ..Layers::default()
        };
        assert_eq!(
            layers.logging_without_file(),
            Logging { format: LoggingFormat::Json, level: LoggingLevel::Debug }
        );
    }

    #[test]
    fn errors_name_their_place_and_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.toml");
        std::fs::write(&file, "output = 'a'\n[insights.top_songs_this_week]\nlimt = 3\n").unwrap();
        let failure = load(&Layers { config: Some(file), ..Layers::default() }).unwrap_err();
        assert!(matches!(failure, Error::Config(_)));
        assert!(
            failure
                .to_string()
                .contains("settings.toml:3: unknown setting `insights.top_songs_this_week.limt`")
        );
        assert!(
            failure.to_string().ends_with("did you mean `insights.top_songs_this_week.limit`?"),
            "{failure}"
        );
        let misspelt = vec![("MUSIC_INSIGHTS_FLUSH_INTERVALL".into(), "1s".into())];
        let failure = load(&Layers { environment: misspelt, ..Layers::default() }).unwrap_err().to_string();
        assert!(failure.contains("did you mean `MUSIC_INSIGHTS_FLUSH_INTERVAL`?"), "{failure}");
        let failure = set(&[("insights.night_owl_users.to", "5am")]).unwrap_err();
        assert!(failure.to_string().starts_with("--set: `5am`: expected a time of day"), "{failure}");
        assert!(set(&[("insights.night_owl_users.from", "05:00")]).is_err());
        assert!(set(&[("insights.happy_recommendations.min_sad_plays", "0")]).is_err());
        assert!(set(&[("output.x", "0")]).is_err());
        assert!(set(&[("insights", "0")]).unwrap_err().to_string().contains("is a table"));
    }
}
