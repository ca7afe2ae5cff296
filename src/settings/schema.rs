//! The JSON schema of the settings file, for editors and other validators.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use serde_json::{Value, json};

use crate::settings::Settings;

/// The JSON schema dialect.
const META_SCHEMA: &str = "https://json-schema.org/draft/2020-12/schema";

/// The JSON schema (draft 2020-12) of the settings file.
pub fn schema() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let mut schema = settings.into_generator().into_root_schema_for::<Settings>();
    RecursiveTransform(scalars).transform(&mut schema);
    let mut whole = json!({ "$schema": META_SCHEMA, "title": "Settings of music-insights" });
    let keywords = schema.as_object().into_iter().flatten();
    keywords.filter(|(keyword, _)| *keyword != "title").for_each(|(keyword, value)| {
        whole[keyword] = value.clone();
    });
    whole
}

/// Allows text for every scalar, and removes null, which TOML does not have.
fn scalars(schema: &mut Schema) {
    // A table has no default of its own; each of its settings has one.
    if schema.get("default").is_some_and(|default| default.is_null() || default.is_object()) {
        schema.remove("default");
    }
    let Some(kind) = schema.get("type").map(|kinds| match kinds {
        Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null").cloned().unwrap_or_default(),
        kind => kind.clone(),
    }) else {
        return;
    };
    let pattern = match (kind.as_str(), schema.get("pattern")) {
        (Some("integer"), None) => r"^\+?[0-9]+$",
        (Some("boolean"), _) => "^(true|false)$",
        _ => return,
    };
    schema.insert("type".to_owned(), json!([kind, "string"]));
    schema.insert("pattern".to_owned(), pattern.into());
    schema.remove("format");
}
