//! Song plays: the number and total duration of each song's plays, and the plays of each song by week.

use crate::ledger::compact::CompactPlay;
use crate::model::SongId;
use crate::model::memory::prefetch;
use crate::time::civil::Week;

/// All plays of one song.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Number of plays.
    pub plays: u64,
    /// The sum of the durations in milliseconds. A play lasts at most a day, so the sum of 2^37 plays
    /// fits.
    pub millis: u64,
}

/// Number of songs on a page of a week. A week in the distant past has few plays, so a week has pages
/// only for songs with plays. Even a page with a single play takes only half a kilobyte.
const PAGE: usize = u64::BITS as usize;

/// The plays of [`PAGE`] songs in one week.
#[derive(Clone, Debug, Default)]
struct Page {
    plays: Option<Box<[u64; PAGE]>>,
    /// One bit per song: whether the song has new plays since the last cut.
    changed: u64,
    /// One bit per song: whether the song had new plays between the last save and the last cut.
    unsaved: u64,
}

/// The plays of one week, by song.
#[derive(Clone, Debug, Default)]
struct WeekPlays {
    pages: Vec<Page>,
    has_changed: bool,
    has_unsaved: bool,
}

impl Total {
    #[inline]
    fn add(&mut self, millis: u32) {
        self.plays += 1;
        self.millis += u64::from(millis);
    }
}

impl Page {
    /// Counts a play of a song on the page.
    #[inline]
    fn add(&mut self, song: SongId) {
        self.changed |= 1 << (song.index() % PAGE);
        *self.plays_of(song) += 1;
    }

    /// Loads the plays of a song into the cache.
    #[inline]
    fn prefetch(&self, song: SongId) {
        if let Some(plays) = &self.plays {
            prefetch(plays.as_slice(), song.index() % PAGE);
        }
    }

    #[inline]
    fn plays_of(&mut self, song: SongId) -> &mut u64 {
        &mut self.plays.get_or_insert_with(|| Box::new([0; PAGE]))[song.index() % PAGE]
    }
}

/// Plays by song, and by week and song.
#[derive(Clone, Debug, Default)]
pub struct SongPlays {
    totals: Vec<Total>,
    /// Plays of each week. The index is the number of the week. Week 0 contains 1970-01-01, and no play
    /// lies far in the future, so the list stays short.
    weeks: Vec<WeekPlays>,
}

impl SongPlays {
    /// Counts plays of one week, one per row.
    pub fn add(&mut self, week: Week, songs: &[SongId], millis: &[u32]) {
        let Some(last) = songs.iter().max() else { return };
        let (totals, pages) = self.room_for(week, *last);
        // With many songs, their sums are not in the cache.
        for song in songs {
            prefetch(totals, song.index());
            pages[song.index() / PAGE].prefetch(*song);
        }
        for (&song, &millis) in songs.iter().zip(millis) {
            totals[song.index()].add(millis);
            pages[song.index() / PAGE].add(song);
        }
        self.weeks[week.0 as usize].has_changed = true;
    }

    /// Counts plays of different weeks, one per row.
    pub fn add_mixed(&mut self, weeks: &[Week], songs: &[SongId], millis: &[u32]) {
        let Some(&last) = songs.iter().max() else { return };
        for (week, song) in weeks.iter().zip(songs) {
            let (totals, pages) = self.room_for(*week, last);
            prefetch(totals, song.index());
            pages[song.index() / PAGE].prefetch(*song);
        }
        for ((week, &song), &millis) in weeks.iter().zip(songs).zip(millis) {
            self.totals[song.index()].add(millis);
            let week = &mut self.weeks[week.0 as usize];
            week.pages[song.index() / PAGE].add(song);
            week.has_changed = true;
        }
    }

    /// Counts plays of a period, without their weeks.
    pub(super) fn add_compact(&mut self, plays: &[CompactPlay]) {
        let Some(last) = plays.iter().map(|play| play.song).max() else { return };
        self.total_of(last);
        for play in plays {
            self.totals[play.song.index()].add(play.millis());
        }
    }

