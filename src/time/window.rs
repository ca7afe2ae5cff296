//! Times of day, and the window of the night.

/// A time of day, in minutes after midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOfDay(pub u16);

/// From a time of day (included) to another (excluded); it may go over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NightWindow {
    /// The first minute.
    pub from: TimeOfDay,
    /// The minute after the last.
    pub to: TimeOfDay,
}

impl NightWindow {
    /// Whether a local time (seconds) is in the window.
    #[inline]
    pub fn contains(self, local: i64) -> bool {
        let minute = local.rem_euclid(86_400) as u32 / 60;
        let [from, to] = [self.from.0, self.to.0].map(u32::from);
        if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_may_go_over_midnight() {
        let at = |hour: i64, minute: i64| 19_000 * 86_400 + hour * 3600 + minute * 60;
        let window = |from: u16, to: u16| NightWindow { from: TimeOfDay(from * 60), to: TimeOfDay(to * 60) };
        assert!(window(0, 5).contains(at(0, 0)) && window(0, 5).contains(at(4, 59)));
        assert!(!window(0, 5).contains(at(5, 0)) && !window(0, 5).contains(at(23, 59)));
        assert!(window(22, 2).contains(at(22, 0)) && window(22, 2).contains(at(1, 59)));
        assert!(!window(22, 2).contains(at(2, 0)) && !window(22, 2).contains(at(21, 59)));
        assert!(window(22, 0).contains(at(23, 59)) && !window(22, 0).contains(at(0, 0)));
        assert!(window(0, 5).contains(-86_400), "before 1970 local time goes on");
    }
}
