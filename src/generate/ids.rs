//! Ids of users and songs.

use crate::generate::line::Line;
use crate::generate::rng::Key;

/// The format of user and song ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// `user_17`, `song_42`.
    Short,
    /// A UUID of 36 characters, derived from the number of the user or song.
    Uuid,
}

/// What an id identifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noun {
    /// A listener.
    User,
    /// A song, in the catalog or not.
    Song,
}

impl Ids {
    /// Appends the id for a number to a line.
    #[inline]
    pub fn write(self, noun: Noun, number: u32, line: &mut Line) {
        match self {
            Self::Short => {
                line.push(match noun {
                    Noun::User => b"user_",
                    Noun::Song => b"song_",
                });
                line.number(u64::from(number));
            }
            Self::Uuid => {
                let key = Key::new(0, noun as u64);
                line.push(&uuid(key.of(2 * u64::from(number)), key.of(2 * u64::from(number) + 1)));
            }
        }
    }
}

/// The text of a random (version 4, variant 1) UUID with the given bits.
#[inline]
fn uuid(high: u64, low: u64) -> [u8; 36] {
    let high = high & !0xF000 | 0x4000;
    let low = low & !(0b11 << 62) | 0b10 << 62;
    let mut text = [b'-'; 36];
    hex(high >> 32, &mut text[..8]);
    hex(high >> 16, &mut text[9..13]);
    hex(high, &mut text[14..18]);
    hex(low >> 48, &mut text[19..23]);
    hex(low, &mut text[24..]);
    text
}

#[inline]
fn hex(bits: u64, text: &mut [u8]) {
    let mut shift = 4 * text.len();
    for digit in text {
        shift -= 4;
        *digit = b"0123456789abcdef"[(bits >> shift) as usize & 15];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ids: Ids, noun: Noun, number: u32) -> String {
        let mut line = Line::new();
        ids.write(noun, number, &mut line);
        String::from_utf8(line.bytes().to_vec()).unwrap()
    }

    #[test]
    fn ids_have_the_documented_format() {
        assert_eq!(id(Ids::Short, Noun::User, 1), "user_1");
        assert_eq!(id(Ids::Short, Noun::Song, 10_000_500), "song_10000500");
        assert_eq!(
            std::str::from_utf8(&uuid(0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210)).unwrap(),
            "01234567-89ab-4def-bedc-ba9876543210"
        );
        assert_ne!(id(Ids::Uuid, Noun::User, 1), id(Ids::Uuid, Noun::Song, 1));
        assert_ne!(id(Ids::Uuid, Noun::User, 1), id(Ids::Uuid, Noun::User, 2));
    }
}
