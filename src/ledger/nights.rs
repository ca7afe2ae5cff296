//! Nights: the number of plays of each user that lie in the night window.

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

    /// Counts the rows of a batch that lie in the window.
    pub fn add(&mut self, users: &[UserId], play_times: &[PlayTime]) {
        for (user, play_time) in users.iter().zip(play_times) {
            if self.window.contains(play_time.local) {
                if user.index() >= self.plays.len() {
                    self.plays.resize(user.index() + 1, 0);
                }
                let plays = &mut self.plays[user.index()];
                *plays = plays.saturating_add(1);
            }
        }
    }

    /// Restores the saved night plays of a user.
    pub fn restore(&mut self, user: UserId, plays: u32) {
        if user.index() >= self.plays.len() {
            self.plays.resize(user.index() + 1, 0);
        }
        self.plays[user.index()] = plays;
    }

    /// The night plays of a user.
    pub fn of(&self, user: UserId) -> u32 {
        self.plays.get(user.index()).copied().unwrap_or_default()
    }
}
