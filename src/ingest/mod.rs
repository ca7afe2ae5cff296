//! Turns files into rows: a source reads chunks of whole lines, and decoders turn the chunks into
//! batches.

pub mod decode;
pub mod hints;
pub mod parquet;
pub mod source;
