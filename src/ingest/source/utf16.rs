//! Reads text in UTF-16 as UTF-8. A byte order mark at the beginning tells that a text is UTF-16.

use std::fs::File;
use std::io::{self, Read};

use crate::ingest::source::fingerprint::read_range;
use crate::model::RAW_LIMIT;

/// Bytes per read of the text in UTF-16.
const BUFFER: usize = 64 << 10;
/// Stands for half a character. This byte never occurs in UTF-8, so the line that contains it is rejected.
const HALF_CHARACTER: u8 = 0xff;

/// The order of the two bytes of a code unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// The low byte is first (UTF-16LE).
    Little,
    /// The high byte is first (UTF-16BE).
    Big,
}

impl ByteOrder {
    /// The byte order according to the byte order mark at the start of a text. `None` if there is none.
    pub fn of(start: &[u8]) -> Option<Self> {
        match start {
            [0xff, 0xfe, ..] => Some(Self::Little),
            [0xfe, 0xff, ..] => Some(Self::Big),
            _ => None,
        }
    }
}

/// Decodes UTF-16, piece by piece. Half a character becomes a byte that is not valid UTF-8.
#[derive(Clone, Debug)]
pub struct Utf16Decoder {
    order: ByteOrder,
    /// The first byte of a code unit whose second byte follows.
    first_byte: Option<u8>,
    /// The first half of a character whose second half follows.
    high_surrogate: Option<u16>,
}

impl Utf16Decoder {
    /// A decoder for text after the byte order mark.
    pub fn new(order: ByteOrder) -> Self {
        Self { order, first_byte: None, high_surrogate: None }
    }

    /// Decodes more bytes and appends them to `text`.
    pub fn push(&mut self, mut bytes: &[u8], text: &mut Vec<u8>) {
        if let (Some(first), [second, rest @ ..]) = (self.first_byte, bytes) {
            self.first_byte = None;
            self.push_unit([first, *second], text);
            bytes = rest;
        }
        let units = bytes.chunks_exact(2);
        if let [last] = units.remainder() {
            self.first_byte = Some(*last);
        }
        for unit in units {
            self.push_unit([unit[0], unit[1]], text);
        }
    }

    /// Ends the text.
    pub fn finish(&mut self, text: &mut Vec<u8>) {
        if self.high_surrogate.take().is_some() {
            text.push(HALF_CHARACTER);
        }
        if self.first_byte.take().is_some() {
            text.push(HALF_CHARACTER);
        }
    }

    fn push_unit(&mut self, bytes: [u8; 2], text: &mut Vec<u8>) {
        let unit = match self.order {
            ByteOrder::Little => u16::from_le_bytes(bytes),
            ByteOrder::Big => u16::from_be_bytes(bytes),
        };
        let high = self.high_surrogate.take();
        if high.is_none() && unit < 0x80 {
            text.push(unit as u8);
            return;
        }
        let mut units = high.into_iter().chain([unit]);
        if high.is_none() && (0xd800..0xdc00).contains(&unit) {
            self.high_surrogate = Some(unit);
            return;
        }
        if high.is_some() && (0xd800..0xdc00).contains(&unit) {
            // Two first halves in a row. The second one may still find its partner.
            units.next_back();
            self.high_surrogate = Some(unit);
        }
        for character in char::decode_utf16(units) {
            match character {
                Ok(character) => {
                    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Err(_) => text.push(HALF_CHARACTER),
            }
        }
    }
}

/// Text that was added to a file in UTF-16 after the file had been read whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaterText {
    /// The length of the text in UTF-8.
    pub bytes: u64,
    /// Number of line feeds in the text.
    pub line_feeds: u64,
    /// The beginning of the first line of the text.
    pub first_line: Vec<u8>,
}

impl LaterText {
    /// Reads the text between two offsets of a file.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn read(file: &File, from: u64, to: u64) -> io::Result<Self> {
        let mut later = Self::default();
        let Some(order) = ByteOrder::of(&read_range(file, 0, 2)?) else { return Ok(later) };
        let (mut decoder, mut text, mut at) = (Utf16Decoder::new(order), Vec::new(), from + from % 2);
        while at < to {
            let bytes = read_range(file, at, (to - at).min(BUFFER as u64))?;
            if bytes.is_empty() {
                break;
            }
            at += bytes.len() as u64;
            decoder.push(&bytes, &mut text);
            later.add(&text);
            text.clear();
        }
        decoder.finish(&mut text);
        later.add(&text);
        Ok(later)
    }

    /// Adds the next piece of the text.
    pub fn add(&mut self, text: &[u8]) {
        if self.line_feeds == 0 {
            let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
            let room = RAW_LIMIT - self.first_line.len();
            self.first_line.extend_from_slice(&line[..line.len().min(room)]);
        }
        self.bytes += text.len() as u64;
        self.line_feeds += memchr::memchr_iter(b'\n', text).count() as u64;
        if self.line_feeds > 0 && self.first_line.last() == Some(&b'\r') {
            self.first_line.pop();
        }
    }
}

