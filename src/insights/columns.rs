//! What the columns of each insight are called and hold, for those who write other forms than CSV.

use crate::insights::{
    avg_listen_time_per_song, enriched_logs, genre_loyalty_scores, happy_recommendations, night_owl_users,
    top_songs_this_week, user_favorite_genres,
};

/// What the cells of a column hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Any text.
    Text,
    /// A count.
    Integer,
    /// A decimal number.
    Number,
    /// A moment as RFC 3339 text with an offset.
    Time,
}

/// A column of an insight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in the header.
    pub name: &'static str,
    /// What its cells hold.
    pub kind: ColumnType,
}

/// The columns of an insight in the order of its header; nothing if there is no such insight.
///
/// ```
/// use music_insights::insights::columns::{ColumnType, columns};
/// let [song, plays] = columns("top_songs_this_week").unwrap() else { panic!() };
/// assert_eq!((song.kind, plays.kind), (ColumnType::Text, ColumnType::Integer));
/// ```
pub fn columns(insight: &str) -> Option<&'static [Column]> {
    Some(match insight {
        user_favorite_genres::NAME => const { &[USER, GENRE, integer("play_count")] },
        avg_listen_time_per_song::NAME => const { &[SONG, number("avg_duration")] },
        top_songs_this_week::NAME => const { &[SONG, integer("plays")] },
        happy_recommendations::NAME => const { &[USER, SONG, integer("sad_count"), TITLE] },
        genre_loyalty_scores::NAME => {
            const { &[USER, GENRE, integer("genre_plays"), integer("total_plays"), number("loyalty_score")] }
        }
        night_owl_users::NAME => &[USER],
        enriched_logs::NAME => {
            const { &[SONG, USER, TIMESTAMP, number("duration_sec"), TITLE, text("artist"), GENRE, text("mood")] }
        }
        _ => return None,
    })
}

const USER: Column = text("user_id");
const SONG: Column = text("song_id");
const TITLE: Column = text("title");
const GENRE: Column = text("genre");
const TIMESTAMP: Column = Column { name: "timestamp", kind: ColumnType::Time };

const fn text(name: &'static str) -> Column {
    Column { name, kind: ColumnType::Text }
}

const fn integer(name: &'static str) -> Column {
    Column { name, kind: ColumnType::Integer }
}

const fn number(name: &'static str) -> Column {
    Column { name, kind: ColumnType::Number }
}
