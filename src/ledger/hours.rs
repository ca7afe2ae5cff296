//! Hours: the number of plays in each hour of the week.

/// The number of hours in a week.
pub const HOURS: usize = 7 * 24;

/// Plays by hour of the week.
#[derive(Clone, Debug)]
pub struct Hours([u64; HOURS]);

impl Default for Hours {
    fn default() -> Self {
        Self([0; HOURS])
    }
}

impl Hours {
    /// Counts plays in an hour of the week.
    pub fn add(&mut self, hour: usize, plays: usize) {
        self.0[hour] += plays as u64;
    }

    /// Adds the plays of another table.
    pub fn absorb(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(plays, other)| *plays += other);
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
