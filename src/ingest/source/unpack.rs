//! Decompresses a file on a thread of its own, while the caller frames the text.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use crate::ingest::decode::header::HeaderFault;
use crate::ingest::source::packed::{CheckedText, PackedText};

/// Bytes per block. Smaller blocks switch between the threads more often.
const BLOCK: usize = 1 << 20;
/// Maximum number of blocks that wait for the caller. They keep the thread busy while the caller waits for the
/// decoders.
const QUEUE: usize = 2;
/// A smaller file is decompressed by the caller, because a thread would cost more than it saves.
const SMALL: u64 = 128 << 10;

/// Calls `read` with the text of a file. If the file is large, another thread decompresses it ahead of `read`. The
/// thread ends when `read` ends.
///
/// # Errors
/// If the thread cannot be started.
pub(super) fn unpacked<T>(
    mut text: PackedText,
    read: impl FnOnce(&mut dyn CheckedText) -> T,
) -> io::Result<T> {
    if text.compressed() < SMALL {
        return Ok(read(&mut text));
    }
    let (filled, pieces) = sync_channel(QUEUE);
    let (empty, used) = channel();
    thread::scope(|scope| {
        thread::Builder::new()
            .name("unpack".to_owned())
            .spawn_scoped(scope, move || unpack(text, &filled, &used))?;
        Ok(read(&mut Blocks { pieces, empty, block: Block::default(), at: 0, end: None }))
    })
}

/// A piece of a text.
#[derive(Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    /// The number of bytes that belong to the text.
    len: usize,
}

/// A block, or the verdict about the file after its last block.
type Piece = Result<Block, Result<u64, HeaderFault>>;

/// Sends all blocks of a text, and then the verdict. Ends early if the receiver is gone.
fn unpack(mut text: PackedText, filled: &SyncSender<Piece>, used: &Receiver<Vec<u8>>) {
    loop {
        let mut bytes = used.try_recv().unwrap_or_else(|_| vec![0; BLOCK]);
        match fill(&mut text, &mut bytes) {
            Ok(len) if len > 0 => {
                if filled.send(Ok(Block { bytes, len })).is_err() {
                    return;
                }
            }
            _ => break,
        }
    }
    // The receiver does not want the verdict if it is gone.
    let _ = filled.send(Err(text.finish()));
}

/// Reads until the buffer is full or the text ends. Returns the number of bytes.
fn fill(text: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match text.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// The text of a file, in the blocks of the thread that decompresses it.
struct Blocks {
    pieces: Receiver<Piece>,
    /// Returns blocks to the thread, which fills them again.
    empty: Sender<Vec<u8>>,
    block: Block,
    /// Number of bytes of `block` that were read.
    at: usize,
    /// The verdict about the file.
    end: Option<Result<u64, HeaderFault>>,
}

impl Blocks {
    /// Receives the next block. Returns whether there is one.
    fn advance(&mut self) -> bool {
        if self.end.is_some() {
            return false;
        }
        match self.pieces.recv().expect("the thread sends its verdict before it ends") {
            Ok(block) => {
                let read = std::mem::replace(&mut self.block, block);
                self.at = 0;
                if !read.bytes.is_empty() {
                    // The thread does not need a block if it has ended.
                    let _ = self.empty.send(read.bytes);
                }
                true
            }
            Err(verdict) => {
                (self.block, self.at) = (Block::default(), 0);
                self.end = Some(verdict);
                false
            }
        }
    }
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len && !self.advance() {
            return match &self.end {
                Some(Err(fault)) => Err(io::Error::other(fault.detail.clone())),
                _ => Ok(0),
            };
        }
        let len = (&self.block.bytes[self.at..self.block.len]).read(buffer)?;
        self.at += len;
        Ok(len)
    }
}

impl CheckedText for Blocks {
    fn finish(&mut self) -> Result<u64, HeaderFault> {
        while self.advance() {}
        self.end.clone().expect("there is no block after the verdict")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::source::compression::Compression;
    use crate::model::Reason;

    /// Text that does not compress well, so that the file is large.
    fn text(bytes: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        std::iter::repeat_with(&mut next).take(bytes).collect()
    }

    /// Reads `wanted` bytes of a file in steps, and then finishes it.
    fn read(bytes: &[u8], wanted: usize) -> (Result<Vec<u8>, String>, Result<u64, Reason>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zst");
        std::fs::write(&path, bytes).unwrap();
        let packed = PackedText::open(Compression::Zstd, &path, Vec::new()).unwrap();
        unpacked(packed, |text| {
            let mut got = Vec::new();
            let read = (&mut *text).take(wanted as u64).read_to_end(&mut got);
            (
                read.map(|_| got).map_err(|error| error.to_string()),
                text.finish().map_err(|fault| fault.reason),
            )
        })
        .unwrap()
    }

    #[test]
    fn the_text_and_the_verdict_are_the_same_with_and_without_a_thread() {
        for size in [0, 1, 1000, BLOCK, 3 * BLOCK + 7, 8 * BLOCK] {
            let text = text(size);
            let packed = zstd::encode_all(text.as_slice(), 1).unwrap();
            assert_eq!(packed.len() as u64 >= SMALL, size >= BLOCK);
            assert_eq!(read(&packed, usize::MAX >> 1), (Ok(text.clone()), Ok(size as u64)));
            assert_eq!(read(&packed, size / 2).1, Ok(size as u64), "the rest is read by `finish`");
            let (truncated, fault) = read(&packed[..packed.len() - 1], usize::MAX >> 1);
            assert_eq!(fault, Err(Reason::ZstCorrupt), "{size}");
            assert!(truncated.unwrap_err().contains("damaged") || size < BLOCK);
        }
    }

    #[test]
    fn the_thread_ends_when_the_reader_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zst");
        std::fs::write(&path, zstd::encode_all(text(8 * BLOCK).as_slice(), 1).unwrap()).unwrap();
        let packed = PackedText::open(Compression::Zstd, &path, Vec::new()).unwrap();
        assert!(packed.compressed() >= SMALL);
        let mut byte = [0];
        // The scope joins the thread, so this test would never end if the thread did not.
        unpacked(packed, |text| text.read(&mut byte)).unwrap().unwrap();
    }
}
