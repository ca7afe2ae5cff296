//! Sources read inputs and send chunks of whole lines. `replay` and `watch` differ only in their source.
//! When the source ends, the program ends.

pub mod archive;
pub mod compression;
pub mod content_hash;
mod event;
pub mod fingerprint;
pub mod framing;
mod growth;
mod header_finder;
pub mod log_folder;
pub mod log_names;
mod outbox;
pub mod packed;
pub mod replay;
pub mod scan;
pub mod send;
pub mod stdin;
pub mod tail;
mod unpack;
pub mod utf16;
pub mod watch;

pub use crate::ingest::source::event::{Bundle, Closed, Event, EventSender, ReadError};
pub use crate::ingest::source::outbox::Outbox;
