//! The rows of insights, page by page.

use std::sync::Arc;

use axum::extract::{Path, Query as Parameters, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::insights::{Column, ColumnType, NAMES, enriched_logs};
use crate::publish::REJECTS;
use crate::serve::http::context::Context;
use crate::serve::http::download;
use crate::serve::http::response::{Problem, look, of_epoch};
use crate::serve::view::View;
use crate::serve::view::page::{Page, Query, Row, Sort};

/// What can be asked of rows.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    user_id: Option<String>,
    song_id: Option<String>,
    search: Option<String>,
    sort: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
    /// Of a download: text cells that a spreadsheet would take for a formula get a quote.
    #[serde(default)]
    pub(super) escape_formulas: bool,
}

/// Rows of a page, unless it says how many.
const LIMIT: usize = 50;
/// Rows of a page at the most.
const MOST: usize = 1000;

/// Characters that may be sought.
const TEXT: usize = 1000;

type Asked = Result<Parameters<Wanted>, axum::extract::rejection::QueryRejection>;

pub(super) async fn insight(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    wanted: Asked,
) -> Result<Response, Problem> {
    let Parameters(wanted) = wanted.map_err(|cause| Problem::bad_request(cause.body_text()))?;
    let (stem, form) = name.split_once('.').map_or((name.as_str(), None), |(stem, form)| (stem, Some(form)));
    let unknown = || Problem::not_found("no such insight; there are ".to_owned() + &NAMES.join(", "));
    let insight = NAMES.into_iter().find(|insight| *insight == stem).ok_or_else(unknown)?;
    let view = context.view()?;
    match form {
        None => page(view, insight, wanted).await,
        Some("csv") => download::csv(&view, insight, wanted.escape_formulas),
        Some("parquet") => download::parquet(&context, &view, insight),
        Some(_) => Err(Problem::not_found("there are .csv and .parquet")),
    }
}

pub(super) async fn rejects(State(context): State<Arc<Context>>, wanted: Asked) -> Result<Response, Problem> {
    let Parameters(wanted) = wanted.map_err(|cause| Problem::bad_request(cause.body_text()))?;
    page(context.view()?, REJECTS, wanted).await
}

async fn page(view: Arc<View>, insight: &'static str, wanted: Wanted) -> Result<Response, Problem> {
    look(view, move |view| Ok(of_epoch(view, &look_up(view, insight, &wanted)?))).await
}

fn look_up(view: &View, insight: &str, wanted: &Wanted) -> Result<Value, Problem> {
    let disabled = || Problem::not_found(format!("{insight} is disabled by the settings"));
    let log = match insight {
        REJECTS => Some(view.rejects()),
        enriched_logs::NAME => Some(view.enriched().ok_or_else(disabled)?),
        _ => None,
    };
    let Some(log) = log else {
        let table = view.table(insight).ok_or_else(disabled)?;
        let query = query(wanted, table.columns())?;
        let page = table.page(&query).map_err(|cause| Problem::unreadable(&cause))?;
        let message = table.message().map_err(|cause| Problem::unreadable(&cause))?;
        return Ok(answer(view, insight, table.columns(), &page, message));
    };
    let query = query(wanted, log.columns())?;
    if query.sort.is_some() {
        return Err(Problem::bad_request("rows of a log come the newest first; they cannot be sorted"));
    }
    let page = log.page(&query).map_err(|cause| Problem::unreadable(&cause))?;
    Ok(answer(view, insight, log.columns(), &page, None))
}

fn query<'a>(wanted: &'a Wanted, columns: &[Column]) -> Result<Query<'a>, Problem> {
    let mut cells = Vec::new();
    for (name, value) in [("user_id", &wanted.user_id), ("song_id", &wanted.song_id)] {
        let Some(value) = value else { continue };
        if !columns.iter().any(|column| column.name == name) {
            return Err(Problem::bad_request(format!("there is no column {name} here")));
        }
        cells.push((name, value.as_bytes()));
    }
    let sort = |text: &String| {
        let (name, descending) = text.strip_prefix('-').map_or((text.as_str(), false), |name| (name, true));
        let column = columns.iter().position(|column| column.name == name);
        let column =
            column.ok_or_else(|| Problem::bad_request(format!("sort: there is no column {name:?} here")))?;
        Ok(Sort { column, descending })
    };
    let limit = wanted.limit.unwrap_or(LIMIT);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::bad_request(format!("limit: expected a number from 1 to {MOST}")));
    }
    if let Some(text) = &wanted.search {
        check_sought("search", text)?;
    }
    let cursor = wanted.cursor.as_ref().map(|text| text.parse()).transpose();
    Ok(Query {
        cells,
        search: wanted.search.as_deref().filter(|text| !text.is_empty()),
        sort: wanted.sort.as_ref().map(sort).transpose()?,
        limit,
        cursor: cursor.map_err(|cause| Problem::bad_request(format!("cursor: {cause}")))?,
    })
}

/// Refuses a text that is too long to be sought.
pub(super) fn check_sought(parameter: &str, text: &str) -> Result<(), Problem> {
    if text.chars().count() > TEXT {
        return Err(Problem::bad_request(format!("{parameter}: expected at most {TEXT} characters")));
    }
    Ok(())
}

fn answer(view: &View, insight: &str, columns: &[Column], page: &Page, message: Option<String>) -> Value {
    let rows: Vec<Value> = page.rows.iter().map(|row| object(row, columns)).collect();
    let mut answer = json!({
        "insight": insight,
        "epoch": view.snapshot.manifest.epoch,
        "columns": described(columns),
        "rows": rows,
        "total": page.total,
        "from": page.from,
        "next_cursor": page.next.as_ref().map(ToString::to_string),
    });
    if let Some(message) = message {
        answer["message"] = message.into();
    }
    if let Some(titles) = titles(view, columns, page) {
        answer["titles"] = titles;
    }
    answer
}

/// Titles by the ids of songs, for rows that have none.
fn titles(view: &View, columns: &[Column], page: &Page) -> Option<Value> {
    let column = columns.iter().position(|column| column.name == "song_id")?;
    if columns.iter().any(|column| column.name == "title") {
        return None;
    }
    let songs = page.rows.iter().filter_map(|row| view.song(row.bytes(column)));
    let known = songs.map(|song| view.metadata(song)).filter(|song| !song.title.is_empty());
    Some(Value::Object(known.map(|song| (song.song_id, song.title.into())).collect()))
}

/// Columns in JSON.
pub(super) fn described(columns: &[Column]) -> Vec<Value> {
    let kind = |kind| match kind {
        ColumnType::Text => "text",
        ColumnType::Integer => "integer",
        ColumnType::Number => "number",
        ColumnType::Time => "time",
    };
    columns.iter().map(|column| json!({ "name": column.name, "type": kind(column.kind) })).collect()
}

fn object(row: &Row, columns: &[Column]) -> Value {
    let cell = |(index, column): (usize, &Column)| {
        let text = row.text(index);
        let value = match column.kind {
            ColumnType::Text | ColumnType::Time => text.into(),
            // What we print is a number of JSON as it stands, to the last digit.
            ColumnType::Integer | ColumnType::Number => serde_json::from_str(&text).unwrap_or(Value::Null),
        };
        (column.name.to_owned(), value)
    };
    Value::Object(columns.iter().enumerate().map(cell).collect::<Map<_, _>>())
}
