//! Prints settings as TOML: the merged settings with their sources, or the defaults with descriptions.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::settings::layers::Effective;
use crate::settings::{Settings, schema, values_of};
use crate::text::harmless;

/// The merged settings as a TOML file, each with its source as a comment.
pub fn print(effective: &Effective) -> String {
    file(&effective.settings, |_| String::new(), |name| format!("  # {}", effective.origin(name)))
}

/// The merged settings and their sources as JSON.
pub fn print_json(effective: &Effective) -> String {
    let values = values_of(&effective.settings);
    let origins = values.iter().map(|(name, _)| (name.clone(), effective.origin(name).to_string().into()));
    let origins: serde_json::Map<String, Value> = origins.collect();
    format!("{:#}\n", json!({ "settings": effective.settings, "origins": origins }))
}

/// A TOML file with the description and the default of every setting.
pub fn example() -> String {
    let schema = schema();
    let describe = |name: &str| {
        let steps = name.split('.').map(|key| format!("/properties/{key}"));
        let description = schema.pointer(&format!("{}/description", steps.collect::<String>()));
        let lines = description.and_then(Value::as_str).unwrap_or_default().lines();
        lines.fold(String::new(), |text, line| text + "# " + line + "\n")
    };
    let head =
        "# All settings of music-insights. Every setting that you leave out has the value shown here.\n\n";
    head.to_owned() + &file(&Settings::default(), describe, |_| String::new())
}

/// A TOML file. `before` is the text before a table or setting, `behind` the text after a setting.
fn file(settings: &Settings, before: impl Fn(&str) -> String, behind: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    let mut open = None;
    let split = |name: &str| name.rsplit_once('.').map(|(table, _)| table.to_owned());
    let mut values = values_of(settings);
    // In TOML, settings outside of tables come before all tables.
    values.sort_by_key(|(name, _)| split(name).is_some());
    for (name, value) in values {
        let table = split(&name);
        if table != open {
            if let Some(table) = &table {
                let _ = writeln!(text, "\n{}[{table}]", before(table));
            }
            open = table;
        }
        let key = name.rsplit('.').next().unwrap_or(&name);
        text.push_str(&before(&name));
        let behind = harmless(&behind(&name));
        let _ = match scalar(&value) {
            Some(value) => writeln!(text, "{key} = {value}{behind}"),
            None => writeln!(text, "# {key} is not set{behind}"),
        };
    }
    text
}

/// A value in TOML; `None` for null.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        // TOML uses the escapes of JSON. In addition, DEL must be escaped.
        Value::String(_) => Some(value.to_string().replace('\u{7f}', "\\u007f")),
        value => Some(value.to_string()),
    }
}
