//! The text of a file that is read whole. The file is checked while it is read: only after the end of the text is
//! it known that the file is complete and not damaged.

use std::io::{self, Read};
use std::path::Path;

use crate::ingest::decode::header::HeaderFault;
use crate::ingest::source::compression::Compression;
use crate::ingest::source::utf16::TextReader;
use crate::model::Reason;
use crate::model::dialect::columns::ColumnName;

/// Bytes per read of a text whose rows are not wanted.
const BUFFER: usize = 128 << 10;
/// The maximum decompressed size is this multiple of the compressed size, plus [`ALLOWANCE`]. Even a log of one
/// listener and one song, with a row every 30 seconds and long ids, stays below: xz reaches 192, zstd 185,
/// bzip2 101 and gzip 34. Common logs stay below 30.
const RATIO: u64 = 200;
/// Additional bytes that the decompressed size may have, so that small files are not rejected.
const ALLOWANCE: u64 = 16 << 20;

/// A text that tells at its end whether its file is sound. Reading fails if the file is damaged.
pub trait CheckedText: Read {
    /// Reads the rest of the text. Returns the size of the whole text in bytes.
    ///
    /// # Errors
    /// The fault if the file must be rejected.
    fn finish(&mut self) -> Result<u64, HeaderFault>;
}

/// The text of a compressed file.
pub struct PackedText {
    format: Compression,
    text: TextReader<Box<dyn Read + Send>>,
    /// The size of the file.
    compressed: u64,
    /// The size of the text that was read.
    size: u64,
    /// The end of the text, or the fault of the file.
    end: Option<Result<(), HeaderFault>>,
}

impl std::fmt::Debug for PackedText {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { format, compressed, size, .. } = self;
        formatter
            .debug_struct("PackedText")
            .field("format", format)
            .field("compressed", compressed)
            .field("size", size)
            .finish_non_exhaustive()
    }
}

impl PackedText {
    /// Opens a file. The text of a Parquet file has only the wanted columns.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(format: Compression, path: &Path, wanted: Vec<ColumnName>) -> io::Result<Self> {
        let compressed = path.metadata()?.len();
        let reader = match format {
            Compression::Parquet => format.open(path, wanted)?,
            _ => format.open_compressed(path)?,
        };
        Ok(Self { format, text: TextReader::new(reader), compressed, size: 0, end: None })
    }

    /// The size of the file in bytes.
    pub fn compressed(&self) -> u64 {
        self.compressed
    }

    /// Whether the text is UTF-16 with a byte order mark. It is read as UTF-8.
    pub fn is_utf16(&mut self) -> bool {
        match self.text.is_utf16() {
            Ok(is_utf16) => is_utf16,
            Err(error) => {
                self.end = Some(Err(self.damaged(&error)));
                false
            }
        }
    }

    fn damaged(&self, error: &io::Error) -> HeaderFault {
        let reason = match self.format {
            Compression::Gzip => Reason::GzCorrupt,
            Compression::Plain | Compression::Utf16 | Compression::Zstd => Reason::ZstCorrupt,
            Compression::Bzip2 => Reason::Bz2Corrupt,
            Compression::Xz => Reason::XzCorrupt,
            Compression::Parquet => Reason::ParquetCorrupt,
        };
        HeaderFault { reason, detail: format!("the file is truncated or damaged: {error}") }
    }
}

impl Read for PackedText {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.end {
            None => {}
            Some(Ok(())) => return Ok(0),
            Some(Err(fault)) => return Err(io::Error::other(fault.detail.clone())),
        }
        match self.text.read(buffer) {
            Ok(len) => {
                self.size += len as u64;
                if self.size > limit(self.compressed) {
                    let compressed = self.compressed;
                    let detail =
                        format!("the file decompresses to more than {RATIO} times its {compressed} bytes");
                    self.end = Some(Err(HeaderFault { reason: Reason::GzRatio, detail }));
                    return self.read(buffer);
                }
                if len == 0 && !buffer.is_empty() {
                    self.end = Some(Ok(()));
                }
                Ok(len)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.end = Some(Err(self.damaged(&error)));
                Err(error)
            }
        }
    }
}

