//! The insights, with one function for each. Text is compared and sorted byte by byte, as `String` does.

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::{Catalog, on_one_line};
use super::csv_out::{decimal_ratio, record};
use super::duration::format_duration;
use super::play::Play;
use super::settings::{ONE, Settings, Week, format_fraction};
use super::timestamp::{Instant, format_timestamp, iso_week, second_of_day};

/// The text of every snapshot, keyed by the name of the insight.
pub fn snapshots(plays: &[Play], songs: &Catalog, settings: &Settings) -> Vec<(&'static str, String)> {
    vec![
        ("user_favorite_genres", user_favorite_genres(plays, songs, settings)),
        ("avg_listen_time_per_song", avg_listen_time_per_song(plays, settings)),
        ("top_songs_this_week", top_songs_this_week(plays, settings)),
        ("happy_recommendations", happy_recommendations(plays, songs, settings)),
        ("genre_loyalty_scores", genre_loyalty_scores(plays, songs, settings)),
        ("night_owl_users", night_owl_users(plays, settings)),
    ]
}

/// `user -> genre -> plays`. Counts only matched plays of songs with a genre.
fn genre_plays(plays: &[Play], songs: &Catalog) -> BTreeMap<String, BTreeMap<String, u64>> {
    let mut users: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for play in plays {
        let Some(song) = songs.get(&play.song_id) else { continue };
        if song.genre.is_empty() {
            continue;
        }
        *users.entry(play.user_id.clone()).or_default().entry(song.genre.clone()).or_default() += 1;
    }
    users
}

/// For each user, the genre with the most plays. If several genres are equal, `ties = "first"` keeps only the
/// alphabetically first one, and `ties = "all"` keeps all of them.
pub fn user_favorite_genres(plays: &[Play], songs: &Catalog, settings: &Settings) -> String {
    let mut text = record(&["user_id", "genre", "play_count"]);
    for (user_id, genres) in genre_plays(plays, songs) {
        let most = genres.values().copied().max().unwrap_or(0);
        let mut favorites: Vec<&String> =
            genres.iter().filter(|(_, count)| **count == most).map(|(genre, _)| genre).collect();
        if settings.ties_first {
            favorites.truncate(1);
        }
        for genre in favorites {
            text += &record(&[&user_id, genre, &most.to_string()]);
        }
    }
    text
}

/// For each song with at least one play, the mean duration of its plays in seconds. Unmatched plays count.
pub fn avg_listen_time_per_song(plays: &[Play], settings: &Settings) -> String {
    let mut totals: BTreeMap<String, (u128, u128)> = BTreeMap::new();
    for play in plays {
        let (milliseconds, count) = totals.entry(play.song_id.clone()).or_default();
        *milliseconds += u128::from(play.duration);
        *count += 1;
    }
    let mut text = record(&["song_id", "avg_duration"]);
    for (song_id, (milliseconds, count)) in totals {
        text += &record(&[&song_id, &decimal_ratio(milliseconds, count * 1000, settings.avg_decimals)]);
    }
    text
}

/// The most played songs of one ISO week. Unmatched plays count.
pub fn top_songs_this_week(plays: &[Play], settings: &Settings) -> String {
    let week_of = |at: Instant| iso_week(at, settings.timezone);
    let week = match settings.week {
        Week::Latest => plays.iter().map(|play| week_of(play.at)).max(),
        Week::Current => Some(week_of(Instant { seconds: settings.now, nanoseconds: 0 })),
        Week::Named(year, week) => Some((year, week)),
    };
    most_played(plays.iter().filter(|play| Some(week_of(play.at)) == week), settings)
}

/// The most played songs. Unmatched plays count. The table of a period.
pub fn top_songs(plays: &[Play], settings: &Settings) -> String {
    most_played(plays.iter(), settings)
}

fn most_played<'a>(plays: impl Iterator<Item = &'a Play>, settings: &Settings) -> String {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for play in plays {
        *counts.entry(play.song_id.clone()).or_default() += 1;
    }
    let mut ranked: Vec<(String, u64)> = counts.into_iter().collect();
    // The sort is stable, so songs with equal plays stay in the order of their ids.
    ranked.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut text = record(&["song_id", "plays"]);
    for (song_id, count) in ranked.into_iter().take(settings.top_limit) {
        text += &record(&[&song_id, &count.to_string()]);
    }
    text
}

/// For each sad listener, the Happy songs that the listener has never played. The most popular song is first.
pub fn happy_recommendations(plays: &[Play], songs: &Catalog, settings: &Settings) -> String {
    let happy_ranked = happy_songs_by_popularity(plays, songs);
    let mut text = record(&["user_id", "song_id", "sad_count", "title"]);
    for (user_id, user_plays) in by_user(plays) {
        let Some(sad_count) = sad_count(&user_plays, songs, settings) else { continue };
        let known: BTreeSet<&String> = user_plays.iter().map(|play| &play.song_id).collect();
        let unknown = happy_ranked.iter().filter(|song_id| !known.contains(song_id));
        for song_id in unknown.take(settings.per_user) {
            text +=
                &record(&[&user_id, &on_one_line(song_id), &sad_count.to_string(), &songs[song_id].title]);
        }
    }
    text
}

