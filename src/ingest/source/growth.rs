//! Counts by how many bytes a text grows when it is converted to UTF-8.

use std::borrow::Cow;
use std::io::{self, Read};

use crate::model::dialect::encoding::TextEncoding;

/// Bytes that are converted at once.
const BLOCK: usize = 64 << 10;

/// By how many bytes the text read so far grows when it is converted to UTF-8. Counts nothing by default,
/// because the offsets of a file that is not compressed refer to its own bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Growth(Option<u64>);

impl Growth {
    /// Counts from 0 if text in this encoding grows.
    pub(super) fn of(encoding: TextEncoding) -> Self {
        Self((!encoding.is_utf8()).then_some(0))
    }

    /// The growth so far, in bytes. `None` if it is not counted.
    pub(super) fn total(self) -> Option<u64> {
        self.0
    }

    /// Counts the growth of a piece of text.
    pub(super) fn add(&mut self, encoding: TextEncoding, bytes: &[u8]) {
        if let Some(total) = &mut self.0
            && !encoding.is_utf8()
            && !bytes.is_ascii()
        {
            let decoded = encoding.decode(bytes).unwrap_or_else(Cow::Owned);
            *total += (decoded.len() - bytes.len()) as u64;
        }
    }

    /// Reads `len` bytes, or all bytes if there are fewer, and counts their growth.
    ///
    /// # Errors
    /// An error of the reader.
    pub(super) fn add_from(
        &mut self,
        reader: &mut impl Read,
        mut len: u64,
        encoding: TextEncoding,
    ) -> io::Result<()> {
        let mut block = vec![0; BLOCK.min(usize::try_from(len).unwrap_or(BLOCK))];
        while len > 0 {
            let wanted = block.len().min(usize::try_from(len).unwrap_or(usize::MAX));
            let read = reader.read(&mut block[..wanted])?;
            if read == 0 {
                break;
            }
            self.add(encoding, &block[..read]);
            len -= read as u64;
        }
        Ok(())
    }
}
