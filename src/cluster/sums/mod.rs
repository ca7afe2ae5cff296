//! Files of sums: the ledger of some logs, with ids as text. Executors add up such files without reading a log.
//!
//! ```text
//! listeners   blocks of listeners, ascending by id: id, night plays, and plays by song
//! songs       ascending by id: id, plays and milliseconds; the position of a song is its number in this file
//! weeks       plays by song, one section per week
//! directory   the place and the hash of each section, and the first listener of each block
//! trailer     the place and the hash of the directory
//! ```
//!
//! All numbers are LEB128. A job that needs a range of listeners reads the directory, the songs, and the
//! blocks with these listeners.

mod directory;
mod merge;
mod reader;
mod writer;

pub use crate::cluster::sums::directory::{Directory, Section, TRAILER};
pub use crate::cluster::sums::merge::{IdRange, SumsSource, each_listener};
pub use crate::cluster::sums::reader::{ListenerSums, Listeners, each_song, each_week_song};
pub use crate::cluster::sums::writer::{SumsWriter, WrittenSums, write_ledger};

use std::io;

/// The error for a file of sums with wrong content.
fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the sums are damaged")
}

/// Takes bytes with their length before them.
fn take_text<'a>(bytes: &mut &'a [u8]) -> io::Result<&'a [u8]> {
    let length = crate::state::checkpoint::table::next_of(bytes)? as usize;
    let (text, rest) = bytes.split_at_checked(length).ok_or_else(damaged)?;
    *bytes = rest;
    Ok(text)
}
