//! The text of the catalog file in UTF-8.

use std::borrow::Cow;
use std::ops::Range;

use encoding_rs::{DecoderResult, Encoding, UTF_16BE, UTF_16LE};

use crate::ingest::decode::header::BYTE_ORDER_MARK;
use crate::model::dialect::encoding::TextEncoding;

/// The text of a catalog file in UTF-8, without a byte order mark.
#[derive(Debug)]
pub(super) struct DecodedText<'a> {
    /// The text. Bytes without a character are kept, so the text may not be valid UTF-8.
    pub(super) text: Cow<'a, [u8]>,
    /// Number of bytes before the text in the file.
    skipped: usize,
    /// The lines of a text in an encoding with one byte per character. Empty if all offsets are the same in
    /// UTF-8.
    lines: Vec<DecodedLine>,
}

/// A physical line that was decoded.
#[derive(Debug)]
struct DecodedLine {
    /// Where the line starts in the text.
    start: usize,
    /// Where the line starts in the file.
    in_file: usize,
    /// Whether all bytes have a character.
    is_decodable: bool,
}

/// The byte that stands for two bytes of UTF-16 without a character. It makes a line invalid.
const UNDECODABLE: u8 = 0xff;

impl<'a> DecodedText<'a> {
    /// Decodes a file. A byte order mark overrides the encoding.
    pub(super) fn of(file: &'a [u8], encoding: TextEncoding) -> Self {
        if let Some(text) = utf16(file) {
            return Self { text: Cow::Owned(text), skipped: 0, lines: Vec::new() };
        }
        let text = file.strip_prefix(BYTE_ORDER_MARK).unwrap_or(file);
        let skipped = file.len() - text.len();
        if skipped > 0 || encoding.is_utf8() || text.is_ascii() {
            return Self { text: Cow::Borrowed(text), skipped, lines: Vec::new() };
        }
        let mut decoded = Vec::with_capacity(text.len() + text.len() / 8);
        let (mut lines, mut in_file) = (Vec::new(), 0);
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            let characters = encoding.decode(line);
            lines.push(DecodedLine { start: decoded.len(), in_file, is_decodable: characters.is_ok() });
            decoded.extend_from_slice(&characters.unwrap_or_else(Cow::Owned));
            in_file += line.len();
        }
        Self { text: Cow::Owned(decoded), skipped, lines }
    }

    /// The offset of a line that starts at `start` in the text: that of the file, or of the UTF-8 text if the
    /// file is UTF-16.
    pub(super) fn offset(&self, start: usize) -> u64 {
        let offset = match self.lines.binary_search_by_key(&start, |line| line.start) {
            Ok(line) => self.lines[line].in_file,
            Err(_) => start + self.skipped,
        };
        offset as u64
    }

    /// Whether all bytes of the lines that start in a range have a character.
    pub(super) fn is_decodable(&self, range: Range<usize>) -> bool {
        let first = self.lines.partition_point(|line| line.start < range.start);
        let lines = self.lines[first..].iter().take_while(|line| line.start < range.end);
        lines.into_iter().all(|line| line.is_decodable)
    }
}

/// Whether a file starts with a byte order mark of UTF-16.
pub(super) fn is_utf16(file: &[u8]) -> bool {
    utf16_mark(file).is_some()
}

/// The encoding of a UTF-16 file, and the length of its byte order mark.
fn utf16_mark(file: &[u8]) -> Option<(&'static Encoding, usize)> {
    Encoding::for_bom(file).filter(|(encoding, _)| [UTF_16LE, UTF_16BE].contains(encoding))
}

/// The UTF-8 text of a UTF-16 file, without the byte order mark. `None` if the file has no such mark.
fn utf16(file: &[u8]) -> Option<Vec<u8>> {
    let (encoding, mark) = utf16_mark(file)?;
    let bytes = &file[mark..];
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut text = Vec::with_capacity(bytes.len());
    let mut buffer = [0; 4096];
    let mut rest = bytes;
    loop {
        let (result, read, written) = decoder.decode_to_utf8_without_replacement(rest, &mut buffer, true);
        text.extend_from_slice(&buffer[..written]);
        rest = &rest[read..];
        match result {
            DecoderResult::InputEmpty => return Some(text),
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => text.push(UNDECODABLE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf16_is_recognized_by_its_mark_in_any_encoding() {
        let little = |text: &str| -> Vec<u8> {
            "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
        };
        let big = |text: &str| -> Vec<u8> {
            "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect()
        };
        let long = "a\u{1F3B5}é\n".repeat(3000);
        for encoding in ["utf-8", "koi8-r"] {
            let encoding = encoding.parse().unwrap();
            for file in [little(&long), big(&long)] {
                let decoded = DecodedText::of(&file, encoding);
                assert_eq!(decoded.text, long.as_bytes());
                assert_eq!(decoded.offset(8), 8);
            }
        }
        let surrogate = [little("a"), vec![0x00, 0xd8], b"b\0c".to_vec()].concat();
        assert_eq!(DecodedText::of(&surrogate, TextEncoding::UTF_8).text, b"a\xffb\xff".as_slice());
    }

    #[test]
    fn offsets_are_those_of_a_file_with_one_byte_per_character() {
        let greek = "windows-1253".parse().unwrap();
        let decoded = DecodedText::of(b"\xe1\xe2\nx\xd2\xaa\nok\n", greek);
        assert_eq!(decoded.text, [&b"\xce\xb1\xce\xb2\nx\xd2\xaa\nok\n"[..]].concat());
        assert_eq!([0, 5, 9].map(|start| decoded.offset(start)), [0, 3, 7]);
        assert_eq!(
            [0..5, 5..9, 9..12, 0..12].map(|range| decoded.is_decodable(range)),
            [true, false, true, false]
        );
        let marked = DecodedText::of(b"\xef\xbb\xbf\xc3\xa9\n", greek);
        assert_eq!((marked.text.as_ref(), marked.offset(0)), ("é\n".as_bytes(), 3));
    }
}
