//! From files to rows: sources read chunks of whole lines, decoders make batches of plays from them.

pub mod decode;
pub mod parquet;
pub mod source;
