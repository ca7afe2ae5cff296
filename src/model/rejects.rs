//! Rejects, the fixed set of their reasons, and counts by reason.

use std::collections::BTreeMap;

/// A rejected row, with all details that the writer of the log needs to find and fix it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Physical line number; the first line of a file is 1.
    pub line: u64,
    /// Offset of the line's first byte in the (decompressed) file.
    pub offset: u64,
    /// The reason.
    pub reason: Reason,
    /// The line without its end, at most [`RAW_LIMIT`] bytes.
    pub raw: Vec<u8>,
}

/// The maximum number of bytes that a reject keeps of its line.
pub const RAW_LIMIT: usize = 4096;

impl Reject {
    /// A reject that keeps at most [`RAW_LIMIT`] bytes of `raw`.
    pub fn new(reason: Reason, line: u64, offset: u64, raw: &[u8]) -> Self {
        Self { line, offset, reason, raw: raw[..raw.len().min(RAW_LIMIT)].to_vec() }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// The reason why a row or a file was rejected. The set is fixed, and codes never change their
        /// meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// All reasons, in the order of their codes.
            pub const ALL: &[Reason] = &[$(Reason::$name,)*];

            /// The code in `_rejects`.
            pub fn code(self) -> &'static str {
                match self { $(Reason::$name => $code,)* }
            }

            /// The reason with a code.
            pub fn of_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.code() == code)
            }
        }
    };
}

reasons! {
    /// A carriage return outside quotes that is not part of a line end.
    BareCr = "bare_cr",
    /// A line that is not a JSON object with the wanted values.
    BadJson = "bad_json",
    /// A duration that is not a decimal number.
    BadNumber = "bad_number",
    /// Text after a closing quote.
    BadQuote = "bad_quote",
    /// A malformed timestamp, or a date or time that does not exist.
    BadTimestamp = "bad_timestamp",
    /// A truncated or damaged bzip2 file.
    Bz2Corrupt = "bz2_corrupt",
    /// Bytes that were appended to a last line after the line was read as complete.
    ContinuedAfterEof = "continued_after_eof",
    /// A local time that is skipped when clocks are set forward.
    DstGap = "dst_gap",
    /// A file whose header has a column twice.
    DuplicateColumn = "duplicate_column",
    /// A duration of more than a day.
    DurationRange = "duration_range",
    /// An empty id.
    EmptyField = "empty_field",
    /// A file encoded in UTF-16.
    EncodingUtf16 = "encoding_utf16",
    /// A row with a different number of fields than the header.
    FieldCount = "field_count",
    /// An id of more than 4 KiB.
    FieldTooLong = "field_too_long",
    /// A truncated or damaged gzip file.
    GzCorrupt = "gz_corrupt",
    /// A compressed file with an implausible compression ratio.
    GzRatio = "gz_ratio",
    /// Bytes that are not UTF-8.
    InvalidUtf8 = "invalid_utf8",
    /// A line of more than 1 MiB.
    LineTooLong = "line_too_long",
    /// A file whose header lacks a required column.
    MissingColumn = "missing_column",
    /// A file that starts without a header.
    MissingHeader = "missing_header",
    /// A duration below zero.
    NegativeDuration = "negative_duration",
    /// A file without line feeds.
    NoNewline = "no_newline",
    /// A file of a different type, such as an image, a program or an archive.
    NotCsv = "not_csv",
    /// A NUL byte.
    NulByte = "nul_byte",
    /// A last line that contains only NUL bytes, because space was reserved but never written.
    NulTail = "nul_tail",
    /// A number beyond 64 bits.
    Overflow = "overflow",
    /// A truncated or damaged Parquet file.
    ParquetCorrupt = "parquet_corrupt",
    /// A time before 1970 or too far in the future.
    TimestampRange = "timestamp_range",
    /// A file that reached `input.max_bad_lines`.
    TooManyBadLines = "too_many_bad_lines",
    /// A quote that is never closed.
    UnclosedQuote = "unclosed_quote",
    /// A file with a delimiter that differs from `input.delimiter`.
    WrongDelimiter = "wrong_delimiter",
    /// A truncated or damaged xz file.
    XzCorrupt = "xz_corrupt",
    /// A truncated or damaged zstd file.
    ZstCorrupt = "zst_corrupt",
}

/// Numbers of rejected rows by reason.
pub type ReasonCounts = BTreeMap<Reason, u64>;

/// Adds rejects to the counts.
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
    codes
        .into_iter()
        .map(|(code, rows)| match Reason::of_code(&code) {
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
