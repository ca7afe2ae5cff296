//! Which happy songs are new to listeners of sad songs?

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU32, Ordering};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::MoodId;
use crate::insights::about::{About, InsightSettings};
use crate::insights::column::Column;
use crate::insights::insight::{Cut, Insight, Listener, ListenerTable, Once};
use crate::insights::query::{Parameter, Weeks};
use crate::insights::ranges::in_ranges;
use crate::insights::rows::Rows;
use crate::insights::shortlist::Shortlist;
use crate::insights::tally::Tally;
use crate::ledger::listens::ListensReader;
use crate::model::value::{Fraction, from_text};
use crate::model::{SongId, UserId};
use crate::text::padded::PaddedText;
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
    /// The place of each song in the order of the ids, by number. Sorting by places is faster than by ids.
    places: Vec<u32>,
    /// The state of each listener, by number.
    listeners: Vec<ListenerState>,
    shortlist: Shortlist,
    /// What a scan of listens needs, by number of the song. Songs beyond the end are not in the catalog.
    facts: Vec<SongFacts>,
    /// The first songs of the ranking, as text.
    texts: Vec<SongText>,
}

#[derive(Debug, Default)]
struct ListenerState {
    /// Number of sad plays of a sad listener; 0 for all other listeners.
    sad_plays: u64,
    /// Number of places of the ranking that were searched; [`ALL`] if the ranking was too short.
    depth: AtomicU32,
}

/// What a scan of listens needs to know of a song, in two bytes: the facts of many songs stay in the cache.
///
/// The lowest bits have the place in the shortlist plus one, or zero. The two bits above say whether the song is in the
/// catalog, and whether it is sad.
#[derive(Clone, Copy, Debug, Default)]
struct SongFacts(u16);

impl SongFacts {
    fn new(bit: u64, is_matched: bool, is_sad: bool) -> Self {
        let place = bit.checked_ilog2().map_or(0, |place| place as u16 + 1);
        Self(place | u16::from(is_matched) << 7 | u16::from(is_sad) << 8)
    }

    /// The bit in the shortlist.
    #[inline]
    fn bit(self) -> u64 {
        // The bit of place zero is shifted out.
        ((1_u128 << (self.0 & 0x7F)) >> 1) as u64
    }

    #[inline]
    fn is_matched(self) -> u64 {
        u64::from(self.0 >> 7 & 1)
    }

    #[inline]
    fn is_sad(self) -> u64 {
        u64::from(self.0 >> 8 & 1)
    }
}

/// A recommended song, as text.
#[derive(Debug)]
struct SongText {
    /// The id as a CSV cell, with a comma before and after it.
    id: PaddedText,
    /// The title as a CSV cell, with a comma before and a line feed after it.
    title: PaddedText,
}

/// A depth beyond the end of every ranking.
const ALL: u32 = u32::MAX;
/// Number of places of the ranking whose texts are rendered in advance. Few searches go deeper.
const TEXTS: usize = 64;

