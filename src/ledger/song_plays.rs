//! Song plays: plays and milliseconds of each song, and its plays of each week.

use crate::civil::Week;
use crate::model::{Moment, SongId};

/// All plays of one song.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Number of plays.
    pub plays: u64,
    /// Their duration in milliseconds; a day each at most, so the sum fits 2^37 plays.
    pub millis: u64,
}

/// Songs per page of a week. Few songs are played in a week of long ago, so a week holds pages
/// only where something was played; small enough that a lonely play costs half a kilobyte.
const PAGE: usize = 64;

/// The plays of one week, by song.
#[derive(Clone, Debug, Default)]
struct WeekPlays {
    pages: Vec<Option<Box<[u64; PAGE]>>>,
}

impl WeekPlays {
    #[inline]
    fn add(&mut self, song: SongId) {
        let page = song.index() / PAGE;
        if page >= self.pages.len() {
            self.pages.resize(page + 1, None);
        }
        self.pages[page].get_or_insert_with(|| Box::new([0; PAGE]))[song.index() % PAGE] += 1;
    }
}

/// The table.
#[derive(Clone, Debug, Default)]
pub struct SongPlays {
    totals: Vec<Total>,
    /// By week number; logs start in week 0 (1970) and end soon after now.
    weeks: Vec<WeekPlays>,
}

impl SongPlays {
    /// Counts one play per row.
    pub fn add(&mut self, songs: &[SongId], moments: &[Moment], millis: &[u32]) {
        let largest = songs.iter().map(|song| song.index()).max().map_or(0, |index| index + 1);
        if largest > self.totals.len() {
            self.totals.resize(largest, Total::default());
        }
        for ((&song, moment), &millis) in songs.iter().zip(moments).zip(millis) {
            let total = &mut self.totals[song.index()];
            total.plays += 1;
            total.millis += u64::from(millis);
            let week = Week::of_local(moment.local).0 as usize;
            if week >= self.weeks.len() {
                self.weeks.resize(week + 1, WeekPlays::default());
            }
            self.weeks[week].add(song);
        }
    }

    /// The plays of a song; none if it was never played.
    pub fn total(&self, song: SongId) -> Total {
        self.totals.get(song.index()).copied().unwrap_or_default()
    }

    /// The songs that were played in a week, with their plays.
    pub fn of_week(&self, week: Week) -> impl Iterator<Item = (SongId, u64)> {
        let plays = usize::try_from(week.0).ok().and_then(|week| self.weeks.get(week));
        plays.into_iter().flat_map(|plays| plays.pages.iter().enumerate()).flat_map(|(index, page)| {
            let songs = page.iter().flat_map(|page| page.iter().enumerate());
            songs
                .filter(|&(_, &plays)| plays > 0)
                .map(move |(at, &plays)| (SongId((index * PAGE + at) as u32), plays))
        })
    }
}
