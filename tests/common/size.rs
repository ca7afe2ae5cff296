//! The number of random cases.

/// The number of cases of a property: `PROPTEST_CASES`, or else `usual`, or with `LONG_TESTS=1` fifty
/// times `usual`.
pub(crate) fn cases(usual: u32) -> u32 {
    let given = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    let long = std::env::var("LONG_TESTS").is_ok_and(|value| value == "1");
    given.unwrap_or(if long { usual * 50 } else { usual })
}
