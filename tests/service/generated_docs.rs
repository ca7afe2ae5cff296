//! Generates the reference pages for the settings and the command line.
//!
//! `UPDATE_DOCS=1 cargo test --test service generated_docs` writes these pages.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::CommandFactory as _;
use music_insights::cli::args::Cli;
use music_insights::settings::{Layers, Settings, differences, load, schema, values_of};
use music_insights::state::checkpoint::generation::StateConfig;
use serde_json::Value;

fn assert_up_to_date(page: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    if std::env::var("UPDATE_DOCS").is_ok_and(|value| value == "1") {
        fs::write(&path, text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "{page} is out of date; run this test with UPDATE_DOCS=1");
}

/// The text of a table cell. Escapes vertical bars, because they would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

const SETTINGS: &str = "\
# Settings

Settings come from four places. A place overrides all later places in this list:

1. flags, such as `--flush-interval 5s`; `--set <key>=<value>` overrides any setting
2. environment variables, such as `MUSIC_INSIGHTS_INPUT__MAX_FUTURE=2h`; the name is `MUSIC_INSIGHTS_` and the key in upper case, with `__` instead of each dot
3. the settings file: `music-insights.toml` in the working directory, or the file given with `--config`
4. defaults

`music-insights config` prints the value of each setting and its place. `music-insights config --example` prints a settings file with all defaults. `music-insights config --schema` prints the JSON schema of the settings file.

A time span is a number with a unit: `ms`, `s`, `m`, `h` or `d`.

The column *a change applies* says when `watch` uses a changed setting:

- **at a reload**: after SIGHUP or `systemctl reload`; see [Reload settings](../how-to/run-as-a-service.md#reload-settings)
- **at the next start**: after you stop `watch` and start it again
- **to a new state**: the state depends on the setting. `watch` does not start with a different value unless you pass `--fresh`; see [Recover](../how-to/recover.md)

<!-- Generated. `UPDATE_DOCS=1 cargo test --test service generated_docs` writes this page. -->
";

#[test]
fn the_page_of_the_settings_is_up_to_date() {
    let schema = schema();
    let mut page = SETTINGS.to_owned();
    let properties = schema["properties"].as_object().unwrap();
    let (tables, top): (Vec<_>, Vec<_>) =
        properties.iter().partition(|(_, property)| property.get("properties").is_some());
    page.push_str("\n## General\n\n");
    write_settings(&mut page, "", &top);
    for (name, table) in tables {
        let inner = table["properties"].as_object().unwrap().iter();
        let (tables, settings): (Vec<_>, Vec<_>) =
            inner.partition(|(_, property)| property.get("properties").is_some());
        if !settings.is_empty() {
            write_table(&mut page, name, table, &settings);
        }
        for (key, table) in tables {
            let settings: Vec<_> = table["properties"].as_object().unwrap().iter().collect();
            write_table(&mut page, &format!("{name}.{key}"), table, &settings);
        }
    }
    for (name, _) in values_of(&Settings::default()) {
        assert!(page.contains(&format!("| `{name}` |")), "the page lacks {name}");
    }
    assert_up_to_date("docs/reference/settings.md", &page);
}

fn write_table(page: &mut String, name: &str, table: &Value, settings: &[(&String, &Value)]) {
    write!(page, "\n## `[{name}]`\n\n{}\n\n", table["description"].as_str().unwrap_or_default()).unwrap();
    write_settings(page, &format!("{name}."), settings);
}

fn write_settings(page: &mut String, prefix: &str, settings: &[(&String, &Value)]) {
    page.push_str("| setting | default | values | a change applies | meaning |\n|---|---|---|---|---|\n");
    for (key, property) in settings {
        let name = format!("{prefix}{key}");
        let default = match property.get("default") {
            None => "not set".to_owned(),
            Some(Value::String(text)) => format!("`\"{text}\"`"),
            Some(value) => format!("`{value}`"),
        };
        let row = [
            format!("`{name}`"),
            cell(&default),
            cell(&values(property)),
            when_it_applies(&name, property).to_owned(),
            cell(property["description"].as_str().unwrap()),
        ];
        writeln!(page, "| {} |", row.join(" | ")).unwrap();
    }
}

/// Describes the values of a setting in words.
fn values(property: &Value) -> String {
    let quoted = |values: &Value| {
        let values = values.as_array().unwrap().iter();
        values.map(|value| format!("`{}`", value.as_str().unwrap())).collect::<Vec<_>>()
    };
    if property.get("enum").is_some() {
        return quoted(&property["enum"]).join(", ");
    }
    let first_type = property["type"].as_str().or_else(|| property["type"][0].as_str()).unwrap();
    let kind = match (first_type, property["pattern"].as_str().unwrap_or_default()) {
        ("boolean", _) => return "`true`, `false`".to_owned(),
        ("string", pattern) if pattern.contains("(ms|s|m|h|d)") => "time span".to_owned(),
        ("string", _) => "text".to_owned(),
        (kind, _) => kind.to_owned(),
    };
    let bounds = match (property.get("minimum"), property.get("maximum")) {
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
        (Some(least), None) => format!(", at least {least}"),
        (None, Some(most)) => format!(", at most {most}"),
        (None, None) => String::new(),
    };
    let examples =
        property.get("examples").map(|examples| format!(", such as {}", quoted(examples).join(", ")));
    let all = if property["pattern"].as_str().is_some_and(|pattern| pattern.contains("|all")) {
        ", or `all`"
    } else {
        ""
    };
    format!("{kind}{bounds}{}{all}", examples.unwrap_or_default())
}

/// Finds out when a change of a setting takes effect. Checks whether the state depends on the setting, and
/// whether a running `watch` accepts the change.
fn when_it_applies(name: &str, property: &Value) -> &'static str {
    let settings = Settings::default();
    let changed = with_other_value(name, property);
    assert_eq!(differences(&settings, &changed), [name]);
    if StateConfig::of(&settings) != StateConfig::of(&changed) {
        "to a new state"
    } else if differences(&settings, &settings.taking_over(&changed)).is_empty() {
        "at the next start"
    } else {
        "at a reload"
    }
}

/// The default settings, with a different value for one setting.
fn with_other_value(name: &str, property: &Value) -> Settings {
    let default = property.get("default");
    let words = |key: &str| property.get(key).and_then(Value::as_array).into_iter().flatten();
    let candidates =
        ["false", "true", "2", "3", "3m", "0.5", "01:00", "current", "./other"].map(str::to_owned);
    let candidates = words("enum")
        .chain(words("examples"))
        .map(|word| word.as_str().unwrap().to_owned())
        .chain(candidates);
    let other = candidates.filter(|value| default.and_then(Value::as_str) != Some(value)).find_map(|value| {
        let flags = vec![("--set".to_owned(), name.to_owned(), value)];
        let changed = load(&Layers { flags, ..Layers::default() }).ok()?;
        (!differences(&Settings::default(), &changed).is_empty()).then_some(changed)
    });
    other.unwrap_or_else(|| panic!("no other value found for {name}"))
}

const COMMAND_LINE: &str = "\
# Command line

`music-insights help <command>` prints the same text. `music-insights man <command>` prints a manual page.

The defaults in brackets are the defaults of the [settings](settings.md). A settings file or an environment variable can override them.
The page [exit codes](exit-codes.md) lists the exit codes of all commands.

<!-- Generated. `UPDATE_DOCS=1 cargo test --test service generated_docs` writes this page. -->

";

#[test]
fn the_page_of_the_command_line_is_up_to_date() {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let mut page = COMMAND_LINE.to_owned();
    page.push_str("| command | purpose |\n|---|---|\n");
    for command in program.get_subcommands() {
        let name = command.get_name();
        writeln!(page, "| [{name}](#{name}) | {} |", cell(&about(command))).unwrap();
    }
    for command in program.get_subcommands() {
        write_command(&mut page, command.clone());
    }
    assert_up_to_date("docs/reference/cli.md", &page);
}

fn about(command: &clap::Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn write_command(page: &mut String, mut command: clap::Command) {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    write!(page, "\n## {}\n\n{}.\n\n```text\n{usage}\n```\n\n", command.get_name(), about(&command)).unwrap();
    page.push_str("| argument | meaning |\n|---|---|\n");
    let (positional, flags): (Vec<_>, Vec<_>) = command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set())
        .partition(|argument| argument.is_positional());
    for argument in positional.into_iter().chain(flags) {
        writeln!(page, "| `{}` | {} |", cell(&spelling(argument)), cell(&meaning(argument))).unwrap();
    }
    if let Some(text) = command.get_after_help() {
        let text = text.to_string();
        let examples =
            text.strip_prefix("Examples:\n").or_else(|| text.strip_prefix("Example:\n")).unwrap_or(&text);
        let (examples, rest) = examples.split_once("\n\n").unwrap_or((examples, ""));
        let lines: Vec<&str> = examples.lines().map(str::trim_start).collect();
        let examples = lines.join("\n") + "\n";
        write!(page, "\n```console\n{examples}```\n").unwrap();
        if !rest.is_empty() {
            write!(page, "\n{rest}\n").unwrap();
        }
    }
}

/// The argument as it appears in the help: `-h, --help`, `--songs <FILE>` or `[LOGS]...`.
fn spelling(argument: &clap::Arg) -> String {
    if argument.is_positional() {
        return argument.to_string();
    }
    let short = argument.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    short + &argument.to_string()
}

/// The help text of an argument, followed by its default and its possible values.
fn meaning(argument: &clap::Arg) -> String {
    let mut text = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let takes_value = argument.get_action().takes_values();
    let defaults: Vec<String> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if takes_value && !defaults.is_empty() {
        write!(text, " [default: {}]", defaults.join(", ")).unwrap();
    }
    let values: Vec<String> =
        argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if takes_value && !values.is_empty() {
        write!(text, " [values: {}]", values.join(", ")).unwrap();
    }
    text
}
