//! The OpenAPI document.

use std::sync::LazyLock;

use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::insights::{About, Column, ColumnType, NAMES, all};
use crate::publish::REJECTS;
use crate::serve::http::response::uncached;
use crate::serve::view::REJECTS_COLUMNS;

/// The document without the insights. A test checks the responses of the server against [`COMPLETE`].
const DOCUMENT: &str = include_str!("openapi.json");

/// The complete document, with the names and row schemas of all insights.
static COMPLETE: LazyLock<String> = LazyLock::new(|| {
    let mut document: Value = serde_json::from_str(DOCUMENT).expect("openapi.json is JSON");
    let schemas = &mut document["components"]["schemas"];
    schemas["InsightName"]["enum"] = json!(NAMES);
    let tables = all().map(|About { name, columns, .. }| (*name, *columns));
    for (name, columns) in tables.chain([(REJECTS, REJECTS_COLUMNS)]) {
        let schema = format!("Row.{name}");
        let rows = schemas["Page"]["properties"]["rows"]["items"]["anyOf"].as_array_mut();
        rows.expect("row schemas are a list")
            .push(json!({ "$ref": format!("#/components/schemas/{schema}") }));
        schemas[schema] = row_schema(columns);
    }
    document.to_string()
});

pub(super) async fn document() -> Response {
    uncached("application/json", COMPLETE.as_str())
}

/// The schema of a row with these columns.
fn row_schema(columns: &[Column]) -> Value {
    let cell = |column: &Column| {
        let schema = match column.kind {
            ColumnType::Text => json!({ "type": "string" }),
            ColumnType::Integer => json!({ "type": ["integer", "null"] }),
            ColumnType::Number => json!({ "type": ["number", "null"] }),
            ColumnType::Time => json!({ "type": "string", "format": "date-time" }),
        };
        (column.name.to_owned(), schema)
    };
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    json!({
        "type": "object",
        "properties": Value::Object(columns.iter().map(cell).collect::<Map<_, _>>()),
        "required": names,
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_lists_every_insight() {
        let document: Value = serde_json::from_str(&COMPLETE).unwrap();
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["InsightName"]["enum"], json!(NAMES));
        for name in NAMES.into_iter().chain([REJECTS]) {
            assert_eq!(schemas[format!("Row.{name}")]["type"], "object", "{name}");
        }
    }
}
