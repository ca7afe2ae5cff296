//! From files to rows: sources read chunks of whole lines, and decoders turn them into batches.

pub mod decode;
pub mod parquet;
pub mod source;
