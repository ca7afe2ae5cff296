//! Handles requests for the overview, a listener or a song, and searches for listeners and songs.

use std::io;
use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query as Parameters, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::insights::{About, all as all_insights};
use crate::serve::http::context::Context;
use crate::serve::http::insights::check_search_text;
use crate::serve::http::periods::{PeriodQuery, requested_period, respond_for};
use crate::serve::http::response::{Problem, json_of_epoch, respond_from};
use crate::serve::overview::SongCount;
use crate::serve::view::View;
use crate::serve::view::period::PeriodTotals;

/// A search returns at most this many listeners and this many songs.
const MAX_SUGGESTIONS: usize = 10;

/// Parameters of a search.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchParams {
    text: String,
}

type Id = Result<Path<String>, PathRejection>;

pub(super) async fn overview(
    State(context): State<Arc<Context>>,
    params: PeriodQuery,
) -> Result<Response, Problem> {
    respond_for(context, requested_period(params)?, |view| {
        let overview = overview_json(view).map_err(|cause| Problem::unreadable(&cause))?;
        Ok(json_of_epoch(view, &overview))
    })
    .await
}

fn overview_json(view: &View) -> io::Result<Value> {
    let dashboard = view.charts()?;
    let overview = &dashboard.overview;
    let PeriodTotals { plays, songs: played, unmatched } = view.totals()?;
    let before = view.places_before()?;
    let mut charts = Map::new();
    let mut absent = Map::new();
    for chart in &dashboard.charts {
        match &chart.svg {
            Ok(svg) => charts.insert(chart.name.to_owned(), svg.as_str().into()),
            Err(reason) => absent.insert(chart.name.to_owned(), reason.0.as_str().into()),
        };
    }
    let song = |song: &SongCount, counted: &str| {
        let SongCount { song_id, title, artist, count } = song;
        json!({ "song_id": song_id, "title": title, "artist": artist, counted: count })
    };
    let recommended = overview.recommended.iter().flatten().map(|listed| song(listed, "listeners"));
    let top_songs = overview.top_songs.iter().flat_map(|top| &top.songs).map(|listed| {
        let mut song = song(listed, "plays");
        song["place_before"] = before.get(listed.song_id.as_bytes()).copied().into();
        song
    });
    let genres = overview.genres.iter().flatten();
    let entry = |about: &&About| {
        let entry = view.entry(about.name)?;
        let bytes: u64 = entry.parts.iter().map(|part| part.bytes).sum();
        Some((about.name.to_owned(), json!({ "rows": entry.rows, "bytes": bytes })))
    };
    Ok(json!({
        "epoch": view.snapshot.manifest.epoch,
        "period": view.period().map(|period| period.to_string()),
        "before": view.period_before().map(|period| period.to_string()),
        "plays": plays,
        "songs_played": played,
        "unmatched": unmatched,
        "tables": all_insights().filter_map(|about| entry(&about)).collect::<Map<_, _>>(),
        "charts": charts,
        "absent": absent,
        "week": view.snapshot.week.filter(|_| view.period().is_none()).map(|week| week.to_string()),
        "top_songs": top_songs.collect::<Vec<_>>(),
        "recommended": recommended.collect::<Vec<_>>(),
        "genres": genres.map(|share| json!({ "genre": share.genre, "plays": share.plays })).collect::<Vec<_>>(),
        "hours": overview.hours.as_ref().map(|hours| hours.to_vec()).unwrap_or_default(),
        "loyalty": overview.loyalty.as_ref().ok().map(|loyalty| json!({
            "buckets": loyalty.buckets,
            "listeners": loyalty.listeners(),
            "sampled": loyalty.sampled,
        })),
        "listeners": overview.listeners.as_ref().ok(),
        "night_owls": overview.night_owls.as_ref().ok(),
        "loyal": overview.loyal.as_ref().ok(),
    }))
}

pub(super) async fn user(
    State(context): State<Arc<Context>>,
    id: Id,
    params: PeriodQuery,
) -> Result<Response, Problem> {
    let Path(id) = id.map_err(|cause| Problem::bad_request(cause.body_text()))?;
    respond_for(context, requested_period(params)?, move |view| {
        let details = view.listener_details(id.as_bytes()).map_err(|cause| Problem::unreadable(&cause))?;
        let unknown = || {
            let period = view.period().map_or(String::new(), |period| format!(" in {period}"));
            Problem::not_found(format!("there is no play by a listener with this id{period}"))
        };
        Ok(json_of_epoch(view, &details.ok_or_else(unknown)?))
    })
    .await
}

pub(super) async fn song(
    State(context): State<Arc<Context>>,
    id: Id,
    params: PeriodQuery,
) -> Result<Response, Problem> {
    let Path(id) = id.map_err(|cause| Problem::bad_request(cause.body_text()))?;
    respond_for(context, requested_period(params)?, move |view| {
        let details = view.song_details(id.as_bytes()).map_err(|cause| Problem::unreadable(&cause))?;
        let details = details
            .ok_or_else(|| Problem::not_found("the catalog and the plays contain no song with this id"))?;
        Ok(json_of_epoch(view, &details))
    })
    .await
}

pub(super) async fn search(
    State(context): State<Arc<Context>>,
    params: Result<Parameters<SearchParams>, QueryRejection>,
) -> Result<Response, Problem> {
    let Parameters(params) = params.map_err(|cause| Problem::bad_request(cause.body_text()))?;
    check_search_text("text", &params.text)?;
    respond_from(context.view()?, move |view| {
        let matches = json!({
            "users": view.users_with_prefix(&params.text, MAX_SUGGESTIONS),
            "songs": view.search_songs(&params.text, MAX_SUGGESTIONS),
        });
        Ok(json_of_epoch(view, &matches))
    })
    .await
}
