//! Reads gzip, zstd, bzip2, xz and Parquet logs as CSV text, after a check of the whole file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::ingest::decode::header::HeaderFault;
use crate::ingest::parquet::csv_of;
use crate::ingest::source::fingerprint::read_range;
use crate::ingest::source::utf16::{ByteOrder, TextReader};
use crate::model::Reason;
use crate::model::dialect::columns::ColumnName;
use crate::model::error::{Error, FileRole, Op};

/// The format of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Text.
    Plain,
    /// Text in UTF-16 with a byte order mark. The name does not tell this.
    Utf16,
    /// gzip, with any number of members.
    Gzip,
    /// zstd, with any number of frames.
    Zstd,
    /// bzip2, with any number of streams.
    Bzip2,
    /// xz, with any number of streams.
    Xz,
    /// Parquet, with any number of row groups.
    Parquet,
}

/// Number of bytes that [`Compression::of_content`] needs.
pub const MAGIC: usize = 6;
/// Buffer size for compressed files, in bytes.
const BUFFER: usize = 256 << 10;
/// Maximum memory for decoding an xz file, in KiB. `xz -9` needs 65 MiB.
const XZ_MEMORY: u32 = 256 << 10;
/// The maximum decompressed size is this multiple of the compressed size, plus [`ALLOWANCE`]. Even a log of one
/// listener and one song, with a row every 30 seconds and long ids, stays below: xz reaches 192, zstd 185,
/// bzip2 101 and gzip 34. Common logs stay below 30.
const RATIO: u64 = 200;
/// Additional bytes that the decompressed size may have, so that small files are not rejected.
const ALLOWANCE: u64 = 16 << 20;

impl Compression {
    /// The format according to the file name extension, in any case.
    pub fn of(path: &Path) -> Self {
        let Some(extension) = path.extension() else { return Self::Plain };
        let formats = [
            ("gz", Self::Gzip),
            ("zst", Self::Zstd),
            ("bz2", Self::Bzip2),
            ("xz", Self::Xz),
            ("parquet", Self::Parquet),
        ];
        let format = formats.into_iter().find(|(name, _)| extension.eq_ignore_ascii_case(name));
        format.map_or(Self::Plain, |(_, format)| format)
    }

