//! Reads the sections of a file of sums.

use std::io;

use crate::cluster::sums::{damaged, take_text};
use crate::ledger::song_plays::Total;
use crate::state::checkpoint::table::next_of;

/// The sums of one listener.
#[derive(Clone, Copy, Debug)]
pub struct ListenerSums<'a> {
    /// The id.
    pub id: &'a [u8],
    /// The plays at night.
    pub nights: u32,
    /// The number of songs.
    songs: u64,
    /// The songs with their plays.
    plays: &'a [u8],
}

impl ListenerSums<'_> {
    /// Passes the number of each song in the file, and its plays, to `each`, ascending.
    ///
    /// # Errors
    /// `InvalidData` if the bytes are damaged.
    #[inline]
    pub fn each_song(&self, mut each: impl FnMut(u32, u64)) -> io::Result<()> {
        let (mut bytes, mut song) = (self.plays, 0);
        for _ in 0..self.songs {
            let (number, plays) = next_pair(&mut bytes)?;
            song += number;
            each(song as u32, plays);
        }
        Ok(())
    }
}

/// A difference of song numbers, and the plays. The lowest bit says whether the plays follow; most pairs have one.
fn next_pair(bytes: &mut &[u8]) -> io::Result<(u64, u64)> {
    let number = next_of(bytes)?;
    let plays = if number & 1 == 0 { 1 } else { next_of(bytes)? };
    Ok((number >> 1, plays))
}

/// The listeners in neighbouring blocks, ascending.
#[derive(Clone, Copy, Debug)]
pub struct Listeners<'a>(&'a [u8]);

impl<'a> Listeners<'a> {
    /// The listeners in the bytes of blocks.
    pub fn of_blocks(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next listener; `None` at the end.
    ///
    /// # Errors
    /// `InvalidData` if the bytes are damaged.
    pub fn next_listener(&mut self) -> io::Result<Option<ListenerSums<'a>>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let bytes = &mut self.0;
        let id = take_text(bytes)?;
        let nights = u32::try_from(next_of(bytes)?).map_err(|_| damaged())?;
        let songs = next_of(bytes)?;
        let plays = take_text(bytes)?;
        Ok(Some(ListenerSums { id, nights, songs, plays }))
    }
}

/// Passes the id and the sums of each song in a section of songs to `each`, ascending.
///
/// # Errors
/// `InvalidData` if the bytes are damaged.
pub fn each_song<'a>(mut bytes: &'a [u8], mut each: impl FnMut(&'a [u8], Total)) -> io::Result<()> {
    while !bytes.is_empty() {
        let id = take_text(&mut bytes)?;
        let total = Total { plays: next_of(&mut bytes)?, millis: next_of(&mut bytes)? };
        each(id, total);
    }
    Ok(())
}

/// Passes the number of each song in a section of a week, and its plays in this week, to `each`, ascending.
///
/// # Errors
/// `InvalidData` if the bytes are damaged.
pub fn each_week_song(mut bytes: &[u8], mut each: impl FnMut(u32, u64)) -> io::Result<()> {
    let mut song = 0;
    while !bytes.is_empty() {
        let (number, plays) = next_pair(&mut bytes)?;
        song += number;
        each(song as u32, plays);
    }
    Ok(())
}
