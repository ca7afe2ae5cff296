//! Synthetic data: a catalog of songs, listeners with tastes, and their plays.
//!
//! Everything here is pure: a [`Plan`] goes in and text comes out, without files or clocks. The same plan gives the
//! same bytes on every machine, because only integers are used (see [`rng`]) and because rows are made one after the
//! other, whatever the number of rows per call.
//!
//! ```text
//! Plan -> catalog                                      -> songs_metadata.csv
//!         listeners + popularity (alias) + rhythm -> plays -> text -> logs
//! ```

pub mod alias;
pub mod catalog;
pub mod feed;
pub mod ids;
pub mod line;
pub mod listeners;
pub mod plays;
pub mod popularity;
pub mod rhythm;
pub mod rng;
pub mod song_pools;
pub mod text;
mod words;

pub use catalog::Catalog;
pub use plays::{Plan, Plays};
pub use text::PlayLog;
