//! The rejects of logs as a file.

use std::io;

use crate::model::{Reason, Reject};
use crate::state::checkpoint::table::{next_of, push_number};

/// Appends a reject.
pub fn push(file: &mut Vec<u8>, reject: &Reject) {
    let reason = Reason::ALL.iter().position(|reason| *reason == reject.reason).unwrap_or_default();
    for number in [reject.line, reject.offset, reason as u64, reject.raw.len() as u64] {
        push_number(file, number);
    }
    file.extend_from_slice(&reject.raw);
}

/// Reads all rejects. `lines` is the number of lines before the range of the log from which they come.
///
/// # Errors
/// `InvalidData` if the bytes are no rejects.
pub fn parse(mut bytes: &[u8], lines: u64) -> io::Result<Vec<Reject>> {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the rejects are damaged");
    let mut rejects = Vec::new();
    while !bytes.is_empty() {
        let (line, offset) = (lines + next_of(&mut bytes)?, next_of(&mut bytes)?);
        let reason = *Reason::ALL.get(next_of(&mut bytes)? as usize).ok_or_else(damaged)?;
        let length = next_of(&mut bytes)? as usize;
        let (raw, rest) = bytes.split_at_checked(length).ok_or_else(damaged)?;
        rejects.push(Reject { line, offset, reason, raw: raw.to_vec() });
        bytes = rest;
    }
    Ok(rejects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_come_back_with_the_lines_before_them() {
        let rejects = [
            Reject::new(Reason::BareCr, 1, 0, b"a\xffb"),
            Reject::new(*Reason::ALL.last().unwrap(), 300, 1 << 40, b""),
        ];
        let mut file = Vec::new();
        rejects.iter().for_each(|reject| push(&mut file, reject));
        let shifted = rejects.map(|reject| Reject { line: reject.line + 7, ..reject });
        assert_eq!(parse(&file, 7).unwrap(), shifted);
        assert!(parse(&file[..file.len() - 1], 0).is_err());
    }
}
