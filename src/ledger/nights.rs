//! Nights: the number of plays of each user that lie in the night window.

use crate::ledger::compact::CompactPlay;
use crate::ledger::stretches::{LocalHour, STRETCH};
use crate::model::memory::prefetch;
use crate::model::{PlayTime, UserId};
use crate::time::window::NightWindow;

/// Night plays by user.
#[derive(Clone, Debug)]
pub struct Nights {
    window: NightWindow,
    /// Plays by user. A count stops at the maximum of `u32`, and no threshold is larger than this
    /// maximum.
    plays: Vec<u32>,
}

impl Nights {
    /// An empty table.
    pub fn new(window: NightWindow) -> Self {
        Self { window, plays: Vec::new() }
    }

    /// Counts the rows that lie in the window. All rows are in `hour`.
    pub fn add(&mut self, hour: LocalHour, users: &[UserId], play_times: &[PlayTime]) {
        if self.window.divides_hour(hour.start()) {
            let window = self.window;
            let of_night = users.iter().zip(play_times).filter(|(_, time)| window.contains(time.local));
            of_night.for_each(|(&user, _)| self.count(user));
        } else if self.window.contains(hour.start()) {
            for &user in users {
                self.count(user);
            }
        }
    }

    /// Counts the rows of a stretch that lie in the window. The rows can be in different hours.
    pub fn add_mixed(&mut self, users: &[UserId], play_times: &[PlayTime]) {
        // The processor cannot predict which rows lie in the window. Each row is therefore stored, and the next row
        // overwrites it if it lies outside.
        let mut of_night = [UserId(0); STRETCH];
        let mut plays = 0;
        for (&user, time) in users.iter().zip(play_times) {
            of_night[plays % STRETCH] = user;
            plays += usize::from(self.window.contains(time.local));
        }
        for &user in &of_night[..plays] {
            self.count(user);
        }
    }

    /// Counts the plays of a period that lie in the night.
    pub(super) fn add_compact(&mut self, plays: &[CompactPlay]) {
        plays.iter().filter(|play| play.is_at_night()).for_each(|play| self.count(play.user));
    }

    /// Starts to load the night plays of some users into the cache.
    pub fn prefetch(&self, users: &[UserId]) {
        for user in users {
            prefetch(&self.plays, user.index());
        }
    }

    /// Adds the plays of another table.
    pub fn absorb(&mut self, other: &Self) {
        if other.plays.len() > self.plays.len() {
            self.plays.resize(other.plays.len(), 0);
        }
        for (plays, other) in self.plays.iter_mut().zip(&other.plays) {
            *plays = plays.saturating_add(*other);
        }
    }

    /// The users with night plays, in order, each with the number of these plays.
    pub fn users(&self) -> impl Iterator<Item = (UserId, u32)> {
        let users = (0..).zip(&self.plays).filter(|(_, plays)| **plays > 0);
        users.map(|(user, &plays)| (UserId(user), plays))
    }

    #[inline]
    fn count(&mut self, user: UserId) {
        self.add_saved(user, 1);
    }

    /// Adds saved night plays of a user.
    #[inline]
    pub fn add_saved(&mut self, user: UserId, saved: u32) {
        let plays = self.plays_of(user);
        *plays = plays.saturating_add(saved);
    }

    /// Restores the saved night plays of a user.
    pub fn restore(&mut self, user: UserId, plays: u32) {
        *self.plays_of(user) = plays;
    }

    #[inline]
    fn plays_of(&mut self, user: UserId) -> &mut u32 {
        if user.index() >= self.plays.len() {
            self.plays.resize(user.index() + 1, 0);
        }
        &mut self.plays[user.index()]
    }

    /// The night plays of a user.
    pub fn of(&self, user: UserId) -> u32 {
        self.plays.get(user.index()).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::window::TimeOfDay;

    #[test]
    fn an_hour_with_a_border_of_the_window_is_counted_by_row() {
        for (from, to) in [(0, 300), (1, 299), (1430, 10), (15, 45), (45, 15)] {
            let window = NightWindow { from: TimeOfDay(from), to: TimeOfDay(to) };
            let (mut nights, mut mixed) = (Nights::new(window), Nights::new(window));
            let users: Vec<UserId> = (0..1440).map(UserId).collect();
            let time_of = |user: &UserId| PlayTime { local: i64::from(user.0) * 60, offset: 0, nanos: 0 };
            let play_times: Vec<PlayTime> = users.iter().map(time_of).collect();
            for (&user, &time) in users.iter().zip(&play_times) {
                nights.add(LocalHour::of(time.local), &[user], &[time]);
            }
            for (users, play_times) in users.chunks(STRETCH).zip(play_times.chunks(STRETCH)) {
                mixed.add_mixed(users, play_times);
            }
            for (user, time) in users.into_iter().zip(play_times) {
                let expected = u32::from(window.contains(time.local));
                assert_eq!(nights.of(user), expected, "{from} to {to}, minute {}", user.0);
                assert_eq!(mixed.of(user), expected, "{from} to {to}, minute {}, mixed", user.0);
            }
        }
    }
}
