//! Writes results to stdout.

use std::io::{ErrorKind, Write as _};

use crate::model::error::Error;

/// Writes a text to stdout.
///
/// # Errors
/// If stdout cannot be written. A closed pipe is not an error, because its reader needs no more text.
pub(super) fn print(text: &str) -> Result<(), Error> {
    print_bytes(text.as_bytes())
}

/// Same as [`print`], but for bytes.
///
/// # Errors
/// Same as [`print`].
pub(super) fn print_bytes(bytes: &[u8]) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() != ErrorKind::BrokenPipe => {
            Err(Error::Io(format!("cannot write to stdout: {cause}")))
        }
        _ => Ok(()),
    }
}
