//! Hours: the number of plays in each hour of the week.

use crate::model::PlayTime;

/// The number of hours in a week.
pub const HOURS: usize = 7 * 24;
/// The number of hours from the preceding Monday to 1970-01-01, which was a Thursday.
const SINCE_MONDAY: i64 = 3 * 24;

/// Plays by hour of the week.
#[derive(Clone, Debug)]
pub struct Hours([u64; HOURS]);

impl Default for Hours {
    fn default() -> Self {
        Self([0; HOURS])
    }
}

impl Hours {
    /// Counts one play per row.
    pub fn add(&mut self, play_times: &[PlayTime]) {
        for play_time in play_times {
            // A local time can be some hours before 1970.
            let hour = (play_time.local + (SINCE_MONDAY + HOURS as i64) * 3600) as u64 / 3600;
            self.0[hour as usize % HOURS] += 1;
        }
    }

    /// Plays by hour of the week. The first hour begins on Monday at 00:00 local time.
    pub fn plays(&self) -> &[u64; HOURS] {
        &self.0
    }

    /// Restores the saved plays of an hour.
    ///
    /// # Panics
    /// If `hour` is not below [`HOURS`].
    pub fn restore(&mut self, hour: usize, plays: u64) {
        self.0[hour] = plays;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_begins_on_monday() {
        let at = |local| PlayTime { local, offset: 0, nanos: 0 };
        let mut hours = Hours::default();
        // 1970-01-01 was a Thursday. 2025-03-24 was a Monday, so one second earlier it was still Sunday.
        hours.add(&[at(0), at(-3600), at(1_742_774_400), at(1_742_774_399)]);
        let counted: Vec<usize> = (0..HOURS).filter(|&hour| hours.plays()[hour] > 0).collect();
        assert_eq!(counted, [0, 2 * 24 + 23, 3 * 24, 6 * 24 + 23]);
    }
}
