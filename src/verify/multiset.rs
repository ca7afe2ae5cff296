//! Compares rows regardless of their order, in constant memory.

use xxhash_rust::xxh3::xxh3_64;

/// Number of buckets. The hash of a row determines its bucket, so a bucket with a difference contains few
/// rows.
const BUCKETS: usize = 1 << 16;

/// A multiset of rows. It stores only a sum of hashes for each bucket, not the rows.
#[derive(Clone, Debug)]
pub struct Multiset {
    sums: Vec<u64>,
    /// Number of rows.
    pub rows: u64,
    /// The hashes of all rows, if a comparison needs to check whether another set includes this one.
    hashes: Option<Vec<u64>>,
    /// A bucket and its rows. The rows are kept to show a difference.
    kept: Option<(usize, Vec<Vec<u8>>)>,
}

impl Multiset {
    /// An empty set. If `keep_hashes` is set, the set keeps every hash. If `kept_bucket` is set, the set
    /// keeps the rows of that bucket.
    pub fn new(keep_hashes: bool, kept_bucket: Option<usize>) -> Self {
        Self {
            sums: vec![0; BUCKETS],
            rows: 0,
            hashes: keep_hashes.then(Vec::new),
            kept: kept_bucket.map(|bucket| (bucket, Vec::new())),
        }
    }

    /// Adds a row.
    pub fn add(&mut self, row: &[u8]) {
        let hash = xxh3_64(row);
        let bucket = hash as usize % BUCKETS;
        // The bucket stores a sum, not an exclusive or, because equal rows must not cancel each other out.
        self.sums[bucket] = self.sums[bucket].wrapping_add(hash | 1);
        self.rows += 1;
        if let Some(hashes) = &mut self.hashes {
            hashes.push(hash);
        }
        if let Some((kept, rows)) = &mut self.kept
            && *kept == bucket
        {
            rows.push(row.to_vec());
        }
    }

    /// The first bucket that differs between the sets.
    pub fn differing_bucket(&self, other: &Self) -> Option<usize> {
        self.sums.iter().zip(&other.sums).position(|(a, b)| a != b)
    }

    /// A bucket with a row that occurs more often in this set than in `other`. Both sets must keep all
    /// hashes.
    pub fn bucket_missing_in(&self, other: &Self) -> Option<usize> {
        let sorted = |set: &Self| {
            let mut hashes = set.hashes.clone().unwrap_or_default();
            hashes.sort_unstable();
            hashes
        };
        let (ours, theirs) = (sorted(self), sorted(other));
        let mut theirs = theirs.into_iter().peekable();
        for hash in ours {
            while theirs.next_if(|&other| other < hash).is_some() {}
            if theirs.next_if_eq(&hash).is_none() {
                return Some(hash as usize % BUCKETS);
            }
        }
        None
    }

    /// The rows of the kept bucket, sorted.
    pub fn into_kept(self) -> Vec<Vec<u8>> {
        let mut rows = self.kept.map(|(_, rows)| rows).unwrap_or_default();
        rows.sort_unstable();
        rows
    }
}

/// The rows that occur more often in `left` than in `right`. Both must be sorted.
pub fn missing_in(left: &[Vec<u8>], right: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut right = right.iter().peekable();
    let mut missing = Vec::new();
    for row in left {
        while right.next_if(|other| *other < row).is_some() {}
        if right.next_if_eq(&row).is_none() {
            missing.push(row.clone());
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(rows: &[&str], bucket: Option<usize>) -> Multiset {
        let mut set = Multiset::new(true, bucket);
        for row in rows {
            set.add(row.as_bytes());
        }
        set
    }

    #[test]
    fn order_does_not_matter_and_repetition_does() {
        let rows = set(&["a", "b", "b", "c"], None);
        assert_eq!(rows.differing_bucket(&set(&["c", "b", "a", "b"], None)), None);
        let fewer = set(&["a", "b", "c"], None);
        let bucket = rows.differing_bucket(&fewer);
        assert!(bucket.is_some() && fewer.bucket_missing_in(&rows).is_none());
        assert_eq!(rows.bucket_missing_in(&fewer), bucket);
        let kept = |rows: &[&str]| set(rows, bucket).into_kept();
        let (more, less) = (kept(&["a", "b", "b", "c"]), kept(&["a", "b", "c"]));
        assert_eq!(missing_in(&more, &less), [b"b".to_vec()]);
        assert!(missing_in(&less, &more).is_empty());
    }
}
