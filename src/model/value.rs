//! Types of settings, with parsing, printing and validation.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

use crate::model::delimiter::Delimiter;
use crate::time::window::TimeOfDay;

/// Deserializes a setting with the [`FromStr`] of its type. The value may be a TOML value or bare text,
/// such as `10`, `"10"` or `first`.
///
/// # Errors
/// The error of [`FromStr`], or an error if the value is a list or table.
pub fn from_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text = deserializer.deserialize_any(ScalarText)?;
    text.parse().map_err(|cause| D::Error::custom(format!("`{text}`: {cause}")))
}

/// Like [`from_text`], for settings that may be absent.
///
/// # Errors
/// The same as for [`from_text`].
pub fn from_text_or_none<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    from_text(deserializer).map(Some)
}

struct ScalarText;

impl Visitor<'_> for ScalarText {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string, a number or a boolean")
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<String, E> {
        // Rust prints the shortest text that parses to the same float. For numbers of up to 15 digits, this
        // is the text in the file.
        Ok(value.to_string())
    }
}

/// Serializes a type as its text ([`Display`]), and describes that text in the schema of the settings.
macro_rules! written_as {
    ($type:ty, $($keyword:literal: $value:expr),+) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", $($keyword: $value),+ })
            }
        }
    };
}
pub(crate) use written_as;

/// Defines an enum of keywords, with parsing, [`Display`], serialization and schema.
macro_rules! keywords {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $keyword:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name { $($(#[$variant_meta])* $variant,)+ }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($keyword => Ok(Self::$variant),)+
                    _ => Err($crate::model::value::expected_one_of(&[$($keyword),+])),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(match self { $(Self::$variant => $keyword,)+ })
            }
        }

        $crate::model::value::written_as!($name, "enum": [$($keyword),+]);
    };
}
pub(crate) use keywords;

/// An error message such as "expected `a`, `b` or `c`".
pub(crate) fn expected_one_of(keywords: &[&str]) -> String {
    let quoted: Vec<String> = keywords.iter().map(|keyword| format!("`{keyword}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("expected {} or {last}", rest.join(", ")),
        _ => format!("expected {}", quoted.concat()),
    }
}

written_as!(TimeOfDay, "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$");
written_as!(Delimiter, "examples": [",", ";", "|", "tab"]);
written_as!(TimeSpan, "pattern": "^[0-9]+(ms|s|m|h|d)$");

/// Like [`written_as`], for a type that is serialized as a number. In the settings file, it may also be text.
macro_rules! written_as_number {
    ($type:ty, $number:expr, $($keyword:literal: $value:expr),+) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $number(self).serialize(serializer)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ $($keyword: $value),+ })
            }
        }
    };
}

written_as_number!(
    Fraction,
    // A fraction has at most ten digits, so the float prints as the same decimal.
    |fraction: &Fraction| fraction.to_string().parse::<f64>().expect("a decimal is a float"),
    "type": ["number", "string"],
    "minimum": 0,
    "maximum": 1,
    "pattern": r"^[0-9]+(\.[0-9]{1,9})?$"
);
written_as_number!(
    ByteSize,
    |size: &ByteSize| size.0,
    "type": ["integer", "string"],
    "minimum": 1,
    "pattern": "^[0-9]+ *(B|KiB|MiB|GiB)?$"
);
written_as_number!(
    Decimals,
    |decimals: &Decimals| decimals.0,
    "type": ["integer", "string"],
    "minimum": 0,
    "maximum": 18,
    "pattern": r"^\+?[0-9]+$"
);

/// A share from 0 to 1, as an exact decimal of at most nine digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fraction {
    billionths: u64,
}

impl Fraction {
    /// The fraction `billionths / 10^9`.
    pub const fn from_billionths(billionths: u64) -> Self {
        Self { billionths }
    }

    /// The fraction in units of 10^-9.
    pub const fn billionths(self) -> u64 {
        self.billionths
    }

    /// Compares `part / whole` with this fraction, exactly.
    pub fn compare(self, part: u64, whole: u64) -> std::cmp::Ordering {
        let left = u128::from(part) * u128::from(BILLION);
        left.cmp(&(u128::from(whole) * u128::from(self.billionths)))
    }

    /// The nearest float, for charts.
    pub fn to_f64(self) -> f64 {
        self.billionths as f64 / BILLION as f64
    }
}

const BILLION: u64 = 1_000_000_000;

impl FromStr for Fraction {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a decimal from 0 to 1 with at most nine digits, such as 0.8";
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty()
            || !digits(whole)
            || !digits(decimals)
            || decimals.len() > 9
            || text.ends_with('.')
        {
            return Err(EXPECTED);
        }
        let whole: u64 = whole.parse().map_err(|_| EXPECTED)?;
        let billionths: u64 = format!("{decimals:0<9}").parse().map_err(|_| EXPECTED)?;
        let billionths = whole.checked_mul(BILLION).and_then(|whole| whole.checked_add(billionths));
        billionths.filter(|&billionths| billionths <= BILLION).map(Self::from_billionths).ok_or(EXPECTED)
    }
}

