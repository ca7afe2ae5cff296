//! Synthetic data: a catalog of songs, listeners with tastes, and their plays.
//!
//! This module turns a [`Plan`] into text. It uses no files and no clock. The same plan gives the same bytes
//! on every machine, for two reasons: all calculations use integers (see [`rng`]), and the rows do not depend
//! on the number of rows per call.
//!
//! ```text
//! Plan -> catalog                                      -> songs_metadata.csv
//!         listeners + popularity (alias) + rhythm -> plays -> text -> logs
//! ```
//!
//! In a period of more than a year, songs and listeners come and go ([`lives`]), and there are more and more
//! plays ([`rhythm`]). The tables of listeners and songs are then made again for each season ([`seasons`]).

pub mod alias;
pub mod catalog;
pub mod feed;
pub mod ids;
pub mod line;
pub mod listeners;
pub mod lives;
pub mod plays;
pub mod popularity;
pub mod rhythm;
pub mod rng;
pub mod seasons;
pub mod song_pools;
pub mod text;
mod words;

pub use catalog::Catalog;
pub use plays::{Plan, Plays};
pub use text::PlayLog;