impl CheckedText for PackedText {
    fn finish(&mut self) -> Result<u64, HeaderFault> {
        let mut buffer = Vec::new();
        loop {
            match &self.end {
                Some(Ok(())) => return Ok(self.size),
                Some(Err(fault)) => return Err(fault.clone()),
                None => {
                    buffer.resize(BUFFER, 0);
                    // An error is kept as the end of the text, unless the read was only interrupted.
                    let _ = self.read(&mut buffer);
                }
            }
        }
    }
}

/// The maximum size of the text of a file with `compressed` bytes.
pub fn limit(compressed: u64) -> u64 {
    compressed.saturating_mul(RATIO).saturating_add(ALLOWANCE)
}

/// Reads a file to its end. This check ensures that the rows of truncated files, damaged files and decompression
/// bombs never count. Returns the size of the text, or the fault if the file must be rejected. A plain file is
/// not read.
///
/// # Errors
/// If the file cannot be opened.
pub fn check(
    format: Compression,
    path: &Path,
    wanted: Vec<ColumnName>,
) -> io::Result<Result<u64, HeaderFault>> {
    if format.is_plain() {
        return Ok(Ok(path.metadata()?.len()));
    }
    Ok(PackedText::open(format, path, wanted)?.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::source::compression::tests::{bzip2, gzip, xz};

    fn check(name: &str, bytes: &[u8]) -> Result<u64, Reason> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        super::check(Compression::of(&path), &path, Vec::new()).unwrap().map_err(|fault| fault.reason)
    }

    #[test]
    fn complete_files_pass_and_all_others_have_a_reason() {
        let members = [gzip(b"abc"), gzip(b"def")].concat();
        assert_eq!(check("a.csv.gz", &members), Ok(6));
        assert_eq!(check("a.csv.gz", &members[..members.len() - 3]), Err(Reason::GzCorrupt));
        assert_eq!(check("a.csv.gz", &[members.as_slice(), b"trailing"].concat()), Err(Reason::GzCorrupt));
        assert_eq!(check("a.csv.gz", b""), Err(Reason::GzCorrupt));
        assert_eq!(check("a.csv.gz", &gzip(&vec![b'a'; 40 << 20])), Err(Reason::GzRatio));
        let frames =
            [zstd::encode_all(&b"abc"[..], 1).unwrap(), zstd::encode_all(&b"def"[..], 1).unwrap()].concat();
        assert_eq!(check("a.csv.zst", &frames), Ok(6));
        assert_eq!(check("a.csv.zst", &frames[..frames.len() - 1]), Err(Reason::ZstCorrupt));
        assert_eq!(check("a.csv", b"abc"), Ok(3));
    }

    #[test]
    fn bzip2_and_xz_may_have_several_streams_and_must_be_complete() {
        for (name, pack, damage) in [
            ("a.csv.bz2", bzip2 as fn(&[u8]) -> Vec<u8>, Reason::Bz2Corrupt),
            ("a.csv.XZ", xz, Reason::XzCorrupt),
        ] {
            let streams = [pack(b"abc"), pack(b"defg")].concat();
            assert_eq!(check(name, &streams), Ok(7), "{name}");
            for cut in 1..streams.len() {
                let whole = cut == pack(b"abc").len();
                let expected = if whole { Ok(3) } else { Err(damage) };
                assert_eq!(check(name, &streams[..cut]), expected, "{name}: {cut} bytes");
            }
            assert_eq!(check(name, b""), Err(damage), "{name}");
            assert_eq!(check(name, &[&streams[..], b"trailing"].concat()), Err(damage), "{name}");
            let mut damaged = pack(&[b'x'; 1000]);
            let middle = damaged.len() / 2;
            damaged[middle] ^= 0x20;
            assert_eq!(check(name, &damaged), Err(damage), "{name}");
            assert_eq!(check(name, &pack(&vec![b'a'; 40 << 20])), Err(Reason::GzRatio), "{name}");
        }
    }
}
