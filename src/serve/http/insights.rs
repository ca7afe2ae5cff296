//! Responds with the rows of insights and rejects, page by page.

use std::sync::Arc;

use axum::extract::{Path, Query as Parameters, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::insights::{Column, ColumnType, NAMES, enriched_logs, top_songs_this_week};
use crate::publish::REJECTS;
use crate::serve::http::context::Context;
use crate::serve::http::download;
use crate::serve::http::periods::{parse_period, respond_for};
use crate::serve::http::response::{Problem, json_of_epoch};
use crate::serve::http::tables::{absent, snapshot};
use crate::serve::view::View;
use crate::serve::view::page::{Page, Query, Row, Sort};
use crate::time::period::Period;

/// Parameters of a request for rows.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    user_id: Option<String>,
    song_id: Option<String>,
    search: Option<String>,
    sort: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
    period: Option<String>,
    /// For CSV downloads: whether to put a `'` in front of each text cell that a spreadsheet would take
    /// for a formula.
    #[serde(default)]
    pub(super) escape_formulas: bool,
}

/// Default number of rows per page.
const DEFAULT_LIMIT: usize = 50;
/// Maximum number of rows per page.
const MAX_LIMIT: usize = 1000;
/// Maximum number of characters of a search text.
const MAX_SEARCH_CHARS: usize = 1000;

type ListQuery = Result<Parameters<ListParams>, axum::extract::rejection::QueryRejection>;

pub(super) async fn insight(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    params: ListQuery,
) -> Result<Response, Problem> {
    let Parameters(params) = params.map_err(|cause| Problem::bad_request(cause.body_text()))?;
    let (stem, extension) =
        name.split_once('.').map_or((name.as_str(), None), |(stem, extension)| (stem, Some(extension)));
    let period = parse_period(params.period.as_deref())?;
    let unknown = || Problem::not_found(format!("no such insight; expected one of {}", NAMES.join(", ")));
    let insight = insight_named(stem, period).ok_or_else(unknown)?;
    let conversions = Arc::clone(&context.conversions);
    match extension {
        None => {
            let page = move |view: &View| Ok(json_of_epoch(view, &rows_json(view, insight, &params)?));
            respond_for(context, period, page).await
        }
        Some("csv") => {
            let escape = params.escape_formulas;
            respond_for(context, period, move |view| download::csv(view, insight, escape)).await
        }
        Some("parquet") => {
            respond_for(context, period, move |view| download::parquet(&conversions, view, insight)).await
        }
        Some(_) => Err(Problem::not_found("no such format; expected .csv or .parquet")),
    }
}

/// The insight with a name. In a period, the most played songs have two names.
fn insight_named(name: &str, period: Option<Period>) -> Option<&'static str> {
    if period.is_some() && name == top_songs_this_week::NAME_IN_PERIOD {
        return Some(top_songs_this_week::NAME);
    }
    NAMES.into_iter().find(|insight| *insight == name)
}

pub(super) async fn rejects(
    State(context): State<Arc<Context>>,
    params: ListQuery,
) -> Result<Response, Problem> {
    let Parameters(params) = params.map_err(|cause| Problem::bad_request(cause.body_text()))?;
    if params.period.is_some() {
        return Err(Problem::bad_request("period: rejected rows belong to no period"));
    }
    let page = move |view: &View| Ok(json_of_epoch(view, &rows_json(view, REJECTS, &params)?));
    respond_for(context, None, page).await
}

fn rows_json(view: &View, insight: &'static str, params: &ListParams) -> Result<Value, Problem> {
    let append_only = match insight {
        REJECTS => Some(view.rejects()),
        enriched_logs::NAME => Some(view.enriched().ok_or_else(|| absent(view, insight))?),
        _ => None,
    };
    let Some(table) = append_only else {
        let table = snapshot(view, insight)?;
        let query = query(params, table.columns())?;
        let page = table.page(&query).map_err(|cause| Problem::unreadable(&cause))?;
        let message = table.message().map_err(|cause| Problem::unreadable(&cause))?;
        let mut json = page_json(view, insight, table.columns(), &page, message);
        if let Some(before) = view.period_before().filter(|_| insight == top_songs_this_week::NAME) {
            json["before"] = before.to_string().into();
            json["places"] = places(view, &page).map_err(|cause| Problem::unreadable(&cause))?;
        }
        return Ok(json);
    };
    let query = query(params, table.columns())?;
    if query.sort.is_some() {
        return Err(Problem::bad_request(
            "sort: this table cannot be sorted; its newest rows always come first",
        ));
    }
    let page = table.page(&query).map_err(|cause| Problem::unreadable(&cause))?;
    Ok(page_json(view, insight, table.columns(), &page, None))
}