/// Reads text as UTF-8. Text without a UTF-16 byte order mark is passed on unchanged. A UTF-16 byte order mark
/// itself is no part of the text.
#[derive(Debug)]
pub struct TextReader<R> {
    inner: R,
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    /// The first bytes are not read yet.
    Start,
    /// Not UTF-16. These first bytes must be returned first.
    Unchanged { start: [u8; 2], from: usize, to: usize },
    /// UTF-16.
    Utf16 { decoder: Utf16Decoder, bytes: Vec<u8>, text: Vec<u8>, from: usize, ended: bool },
}

impl<R: Read> TextReader<R> {
    /// Reads the text of a reader.
    pub fn new(inner: R) -> Self {
        Self { inner, mode: Mode::Start }
    }

    /// Whether the text is UTF-16. Reads its beginning.
    ///
    /// # Errors
    /// An error of the reader.
    pub fn is_utf16(&mut self) -> io::Result<bool> {
        if matches!(self.mode, Mode::Start) {
            self.mode = self.begin()?;
        }
        Ok(matches!(self.mode, Mode::Utf16 { .. }))
    }

    fn begin(&mut self) -> io::Result<Mode> {
        let mut start = Vec::new();
        self.inner.by_ref().take(2).read_to_end(&mut start)?;
        let Some(order) = ByteOrder::of(&start) else {
            let first = |index| start.get(index).copied().unwrap_or_default();
            return Ok(Mode::Unchanged { start: [first(0), first(1)], from: 0, to: start.len() });
        };
        Ok(Mode::Utf16 {
            decoder: Utf16Decoder::new(order),
            bytes: vec![0; BUFFER],
            text: Vec::new(),
            from: 0,
            ended: false,
        })
    }
}

impl<R: Read> Read for TextReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if matches!(self.mode, Mode::Start) {
            self.mode = self.begin()?;
        }
        match &mut self.mode {
            Mode::Start => Ok(0),
            Mode::Unchanged { from, to, .. } if from == to => self.inner.read(buffer),
            Mode::Unchanged { start, from, to } => {
                let len = (&start[*from..*to]).read(buffer)?;
                *from += len;
                Ok(len)
            }
            Mode::Utf16 { decoder, bytes, text, from, ended } => {
                while *from == text.len() && !*ended {
                    text.clear();
                    *from = 0;
                    match self.inner.read(bytes) {
                        Ok(0) => {
                            decoder.finish(text);
                            *ended = true;
                        }
                        Ok(len) => decoder.push(&bytes[..len], text),
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
                let len = (&text[*from..]).read(buffer)?;
                *from += len;
                Ok(len)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(units: &[u16], order: ByteOrder) -> Vec<u8> {
        let bytes = |unit: &u16| match order {
            ByteOrder::Little => unit.to_le_bytes(),
            ByteOrder::Big => unit.to_be_bytes(),
        };
        [0xfeff].iter().chain(units).flat_map(bytes).collect()
    }

    fn read(bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        TextReader::new(bytes).read_to_end(&mut text).unwrap();
        text
    }

    #[test]
    fn a_surrogate_without_partner_spoils_only_its_own_place() {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let units = [0x61, 0xd83c, 0xdfb5, 0xd83c, 0x62, 0xdfb5, 0xd83c, 0xd83c, 0xdfb5, 0xd83c];
            let expected = ["a\u{1f3b5}".as_bytes(), b"\xffb\xff\xff", "\u{1f3b5}".as_bytes(), b"\xff"];
            assert_eq!(read(&encode(&units, order)), expected.concat());
            let mut odd = encode(&[0x61], order);
            odd.push(0x62);
            assert_eq!(read(&odd), b"a\xff");
        }
    }

    #[test]
    fn other_text_is_unchanged() {
        for text in [&b""[..], b"\xff", b"\xef\xbb\xbfuser", b"a", b"ab", b"abc", b"\xfe\xfe"] {
            assert_eq!(read(text), text);
        }
    }

    proptest! {
        #[test]
        fn text_survives_in_any_pieces(text in "\\PC{0,200}", big: bool, ends in proptest::collection::vec(0_usize..400, 0..6)) {
            let order = if big { ByteOrder::Big } else { ByteOrder::Little };
            let units: Vec<u16> = text.encode_utf16().collect();
            let bytes = encode(&units, order);
            prop_assert_eq!(read(&bytes), text.as_bytes());
            let mut ends: Vec<usize> = ends.into_iter().map(|end| 2 + end.min(bytes.len() - 2)).collect();
            ends.push(bytes.len());
            ends.sort_unstable();
            let (mut decoder, mut decoded, mut from) = (Utf16Decoder::new(order), Vec::new(), 2);
            for end in ends {
                decoder.push(&bytes[from..end], &mut decoded);
                from = end;
            }
            decoder.finish(&mut decoded);
            prop_assert_eq!(decoded, text.as_bytes());
        }
    }
}
