//! Counts of rejected rows by reason.

use std::collections::BTreeMap;

use crate::model::{Reason, Reject};

/// Numbers of rejected rows by reason.
pub type ReasonCounts = BTreeMap<Reason, u64>;

/// Adds rejects to counts.
pub fn count(counts: &mut ReasonCounts, rejects: &[Reject]) {
    for reject in rejects {
        *counts.entry(reject.reason).or_default() += 1;
    }
}

/// The counts with the code of each reason as the key.
pub fn by_code(counts: &ReasonCounts) -> BTreeMap<String, u64> {
    counts.iter().map(|(reason, &rows)| (reason.code().to_owned(), rows)).collect()
}

/// The inverse of [`by_code`].
///
/// # Errors
/// The first code that is not the code of a reason.
pub fn from_codes(codes: BTreeMap<String, u64>) -> Result<ReasonCounts, String> {
    let reason = |code: &str| Reason::ALL.iter().copied().find(|reason| reason.code() == code);
    codes
        .into_iter()
        .map(|(code, rows)| match reason(&code) {
            Some(reason) => Ok((reason, rows)),
            None => Err(format!("unknown reason `{code}`")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_survive_the_way_through_codes() {
        let counts: ReasonCounts = Reason::ALL.iter().copied().zip(1..).collect();
        assert_eq!(from_codes(by_code(&counts)), Ok(counts));
        assert!(from_codes(BTreeMap::from([("no_such_reason".to_owned(), 1)])).is_err());
    }
}
