//! Where the header of a file comes from.

use std::convert::Infallible;
use std::fmt::{self, Display};
use std::str::FromStr;

use crate::model::value::written_as;

/// Where the header of a file comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HeaderRule {
    /// It is the first line that is not blank.
    #[default]
    FirstLine,
    /// No file has a header, so all columns are given by their places.
    None,
    /// Every file has this header. A first line that is equal to it is skipped.
    Literal(String),
}

impl FromStr for HeaderRule {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "first_line" => Self::FirstLine,
            "none" => Self::None,
            header => Self::Literal(header.to_owned()),
        })
    }
}

impl Display for HeaderRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::FirstLine => "first_line",
            Self::None => "none",
            Self::Literal(header) => header,
        })
    }
}

written_as!(
    HeaderRule,
    "examples": [
        "first_line",
        "none",
        "user_id,song_id,timestamp,duration_sec",
        "song_id,title,artist,genre,mood"
    ]
);
