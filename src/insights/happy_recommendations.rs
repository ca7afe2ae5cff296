//! Which happy songs are new to listeners of sad songs?

use std::cmp::Reverse;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::MoodId;
use crate::insights::about::{About, InsightSettings};
use crate::insights::column::Column;
use crate::insights::insight::{Cut, Insight};
use crate::insights::query::{Parameter, Weeks};
use crate::insights::rows::Rows;
use crate::insights::shortlist::Shortlist;
use crate::insights::tally::Tally;
use crate::ledger::listens::UserListens;
use crate::model::value::{Fraction, from_text};
use crate::model::{SongId, UserId};
use crate::text::{on_one_line, push_cell, push_integer};

/// Name of the insight.
pub const NAME: &str = "happy_recommendations";

/// The insight in words, columns and SQL.
pub const ABOUT: About = About {
    name: NAME,
    title: "Happy songs for sad listeners",
    question: "Which happy songs are new to listeners of sad songs?",
    meaning: "For each listener of sad songs, the most played happy songs that are new to the listener.",
    columns: &[Column::USER, Column::SONG, Column::integer("sad_count", "Sad plays"), Column::TITLE],
    empty: "No listener of sad songs, or no happy song that is new to such a listener",
    sql: include_str!("happy_recommendations.sql"),
};

/// `[insights.happy_recommendations]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether the insight is published.
    #[serde(deserialize_with = "from_text")]
    pub enabled: bool,
    /// The maximum number of songs per listener.
    #[serde(deserialize_with = "from_text")]
    pub per_user: usize,
    /// How many plays of sad songs make a listener a sad listener; at least 1.
    #[serde(deserialize_with = "from_text")]
    #[schemars(range(min = 1))]
    pub min_sad_plays: u64,
    /// The minimum share of sad songs in a sad listener's matched plays, from 0 to 1.
    #[serde(deserialize_with = "from_text")]
    pub min_sad_share: Fraction,
    /// Whether sad must be the most played mood of a sad listener; a tie is allowed.
    #[serde(deserialize_with = "from_text")]
    pub dominant: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let no_share = Fraction::from_billionths(0);
        Self { enabled: true, per_user: 3, min_sad_plays: 1, min_sad_share: no_share, dominant: false }
    }
}

impl InsightSettings for Settings {
    fn parameters(&self, _: Weeks) -> Vec<(&'static str, Parameter)> {
        vec![
            ("per_user", self.per_user.into()),
            ("min_sad_plays", self.min_sad_plays.into()),
            ("min_sad_share", self.min_sad_share.into()),
            ("dominant", self.dominant.into()),
        ]
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.min_sad_plays == 0 { Err("`min_sad_plays` must be at least 1") } else { Ok(()) }
    }
}

/// The recommended songs of each sad listener.
///
/// All happy songs are ranked once per cut. For each listener, a search reads at most the first *played +
/// `per_user`* places of the ranking, where *played* is the number of happy songs that the listener has
/// played. The depth of each search is stored. A change in the ranking therefore affects only the listeners
/// whose search reached the changed place.
#[derive(Debug)]
pub struct HappyRecommendations {
    settings: Settings,
    rows: Rows<UserId>,
    rank: Vec<SongId>,
    /// The state of each listener, by number.
    listeners: Vec<Listener>,
    shortlist: Shortlist,
}

#[derive(Clone, Copy, Debug, Default)]
struct Listener {
    /// Number of sad plays of a sad listener; 0 for all other listeners.
    sad_plays: u64,
    /// Number of places of the ranking that were searched; [`ALL`] if the ranking was too short.
    depth: u32,
}

/// A depth beyond the end of every ranking.
const ALL: u32 = u32::MAX;

