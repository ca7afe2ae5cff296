//! Merges tables of several segments into one table.

use crate::model::error::Error;
use crate::state::checkpoint::segment::SegmentWriter;
use crate::state::checkpoint::table::{Merge, TableReader};

/// Merges tables of numbers into the current table of a segment.
///
/// # Errors
/// A file system error, or a damaged segment (65).
pub fn merge_numbers(
    merge: Merge,
    mut readers: Vec<TableReader<'_>>,
    writer: &mut SegmentWriter,
    damaged: impl Fn(std::io::Error) -> Error,
) -> Result<(), Error> {
    let mut heads: Vec<Option<(u64, u64)>> =
        readers.iter_mut().map(|reader| reader.next_number().map_err(&damaged)).collect::<Result<_, _>>()?;
    while let Some(key) = heads.iter().flatten().map(|&(key, _)| key).min() {
        let mut merged = 0;
        for (head, reader) in heads.iter_mut().zip(&mut readers) {
            if let Some((_, value)) = head.take_if(|(found, _)| *found == key) {
                merged = if merge == Merge::Add { merged + value } else { value };
                *head = reader.next_number().map_err(&damaged)?;
            }
        }
        writer.number(key, merged)?;
    }
    Ok(())
}

/// Merges tables of bytes into the current table of a segment. The newest value of a key stays.
///
/// # Errors
/// A file system error, or a damaged segment (65).
pub fn merge_bytes(
    readers: Vec<TableReader<'_>>,
    writer: &mut SegmentWriter,
    damaged: impl Fn(std::io::Error) -> Error,
) -> Result<(), Error> {
    struct Head<'a> {
        reader: TableReader<'a>,
        key: Option<u64>,
        bytes: Vec<u8>,
    }
    let mut heads: Vec<Head<'_>> =
        readers.into_iter().map(|reader| Head { reader, key: None, bytes: Vec::new() }).collect();
    for head in &mut heads {
        head.key = head.reader.next_bytes(&mut head.bytes).map_err(&damaged)?;
    }
    while let Some(key) = heads.iter().filter_map(|head| head.key).min() {
        let last =
            heads.iter().rev().find(|head| head.key == Some(key)).expect("a reader has the smallest key");
        writer.bytes(key, &last.bytes)?;
        for head in heads.iter_mut().filter(|head| head.key == Some(key)) {
            head.key = head.reader.next_bytes(&mut head.bytes).map_err(&damaged)?;
        }
    }
    Ok(())
}
