//! A synthetic world of music listening: a catalog of songs, listeners with tastes, and their plays.
//!
//! Everything here is pure: a [`Plan`] goes in, text comes out, and no file or clock is touched. The same plan gives
//! the same bytes on every machine, because only integers decide ([`dice`] says how), and because rows are made one
//! after the other, however many of them a caller asks for at a time.
//!
//! ```text
//! args -> Plan -> catalog                                      -> songs_metadata.csv
//!                 listeners + popularity (alias) + rhythm -> plays -> text -> listening logs
//! ```

pub mod alias;
pub mod args;
pub mod catalog;
pub mod feed;
pub mod ids;
pub mod listeners;
pub mod plays;
pub mod popularity;
pub mod rhythm;
pub mod rng;
pub mod song_pools;
pub mod text;
mod words;

use crate::time::civil;

/// Seconds of a day; times here are never negative.
const DAY: u64 = civil::DAY as u64;

pub use args::GenerateArgs;
pub use catalog::Catalog;
pub use plays::{Plan, Plays};
pub use text::PlayLog;
