//! Handles requests for the overview, a listener or a song, and searches for listeners and songs.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query as Parameters, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::serve::http::context::Context;
use crate::serve::http::insights::check_search_text;
use crate::serve::http::response::{Problem, json_of_epoch, respond_from};
use crate::serve::overview::SongCount;
use crate::serve::view::View;

/// A search returns at most this many listeners and this many songs.
const MAX_SUGGESTIONS: usize = 10;

/// Parameters of a search.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchParams {
    text: String,
}

type Id = Result<Path<String>, PathRejection>;

pub(super) async fn overview(State(context): State<Arc<Context>>) -> Result<Response, Problem> {
    respond_from(context.view()?, |view| Ok(json_of_epoch(view, &overview_json(view)))).await
}

fn overview_json(view: &View) -> Value {
    let dashboard = view.charts();
    let overview = &dashboard.overview;
    let mut charts = Map::new();
    let mut absent = Map::new();
    for chart in &dashboard.charts {
        match &chart.svg {
            Ok(svg) => charts.insert(chart.name.to_owned(), svg.as_str().into()),
            Err(reason) => absent.insert(chart.name.to_owned(), reason.0.as_str().into()),
        };
    }
    let songs = |songs: &[SongCount], counted: &str| -> Vec<Value> {
        let song = |song: &SongCount| {
            let SongCount { song_id, title, artist, count } = song;
            json!({ "song_id": song_id, "title": title, "artist": artist, counted: count })
        };
        songs.iter().map(song).collect()
    };
    let genres = overview.genres.iter().flatten();
    json!({
        "epoch": overview.epoch,
        "charts": charts,
        "absent": absent,
        "week": overview.top_songs.as_ref().ok().and_then(|top| top.week.as_ref()),
        "top_songs": overview.top_songs.as_ref().map(|top| songs(&top.songs, "plays")).unwrap_or_default(),
        "recommended": overview.recommended.as_ref().map(|list| songs(list, "listeners")).unwrap_or_default(),
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
    })
}

pub(super) async fn user(State(context): State<Arc<Context>>, id: Id) -> Result<Response, Problem> {
    let Path(id) = id.map_err(|cause| Problem::bad_request(cause.body_text()))?;
    respond_from(context.view()?, move |view| {
        let details = view.listener_details(id.as_bytes()).map_err(|cause| Problem::unreadable(&cause))?;
        let details =
            details.ok_or_else(|| Problem::not_found("there is no play by a listener with this id"))?;
        Ok(json_of_epoch(view, &details))
    })
    .await
}

pub(super) async fn song(State(context): State<Arc<Context>>, id: Id) -> Result<Response, Problem> {
    let Path(id) = id.map_err(|cause| Problem::bad_request(cause.body_text()))?;
    respond_from(context.view()?, move |view| {
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
