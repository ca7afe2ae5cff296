//! The formats of files, and readers that decompress them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::ingest::parquet::csv_of;
use crate::ingest::source::fingerprint::read_range;
use crate::ingest::source::utf16::{ByteOrder, TextReader};
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

/// A plain file that is open.
pub struct PlainText {
    /// The text.
    pub text: Box<dyn Read + Send>,
    /// The size of the file in bytes.
    pub size: u64,
    /// Whether the file is a regular file with text in UTF-16.
    pub is_utf16: bool,
}

impl std::fmt::Debug for PlainText {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { size, is_utf16, .. } = self;
        formatter
            .debug_struct("PlainText")
            .field("size", size)
            .field("is_utf16", is_utf16)
            .finish_non_exhaustive()
    }
}

/// Number of bytes that [`Compression::of_content`] needs.
pub const MAGIC: usize = 6;
/// Buffer size for compressed files, in bytes.
const BUFFER: usize = 256 << 10;
/// Maximum memory for decoding an xz file, in KiB. `xz -9` needs 65 MiB.
const XZ_MEMORY: u32 = 256 << 10;

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

    /// Whether the name tells that the file is compressed. Parquet has a compression of its own.
    pub fn is_packed(self) -> bool {
        matches!(self, Self::Gzip | Self::Zstd | Self::Bzip2 | Self::Xz)
    }

    /// Whether the file is plain text, which is read while it grows. A file of any other format is read whole.
    pub fn is_plain(self) -> bool {
        self == Self::Plain
    }

    /// Opens a plain file as text. UTF-16 with a byte order mark is decoded.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open_plain(path: &Path) -> io::Result<PlainText> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        // A pipe has no ranges.
        let start = read_range(&file, 0, 2);
        let has_mark = start.as_ref().is_ok_and(|start| ByteOrder::of(start).is_some());
        let (size, is_utf16) = (metadata.len(), has_mark && metadata.is_file());
        // Without a mark, the file is read directly. A decoder would only slow down reading.
        let text: Box<dyn Read + Send> =
            if start.is_ok() && !has_mark { Box::new(file) } else { Self::Plain.decode(file)? };
        Ok(PlainText { text, size, is_utf16 })
    }

    /// Opens a file as text. UTF-16 with a byte order mark is decoded, also inside a compressed file.
    /// The text of a Parquet file has only the wanted columns.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(self, path: &Path, wanted: Vec<ColumnName>) -> io::Result<Box<dyn Read + Send>> {
        match self {
            Self::Plain => Ok(Self::open_plain(path)?.text),
            Self::Parquet => csv_of(File::open(path)?, wanted),
            _ => self.decode(File::open(path)?),
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
pub(super) mod tests {
    use super::*;
    use std::io::Write;

    use lzma_rust2::{XzOptions, XzWriter};

    pub(in crate::ingest::source) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    pub(in crate::ingest::source) fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    pub(in crate::ingest::source) fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = XzWriter::new(Vec::new(), XzOptions::with_preset(6)).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
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
