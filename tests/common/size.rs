//! The size of a run.

/// How many cases a property gets: what `PROPTEST_CASES` says; else `usual`, or with
/// `LONG_TESTS=1` fifty times as many.
pub(crate) fn cases(usual: u32) -> u32 {
    let given = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    let long = std::env::var("LONG_TESTS").is_ok_and(|value| value == "1");
    given.unwrap_or(if long { usual * 50 } else { usual })
}