    /// The format according to the first [`MAGIC`] bytes.
    pub fn of_content(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'P', b'A', b'R', b'1', ..] => Self::Parquet,
            _ => Self::Plain,
        }
    }

    /// Whether the file is plain text, which is read while it grows. A file of any other format is read whole.
    pub fn is_plain(self) -> bool {
        self == Self::Plain
    }

    /// Opens a file as text. UTF-16 with a byte order mark is decoded, also inside a compressed file.
    /// The text of a Parquet file has only the wanted columns.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(self, path: &Path, wanted: Vec<ColumnName>) -> io::Result<Box<dyn Read + Send>> {
        let file = File::open(path)?;
        match self {
            Self::Parquet => csv_of(file, wanted),
            // A plain file is read without another layer, because that is fastest. A pipe has no ranges.
            Self::Plain if read_range(&file, 0, 2).is_ok_and(|start| ByteOrder::of(&start).is_none()) => {
                Ok(Box::new(file))
            }
            _ => self.decode(file),
        }
    }

    /// Decompresses a stream. UTF-16 with a byte order mark is decoded.
    ///
    /// # Errors
    /// If the decoder cannot be created, or the format is Parquet.
    pub fn decode(self, reader: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(TextReader::new(self.decompress(reader)?)))
    }

    /// The same as [`decode`](Self::decode), and whether the text is UTF-16.
    ///
    /// # Errors
    /// The same, or if the beginning cannot be read.
    pub fn decode_stream(
        self,
        reader: impl Read + Send + 'static,
    ) -> io::Result<(Box<dyn Read + Send>, bool)> {
        let mut text = TextReader::new(self.decompress(reader)?);
        let is_utf16 = text.is_utf16()?;
        Ok((Box::new(text), is_utf16))
    }

    /// Whether the text of a regular file is UTF-16 with a byte order mark.
    ///
    /// # Errors
    /// If the file cannot be opened, or its beginning cannot be decompressed.
    pub fn is_utf16(self, path: &Path) -> io::Result<bool> {
        // What is read from a pipe is gone.
        if self == Self::Parquet || !path.metadata()?.is_file() {
            return Ok(false);
        }
        let mut start = Vec::new();
        self.open_compressed(path)?.take(2).read_to_end(&mut start)?;
        Ok(ByteOrder::of(&start).is_some())
    }

    /// Opens a file and decompresses it, but does not decode its text.
    ///
    /// # Errors
    /// If the file cannot be opened, or the format is Parquet.
    pub fn open_compressed(self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        self.decompress(File::open(path)?)
    }

    fn decompress(self, reader: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Plain | Self::Utf16 => Box::new(reader),
            Self::Gzip => {
                Box::new(flate2::bufread::MultiGzDecoder::new(io::BufReader::with_capacity(BUFFER, reader)))
            }
            Self::Zstd => Box::new(zstd::Decoder::new(reader)?),
            Self::Bzip2 => {
                let reader = io::BufReader::with_capacity(BUFFER, reader);
                Box::new(bzip2::bufread::MultiBzDecoder::new(reader))
            }
            Self::Xz => {
                let reader = io::BufReader::with_capacity(BUFFER, reader);
                Box::new(lzma_rust2::XzReader::new_mem_limit(reader, true, XZ_MEMORY))
            }
            Self::Parquet => {
                let message = "Parquet cannot be read from a stream; pass a file";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        })
    }

    /// The maximum decompressed size of a file, in bytes.
    pub fn limit(compressed: u64) -> u64 {
        compressed.saturating_mul(RATIO).saturating_add(ALLOWANCE)
    }

    /// Reads a compressed file to its end. This check ensures that the rows of truncated files, damaged
    /// files and decompression bombs never count. Returns the decompressed size, or the fault if the
    /// file must be rejected.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn check(self, path: &Path, wanted: Vec<ColumnName>) -> io::Result<Result<u64, HeaderFault>> {
        let compressed = path.metadata()?.len();
        if self.is_plain() {
            return Ok(Ok(compressed));
        }
        let limit = Self::limit(compressed);
        let mut reader = self.open(path, wanted)?.take(limit + 1);
        Ok(match io::copy(&mut reader, &mut io::sink()) {
            Ok(size) if size > limit => {
                let detail =
                    format!("the file decompresses to more than {RATIO} times its {compressed} bytes");
                Err(HeaderFault { reason: Reason::GzRatio, detail })
            }
            Ok(size) => Ok(size),
            Err(error) => Err(HeaderFault {
                reason: match self {
                    Self::Gzip => Reason::GzCorrupt,
                    Self::Plain | Self::Utf16 | Self::Zstd => Reason::ZstCorrupt,
                    Self::Bzip2 => Reason::Bz2Corrupt,
                    Self::Xz => Reason::XzCorrupt,
                    Self::Parquet => Reason::ParquetCorrupt,
                },
                detail: format!("the file is truncated or damaged: {error}"),
            }),
        })
    }
}

/// The error for a log or catalog that cannot be read. A format that this build does not support has a
/// separate error.
pub fn unreadable(path: &Path, source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::Unsupported {
        return Error::Unsupported { path: path.to_owned(), source };
    }
    Error::file(FileRole::Input, Op::Read, path, source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    use lzma_rust2::{XzOptions, XzWriter};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = XzWriter::new(Vec::new(), XzOptions::with_preset(6)).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn check(name: &str, bytes: &[u8]) -> Result<u64, Reason> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Compression::of(&path).check(&path, Vec::new()).unwrap().map_err(|fault| fault.reason)
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

    #[test]
    fn the_format_follows_from_the_name_or_from_the_first_bytes() {
        for (name, format) in [
            ("a.csv.GZ", Compression::Gzip),
            ("a.csv.Zst", Compression::Zstd),
            ("a.csv.BZ2", Compression::Bzip2),
            ("a.csv.xz", Compression::Xz),
            ("a.PARQUET", Compression::Parquet),
            ("a.csv", Compression::Plain),
            ("gz", Compression::Plain),
        ] {
            assert_eq!(Compression::of(Path::new(name)), format, "{name}");
        }
        for (bytes, format) in [
            (gzip(b"a"), Compression::Gzip),
            (zstd::encode_all(&b"a"[..], 1).unwrap(), Compression::Zstd),
            (bzip2(b"a"), Compression::Bzip2),
            (bzip2(b""), Compression::Bzip2),
            (xz(b"a"), Compression::Xz),
            (b"BZh9_id,user_id".to_vec(), Compression::Plain),
        ] {
            assert_eq!(Compression::of_content(&bytes[..MAGIC.min(bytes.len())]), format);
        }
    }
}
