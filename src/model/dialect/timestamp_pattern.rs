//! Patterns of timestamps, in the syntax of `chrono`.

use std::fmt::Write;
use std::str::FromStr;

use chrono::format::{Fixed, Item, Parsed, StrftimeItems, parse};
use chrono::{DateTime, Utc};

/// A pattern such as `%m/%d/%Y %H:%M`. It is checked when it is parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampPattern {
    text: String,
    items: Vec<Item<'static>>,
    precision: Precision,
}

/// The smallest unit of a pattern, as far as it matters for the fields that texts lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// A date means 00:00:00.
    Date,
    /// An hour means its first minute.
    Hour,
    /// At least a minute.
    Minute,
}

impl TimestampPattern {
    /// The text of the pattern.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The parts of the pattern.
    pub fn items(&self) -> &[Item<'static>] {
        &self.items
    }

    /// The smallest unit of the pattern.
    pub fn precision(&self) -> Precision {
        self.precision
    }
}

impl FromStr for TimestampPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.contains('%') {
            return Err("expected `iso`, `unix_s`, `unix_ms`, `unix_us` or a pattern such as \
                        `%d.%m.%Y %H:%M`"
                .to_owned());
        }
        let items = items_of(text)?;
        let precision = precision_of(&items)?;
        Ok(Self { text: text.to_owned(), items, precision })
    }
}

/// The parts of a pattern.
///
/// # Errors
/// The first specifier that does not exist or cannot be read.
fn items_of(text: &str) -> Result<Vec<Item<'static>>, String> {
    let mut items = Vec::new();
    // The lenient version shows an invalid specifier as a literal.
    for (item, shown) in StrftimeItems::new(text).zip(StrftimeItems::new_lenient(text)) {
        match item {
            Item::Error => {
                let specifier = if let Item::Literal(specifier) = shown { specifier } else { "%" };
                return Err(format!("the pattern has the unknown specifier `{specifier}`"));
            }
            Item::Fixed(Fixed::TimezoneName) => {
                return Err("`%Z` cannot be read, because the names of time zones are ambiguous; use `%z` \
                            for an offset, or set `timezone`"
                    .to_owned());
            }
            Item::Fixed(Fixed::TimezoneOffsetTripleColon) => {
                return Err("`%:::z` cannot be read; use `%#z` for an offset without minutes".to_owned());
            }
            item => items.push(item.to_owned()),
        }
    }
    Ok(items)
}

/// Checks that the fields of a pattern define a time.
fn precision_of(items: &[Item<'static>]) -> Result<Precision, String> {
    let fields = fields_of(items);
    if fields.timestamp().is_some() {
        return Ok(Precision::Minute);
    }
    if fields.to_naive_date().is_err() {
        return Err("the pattern has no full date, such as `%Y-%m-%d`".to_owned());
    }
    let half = fields.hour_div_12().is_some();
    let error = |text: &str| Err(text.to_owned());
    match (fields.hour_mod_12(), fields.minute(), fields.second(), fields.nanosecond()) {
        (Some(_), ..) if !half => error("a 12-hour clock (`%I`, `%l`) needs `%p`"),
        (None, ..) if half => error("`%p` needs an hour, such as `%I`"),
        (None, None, None, None) => Ok(Precision::Date),
        (None, ..) => error("the pattern has a time of day without an hour, such as `%H`"),
        (Some(_), None, None, None) => Ok(Precision::Hour),
        (Some(_), None, ..) => error("the pattern has seconds, but no minutes (`%M`)"),
        (Some(_), Some(_), None, Some(_)) => {
            error("the pattern has a fraction of a second, but no seconds (`%S`)")
        }
        (Some(_), Some(_), ..) => Ok(Precision::Minute),
    }
}

/// The fields that a pattern sets. Their values are those of an example.
fn fields_of(items: &[Item<'static>]) -> Parsed {
    let example = DateTime::<Utc>::from_timestamp(EXAMPLE, 500_000_000).unwrap_or_default();
    let mut fields = Parsed::new();
    let mut text = String::new();
    for item in items.iter().filter(|item| matches!(item, Item::Numeric(..) | Item::Fixed(_))) {
        text.clear();
        // Some items can be read, but not written: those of offsets, which do not matter here.
        let written = write!(text, "{}", example.format_with_items(std::iter::once(item)));
        if written.is_ok() {
            let _ = parse(&mut fields, text.trim_start(), std::iter::once(item));
        }
    }
    fields
}

/// 2025-03-21T13:09:07Z, an instant after noon.
const EXAMPLE: i64 = 1_742_562_547;

#[cfg(test)]
mod tests {
    use super::*;

    fn precision(text: &str) -> Result<Precision, String> {
        text.parse::<TimestampPattern>().map(|pattern| pattern.precision())
    }

    #[test]
    fn patterns_with_a_full_date_are_accepted() {
        for pattern in ["%Y-%m-%d", "%d.%m.%y", "%Y%j", "%G-W%V-%u", "%U %a %Y", "%F", "%D", "%e %B %Y"] {
            assert_eq!(precision(pattern), Ok(Precision::Date), "{pattern}");
        }
        for pattern in ["%F %H", "%F %I%p", "%F %k %#z"] {
            assert_eq!(precision(pattern), Ok(Precision::Hour), "{pattern}");
        }
        for pattern in [
            "%m/%d/%Y %H:%M",
            "%c",
            "%F %r",
            "%F %T%.f",
            "%F %T.%3f",
            "%FT%T%.9f%::z",
            "%s",
            "%s%.f",
            "%+",
            "%d/%b/%Y:%T %z",
            "%Y年%m月%d日 %R",
            "%F %H:%M %p",
        ] {
            assert_eq!(precision(pattern), Ok(Precision::Minute), "{pattern}");
        }
    }

    #[test]
    fn other_patterns_are_refused_with_the_cause() {
        for (pattern, cause) in [
            ("iso8601", "expected `iso`"),
            ("", "expected `iso`"),
            ("%F %Q", "`%Q`"),
            ("%F %", "`%`"),
            ("%F %.5f", "`%.5"),
            ("%F %-R", "`%-R`"),
            ("%F %T %Z", "`%Z`"),
            ("%F %T %:::z", "`%#z`"),
            ("%H:%M", "full date"),
            ("%m-%d %H:%M", "full date"),
            ("%C-%m-%d", "full date"),
            ("%Y %V", "full date"),
            ("%F %I:%M", "`%p`"),
            ("%F %p", "`%I`"),
            ("%F %M", "without an hour"),
            ("%F %H %S", "`%M`"),
            ("%F %R%.f", "`%S`"),
            ("%%", "full date"),
        ] {
            let error = precision(pattern).unwrap_err();
            assert!(error.contains(cause), "{pattern}: {error}");
        }
    }
}
