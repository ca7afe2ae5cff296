//! Takes the plays outside the dates of a run out of the columns. This happens before ids are interned, so
//! that the ids of these plays take no memory.

use crate::ingest::decode::rows::Rows;
use crate::model::OutsidePlays;
use crate::time::date_range::DateRange;

impl Rows {
    /// Takes the plays whose local date is outside `dates`.
    pub(in crate::ingest::decode) fn take_outside(&mut self, dates: DateRange) -> OutsidePlays {
        if dates.is_unlimited() {
            return OutsidePlays::default();
        }
        self.empty_block();
        let inside = dates.seconds();
        let mut outside = OutsidePlays::default();
        let (mut kept, mut reject) = (0, 0);
        for row in 0..self.play_times.len() {
            // A reject stands between two plays, or before the first one.
            while self.plays_before.get(reject).is_some_and(|&plays| plays as usize == row) {
                self.plays_before[reject] = kept as u32;
                outside.before_rejects.push(outside.times.len() as u32);
                reject += 1;
            }
            let local = self.play_times[row].local;
            if !inside.contains(&local) {
                outside.times.push(local);
                continue;
            }
            self.users[kept] = self.users[row];
            self.songs[kept] = self.songs[row];
            self.play_times[kept] = self.play_times[row];
            self.millis[kept] = self.millis[row];
            kept += 1;
        }
        for plays in &mut self.plays_before[reject..] {
            *plays = kept as u32;
            outside.before_rejects.push(outside.times.len() as u32);
        }
        self.users.truncate(kept);
        self.songs.truncate(kept);
        self.play_times.truncate(kept);
        self.millis.truncate(kept);
        outside
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::sync::{Arc, LazyLock};

    use proptest::prelude::*;

    use crate::ingest::decode::header::default_layout;
    use crate::ingest::decode::{DecodePath, Decoder};
    use crate::model::dictionary::Dictionaries;
    use crate::model::{Batch, Chunk, Content, Input, InputId, Position, Span, Text};
    use crate::time::civil::CivilDate;
    use crate::time::date_range::DateRange;
    use crate::time::zone::Zone;

    /// The zone is made once, because making its table takes long.
    static BERLIN: LazyLock<Zone> = LazyLock::new(|| Zone::named("Europe/Berlin").unwrap());

    fn decode(dates: DateRange, path: DecodePath, text: &str) -> (Batch, Arc<Dictionaries>) {
        let dictionaries = Arc::<Dictionaries>::default();
        let zone = BERLIN.clone();
        let dialect = Arc::default();
        let decoder = Decoder { dictionaries: dictionaries.clone(), zone, max_future: 0, dialect, dates };
        let layout = default_layout(b"user_id,song_id,timestamp,duration_sec").unwrap();
        let batch = decoder.decode_in(
            path,
            Chunk {
                input: Arc::new(Input { id: InputId(0), label: "a.csv".to_owned() }),
                span: Span { from: 0, to: text.len() as u64, first_line: 2 },
                position: Position::default(),
                read_at: 2_000_000_000,
                content: Content::Lines(Arc::new(layout), Text::new(text.as_bytes().to_vec(), text.len())),
            },
        );
        (batch, dictionaries)
    }

    /// The plays of a batch as text.
    fn plays(batch: &Batch, ids: &Dictionaries) -> Vec<String> {
        let (users, songs) = (ids.users.read(), ids.songs.read());
        (0..batch.plays())
            .map(|row| {
                let cells = [batch.user_cells[row], batch.song_cells[row]].map(|cell| batch.text.field(cell));
                let ids = [users.resolve(batch.users[row]), songs.resolve(batch.songs[row])];
                let [cells, ids] = [cells, ids].map(|both| both.map(String::from_utf8_lossy));
                format!("{ids:?} {cells:?} {:?} {}", batch.play_times[row], batch.millis[row])
            })
            .collect()
    }

    proptest! {
        /// The columns are those of the rows whose local date is in the range, and the rejects are those of
        /// all rows.
        #[test]
        fn only_plays_in_the_range_stay_in_the_columns(
            rows in prop::collection::vec((0_u8..8, 20..24_u8, 0..24_u8, 0_u32..9), 0..200),
            from in prop::option::of(21_u32..24),
            to in prop::option::of(21_u32..24),
            slow: bool,
        ) {
            let path = if slow { DecodePath::Slow } else { DecodePath::Fast };
            let date = |day: u32| CivilDate { year: 2025, month: 3, day };
            let dates = DateRange { from: from.map(date), to: to.map(date) };
            let is_inside = |day: u32| from.is_none_or(|from| from <= day) && to.is_none_or(|to| day <= to);
            let (mut all, mut inside) = (String::new(), String::new());
            let (mut outside, mut plays_before, mut outside_before) = (0, Vec::new(), Vec::new());
            for (kind, day, hour, number) in rows {
                let mut row = match kind {
                    0 => "bad\n".to_owned(),
                    // An offset: the local date may be the next day.
                    1 => format!("u{number},s{day},2025-03-{day}T{hour:02}:00:00Z,{number}\n"),
                    2 => format!("\"u,{number}\",\"s\"\"{day}\",2025-03-{day} {hour:02}:00:00,{number}\n"),
                    _ => format!("u{number},s{day},2025-03-{day} {hour:02}:00:00,{number}\n"),
                };
                let day = u32::from(day) + u32::from(kind == 1 && hour == 23);
                if kind == 0 {
                    plays_before.push(inside.lines().count() as u32);
                    outside_before.push(outside);
                } else if is_inside(day) {
                    inside.push_str(&row);
                } else {
                    outside += 1;
                    row.insert_str(0, "only-outside-");
                }
                let _ = write!(all, "{row}");
            }
            let all = all.replace("only-outside-\"", "\"only-outside-");
            let (found, ids) = decode(dates, path, &all);
            let (expected, expected_ids) = decode(DateRange::default(), path, &inside);
            prop_assert_eq!(plays(&found, &ids), plays(&expected, &expected_ids));
            prop_assert_eq!(found.outside.len(), outside as usize);
            prop_assert_eq!(found.rows(), all.lines().count());
            prop_assert_eq!(&found.plays_before, &plays_before);
            if !dates.is_unlimited() {
                prop_assert_eq!(&found.outside.before_rejects, &outside_before);
            }
            let users = ids.users.read();
            for user in (0..users.len() as u32).map(crate::model::UserId) {
                prop_assert!(!users.resolve(user).starts_with(b"only-outside-"), "an id outside was interned");
            }
            let (mut cut, _) = decode(dates, path, &all);
            if let Some(last) = plays_before.len().checked_sub(1) {
                cut.truncate_after_reject(last / 2);
                prop_assert_eq!(cut.plays(), plays_before[last / 2] as usize);
                prop_assert_eq!(cut.outside.len(), outside_before[last / 2] as usize);
            }
        }
    }
}