/// The songs of the catalog with the mood Happy, sorted by their number of plays, descending, then by id.
/// Songs without plays are last.
fn happy_songs_by_popularity(plays: &[Play], songs: &Catalog) -> Vec<String> {
    let mut popularity: BTreeMap<String, u64> = BTreeMap::new();
    for (song_id, song) in songs {
        if song.has_mood("Happy") {
            popularity.insert(song_id.clone(), 0);
        }
    }
    for play in plays {
        if let Some(count) = popularity.get_mut(&play.song_id) {
            *count += 1;
        }
    }
    let mut ranked: Vec<(String, u64)> = popularity.into_iter().collect();
    ranked.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    ranked.into_iter().map(|(song_id, _)| song_id).collect()
}

/// The number of Sad plays of a sad listener. `None` if the user is not a sad listener.
fn sad_count(user_plays: &[&Play], songs: &Catalog, settings: &Settings) -> Option<u64> {
    let mut matched = 0_u64;
    // The key is the mood as it is compared.
    let mut moods: BTreeMap<String, u64> = BTreeMap::new();
    for play in user_plays {
        let Some(song) = songs.get(&play.song_id) else { continue };
        matched += 1;
        *moods.entry(song.plain_mood()).or_default() += 1;
    }
    let sad = moods.get("sad").copied().unwrap_or(0);
    let enough_plays = sad >= settings.min_sad_plays.max(1);
    let enough_share =
        u128::from(sad) * u128::from(ONE) >= u128::from(settings.min_sad_share) * u128::from(matched);
    let beaten = moods.iter().any(|(mood, count)| !mood.is_empty() && *count > sad);
    let is_sad = enough_plays && enough_share && !(settings.dominant && beaten);
    is_sad.then_some(sad)
}

/// For each user, every genre with a share above the threshold. The share refers to all plays of
/// the user that have a genre. The comparison is exact.
pub fn genre_loyalty_scores(plays: &[Play], songs: &Catalog, settings: &Settings) -> String {
    let mut rows = String::new();
    for (user_id, genres) in genre_plays(plays, songs) {
        let total: u64 = genres.values().sum();
        for (genre, count) in genres {
            if u128::from(count) * u128::from(ONE) > u128::from(settings.threshold) * u128::from(total) {
                let score = decimal_ratio(u128::from(count), u128::from(total), settings.loyalty_decimals);
                rows += &record(&[&user_id, &genre, &count.to_string(), &total.to_string(), &score]);
            }
        }
    }
    if rows.is_empty() {
        let threshold = format_fraction(settings.threshold);
        let message = format!("No users found with genre loyalty score above {threshold}.");
        return record(&["message"]) + &record(&[&message]);
    }
    record(&["user_id", "genre", "genre_plays", "total_plays", "loyalty_score"]) + &rows
}

/// Users with enough plays at night. Unmatched plays count.
pub fn night_owl_users(plays: &[Play], settings: &Settings) -> String {
    let mut text = record(&["user_id"]);
    for (user_id, user_plays) in by_user(plays) {
        let at_night = user_plays.iter().filter(|play| is_night(play, settings)).count() as u64;
        if at_night >= settings.min_plays {
            text += &record(&[&user_id]);
        }
    }
    text
}

/// Whether a play is at night: `from <= t < to`. If `from` is later than `to`, the night includes midnight.
fn is_night(play: &Play, settings: &Settings) -> bool {
    let time = second_of_day(play.at, settings.timezone);
    let (from, to) = (settings.night_from * 60, settings.night_to * 60);
    if from < to { from <= time && time < to } else { from <= time || time < to }
}

/// Every matched play with the metadata of its song, in input order. Splits the rows into parts of at most
/// `roll_bytes` bytes.
pub fn enriched_logs(plays: &[Play], songs: &Catalog, settings: &Settings) -> Vec<String> {
    let columns = ["song_id", "user_id", "timestamp", "duration_sec", "title", "artist", "genre", "mood"];
    let header = record(&columns);
    let mut parts = vec![header.clone()];
    for play in plays {
        let Some(song) = songs.get(&play.song_id) else { continue };
        let timestamp = format_timestamp(play.at, settings.timezone);
        let duration = format_duration(play.duration);
        let row = record(&[
            &play.song_id,
            &play.user_id,
            &timestamp,
            &duration,
            &song.title,
            &song.artist,
            &song.genre,
            &song.mood,
        ]);
        let current = &parts[parts.len() - 1];
        let has_rows = current.len() > header.len();
        if has_rows && (current.len() + row.len()) as u64 > settings.roll_bytes {
            parts.push(header.clone());
        }
        let last = parts.len() - 1;
        parts[last] += &row;
    }
    parts
}

/// The plays of each user, in input order.
fn by_user(plays: &[Play]) -> BTreeMap<String, Vec<&Play>> {
    let mut users: BTreeMap<String, Vec<&Play>> = BTreeMap::new();
    for play in plays {
        users.entry(play.user_id.clone()).or_default().push(play);
    }
    users
}
