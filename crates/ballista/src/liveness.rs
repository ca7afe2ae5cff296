//! Finds out which executors are alive.
//!
//! If an executor is lost, the scheduler of Ballista 55.0 runs some tasks again, and some rows count twice. A client
//! therefore compares the executors before and after its queries. If an executor was lost in the meantime, the client
//! discards the rows.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::scheduler::Executor;
use crate::session::Session;

/// The maximum age of a live executor's heartbeat relative to the latest heartbeat of all executors, in milliseconds.
/// A busy executor sends a heartbeat every 5 s. An idle executor sends a heartbeat every second.
const MAX_LAG: u64 = 8000;
/// The interval at which the client asks the scheduler for new heartbeats.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// An executor that sends no heartbeat for this long is lost, even if the scheduler still lists it.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_mins(1);

/// The last heartbeat of each executor, by executor id.
type Heartbeats = HashMap<String, u64>;

/// The executors that were alive at one moment.
#[derive(Clone, Debug)]
pub struct LiveExecutors(
    /// The ids of the executors; `None` if the scheduler does not report its executors.
    Option<Vec<String>>,
);

impl LiveExecutors {
    /// Finds the executors that are alive now.
    pub async fn of(session: &Session) -> Self {
        let found = heartbeats(session).await;
        Self(found.map(|found| {
            let latest = found.values().copied().max().unwrap_or_default();
            let live = found.into_iter().filter(|&(_, heartbeat)| heartbeat + MAX_LAG >= latest);
            live.map(|(id, _)| id).collect()
        }))
    }

    /// Whether all these executors are still alive. Waits up to a minute for a new heartbeat from each executor.
    ///
    /// Returns `true` if the scheduler does not report its executors.
    pub async fn still_live(&self, session: &Session) -> bool {
        let Some(expected) = &self.0 else { return true };
        let Some(before) = heartbeats(session).await else { return true };
        let began = Instant::now();
        loop {
            let Some(now) = heartbeats(session).await else { return true };
            match compare(expected, &before, &now) {
                Some(outcome) => return outcome,
                None if began.elapsed() > HEARTBEAT_TIMEOUT => return false,
                None => tokio::time::sleep(POLL_INTERVAL).await,
            }
        }
    }
}

async fn heartbeats(session: &Session) -> Option<Heartbeats> {
    let executors = session.scheduler().executors().await.ok()??;
    let heartbeat = |executor: Executor| (executor.id, executor.last_seen.unwrap_or_default());
    Some(executors.into_iter().map(heartbeat).collect())
}

/// Whether all executors have sent a heartbeat since `before`; `None` if it is too early to tell.
///
/// Compares heartbeats only with each other. The clock of this machine may differ from the scheduler's clock.
fn compare(expected: &[String], before: &Heartbeats, now: &Heartbeats) -> Option<bool> {
    let is_listed = |id| before.contains_key(id) && now.contains_key(id);
    if !expected.iter().all(is_listed) {
        return Some(false);
    }
    // The scheduler stores heartbeats in whole seconds. A larger value therefore always means a new heartbeat.
    expected.iter().all(|id| now[id] > before[id]).then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heartbeats_of(found: &[(&str, u64)]) -> Heartbeats {
        found.iter().map(|&(id, heartbeat)| (id.to_owned(), heartbeat)).collect()
    }

    #[test]
    fn each_executor_needs_a_new_heartbeat() {
        let expected = ["a".to_owned(), "b".to_owned()];
        let before = heartbeats_of(&[("a", 5000), ("b", 6000)]);
        let compare = |now: &[(&str, u64)]| compare(&expected, &before, &heartbeats_of(now));
        assert_eq!(compare(&[("a", 6000), ("b", 6000)]), None);
        assert_eq!(compare(&[("a", 6000), ("b", 7000)]), Some(true));
        assert_eq!(compare(&[("a", 6000), ("b", 7000), ("c", 1000)]), Some(true));
        assert_eq!(compare(&[("a", 6000)]), Some(false));
    }

    #[test]
    fn an_executor_that_vanished_before_the_check_is_lost() {
        let (before, now) = (heartbeats_of(&[("a", 5000)]), heartbeats_of(&[("a", 6000)]));
        assert_eq!(compare(&["a".to_owned(), "b".to_owned()], &before, &now), Some(false));
    }
}
