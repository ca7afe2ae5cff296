//! Flags for settings, and their merge with the environment and the settings file.

use std::convert::Infallible;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use crate::model::error::Error;
use crate::settings::{Effective, Layers, Settings};
use crate::telemetry::logging;

/// The value of one setting on the command line.
///
/// The value of an argument has this type if, and only if, the argument sets a setting. So
/// [`SettingArgs`] finds the arguments that set settings by type, in every command.
#[derive(Clone, Debug)]
struct SettingValue {
    flag: String,
    setting: String,
    value: String,
}

/// An argument that sets a setting. Its id is the name of the setting.
pub(super) fn setting(
    id: &'static str,
    flag: &'static str,
    value_name: &'static str,
    help: &'static str,
) -> Arg {
    let parse = move |value: &str| {
        let (flag, setting) = (format!("--{flag}"), id.to_owned());
        Ok::<_, Infallible>(SettingValue { flag, setting, value: value.to_owned() })
    };
    Arg::new(id).long(flag).value_name(value_name).help(help).value_parser(parse)
}

/// Parses the `KEY=VALUE` of `--set`.
fn parse_set(pair: &str) -> Result<SettingValue, &'static str> {
    let (key, value) = pair.split_once('=').ok_or("expected KEY=VALUE")?;
    let setting = key.trim().to_owned();
    Ok(SettingValue { flag: format!("--set {key}"), setting, value: value.trim().to_owned() })
}

/// The settings on the command line, from common flags and from flags of the command.
#[derive(Clone, Debug, Default)]
pub struct SettingArgs {
    config: Option<PathBuf>,
    values: Vec<SettingValue>,
}

impl FromArgMatches for SettingArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let all =
            |id: &str| matches.try_get_many::<SettingValue>(id).ok().flatten().into_iter().flatten().cloned();
        // `--set` comes last, so it wins over a flag for the same setting.
        let ids = matches.ids().map(clap::Id::as_str).filter(|id| *id != SET);
        let values = ids.chain([SET]).flat_map(all).collect();
        let config = matches.try_get_one(CONFIG).ok().flatten().cloned();
        Ok(Self { config, values })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

const CONFIG: &str = "config";
const SET: &str = "set";
const COMMON: &str = "Common options";

impl Args for SettingArgs {
    fn augment_args(command: Command) -> Command {
        let flags = [
            setting("songs", "songs", "FILE", "Catalog of songs [default: data/songs_metadata.csv]"),
            setting("output", "output", "DIR", "Output folder [default: output]"),
            setting(
                "timezone",
                "timezone",
                "ZONE",
                "Time zone of timestamps without an offset, of weeks and of nights [default: UTC]",
            ),
            setting(
                "input.delimiter",
                "delimiter",
                "CHAR",
                "Field separator of logs and catalog: one character, or `tab` [default: ,]",
            ),
            setting(
                "threads",
                "threads",
                "N",
                "Number of chunks to decode in parallel [default: one per processor]",
            ),
            Arg::new(CONFIG)
                .long(CONFIG)
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Settings file [default: music-insights.toml, if it exists]"),
            Arg::new(SET)
                .long(SET)
                .value_name("KEY=VALUE")
                .value_parser(parse_set)
                .action(ArgAction::Append)
                .help("Override a setting for this run; KEY is its name as in the settings file; repeatable"),
        ];
        LoggingArgs::augment_args(command.args(flags.map(|flag| flag.help_heading(COMMON))))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl SettingArgs {
    /// The settings in force.
    ///
    /// # Errors
    /// The first invalid value, or an unreadable settings file.
    pub fn settings(&self) -> Result<Settings, Error> {
        self.effective().map(|effective| effective.settings)
    }

    /// The settings in force, each with its origin. This call also applies the format and level of messages.
    ///
    /// # Errors
    /// As [`Self::settings`].
    pub fn effective(&self) -> Result<Effective, Error> {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let flags =
            self.values.iter().cloned().map(|value| (value.flag, value.setting, value.value)).collect();
        let layers = Layers { config: self.config.clone(), environment, flags };
        // If the file has errors, they are printed in the format that flags or environment select.
        let preliminary = layers.logging_without_file();
        logging::configure(preliminary.format, preliminary.level);
        let effective = Effective::of(&layers)?;
        logging::configure(effective.settings.logging.format, effective.settings.logging.level);
        Ok(effective)
    }
}

/// Flags for the format and level of messages.
#[derive(Clone, Debug, Default)]
pub struct LoggingArgs(SettingArgs);

impl LoggingArgs {
    /// Applies the settings for messages from all layers.
    ///
    /// # Errors
    /// As [`SettingArgs::settings`].
    pub fn settings(&self) -> Result<Settings, Error> {
        self.0.settings()
    }
}

impl FromArgMatches for LoggingArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        SettingArgs::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl Args for LoggingArgs {
    fn augment_args(command: Command) -> Command {
        let flags = [
            setting(
                "logging.format",
                "log-format",
                "FORMAT",
                "Format of messages on stderr: `text`, or `json` with one object per line [default: text]",
            ),
            setting(
                "logging.level",
                "log-level",
                "LEVEL",
                "Minimum severity of messages: `error`, `warn`, `info` or `debug` [default: info]",
            ),
        ];
        command.args(flags.map(|flag| flag.help_heading("Messages")))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::values_of;

    fn parse(args: &[&str]) -> SettingArgs {
        let command = SettingArgs::augment_args(Command::new("test"));
        let command =
            command.arg(setting("http", "http", "ADDRESS", "")).arg(Arg::new("songs-count").long("n"));
        let matches = command.try_get_matches_from([&["test"], args].concat()).unwrap();
        SettingArgs::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn flags_are_collected_with_the_settings_that_they_set() {
        let args =
            parse(&["--set", "output = a", "--n", "3", "--delimiter", ";", "--http", "off", "--config", "c"]);
        assert_eq!(args.config, Some("c".into()));
        let mut values: Vec<_> =
            args.values.iter().map(|value| [&*value.flag, &*value.setting, &*value.value]).collect();
        assert_eq!(values.pop(), Some(["--set output ", "output", "a"]), "--set wins");
        values.sort_unstable();
        assert_eq!(values, [["--delimiter", "input.delimiter", ";"], ["--http", "http", "off"]]);
        assert!(parse(&[]).values.is_empty());
    }

    #[test]
    fn every_common_flag_sets_an_existing_setting() {
        let names: Vec<String> = values_of(&Settings::default()).into_iter().map(|(name, _)| name).collect();
        let command = SettingArgs::augment_args(Command::new("test"));
        for arg in command.get_arguments().filter(|arg| ![CONFIG, SET].contains(&arg.get_id().as_str())) {
            assert!(names.iter().any(|name| name == arg.get_id().as_str()), "{}", arg.get_id());
        }
    }
}