impl HappyRecommendations {
    /// An insight without rows.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            rows: Rows::default(),
            rank: Vec::new(),
            places: Vec::new(),
            listeners: Vec::new(),
            shortlist: Shortlist::default(),
            facts: Vec::new(),
            texts: Vec::new(),
        }
    }

    /// Ranks the happy songs, and returns the first place that changed.
    fn rank_songs(&mut self, cut: &Cut) -> usize {
        let order = cut.song_order.ids();
        if self.places.len() != order.len() {
            self.places.resize(order.len(), 0);
            (0..).zip(order).for_each(|(place, song)| self.places[song.index()] = place);
        }
        let key = |&song: &SongId| {
            let plays = cut.ledger.song_plays().total(song).plays;
            (Reverse(plays), self.places[song.index()])
        };
        let mut keys: Vec<(Reverse<u64>, u32)> = cut.catalog.happy_songs().iter().map(key).collect();
        keys.sort_unstable();
        let rank: Vec<SongId> = keys.into_iter().map(|(_, place)| order[place as usize]).collect();
        let same = self.rank.iter().zip(&rank).take_while(|(old, new)| old == new).count();
        self.rank = rank;
        let songs = cut.dictionaries.songs.read();
        self.texts =
            self.rank.iter().take(TEXTS).map(|&song| SongText::of(song, songs.resolve(song), cut)).collect();
        same
    }

    /// Appends the row of a listener and of the song at a place of the ranking.
    fn push_row(&self, cut: &Cut, listener: &PaddedText, place: usize, sad: u64, lines: &mut Vec<u8>) {
        listener.push_to(lines);
        let song = self.rank[place];
        let rare;
        let text = if let Some(text) = self.texts.get(place) {
            text
        } else {
            rare = SongText::of(song, cut.dictionaries.songs.read().resolve(song), cut);
            &rare
        };
        text.id.push_to(lines);
        push_integer(lines, sad);
        text.title.push_to(lines);
    }

    /// Updates the facts of all songs and the state of the users whose listens must be scanned.
    fn scan(&mut self, cut: &Cut) {
        let known = cut.user_order.ids().len().max(self.listeners.len());
        self.listeners.resize_with(known, ListenerState::default);
        let is_covered = self.shortlist.covers(&self.rank);
        if !is_covered {
            self.shortlist.rebuild(&self.rank);
        }
        if cut.new_catalog || !is_covered {
            self.find_facts(cut);
        }
        let users = if is_covered { cut.users_to_refresh() } else { cut.users() };
        self.scan_listens(&users, cut);
    }

    fn find_facts(&mut self, cut: &Cut) {
        let fact = |song| {
            let is_sad = cut.catalog.mood(song) == MoodId::SAD;
            SongFacts::new(self.shortlist.bit(song), cut.catalog.contains(song), is_sad)
        };
        self.facts = (0..cut.song_order.ids().len() as u32).map(|song| fact(SongId(song))).collect();
    }

    /// Counts the sad plays of users, and updates the bits of these users in the shortlist.
    fn scan_listens(&mut self, users: &[UserId], cut: &Cut) {
        let Self { settings, facts, listeners, shortlist, .. } = self;
        let scan_range = |range: &[UserId]| {
            let (mut listens, mut plays) = (cut.ledger.listens().reader(), Vec::new());
            let scan_user = |&user: &UserId| {
                listens.of(user).read(&mut plays);
                (user, scan(&plays, facts, settings, cut))
            };
            range.iter().map(scan_user).collect::<Vec<_>>()
        };
        in_ranges(users, cut.threads, scan_range, |scanned| {
            for (user, (sad_plays, played)) in scanned {
                listeners[user.index()].sad_plays = sad_plays;
                shortlist.set_played(user, played);
            }
        });
    }

    /// Finds the places of the first songs of the ranking that a user has never played. Returns the depth of
    /// the search.
    fn recommend(&self, user: UserId, listens: &mut ListensReader<'_>, places: &mut Vec<usize>) -> u32 {
        places.clear();
        for (place, &song) in self.rank.iter().enumerate() {
            if places.len() == self.settings.per_user {
                return place as u32;
            }
            if !self.shortlist.has_played(user, listens, song) {
                places.push(place);
            }
        }
        ALL
    }

    /// Users with new plays, and users whose search reached a changed place of the ranking.
    fn users_to_refresh(&self, cut: &Cut, first_changed: usize) -> Vec<UserId> {
        let mut users = cut.users_to_refresh();
        if !cut.new_catalog && first_changed < self.rank.len() {
            let reaches = |&(_, listener): &(u32, &ListenerState)| {
                listener.depth.load(Ordering::Relaxed) as usize > first_changed
            };
            users.extend((0..).zip(&self.listeners).filter(reaches).map(|(user, _)| UserId(user)));
            users.sort_unstable();
            users.dedup();
        }
        users
    }
}

