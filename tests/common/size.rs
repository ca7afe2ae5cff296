//! The number of random cases per property.

/// The number of cases of a property. The default is `usual`, or fifty times `usual` with `LONG_TESTS=1`.
/// `PROPTEST_CASES` overrides both.
pub(crate) fn cases(usual: u32) -> u32 {
    let given = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    let long = std::env::var("LONG_TESTS").is_ok_and(|value| value == "1");
    given.unwrap_or(if long { usual * 50 } else { usual })
}