/// The places of the songs of a page: in this period, and in the period before.
fn places(view: &View, page: &Page) -> std::io::Result<Value> {
    let (now, before) = (view.places()?, view.places_before()?);
    let place = |row: &Row| {
        let song = row.bytes(0);
        (row.text(0), json!({ "now": now.get(song), "before": before.get(song) }))
    };
    Ok(Value::Object(page.rows.iter().map(place).collect()))
}

fn query<'a>(params: &'a ListParams, columns: &[Column]) -> Result<Query<'a>, Problem> {
    let mut filters = Vec::new();
    for (name, value) in [("user_id", &params.user_id), ("song_id", &params.song_id)] {
        let Some(value) = value else { continue };
        if !columns.iter().any(|column| column.name == name) {
            return Err(Problem::bad_request(format!("{name}: this table has no such column")));
        }
        filters.push((name, value.as_bytes()));
    }
    let sort = |text: &String| {
        let (name, descending) = text.strip_prefix('-').map_or((text.as_str(), false), |name| (name, true));
        let column = columns.iter().position(|column| column.name == name);
        let column =
            column.ok_or_else(|| Problem::bad_request(format!("sort: this table has no column {name:?}")))?;
        Ok(Sort { column, descending })
    };
    let limit = params.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::bad_request(format!("limit: expected a number from 1 to {MAX_LIMIT}")));
    }
    if let Some(text) = &params.search {
        check_search_text("search", text)?;
    }
    let cursor = params.cursor.as_ref().map(|text| text.parse()).transpose();
    Ok(Query {
        filters,
        search: params.search.as_deref().filter(|text| !text.is_empty()),
        sort: params.sort.as_ref().map(sort).transpose()?,
        limit,
        cursor: cursor.map_err(|cause| Problem::bad_request(format!("cursor: {cause}")))?,
    })
}

/// Refuses a search text that is too long.
pub(super) fn check_search_text(parameter: &str, text: &str) -> Result<(), Problem> {
    if text.chars().count() > MAX_SEARCH_CHARS {
        return Err(Problem::bad_request(format!(
            "{parameter}: expected at most {MAX_SEARCH_CHARS} characters"
        )));
    }
    Ok(())
}

fn page_json(view: &View, insight: &str, columns: &[Column], page: &Page, message: Option<String>) -> Value {
    let rows: Vec<Value> = page.rows.iter().map(|row| row_json(row, columns)).collect();
    let mut json = json!({
        "insight": insight,
        "epoch": view.snapshot.manifest.epoch,
        "columns": columns_json(columns),
        "rows": rows,
        "total": page.total,
        "from": page.from,
        "next_cursor": page.next.as_ref().map(ToString::to_string),
    });
    if let Some(message) = message {
        json["message"] = message.into();
    }
    if let Some(period) = view.period() {
        json["period"] = period.to_string().into();
    }
    if let Some(titles) = titles(view, columns, page) {
        json["titles"] = titles;
    }
    json
}

/// Song titles by song id, for tables with the column `song_id` but without the column `title`.
fn titles(view: &View, columns: &[Column], page: &Page) -> Option<Value> {
    let column = columns.iter().position(|column| column.name == "song_id")?;
    if columns.iter().any(|column| column.name == "title") {
        return None;
    }
    let songs = page.rows.iter().filter_map(|row| view.song(row.bytes(column)));
    let known = songs.map(|song| view.metadata(song)).filter(|song| !song.title.is_empty());
    Some(Value::Object(known.map(|song| (song.song_id, song.title.into())).collect()))
}

/// Names, types and titles of columns as JSON.
pub(super) fn columns_json(columns: &[Column]) -> Vec<Value> {
    let kind = |kind| match kind {
        ColumnType::Text => "text",
        ColumnType::Integer => "integer",
        ColumnType::Number => "number",
        ColumnType::Time => "time",
    };
    let column =
        |column: &Column| json!({ "name": column.name, "type": kind(column.kind), "title": column.title });
    columns.iter().map(column).collect()
}

fn row_json(row: &Row, columns: &[Column]) -> Value {
    let cell = |(index, column): (usize, &Column)| {
        let text = row.text(index);
        let value = match column.kind {
            ColumnType::Text | ColumnType::Time => text.into(),
            // Published numbers are valid JSON, so the response keeps all their digits.
            ColumnType::Integer | ColumnType::Number => serde_json::from_str(&text).unwrap_or(Value::Null),
        };
        (column.name.to_owned(), value)
    };
    Value::Object(columns.iter().enumerate().map(cell).collect::<Map<_, _>>())
}
