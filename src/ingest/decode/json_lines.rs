//! Decodes JSON Lines: one object per line.

use crate::ingest::decode::duration::DurationReader;
use crate::ingest::decode::line;
use crate::ingest::decode::rows::Rows;
use crate::ingest::decode::timestamp::TimestampReader;
use crate::model::delimiter::Delimiter;
use crate::model::dialect::columns::LogColumns;
use crate::model::{Reason, Reject, Text};

/// Decodes the rows of a chunk of JSON Lines.
pub(super) struct JsonRows<'a> {
    pub(super) columns: &'a LogColumns,
    pub(super) timestamps: TimestampReader<'a>,
    pub(super) durations: DurationReader,
    /// Where the lines start that have bytes without a character, ascending.
    pub(super) undecodable: &'a [usize],
    pub(super) rows: Rows,
}

impl JsonRows<'_> {
    pub(super) fn read(&mut self, text: &Text) {
        let first_line = self.rows.first_line();
        for ((start, line, _), line_number) in line::lines(text.as_bytes()).zip(first_line..) {
            if !line::is_blank(line, Delimiter::TAB) {
                self.rows.reject(Reject::new(Reason::BadJson, line_number, start as u64, line));
            }
        }
    }
}
