//! Values as text: CSV cells, exact decimals, timestamps, escaped bytes.

mod cell;
mod escape;
pub mod line_buffer;
mod number;
pub mod padded;
mod timestamp;

pub use crate::text::cell::{needs_quotes, on_one_line, push_cell};
pub use crate::text::escape::{escape_bytes, harmless, parse_path, path_text, shown};
pub use crate::text::number::{push_integer, push_ratio, push_seconds, whole_seconds};
pub use crate::text::timestamp::{MINUTE, TimestampWriter};
