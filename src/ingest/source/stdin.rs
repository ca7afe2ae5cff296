//! Reads a log from stdin. Stdin is read only once. It has no file name, so its first bytes show its
//! compression.

use std::io::{self, Cursor, Read};
use std::path::Path;

use crate::ingest::source::compression::{Compression, MAGIC};

/// The argument that stands for stdin.
pub const STDIN: &str = "-";

/// Whether an argument stands for stdin. A file with the name `-` must be given as `./-`.
pub fn is_stdin(log: &Path) -> bool {
    log.as_os_str() == STDIN
}

/// Opens stdin and decompresses it. Also tells whether its text is UTF-16.
///
/// # Errors
/// If stdin cannot be read, or contains Parquet.
pub fn open() -> io::Result<(Box<dyn Read + Send>, bool)> {
    open_pipe(io::stdin())
}

fn open_pipe(mut pipe: impl Read + Send + 'static) -> io::Result<(Box<dyn Read + Send>, bool)> {
    let mut start = Vec::new();
    pipe.by_ref().take(MAGIC as u64).read_to_end(&mut start)?;
    Compression::of_content(&start).decode_stream(Cursor::new(start).chain(pipe))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Returns one byte at a time, like a pipe with a slow writer.
    struct Slow(Cursor<Vec<u8>>);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = buffer.len().min(1);
            self.0.read(&mut buffer[..len])
        }
    }

    fn read(bytes: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        open_pipe(Slow(Cursor::new(bytes.to_vec())))?.0.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn the_first_bytes_tell_the_compression() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"user_id,song_id\n").unwrap();
        let gzip = encoder.finish().unwrap();
        let zstd = zstd::encode_all(&b"user_id,song_id\n"[..], 1).unwrap();
        for bytes in [b"user_id,song_id\n".as_slice(), &gzip, &[gzip.clone(), gzip.clone()].concat(), &zstd] {
            let text = read(bytes).unwrap();
            assert_eq!(text.replace("user_id,song_id\n", ""), "");
        }
        for short in [&b""[..], b"u", b"\x1f", b"\x28\xb5"] {
            assert_eq!(read(short).ok(), String::from_utf8(short.to_vec()).ok());
        }
        assert!(read(&gzip[..gzip.len() - 1]).is_err());
        assert!(read(&zstd[..zstd.len() - 1]).is_err());
    }
}