    /// Adds the totals of another table.
    pub fn absorb_totals(&mut self, other: &Self) {
        if other.totals.len() > self.totals.len() {
            self.totals.resize(other.totals.len(), Total::default());
        }
        for (total, other) in self.totals.iter_mut().zip(&other.totals) {
            total.plays += other.plays;
            total.millis += other.millis;
        }
    }

    /// Makes room for the songs up to `last` in the totals and in a week.
    #[inline]
    fn room_for(&mut self, week: Week, last: SongId) -> (&mut [Total], &mut [Page]) {
        let Self { totals, weeks } = self;
        let (week, songs, pages) = (week.0 as usize, last.index() + 1, last.index() / PAGE + 1);
        if week >= weeks.len() {
            weeks.resize_with(week + 1, WeekPlays::default);
        }
        let week = &mut weeks[week];
        if songs > totals.len() {
            totals.resize(songs, Total::default());
        }
        if pages > week.pages.len() {
            week.pages.resize_with(pages, Page::default);
        }
        (totals, &mut week.pages)
    }

    /// The songs with new plays since the last call, ascending.
    pub fn take_changed(&mut self) -> Vec<SongId> {
        let mut words = Vec::new();
        for week in self.weeks.iter_mut().filter(|week| week.has_changed) {
            (week.has_changed, week.has_unsaved) = (false, true);
            words.resize(week.pages.len().max(words.len()), 0);
            for (page, word) in week.pages.iter_mut().zip(&mut words) {
                let changed = std::mem::take(&mut page.changed);
                page.unsaved |= changed;
                *word |= changed;
            }
        }
        (0..).zip(words).flat_map(|(page, word)| songs_of(page, word)).collect()
    }

