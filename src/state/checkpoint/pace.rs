//! Lets the merge of segments wait while a flush runs. Both need the same cores, and only the flush has readers that
//! wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Time between two looks at the flush.
const STEP: Duration = Duration::from_millis(1);

/// Tells a merge whether a flush runs.
#[derive(Clone, Debug, Default)]
pub struct Pace(Arc<AtomicBool>);

/// A running flush. It ends when the value is dropped.
#[derive(Debug)]
pub struct RunningFlush(Arc<AtomicBool>);

/// The pace of a merge.
#[derive(Debug)]
pub struct MergePace {
    is_flushing: Arc<AtomicBool>,
    began: Instant,
    waited: Duration,
}

impl Pace {
    /// Begins a flush.
    pub fn begin_flush(&self) -> RunningFlush {
        self.0.store(true, Ordering::Relaxed);
        RunningFlush(Arc::clone(&self.0))
    }

    /// Begins a merge.
    pub fn begin_merge(&self) -> MergePace {
        MergePace { is_flushing: Arc::clone(&self.0), began: Instant::now(), waited: Duration::ZERO }
    }
}

impl Drop for RunningFlush {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl MergePace {
    /// Waits while a flush runs. In total, a merge waits no longer than it works, so it ends even if one flush follows
    /// the other.
    pub fn wait(&mut self) {
        while self.is_flushing.load(Ordering::Relaxed) && self.waited < self.began.elapsed() / 2 {
            std::thread::sleep(STEP);
            self.waited += STEP;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_waits_for_a_flush_but_not_for_ever() {
        let pace = Pace::default();
        let ago = Duration::from_millis(100);
        let merge = || MergePace { began: Instant::now().checked_sub(ago).unwrap(), ..pace.begin_merge() };
        let mut idle = merge();
        idle.wait();
        assert_eq!(idle.waited, Duration::ZERO);
        let flush = pace.begin_flush();
        let mut busy = merge();
        busy.wait();
        assert!(busy.waited >= ago / 2, "{:?}", busy.waited);
        drop(flush);
        let mut later = merge();
        later.wait();
        assert_eq!(later.waited, Duration::ZERO);
    }
}
