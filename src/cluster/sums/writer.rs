//! Writes a file of sums.

use crate::cluster::sums::directory::{Block, Directory, Section};
use crate::ledger::Ledger;
use crate::ledger::song_plays::Total;
use crate::model::dictionary::Dictionaries;
use crate::model::sorted_ids::SortedIds;
use crate::model::{SongId, UserId};
use crate::state::checkpoint::table::push_number;
use crate::time::civil::Week;

/// The length of a block of listeners in bytes, before it is ended. A range of listeners reads at most two blocks too
/// many.
const BLOCK: usize = 256 << 10;

/// A finished file.
#[derive(Debug)]
pub struct WrittenSums {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The first listener of each block. They divide the file into pieces of similar size.
    pub sample: Vec<Vec<u8>>,
}

/// Writes a file in memory: the listeners first, then the songs, then the weeks.
#[derive(Debug, Default)]
pub struct SumsWriter {
    file: Vec<u8>,
    directory: Directory,
    /// The start of the block of listeners that is being written.
    block: usize,
    /// The first listener of this block.
    first: Option<Vec<u8>>,
    pairs: Vec<u8>,
}

impl SumsWriter {
    /// Appends a listener. Ids ascend, and so do the numbers of `songs`, which come with their plays.
    pub fn listener(&mut self, id: &[u8], nights: u32, songs: &[(u32, u64)]) {
        self.first.get_or_insert_with(|| id.to_vec());
        self.text(id);
        push_number(&mut self.file, u64::from(nights));
        push_number(&mut self.file, songs.len() as u64);
        let mut pairs = std::mem::take(&mut self.pairs);
        push_pairs(&mut pairs, songs);
        self.text(&pairs);
        pairs.clear();
        self.pairs = pairs;
        if self.file.len() - self.block >= BLOCK {
            self.end_block();
        }
    }

    fn end_block(&mut self) {
        if let Some(first) = self.first.take() {
            let section = Section::of(self.block as u64, &self.file[self.block..]);
            self.directory.blocks.push(Block { section, first });
        }
        self.block = self.file.len();
    }

    /// Writes all songs, ascending by id.
    pub fn songs<'a>(&mut self, songs: impl Iterator<Item = (&'a [u8], Total)>) {
        self.end_block();
        let start = self.file.len();
        for (id, total) in songs {
            self.text(id);
            push_number(&mut self.file, total.plays);
            push_number(&mut self.file, total.millis);
        }
        self.directory.songs = Section::of(start as u64, &self.file[start..]);
    }

    /// Writes the plays of a week, by the numbers of the songs. Both weeks and numbers ascend.
    pub fn week(&mut self, week: Week, songs: &[(u32, u64)]) {
        let start = self.file.len();
        push_pairs(&mut self.file, songs);
        self.directory.weeks.push((week, Section::of(start as u64, &self.file[start..])));
    }

    /// Ends the file.
    pub fn finish(mut self) -> WrittenSums {
        self.directory.push(&mut self.file);
        let sample = self.directory.blocks.into_iter().map(|block| block.first).collect();
        WrittenSums { bytes: self.file, sample }
    }

    fn text(&mut self, text: &[u8]) {
        push_number(&mut self.file, text.len() as u64);
        self.file.extend_from_slice(text);
    }
}

fn push_pairs(out: &mut Vec<u8>, pairs: &[(u32, u64)]) {
    let mut last = 0;
    for &(song, plays) in pairs {
        push_number(out, u64::from(song - last) << 1 | u64::from(plays != 1));
        if plays != 1 {
            push_number(out, plays);
        }
        last = song;
    }
}

/// Writes the sums of a ledger. All its plays must be readable.
pub fn write_ledger(ledger: &Ledger, dictionaries: &Dictionaries) -> WrittenSums {
    let (users, songs) = (dictionaries.users.read(), dictionaries.songs.read());
    let (mut user_order, mut song_order) = (SortedIds::<UserId>::default(), SortedIds::<SongId>::default());
    user_order.extend(&users);
    song_order.extend(&songs);
    // The numbers of the songs in the file. A song without plays is not in the file.
    let mut numbers = vec![u32::MAX; songs.len()];
    let played: Vec<SongId> =
        song_order.ids().iter().copied().filter(|&song| ledger.song_plays().total(song).plays > 0).collect();
    (0..).zip(&played).for_each(|(number, song)| numbers[song.index()] = number);
    let mut writer = SumsWriter::default();
    let mut pairs = Vec::new();
    for &user in user_order.ids() {
        pairs.clear();
        ledger.listens().of(user).for_each(|song, plays| pairs.push((numbers[song.index()], plays)));
        if !pairs.is_empty() {
            add_up(&mut pairs);
            writer.listener(users.resolve(user), ledger.nights().of(user), &pairs);
        }
    }
    writer.songs(played.iter().map(|&song| (songs.resolve(song), ledger.song_plays().total(song))));
    for week in ledger.song_plays().weeks() {
        pairs.clear();
        pairs.extend(ledger.song_plays().of_week(week).map(|(song, plays)| (numbers[song.index()], plays)));
        pairs.sort_unstable();
        writer.week(week, &pairs);
    }
    writer.finish()
}

/// Sorts pairs by their first number, and adds up the plays of equal numbers.
pub(super) fn add_up(pairs: &mut Vec<(u32, u64)>) {
    pairs.sort_unstable_by_key(|&(number, _)| number);
    pairs.dedup_by(|next, pair| {
        let is_same = next.0 == pair.0;
        pair.1 += if is_same { next.1 } else { 0 };
        is_same
    });
}
