//! The status: state, totals, inputs, rejects, catalog and insights.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::insights::{APPEND_ONLY, About, SNAPSHOTS};
use crate::publish::manifest::InputEntry;
use crate::serve::http::context::Context;
use crate::serve::http::insights::columns_json;
use crate::serve::http::response::{Problem, json_of_epoch, uncached};
use crate::serve::view::View;
use crate::serve::view::page::{Query, Row};
use crate::text::harmless;

/// Maximum number of rejects in the search for examples. The search begins with the newest reject.
const SEARCHED_REJECTS: usize = 1000;
/// Maximum number of examples per reason.
const MAX_EXAMPLES: usize = 3;
/// Maximum number of characters of an example. Longer rows are shortened.
const MAX_RAW_CHARS: usize = 200;
/// Maximum number of listed inputs.
const MAX_INPUTS: usize = 50;

pub(super) async fn status(State(context): State<Arc<Context>>) -> Result<Response, Problem> {
    let live = Arc::clone(&context.live.borrow());
    let preparation = context.preparation().await;
    let mut status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "state": context.state(),
        "started_at": rfc3339(context.started_at),
        "rows_per_second": live.rows_per_second,
        "freshness_seconds": live.freshness_seconds,
        "bytes_unread": context.metrics.bytes_unread.get(),
        "inputs_unfinished": context.metrics.files_outstanding.get(),
        "inputs_not_retired": context.metrics.inputs_not_retired.get(),
        "inputs_rewritten": context.metrics.files_rewritten.get(),
        "inputs_refused": context.metrics.inputs_refused.get(),
        "timezone": context.settings.timezone.0.name(),
        "preparation": preparation.map(|(done, total)| json!({ "done": done, "total": total })),
        "epoch": Value::Null,
    });
    let Ok(view) = context.view() else {
        // Before the first epoch, the response has only the fields that need no epoch.
        return Ok(uncached("application/json", status.to_string()));
    };
    let epoch_fields = epoch_fields(&view, context.settings.timezone.0.name())
        .map_err(|cause| Problem::unreadable(&cause))?;
    status.as_object_mut().expect("json! made an object").extend(epoch_fields);
    status["catalog"]["broken"] = (context.metrics.catalog_broken.get() > 0).into();
    Ok(json_of_epoch(&view, &status))
}

fn epoch_fields(view: &View, timezone: &str) -> std::io::Result<serde_json::Map<String, Value>> {
    let manifest = &view.snapshot.manifest;
    let totals = &manifest.totals;
    let catalog = &manifest.catalog;
    let played = view.snapshot.ledger.song_totals().iter().filter(|total| total.plays > 0).count();
    let value = json!({
        "epoch": manifest.epoch,
        "published_at": manifest.generated_at,
        "incomplete_since": manifest.incomplete_since,
        "totals": {
            "inputs": totals.inputs,
            "bytes": totals.bytes,
            "rows": totals.rows,
            "plays": view.snapshot.ledger.plays(),
            "rejected": totals.rejected.values().sum::<u64>(),
            "unmatched": totals.unmatched,
        },
        "listeners": view.snapshot.listeners,
        "songs_played": played,
        "inputs": inputs(view),
        "refused": refused(view),
        "rejects": rejects(view)?,
        "catalog": {
            "path": catalog.path,
            "songs": catalog.songs,
            "rejected": catalog.rejected.values().sum::<u64>(),
            "fingerprint": catalog.fingerprint,
            "loaded_at": rfc3339(view.snapshot.catalog.read_at),
            "age_seconds": view.snapshot.catalog.read_at.elapsed().unwrap_or_default().as_secs(),
        },
        "insights": insights(view, timezone),
        "periods": view.snapshot.periods.indexes.len(),
        "night": { "from": view.snapshot.night.from.to_string(), "to": view.snapshot.night.to.to_string() },
        "week": view.snapshot.week.map(|week| week.to_string()),
    });
    let Value::Object(fields) = value else { unreachable!("json! made an object") };
    Ok(fields)
}

/// The published insights in the order of the registry, with the texts that describe them.
fn insights(view: &View, timezone: &str) -> Vec<Value> {
    let snapshots = SNAPSHOTS.into_iter().zip(std::iter::repeat("snapshot"));
    let append_only = APPEND_ONLY.into_iter().zip(std::iter::repeat("append_only"));
    let described = snapshots.chain(append_only).filter_map(|(about, kind)| {
        let entry = view.snapshot.manifest.insights.get(about.name)?;
        Some(json!({
            "name": about.name,
            "kind": kind,
            "title": about.title,
            "question": about.question,
            "meaning": meaning(about, view, timezone),
            "empty": about.empty,
            "rows": entry.rows,
            "incomplete_since": entry.incomplete_since,
            "bytes": entry.parts.iter().map(|part| part.bytes).sum::<u64>(),
            "columns": columns_json(about.columns),
        }))
    });
    described.collect()
}

/// The description of an insight. It contains the values of the settings that the epoch used.
fn meaning(about: &About, view: &View, timezone: &str) -> String {
    let settings = serde_json::to_value(&view.snapshot.insights).unwrap_or_default();
    about.meaning(|key| match key {
        "timezone" => Some(timezone.to_owned()),
        "published_week" => {
            Some(view.snapshot.week.map_or_else(|| "no plays yet".to_owned(), |week| week.to_string()))
        }
        _ => match settings.get(about.name)?.get(key)? {
            Value::String(text) => Some(text.clone()),
            value => Some(value.to_string()),
        },
    })
}

/// The listed inputs: unfinished inputs first, then the most recently read inputs.
fn inputs(view: &View) -> Vec<Value> {
    let unfinished = &view.snapshot.manifest.unfinished;
    let is_other =
        |input: &&InputEntry| !unfinished.iter().take(MAX_INPUTS).any(|other| other.path == input.path);
    let others = view.snapshot.inputs.iter().filter(is_other);
    let listed = unfinished.iter().take(MAX_INPUTS).chain(others).take(MAX_INPUTS);
    listed
        .map(|input| {
            json!({
                "path": input.path,
                "bytes": input.bytes,
                "size": input.size,
                "rows": input.rows,
                "rejected": input.rejected.values().sum::<u64>(),
                "unmatched": input.unmatched,
                "finished": input.bytes >= input.size,
            })
        })
        .collect()
}

/// The latest inputs that cannot be read as logs.
fn refused(view: &View) -> Vec<Value> {
    let refused = view.snapshot.refused.iter().map(|input| {
        json!({
            "path": input.path,
            "reason": input.reason.code(),
            "detail": harmless(&input.detail),
        })
    });
    refused.collect()
}

/// Rejects by reason, with the newest examples.
fn rejects(view: &View) -> std::io::Result<Vec<Value>> {
    let newest = view.rejects().page(&Query { limit: SEARCHED_REJECTS, ..Query::default() })?;
    let mut examples: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let number = |row: &Row| row.text(1).parse::<u64>().unwrap_or_default();
    for row in &newest.rows {
        let examples = examples.entry(row.text(3)).or_default();
        if examples.len() < MAX_EXAMPLES {
            let raw: String = row.text(4).chars().take(MAX_RAW_CHARS).collect();
            examples.push(json!({ "file": row.text(0), "line": number(row), "raw": raw }));
        }
    }
    let counts = view.snapshot.manifest.totals.rejected.iter();
    let reasons = counts.map(|(reason, rows)| {
        json!({ "reason": reason, "rows": rows, "examples": examples.remove(reason).unwrap_or_default() })
    });
    Ok(reasons.collect())
}

fn rfc3339(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}
