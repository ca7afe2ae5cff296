//! Hints about memory for the processor and the operating system. They change no value. They need unsafe code.

#![allow(unsafe_code)]

/// The size of a huge page on x86-64, and on aarch64 with pages of 4 KiB.
const HUGE_PAGE: usize = 2 << 20;

/// Prefetches an element into the cache. Unlike a load, a prefetch does not stall the instructions after it. Does
/// nothing on other processors than x86-64.
#[inline]
pub fn prefetch<T>(slice: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction reads no value, and it ignores addresses that are not valid.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(slice.as_ptr().wrapping_add(index).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (slice, index);
}

/// `len` copies of a value in [huge pages](with_huge_pages).
pub fn in_huge_pages<T: Clone>(value: T, len: usize) -> Vec<T> {
    let mut table = with_huge_pages(len);
    table.resize(len, value);
    table
}

/// An empty vector with room for `capacity` values, in huge pages if the system provides them. Huge pages cause
/// fewer TLB misses when a large table is read at random, and fewer page faults when it is filled.
pub fn with_huge_pages<T>(capacity: usize) -> Vec<T> {
    let mut values = Vec::with_capacity(capacity);
    prefer_huge_pages(values.spare_capacity_mut());
    values
}

/// Makes room for further values like [`Vec::reserve`], but in [huge pages](with_huge_pages).
#[inline]
pub fn reserve_huge<T: Copy>(values: &mut Vec<T>, further: usize) {
    if values.capacity() - values.len() < further {
        let mut larger = with_huge_pages((values.len() + further).max(values.capacity() * 2));
        larger.extend_from_slice(values);
        *values = larger;
    }
}

/// Asks the system to use huge pages for memory that was not used yet.
fn prefer_huge_pages<T>(memory: &mut [std::mem::MaybeUninit<T>]) {
    let start = memory.as_ptr() as usize;
    let end = start + size_of_val(memory);
    let (first, last) = (start.next_multiple_of(HUGE_PAGE), end / HUGE_PAGE * HUGE_PAGE);
    if first >= last {
        return;
    }
    #[cfg(target_os = "linux")]
    // SAFETY: the range lies in memory of this process, and the advice changes no bytes in it. An error only
    // means that the pages stay small.
    unsafe {
        let start = memory.as_mut_ptr().cast::<libc::c_void>().wrapping_byte_add(first - start);
        libc::madvise(start, last - first, libc::MADV_HUGEPAGE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_change_no_value() {
        for len in [0, 1, 100, (5 << 20) / size_of::<u64>()] {
            let table = in_huge_pages(7_u64, len);
            prefetch(&table, 0);
            prefetch(&table, usize::MAX);
            assert!(table.len() == len && table.iter().all(|&value| value == 7));
            let mut longer = table.clone();
            reserve_huge(&mut longer, 1);
            let room = longer.capacity();
            longer.push(7);
            assert!(
                longer.capacity() == room
                    && longer.len() == len + 1
                    && longer.iter().all(|&value| value == 7)
            );
        }
    }
}
