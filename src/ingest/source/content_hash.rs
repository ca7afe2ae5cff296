//! A hash of everything that was read of a log, so that the same text is recognised in a compressed file.
//!
//! The text is hashed in blocks of fixed size, and the hash of each block is added to the hash of the blocks
//! before it. Such a hash can be saved and continued at any offset. It does not cover the text after the last
//! whole block, but that text is shorter than the tail, which has a hash of its own
//! ([`hash_tail`](crate::ingest::source::fingerprint::hash_tail)). Both hashes together cover every byte.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read};

use xxhash_rust::xxh3::xxh3_128;

use crate::ingest::source::fingerprint::HEAD;

/// Number of bytes in a block. It equals the length of a tail.
pub const BLOCK: u64 = HEAD as u64;
/// Factor between the hashes of neighbouring blocks. It is odd, so no hash of a block is ever multiplied away.
const FACTOR: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
/// Number of block ends to keep. A framer is at most one chunk and one line ahead of its position; this is
/// more than twice as much.
const KEPT: usize = 1024;

/// The start of the block that contains an offset.
pub fn block_start(offset: u64) -> u64 {
    offset - offset % BLOCK
}

/// Hashes a text while it is read.
#[derive(Clone, Debug)]
pub struct ContentHash {
    /// The start of a block, and the hash of all blocks before it. It was the last answer of
    /// [`at`](Self::at).
    known: (u64, u128),
    /// The start of the first block in `hashes`.
    first: u64,
    /// The hash of all blocks before `first`, before the next block, and so on.
    hashes: VecDeque<u128>,
    /// The offset after the last hashed byte.
    end: u64,
    /// The bytes before `end`: those of the last block that is not whole, and the block before it.
    recent: Vec<u8>,
}

impl ContentHash {
    /// Continues at `offset`. `before` is the hash of all whole blocks before it, and `rest` is the text
    /// between these blocks and `offset`.
    pub fn resume(offset: u64, before: u128, rest: Vec<u8>) -> Self {
        let first = block_start(offset);
        Self { known: (first, before), first, hashes: VecDeque::from([before]), end: offset, recent: rest }
    }

    /// Adds the hash at an earlier offset, so that [`at`](Self::at) can return it.
    #[must_use]
    pub fn with_earlier(self, offset: u64, hash: u128) -> Self {
        Self { known: (block_start(offset), hash), ..self }
    }

    /// A hash of no text.
    pub fn new() -> Self {
        Self::resume(0, 0, Vec::new())
    }

    /// Continues with more text.
    pub fn update(&mut self, mut bytes: &[u8]) {
        let partial = (self.end % BLOCK) as usize;
        self.end += bytes.len() as u64;
        if partial > 0 {
            let (more, rest) = bytes.split_at(bytes.len().min(BLOCK as usize - partial));
            self.recent.extend_from_slice(more);
            bytes = rest;
            if partial + more.len() < BLOCK as usize {
                return;
            }
            self.recent.drain(..self.recent.len() - BLOCK as usize);
            self.push(xxh3_128(&self.recent));
        }
        let blocks = bytes.chunks_exact(BLOCK as usize);
        let rest = blocks.remainder();
        for block in blocks {
            self.push(xxh3_128(block));
        }
        if bytes.len() > rest.len() {
            self.recent.clear();
            self.recent.extend_from_slice(&bytes[bytes.len() - rest.len() - BLOCK as usize..]);
        } else {
            self.recent.extend_from_slice(rest);
        }
    }

    fn push(&mut self, block: u128) {
        let before = self.hashes.back().copied().unwrap_or_default();
        self.hashes.push_back(before.wrapping_mul(FACTOR).wrapping_add(block));
        if self.hashes.len() > KEPT {
            self.hashes.pop_front();
            self.first += BLOCK;
        }
    }

    /// The hash of all whole blocks before an offset. `None` if this offset lies too far back.
    pub fn at(&mut self, offset: u64) -> Option<u128> {
        let start = block_start(offset);
        if start != self.known.0 {
            let index = start.checked_sub(self.first)? / BLOCK;
            self.known = (start, *self.hashes.get(index as usize)?);
        }
        Some(self.known.1)
    }

    /// The offset after the last hashed byte.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The hash of the tail: the last bytes of the text, at most one block.
    pub fn tail(&self) -> u128 {
        xxh3_128(&self.recent[self.recent.len().saturating_sub(BLOCK as usize)..])
    }
}

impl Default for ContentHash {
    fn default() -> Self {
        Self::new()
    }
}

/// A reader that hashes what it reads.
#[derive(Debug)]
pub struct HashingReader<'a, R> {
    /// The reader.
    pub inner: R,
    /// The hash. `None` if what was read before is not known.
    pub hash: Option<&'a RefCell<ContentHash>>,
}

impl<R: Read> Read for HashingReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buffer)?;
        if let Some(hash) = self.hash {
            hash.borrow_mut().update(&buffer[..len]);
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(len: usize) -> Vec<u8> {
        (0..len as u32).flat_map(u32::to_le_bytes).take(len).collect()
    }

    /// The hashes of the whole blocks and of the tail of a text.
    fn hash(text: &[u8]) -> (u128, u128) {
        let mut hash = ContentHash::new();
        hash.update(text);
        (hash.at(text.len() as u64).unwrap(), hash.tail())
    }

    #[test]
    fn every_byte_and_the_order_of_blocks_count() {
        let text = text(3 * BLOCK as usize + 100);
        let all = hash(&text);
        for at in [0, 5000, 9000, 12_287, 12_288, 12_387] {
            let mut other = text.clone();
            other[at] ^= 1;
            assert_ne!(hash(&other), all, "byte {at}");
        }
        let (first, rest) = text.split_at(BLOCK as usize);
        let (second, rest) = rest.split_at(BLOCK as usize);
        assert_ne!(hash(&[second, first, rest].concat()), all);
    }

    proptest! {
        #[test]
        fn steps_and_restarts_do_not_matter(
            len in 0_usize..30_000, mut ends in proptest::collection::vec(0_usize..30_000, 0..8), restart: bool,
        ) {
            let text = text(len);
            ends.retain(|&end| end < len);
            ends.push(len);
            ends.sort_unstable();
            let mut grown = ContentHash::new();
            let mut from = 0;
            for end in ends {
                grown.update(&text[from..end]);
                prop_assert_eq!(grown.end(), end as u64);
                prop_assert_eq!((grown.at(end as u64).unwrap(), grown.tail()), hash(&text[..end]));
                prop_assert_eq!(grown.at(from as u64), Some(hash(&text[..from]).0));
                if restart {
                    let start = block_start(end as u64) as usize;
                    let before = grown.at(end as u64).unwrap();
                    grown = ContentHash::resume(end as u64, before, text[start..end].to_vec());
                    // The tail also needs the block before, which only the reader of a file has.
                    prop_assert_eq!(grown.at(end as u64), Some(before));
                    let whole = ContentHash { recent: text[end.saturating_sub(8000)..end].to_vec(), ..grown };
                    grown = whole;
                }
                from = end;
            }
        }
    }
}
