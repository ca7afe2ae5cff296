//! Converts text in an encoding with one byte per character to UTF-8.

use std::borrow::Cow;

use crate::ingest::decode::line;
use crate::model::dialect::encoding::TextEncoding;
use crate::model::{Reject, Text};

/// The text of a chunk in UTF-8.
#[derive(Debug)]
pub(super) struct Transcoded {
    pub(super) text: Text,
    /// Where the lines start that have bytes without a character, ascending. These bytes are kept.
    pub(super) undecodable: Vec<usize>,
}

/// Converts the lines of a chunk. `None` if the bytes are the same in UTF-8, as most text is.
pub(super) fn transcode(text: &Text, encoding: TextEncoding) -> Option<Transcoded> {
    let bytes = text.as_bytes();
    if encoding.is_utf8() || bytes.is_ascii() {
        return None;
    }
    let mut utf8 = Vec::with_capacity(bytes.len() + bytes.len() / 8);
    let mut undecodable = Vec::new();
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let start = utf8.len();
        let line = encoding.decode(line).unwrap_or_else(|kept| {
            undecodable.push(start);
            Cow::Owned(kept)
        });
        utf8.extend_from_slice(&line);
    }
    let len = utf8.len();
    Some(Transcoded { text: Text::new(utf8, len), undecodable })
}

/// Gives rejects, which are ascending by line, the offsets of their lines in the original text.
pub(super) fn restore_offsets(rejects: &mut [Reject], original: &Text, from: u64, first_line: u64) {
    let mut rejects = rejects.iter_mut().peekable();
    for ((start, ..), number) in line::lines(original.as_bytes()).zip(first_line..) {
        while let Some(reject) = rejects.next_if(|reject| reject.line == number) {
            reject.offset = from + start as u64;
        }
        if rejects.peek().is_none() {
            return;
        }
    }
}