impl HappyRecommendations {
    /// An insight without rows.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            rows: Rows::default(),
            rank: Vec::new(),
            listeners: Vec::new(),
            shortlist: Shortlist::default(),
        }
    }

    /// Ranks the happy songs, and returns the first place that changed.
    fn rank_songs(&mut self, cut: &Cut) -> usize {
        let songs = cut.dictionaries.songs.read();
        let plays = |song| cut.ledger.song_plays().total(song).plays;
        let mut rank = cut.catalog.happy_songs().to_vec();
        rank.sort_by(|&a, &b| plays(b).cmp(&plays(a)).then_with(|| songs.resolve(a).cmp(songs.resolve(b))));
        debug_assert!(rank.is_sorted_by_key(|&song| Reverse(plays(song))), "most played first");
        let same = self.rank.iter().zip(&rank).take_while(|(old, new)| old == new).count();
        self.rank = rank;
        same
    }

    /// Counts the sad plays of users, and updates the bits of these users in the shortlist.
    fn scan_listens(&mut self, users: &[UserId], cut: &Cut) {
        let mut tally = Tally::default();
        for &user in users {
            tally.reset(cut.catalog.mood_count());
            let (mut matched, mut played) = (0, 0);
            cut.ledger.listens().of(user).for_each(|song, plays| {
                // A song outside the catalog has no mood.
                tally.add(cut.catalog.mood(song).index(), plays);
                if cut.catalog.contains(song) {
                    matched += plays;
                }
                played |= self.shortlist.bit(song);
            });
            self.listeners[user.index()].sad_plays = self.sad_plays(&tally, matched);
            self.shortlist.set_played(user, played);
        }
    }

    /// The number of sad plays if the user is a sad listener, otherwise 0. `matched` is the number of matched
    /// plays of the user.
    fn sad_plays(&self, tally: &Tally, matched: u64) -> u64 {
        let sad = tally.of(MoodId::SAD.index());
        let enough =
            sad >= self.settings.min_sad_plays && self.settings.min_sad_share.compare(sad, matched).is_ge();
        let strongest =
            tally.sorted().filter(|&(mood, _)| mood != MoodId::NONE.index()).map(|(_, plays)| plays).max();
        let dominates = !self.settings.dominant || strongest == Some(sad);
        if enough && dominates { sad } else { 0 }
    }

    /// The first songs of the ranking that a user has never played, and the depth of the search.
    fn recommend(&self, user: UserId, listens: UserListens<'_>) -> (Vec<SongId>, u32) {
        let mut songs = Vec::with_capacity(self.settings.per_user.min(16));
        for (place, &song) in self.rank.iter().enumerate() {
            if songs.len() == self.settings.per_user {
                return (songs, place as u32);
            }
            if !self.shortlist.has_played(user, listens, song) {
                songs.push(song);
            }
        }
        (songs, ALL)
    }

    /// Users with new plays, and users whose search reached a changed place of the ranking.
    fn users_to_refresh(&self, cut: &Cut, first_changed: usize) -> Vec<UserId> {
        let mut users = cut.users_to_refresh();
        if !cut.new_catalog && first_changed < self.rank.len() {
            let reaches = |&(_, listener): &(u32, &Listener)| listener.depth as usize > first_changed;
            users.extend((0..).zip(&self.listeners).filter(reaches).map(|(user, _)| UserId(user)));
            users.sort_unstable();
            users.dedup();
        }
        users
    }
}

impl Insight for HappyRecommendations {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn refresh(&mut self, cut: &Cut) -> bool {
        let first_changed = self.rank_songs(cut);
        let known = cut.user_order.ids().len().max(self.listeners.len());
        self.listeners.resize(known, Listener::default());
        if self.shortlist.covers(&self.rank) {
            self.scan_listens(&cut.users_to_refresh(), cut);
        } else {
            self.shortlist.rebuild(&self.rank);
            self.scan_listens(&(0..known as u32).map(UserId).collect::<Vec<_>>(), cut);
        }
        let (users, songs) = (cut.dictionaries.users.read(), cut.dictionaries.songs.read());
        let mut rows = std::mem::take(&mut self.rows);
        let changed = rows.refresh(self.users_to_refresh(cut, first_changed), |user, lines| {
            let sad = self.listeners[user.index()].sad_plays;
            let mut depth = 0;
            if sad > 0 {
                let (recommended, depth_of_search) = self.recommend(user, cut.ledger.listens().of(user));
                depth = depth_of_search;
                for song in recommended {
                    push_cell(lines, users.resolve(user));
                    lines.push(b',');
                    push_cell(lines, &on_one_line(songs.resolve(song)));
                    lines.push(b',');
                    push_integer(lines, sad);
                    lines.extend_from_slice(cut.catalog.title_cell(song));
                    lines.push(b'\n');
                }
            }
            self.listeners[user.index()].depth = depth;
        });
        self.rows = rows;
        changed
    }

    fn render(&self, cut: &Cut, emit: &mut dyn FnMut(&[u8])) -> u64 {
        emit(ABOUT.header().as_bytes());
        self.rows.emit(cut.user_order.ids(), emit)
    }
}