/// The number of sad plays if a user with these plays is a sad listener, otherwise 0; and the bits of the songs in the
/// shortlist that the user has played.
fn scan(plays: &[(SongId, u64)], facts: &[SongFacts], settings: &Settings, cut: &Cut) -> (u64, u64) {
    let (mut sad, mut matched, mut played) = (0, 0, 0);
    for &(song, plays) in plays {
        let song = facts.get(song.index()).copied().unwrap_or_default();
        sad += plays * song.is_sad();
        matched += plays * song.is_matched();
        played |= song.bit();
    }
    let is_sad_listener = sad >= settings.min_sad_plays
        && settings.min_sad_share.compare(sad, matched).is_ge()
        && (!settings.dominant || most_plays_of_a_mood(plays, cut) == sad);
    (if is_sad_listener { sad } else { 0 }, played)
}

fn most_plays_of_a_mood(plays: &[(SongId, u64)], cut: &Cut) -> u64 {
    let mut tally = Tally::default();
    tally.reset(cut.catalog.mood_count());
    // A song outside the catalog has no mood.
    for &(song, plays) in plays {
        tally.add(cut.catalog.mood(song).index(), plays);
    }
    tally.take(MoodId::NONE.index());
    tally.most()
}

impl Insight for HappyRecommendations {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn refresh(&mut self, cut: &Cut) -> bool {
        let first_changed = self.rank_songs(cut);
        self.scan(cut);
        let users_to_refresh = self.users_to_refresh(cut, first_changed);
        let users = cut.dictionaries.users.read();
        let mut rows = std::mem::take(&mut self.rows);
        let changed = rows.refresh(&users_to_refresh, cut.threads, || {
            let mut listens = cut.ledger.listens().reader();
            let (mut places, mut cell) = (Vec::new(), PaddedText::default());
            let (this, users) = (&*self, &users);
            move |user, lines: &mut Vec<u8>| {
                let listener = &this.listeners[user.index()];
                let sad = listener.sad_plays;
                let depth = if sad > 0 { this.recommend(user, &mut listens, &mut places) } else { 0 };
                if sad > 0 {
                    cell.set_cell(users.resolve(user));
                    for &place in &places {
                        this.push_row(cut, &cell, place, sad, lines);
                    }
                }
                // Each listener is rendered by one thread, and the depth is read after all threads.
                listener.depth.store(depth, Ordering::Relaxed);
            }
        });
        self.rows = rows;
        changed
    }

    fn render(&self, cut: &Cut, emit: &mut dyn FnMut(&[u8])) -> u64 {
        emit(ABOUT.header().as_bytes());
        self.rows.emit(cut.user_order.ids(), emit)
    }

    fn once(&mut self, cut: &Cut) -> Once<'_> {
        self.rank_songs(cut);
        self.shortlist.rebuild(&self.rank);
        self.find_facts(cut);
        Once::Listeners(self)
    }
}

impl ListenerTable for HappyRecommendations {
    fn push_rows(&self, cut: &Cut, listener: &Listener<'_>, lines: &mut Vec<u8>) {
        let (sad, played) = scan(listener.plays, &self.facts, &self.settings, cut);
        if sad == 0 {
            return;
        }
        let is_new = |&(place, &song): &(usize, &SongId)| match 1_u64.checked_shl(place as u32) {
            // The shortlist is in ranking order.
            Some(bit) => played & bit == 0,
            None => listener.plays.iter().all(|(played, _)| *played != song),
        };
        let new = self.rank.iter().enumerate().filter(is_new).take(self.settings.per_user);
        new.for_each(|(place, _)| self.push_row(cut, listener.cell, place, sad, lines));
    }
}

impl SongText {
    fn of(song: SongId, id: &[u8], cut: &Cut) -> Self {
        let mut cell = vec![b','];
        push_cell(&mut cell, &on_one_line(id));
        cell.push(b',');
        let title = [cut.catalog.title_cell(song), b"\n"].concat();
        Self { id: PaddedText::of(&cell), title: PaddedText::of(&title) }
    }
}
