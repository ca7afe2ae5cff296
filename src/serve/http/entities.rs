//! The overview, listeners and songs.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query as Parameters, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::serve::http::context::Context;
use crate::serve::http::insights::check_sought;
use crate::serve::http::response::{Problem, look, of_epoch};
use crate::serve::overview::SongCount;
use crate::serve::view::View;

/// Listeners and songs that are suggested.
const SUGGESTED: usize = 10;

/// What is sought.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sought {
    text: String,
}

type Id = Result<Path<String>, PathRejection>;

pub(super) async fn overview(State(context): State<Arc<Context>>) -> Result<Response, Problem> {
    look(context.view()?, |view| Ok(of_epoch(view, &pictures(view)))).await
}

fn pictures(view: &View) -> Value {
    let pictures = view.pictures();
    let overview = &pictures.overview;
    let mut charts = Map::new();
    let mut absent = Map::new();
    for chart in &pictures.charts {
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
    look(context.view()?, move |view| {
        let page = view.listener_page(id.as_bytes()).map_err(|cause| Problem::unreadable(&cause))?;
        let page = page.ok_or_else(|| Problem::not_found("no listener of this id has a play yet"))?;
        Ok(of_epoch(view, &page))
    })
    .await
}

pub(super) async fn song(State(context): State<Arc<Context>>, id: Id) -> Result<Response, Problem> {
    let Path(id) = id.map_err(|cause| Problem::bad_request(cause.body_text()))?;
    look(context.view()?, move |view| {
        let page = view.song_page(id.as_bytes()).map_err(|cause| Problem::unreadable(&cause))?;
        let page =
            page.ok_or_else(|| Problem::not_found("no song of this id was played or is in the catalog"))?;
        Ok(of_epoch(view, &page))
    })
    .await
}

pub(super) async fn search(
    State(context): State<Arc<Context>>,
    sought: Result<Parameters<Sought>, QueryRejection>,
) -> Result<Response, Problem> {
    let Parameters(sought) = sought.map_err(|cause| Problem::bad_request(cause.body_text()))?;
    check_sought("text", &sought.text)?;
    look(context.view()?, move |view| {
        let found = json!({
            "users": view.users_from(&sought.text, SUGGESTED),
            "songs": view.songs_with(&sought.text, SUGGESTED),
        });
        Ok(of_epoch(view, &found))
    })
    .await
}