impl Display for Fraction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = (self.billionths / BILLION, self.billionths % BILLION);
        if decimals == 0 {
            return write!(formatter, "{whole}");
        }
        write!(formatter, "{whole}.{}", format!("{decimals:09}").trim_end_matches('0'))
    }
}

/// A duration, written as `250ms`, `1s`, `5m`, `48h` or `2d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeSpan(pub Duration);

impl FromStr for TimeSpan {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a number with a unit of ms, s, m, h or d, such as 250ms or 5m";
        let digits = text.find(|char: char| !char.is_ascii_digit()).ok_or(EXPECTED)?;
        let number: u64 = text[..digits].parse().map_err(|_| EXPECTED)?;
        let unit = match &text[digits..] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(EXPECTED),
        };
        // No useful value exceeds a century. Up to this limit, arithmetic cannot overflow.
        let millis = number.checked_mul(unit).filter(|&millis| millis <= 36_525 * 86_400_000);
        millis.map(|millis| Self(Duration::from_millis(millis))).ok_or("expected at most a century")
    }
}

impl Display for TimeSpan {
    /// Prints a whole number in the largest possible unit. The largest unit is hours.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let units = [("h", 3_600_000), ("m", 60_000), ("s", 1000)];
        let fits = |unit: &&(&str, u128)| millis >= unit.1 && millis.is_multiple_of(unit.1);
        match units.iter().find(fits) {
            Some((name, unit)) => write!(formatter, "{}{name}", millis / unit),
            None => write!(formatter, "{millis}ms"),
        }
    }
}

/// A size in bytes, written as a plain number or with the unit KiB, MiB or GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a number of bytes, such as 1048576 or 256MiB";
        let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..digits].parse().map_err(|_| EXPECTED)?;
        let shift = match text[digits..].trim_start() {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return Err(EXPECTED),
        };
        number.checked_mul(1 << shift).filter(|&size| size > 0).map(Self).ok_or(EXPECTED)
    }
}

/// The number of decimal places of a printed number, at most 18. This limit lets exact arithmetic fit into
/// 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimals(pub u32);

impl FromStr for Decimals {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let decimals = text.parse().ok().filter(|&decimals: &u32| decimals <= 18);
        decimals.map(Self).ok_or("expected a whole number from 0 to 18")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_exact_decimals() {
        for (text, printed) in [
            ("0.8", "0.8"),
            ("0.850", "0.85"),
            ("1", "1"),
            ("1.0", "1"),
            ("0.000000001", "0.000000001"),
            ("0", "0"),
        ] {
            assert_eq!(text.parse::<Fraction>().unwrap().to_string(), printed);
        }
        for text in ["1.1", "-0.1", "0.1234567891", "a", "", ".5", "1.", "1e-3", "99999999999999999999"] {
            assert!(text.parse::<Fraction>().is_err(), "{text}");
        }
        assert!("0.8".parse::<Fraction>().unwrap().compare(8, 10).is_eq());
        assert!("0.333333333".parse::<Fraction>().unwrap().compare(1, 3).is_gt());
    }

    keywords! {
        /// Sides.
        enum Side {
            /// Left.
            Left = "left",
            /// Right.
            Right = "right",
        }
    }

    #[test]
    fn keywords_are_parsed_printed_and_listed_in_errors() {
        assert_eq!("left".parse(), Ok(Side::Left));
        assert_eq!(Side::Right.to_string(), "right");
        assert_eq!("up".parse::<Side>(), Err("expected `left` or `right`".to_owned()));
        assert_eq!(expected_one_of(&["a", "b", "c"]), "expected `a`, `b` or `c`");
    }

    #[test]
    fn spans_sizes_times_and_weeks_read_as_written() {
        for (text, shown) in [("250ms", "250ms"), ("60s", "1m"), ("2d", "48h"), ("0s", "0ms"), ("90s", "90s")]
        {
            assert_eq!(text.parse::<TimeSpan>().unwrap().to_string(), shown);
        }
        assert_eq!("250ms".parse(), Ok(TimeSpan(Duration::from_millis(250))));
        assert_eq!("5m".parse(), Ok(TimeSpan(Duration::from_mins(5))));
        assert!("5".parse::<TimeSpan>().is_err() && "s".parse::<TimeSpan>().is_err());
        assert_eq!("256MiB".parse(), Ok(ByteSize(256 << 20)));
        assert!("0".parse::<ByteSize>().is_err());
    }
}
