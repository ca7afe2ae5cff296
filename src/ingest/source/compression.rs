//! Logs that are gzip, zstd or Parquet: read as the CSV text that is in them, but only after all of it
//! has been checked.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::ingest::decode::header::HeaderFault;
use crate::ingest::parquet::csv_of;
use crate::model::Reason;
use crate::model::delimiter::Delimiter;
use crate::model::error::{Error, FileRole, Op};

/// How a log is stored, by the end of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    Plain,
    /// gzip, of any number of members.
    Gzip,
    /// zstd, of any number of frames.
    Zstd,
    /// Parquet, of any number of row groups.
    Parquet,
}

/// Bytes by which content is told.
pub const MAGIC: usize = 4;
/// Bytes of a gzip file that are read at once.
const BUFFER: usize = 256 << 10;
/// A compressed file may not come to more than this many times its size …
const RATIO: u64 = 200;
/// … and this many bytes on top, so that small files are not suspected.
const ALLOWANCE: u64 = 16 << 20;

impl Compression {
    /// Tells by the end of a name.
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(OsStr::to_str) {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            Some("parquet") => Self::Parquet,
            _ => Self::Plain,
        }
    }

    /// Tells by the first [`MAGIC`] bytes.
    pub fn of_content(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            b"PAR1" => Self::Parquet,
            _ => Self::Plain,
        }
    }

    /// Opens a file for reading what is in it; where that is no text, the fields that it has are parted
    /// by the delimiter.
    ///
    /// # Errors
    /// Those of opening.
    pub fn open(self, path: &Path, delimiter: Delimiter) -> io::Result<Box<dyn Read + Send>> {
        let file = File::open(path)?;
        if self == Self::Parquet { csv_of(file, delimiter) } else { self.decode(file) }
    }

    /// Reads what is in a stream.
    ///
    /// # Errors
    /// If there is no decoder, or it is of no use for a stream.
    pub fn decode(self, reader: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Plain => Box::new(reader),
            Self::Gzip => {
                Box::new(flate2::bufread::MultiGzDecoder::new(io::BufReader::with_capacity(BUFFER, reader)))
            }
            Self::Zstd => Box::new(zstd::Decoder::new(reader)?),
            Self::Parquet => {
                let message = "Parquet is read from its end, so it must be a file";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        })
    }

    /// Reads a compressed file to its end, so that not one row is counted of a file that is cut
    /// short, damaged, or a decompression bomb. Returns its size when decompressed.
    ///
    /// # Errors
    /// The outer error if the file cannot be opened; the inner if what is in it cannot be used.
    pub fn check(self, path: &Path, delimiter: Delimiter) -> io::Result<Result<u64, HeaderFault>> {
        let stored = path.metadata()?.len();
        if self == Self::Plain {
            return Ok(Ok(stored));
        }
        let limit = stored.saturating_mul(RATIO).saturating_add(ALLOWANCE);
        let mut reader = self.open(path, delimiter)?.take(limit + 1);
        Ok(match io::copy(&mut reader, &mut io::sink()) {
            Ok(size) if size > limit => {
                let detail = format!("more than {RATIO} times its {stored} bytes come out of it");
                Err(HeaderFault { reason: Reason::GzRatio, detail })
            }
            Ok(size) => Ok(size),
            Err(cause) => Err(HeaderFault {
                reason: match self {
                    Self::Gzip => Reason::GzCorrupt,
                    Self::Plain | Self::Zstd => Reason::ZstCorrupt,
                    Self::Parquet => Reason::ParquetCorrupt,
                },
                detail: format!("the file is cut short or damaged: {cause}"),
            }),
        })
    }
}

/// A log or a catalog cannot be read; one that this program was not built for is there all the same.
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
        Compression::of(&path).check(&path, Delimiter::COMMA).unwrap().map_err(|fault| fault.reason)
    }

    #[test]
    fn whole_files_pass_and_everything_else_has_its_reason() {
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
