//! Reads gzip, zstd and Parquet logs as CSV text, after a check of the whole file.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::ingest::decode::header::HeaderFault;
use crate::ingest::parquet::csv_of;
use crate::model::Reason;
use crate::model::dialect::columns::ColumnName;
use crate::model::error::{Error, FileRole, Op};

/// The format of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// CSV text.
    Plain,
    /// gzip, with any number of members.
    Gzip,
    /// zstd, with any number of frames.
    Zstd,
    /// Parquet, with any number of row groups.
    Parquet,
}

/// Number of bytes that [`Compression::of_content`] needs.
pub const MAGIC: usize = 4;
/// Buffer size for gzip files, in bytes.
const BUFFER: usize = 256 << 10;
/// The maximum decompressed size is this multiple of the compressed size, plus [`ALLOWANCE`].
const RATIO: u64 = 200;
/// Additional bytes that the decompressed size may have, so that small files are not rejected.
const ALLOWANCE: u64 = 16 << 20;

impl Compression {
    /// The format according to the file name extension.
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(OsStr::to_str) {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            Some("parquet") => Self::Parquet,
            _ => Self::Plain,
        }
    }

    /// The format according to the first [`MAGIC`] bytes.
    pub fn of_content(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            b"PAR1" => Self::Parquet,
            _ => Self::Plain,
        }
    }

    /// Opens a file as text. The text of a Parquet file has only the wanted columns.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn open(self, path: &Path, wanted: Vec<ColumnName>) -> io::Result<Box<dyn Read + Send>> {
        let file = File::open(path)?;
        if self == Self::Parquet { csv_of(file, wanted) } else { self.decode(file) }
    }

    /// Decompresses a stream.
    ///
    /// # Errors
    /// If the decoder cannot be created, or the format is Parquet.
    pub fn decode(self, reader: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Plain => Box::new(reader),
            Self::Gzip => {
                Box::new(flate2::bufread::MultiGzDecoder::new(io::BufReader::with_capacity(BUFFER, reader)))
            }
            Self::Zstd => Box::new(zstd::Decoder::new(reader)?),
            Self::Parquet => {
                let message = "Parquet cannot be read from a stream; pass a file";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        })
    }

    /// Reads a compressed file to its end. This check ensures that the rows of truncated files, damaged
    /// files and decompression bombs never count. Returns the decompressed size, or the fault if the
    /// file must be rejected.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn check(self, path: &Path, wanted: Vec<ColumnName>) -> io::Result<Result<u64, HeaderFault>> {
        let compressed = path.metadata()?.len();
        if self == Self::Plain {
            return Ok(Ok(compressed));
        }
        let limit = compressed.saturating_mul(RATIO).saturating_add(ALLOWANCE);
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
                    Self::Plain | Self::Zstd => Reason::ZstCorrupt,
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

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
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
}
