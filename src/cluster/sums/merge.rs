//! Adds up the listeners of several files.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

use crate::cluster::sums::damaged;
use crate::cluster::sums::reader::{ListenerSums, Listeners};
use crate::cluster::sums::writer::add_up;

/// The listeners of one file in a range.
#[derive(Debug)]
pub struct SumsSource {
    /// The bytes of the blocks, in order.
    pub blocks: Vec<u8>,
    /// The common number of each song of the file.
    pub songs: Vec<u32>,
}

/// A range of listeners by id: from the first id on, and before the second one.
pub type IdRange<'a> = (&'a [u8], Option<&'a [u8]>);

/// Passes the sums of each listener in a range to `each`, ascending by id: the id, the plays at night, and the plays
/// by song. The songs have their common numbers and ascend.
///
/// # Errors
/// `InvalidData` if the bytes are damaged.
pub fn each_listener(
    sources: &[SumsSource],
    (from, to): IdRange<'_>,
    mut each: impl FnMut(&[u8], u32, &[(u32, u64)]),
) -> io::Result<()> {
    let mut cursors: Vec<_> = sources.iter().map(|source| Listeners::of_blocks(&source.blocks)).collect();
    let mut current: Vec<Option<ListenerSums<'_>>> = Vec::with_capacity(cursors.len());
    let mut heap = BinaryHeap::with_capacity(cursors.len());
    for (index, cursor) in cursors.iter_mut().enumerate() {
        let mut first = cursor.next_listener()?;
        while first.is_some_and(|listener| listener.id < from) {
            first = cursor.next_listener()?;
        }
        heap.extend(first.map(|listener| Reverse((listener.id, index))));
        current.push(first);
    }
    let mut pairs = Vec::new();
    while let Some(Reverse((id, _))) = heap.peek().copied() {
        if to.is_some_and(|to| id >= to) {
            break;
        }
        pairs.clear();
        let mut nights = 0_u32;
        while let Some(&Reverse((_, index))) = heap.peek().filter(|Reverse((next, _))| *next == id) {
            heap.pop();
            if let Some(listener) = current[index] {
                let songs = &sources[index].songs;
                nights = nights.saturating_add(listener.nights);
                let mut is_known = true;
                listener.each_song(|song, plays| match songs.get(song as usize) {
                    Some(&song) => pairs.push((song, plays)),
                    None => is_known = false,
                })?;
                if !is_known {
                    return Err(damaged());
                }
            }
            current[index] = cursors[index].next_listener()?;
            heap.extend(current[index].map(|listener| Reverse((listener.id, index))));
        }
        add_up(&mut pairs);
        each(id, nights, &pairs);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::cluster::sums::{Directory, SumsWriter, TRAILER};

    type Sums = BTreeMap<String, (u32, BTreeMap<u32, u64>)>;

    /// Files with these sums, as sources of a range of listeners. Every file has the songs 0 to 9 under other numbers.
    fn source(sums: &Sums, from: &str, to: Option<&str>) -> SumsSource {
        let mut writer = SumsWriter::default();
        for (id, (nights, songs)) in sums {
            let songs: Vec<(u32, u64)> = songs.iter().map(|(&song, &plays)| (9 - song, plays)).collect();
            let songs: Vec<(u32, u64)> = songs.into_iter().rev().collect();
            writer.listener(id.as_bytes(), *nights, &songs);
        }
        writer.songs(std::iter::empty());
        let file = writer.finish().bytes;
        let trailer = file.len() - TRAILER as usize;
        let place = Directory::place(&file[trailer..]).unwrap();
        let part = |range: std::ops::Range<u64>| &file[range.start as usize..range.end as usize];
        let directory = Directory::parse(place.check(part(place.range())).unwrap()).unwrap();
        let blocks = directory.blocks(from.as_bytes(), to.map(str::as_bytes));
        let blocks = blocks.iter().flat_map(|section| section.check(part(section.range())).unwrap());
        SumsSource { blocks: blocks.copied().collect(), songs: (0..10).rev().collect() }
    }

    fn all() -> impl Strategy<Value = Vec<Sums>> {
        let songs = proptest::collection::btree_map(0_u32..10, 1_u64..4, 1..6);
        let sums = proptest::collection::btree_map("[a-c]{0,3}", (0_u32..3, songs), 0..30);
        proptest::collection::vec(sums, 0..5)
    }

    proptest! {
        #[test]
        fn the_sum_of_files_is_the_sum_of_their_listeners(
            files in all(),
            from in "[a-c]{0,2}",
            to in proptest::option::of("[a-c]{0,2}"),
        ) {
            let mut expected = Sums::new();
            for (id, (nights, songs)) in files.iter().flatten() {
                if *id >= from && to.as_ref().is_none_or(|to| id < to) {
                    let sum = expected.entry(id.clone()).or_default();
                    sum.0 += nights;
                    songs.iter().for_each(|(&song, plays)| *sum.1.entry(song).or_default() += plays);
                }
            }
            let sources: Vec<_> = files.iter().map(|sums| source(sums, &from, to.as_deref())).collect();
            let mut found = Sums::new();
            each_listener(&sources, (from.as_bytes(), to.as_deref().map(str::as_bytes)), |id, nights, songs| {
                let id = String::from_utf8(id.to_vec()).unwrap();
                found.insert(id, (nights, songs.iter().copied().collect()));
            }).unwrap();
            prop_assert_eq!(found, expected);
        }
    }
}
