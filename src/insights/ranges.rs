//! Divides the work of an insight into ranges of ids, and spreads them over threads.

use std::sync::mpsc::sync_channel;

/// Number of ids in a range.
const RANGE: usize = 8 << 10;
/// Up to this number of ids, the calling thread does the work, because starting threads would take longer.
const FEW: usize = 2 * RANGE;
/// Number of results of a thread that wait. More would only take memory.
const QUEUE: usize = 1;

/// Passes ranges of `ids` to `work`, on up to `threads` threads, and the results to `each`. The results come in
/// the order of the ids, so they do not depend on the number of threads.
///
/// # Panics
/// If `work` panics.
pub fn in_ranges<I: Sync, T: Send>(
    ids: &[I],
    threads: usize,
    work: impl Fn(&[I]) -> T + Sync,
    each: impl FnMut(T),
) {
    in_ranges_of(RANGE, ids, threads, work, each);
}

/// Same as [`in_ranges`], with ranges of `len` ids.
///
/// # Panics
/// If `work` panics.
pub fn in_ranges_of<I: Sync, T: Send>(
    len: usize,
    ids: &[I],
    threads: usize,
    work: impl Fn(&[I]) -> T + Sync,
    mut each: impl FnMut(T),
) {
    let ranges = ids.len().div_ceil(len);
    let threads = if ids.len() <= FEW { 1 } else { threads.min(ranges) };
    if threads < 2 {
        ids.chunks(len).for_each(|range| each(work(range)));
        return;
    }
    std::thread::scope(|scope| {
        // Each thread takes every `threads`-th range, so the next result always comes from the next thread.
        let results: Vec<_> = (0..threads)
            .map(|first| {
                let (sender, results) = sync_channel(QUEUE);
                let work = &work;
                scope.spawn(move || {
                    let ranges = ids.chunks(len).skip(first).step_by(threads);
                    // The receiver is gone only if another thread has panicked.
                    ranges.map(work).try_for_each(|result| sender.send(result))
                });
                results
            })
            .collect();
        for range in 0..ranges {
            // Without a result, the thread has panicked. The scope then panics, too.
            let Ok(result) = results[range % threads].recv() else { return };
            each(result);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_ids() {
        let ids: Vec<usize> = (0..10 * RANGE + 7).collect();
        for threads in [0, 1, 2, 3, 20] {
            for len in [0, 1, RANGE, RANGE + 1, ids.len()] {
                let mut seen = Vec::new();
                in_ranges(&ids[..len], threads, <[usize]>::to_vec, |range| seen.extend(range));
                assert_eq!(seen, ids[..len], "{threads} threads");
            }
        }
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_is_passed_on() {
        let ids: Vec<usize> = (0..=FEW).collect();
        in_ranges(&ids, 2, |range| assert_ne!(range[0], RANGE), |()| ());
    }
}