    /// Calls `each` for every week and song that changed between the previous call of this function and the
    /// last cut, in ascending order. The last argument of `each` is the number of all plays of the song in the
    /// week.
    ///
    /// # Errors
    /// The errors of `each`.
    pub fn take_unsaved_weeks<E>(
        &mut self,
        mut each: impl FnMut(Week, SongId, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let weeks = (0..).zip(&mut self.weeks);
        for (number, week) in weeks.filter(|(_, week)| week.has_unsaved) {
            week.has_unsaved = false;
            for (index, page) in (0..).zip(&mut week.pages) {
                for song in songs_of(index, std::mem::take(&mut page.unsaved)) {
                    each(Week(number), song, *page.plays_of(song))?;
                }
            }
        }
        Ok(())
    }

    /// Restores the saved plays of a song.
    pub fn restore_plays(&mut self, song: SongId, plays: u64) {
        self.total_of(song).plays = plays;
    }

    /// Restores the saved milliseconds of a song.
    pub fn restore_millis(&mut self, song: SongId, millis: u64) {
        self.total_of(song).millis = millis;
    }

    /// Adds saved plays and milliseconds of a song.
    pub fn add_saved(&mut self, song: SongId, saved: Total) {
        let total = self.total_of(song);
        total.plays += saved.plays;
        total.millis += saved.millis;
    }

    /// Restores the saved plays of a song in a week.
    pub fn restore_week(&mut self, week: Week, song: SongId, plays: u64) {
        let (_, pages) = self.room_for(week, song);
        *pages[song.index() / PAGE].plays_of(song) = plays;
    }

    fn total_of(&mut self, song: SongId) -> &mut Total {
        if song.index() >= self.totals.len() {
            self.totals.resize(song.index() + 1, Total::default());
        }
        &mut self.totals[song.index()]
    }

    /// The songs with plays, ascending.
    pub fn songs(&self) -> impl Iterator<Item = SongId> {
        let played = (0..).zip(&self.totals).filter(|(_, total)| total.plays > 0);
        played.map(|(song, _)| SongId(song))
    }

    /// The plays and duration of each song. The index is the number of the song.
    pub fn totals(&self) -> &[Total] {
        &self.totals
    }

    /// The plays and duration of a song. Zero if the song has no plays.
    pub fn total(&self, song: SongId) -> Total {
        self.totals.get(song.index()).copied().unwrap_or_default()
    }

    /// The weeks with plays, ascending.
    pub fn weeks(&self) -> impl Iterator<Item = Week> {
        let played =
            (0..).zip(&self.weeks).filter(|(_, week)| week.pages.iter().any(|page| page.plays.is_some()));
        played.map(|(week, _)| Week(week))
    }

    /// The songs with plays in a week, and the number of their plays in this week.
    pub fn of_week(&self, week: Week) -> impl Iterator<Item = (SongId, u64)> {
        let plays = usize::try_from(week.0).ok().and_then(|week| self.weeks.get(week));
        plays.into_iter().flat_map(|plays| plays.pages.iter().enumerate()).flat_map(|(index, page)| {
            let songs = page.plays.iter().flat_map(|plays| plays.iter().enumerate());
            songs
                .filter(|&(_, &plays)| plays > 0)
                .map(move |(at, &plays)| (SongId((index * PAGE + at) as u32), plays))
        })
    }
}

/// The songs of the bits that are set on a page, ascending.
fn songs_of(page: u32, mut bits: u64) -> impl Iterator<Item = SongId> {
    std::iter::from_fn(move || {
        let song = (bits != 0).then(|| SongId(page * PAGE as u32 + bits.trailing_zeros()));
        bits &= bits.wrapping_sub(1);
        song
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::stretches::STRETCH;
    use proptest::prelude::*;

    fn add(plays: &mut SongPlays, week: i64, songs: &[u32]) {
        let songs: Vec<SongId> = songs.iter().map(|&song| SongId(song)).collect();
        plays.add(Week(week), &songs, &vec![500; songs.len()]);
    }

    fn unsaved(plays: &mut SongPlays) -> Vec<(i64, u32, u64)> {
        let mut all = Vec::new();
        let add = |week: Week, song: SongId, plays| {
            all.push((week.0, song.0, plays));
            Ok::<(), ()>(())
        };
        plays.take_unsaved_weeks(add).unwrap();
        all
    }

    #[test]
    fn changes_are_taken_once_at_a_cut_and_once_at_a_save() {
        let mut plays = SongPlays::default();
        add(&mut plays, 3, &[200, 1, 200]);
        add(&mut plays, 1, &[70, 1]);
        assert_eq!(unsaved(&mut plays), [], "nothing is saved before a cut");
        assert_eq!(plays.take_changed(), [1, 70, 200].map(SongId));
        assert_eq!(plays.take_changed(), []);
        add(&mut plays, 3, &[1]);
        assert_eq!(unsaved(&mut plays), [(1, 1, 1), (1, 70, 1), (3, 1, 2), (3, 200, 2)]);
        assert_eq!(plays.take_changed(), [SongId(1)]);
        assert_eq!(unsaved(&mut plays), [(3, 1, 2)]);
        assert_eq!(plays.total(SongId(1)), Total { plays: 3, millis: 1500 });
        assert_eq!(plays.of_week(Week(3)).collect::<Vec<_>>(), [(SongId(1), 2), (SongId(200), 2)]);
    }

    proptest! {
        #[test]
        fn weeks_can_be_mixed(rows in proptest::collection::vec((0_i64..4, 0_u32..200, 0_u32..9_000), 1..STRETCH)) {
            let (mut one_by_one, mut mixed) = (SongPlays::default(), SongPlays::default());
            for &(week, song, millis) in &rows {
                one_by_one.add(Week(week), &[SongId(song)], &[millis]);
            }
            let weeks: Vec<Week> = rows.iter().map(|row| Week(row.0)).collect();
            let songs: Vec<SongId> = rows.iter().map(|row| SongId(row.1)).collect();
            let millis: Vec<u32> = rows.iter().map(|row| row.2).collect();
            mixed.add_mixed(&weeks, &songs, &millis);
            prop_assert_eq!(mixed.totals(), one_by_one.totals());
            prop_assert_eq!(mixed.take_changed(), one_by_one.take_changed());
            prop_assert_eq!(unsaved(&mut mixed), unsaved(&mut one_by_one));
        }
    }
}
