//! The append-only table `_rejects`: one CSV line for each rejected row or file.

use crate::model::Reject;
use crate::text::{escape_bytes, push_cell, push_integer};

/// The header of `_rejects`.
pub const REJECTS_HEADER: &[u8] = b"file,line,byte_offset,reason,raw\n";

/// The CSV lines for the rejects of one file. Bytes of `raw` that are not UTF-8 are escaped.
pub fn reject_lines(file: &str, rejects: &[Reject]) -> Vec<u8> {
    let mut lines = Vec::new();
    for reject in rejects {
        push_cell(&mut lines, file.as_bytes());
        for number in [reject.line, reject.offset] {
            lines.push(b',');
            push_integer(&mut lines, number);
        }
        lines.push(b',');
        lines.extend_from_slice(reject.reason.code().as_bytes());
        lines.push(b',');
        push_cell(&mut lines, escape_bytes(&reject.raw).as_bytes());
        lines.push(b'\n');
    }
    lines
}
