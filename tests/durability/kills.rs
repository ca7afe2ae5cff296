//! Kills `watch` with `kill -9` at random moments while logs appear, grow and rotate. In the end, the
//! published output equals the output of a replay.
//!
//! A chain is a sequence of kills of one `watch`. Each chain has a seed, and a failure prints this seed.
//! `KILL_SEED=<seed>` runs only that chain, with the same inputs and kills at nearly the same moments.
//! `LONG_TESTS=1` kills 3,000 times.

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::daemon::{CATALOG_HEADER, LOG_HEADER, Place, is_long, stderr};
use crate::exact::assert_exact;
use crate::parallel::{Announced, in_parallel, root};
use music_insights::generate::rng::Rng as Dice;
use xxhash_rust::xxh3::xxh3_128;

/// The longest time that the feeder waits for the daemon before it chooses a different action.
const BRIEFLY: Duration = Duration::from_millis(80);
const SONGS: u64 = 30;

/// Changes the inputs of a place, and records the numbers that the checks need.
struct Feeder<'a> {
    place: &'a Place,
    dice: Dice,
    growing: Vec<Growing>,
    /// The names of rotated files that a replay of the folder does not read.
    moved_away: Vec<String>,
    /// The number of files so far. It is a part of each file name, so names are unique.
    files: u64,
    /// The number of inputs that the daemon knows when it has read everything.
    inputs: u64,
    /// The number of bytes in whole lines. The daemon has read this number when it is up to date.
    bytes: u64,
    /// The number of songs in the catalog.
    songs: u64,
    done: Done,
}

/// The numbers of actions for the summary.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    kills: u64,
    rotated: u64,
    moved_away: u64,
    truncated: u64,
    catalogs: u64,
}

/// A growing file.
struct Growing {
    name: String,
    /// The missing end of the unfinished last line.
    rest: String,
    /// The length of the file in bytes.
    len: u64,
    /// The length of the file up to its last line feed.
    whole: u64,
}

impl<'a> Feeder<'a> {
    fn new(place: &'a Place, dice: Dice) -> Self {
        let (growing, moved_away, done) = (Vec::new(), Vec::new(), Done::default());
        Self { place, dice, growing, moved_away, files: 0, inputs: 0, bytes: 0, songs: SONGS / 2, done }
    }

    /// Performs a random action on the logs.
    fn act(&mut self) {
        match self.dice.below(20) {
            0..3 => self.drop_file(),
            3 => self.drop_compressed(),
            4 => self.change_catalog(),
            5 if self.growing.len() < 4 => self.start_file(),
            5..7 => self.rotate(),
            7..9 => self.move_away(),
            9 => self.copy_and_truncate(),
            _ => self.grow(),
        }
    }

    /// Performs a random action that never changes an existing file.
    fn act_on_files_that_stay(&mut self) {
        match self.dice.below(8) {
            0 => self.drop_compressed(),
            1 => self.change_catalog(),
            _ => self.drop_file(),
        }
    }

    fn lines(&mut self, most: u64) -> String {
        (0..=self.dice.below(most)).map(|_| self.line()).collect()
    }

    fn line(&mut self) -> String {
        let dice = &mut self.dice;
        let (user, song) = (dice.below(40), dice.below(SONGS));
        let (day, hour, minute) = (dice.below(21) + 1, dice.below(24), dice.below(60));
        match dice.below(60) {
            0 => "no,row\n".to_owned(),
            1 => format!("u{user},s{song},never,10\n"),
            2 => format!("u{user},s{song},2025-03-{day:02} {hour:02}:{minute:02}:00,-{minute}\n"),
            _ => format!("u{user},s{song},2025-03-{day:02} {hour:02}:{minute:02}:00,{}\n", dice.below(400)),
        }
    }

    fn next_name(&mut self, stem: &str) -> String {
        self.files += 1;
        format!("data/incoming/{stem}-{}.csv", self.files)
    }

    fn drop_file(&mut self) {
        let name = self.next_name("drop");
        let text = format!("{LOG_HEADER}{}", self.lines(40));
        self.place.write(&name, &text);
        self.note(&text);
    }

    fn drop_compressed(&mut self) {
        let name = self.next_name("drop") + ".gz";
        let text = format!("{LOG_HEADER}{}", self.lines(80));
        let hidden = self.place.path("data/incoming/.gz.new");
        let file = fs::File::create(&hidden).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap();
        fs::rename(hidden, self.place.path(&name)).unwrap();
        self.note(&text);
    }

    fn note(&mut self, text: &str) {
        self.inputs += 1;
        self.bytes += text.len() as u64;
    }

    /// Changes genres and moods in the catalog, and adds songs. It removes no songs, because a replay would
    /// not enrich the earlier plays of a removed song.
    fn change_catalog(&mut self) {
        self.songs = (self.songs + self.dice.below(3)).min(SONGS);
        let text = catalog(&mut self.dice, self.songs);
        self.place.write("data/songs_metadata.csv", &text);
        self.done.catalogs += 1;
    }

    fn start_file(&mut self) {
        let name = self.next_name("live");
        self.start(name);
    }

    fn start(&mut self, name: String) {
        self.inputs += 1;
        self.growing.push(Growing { name, rest: LOG_HEADER.to_owned(), len: 0, whole: 0 });
        let last = self.growing.len() - 1;
        self.append(last, 4);
    }

    fn grow(&mut self) {
        match self.growing.len() as u64 {
            0 => self.start_file(),
            files => {
                let file = self.dice.below(files) as usize;
                self.append(file, 30);
            }
        }
    }

    /// Appends lines to a file. The last line may be unfinished.
    fn append(&mut self, file: usize, most: u64) {
        let mut text = std::mem::take(&mut self.growing[file].rest) + &self.lines(most);
        if self.dice.below(2) == 0 {
            // A log without its whole header is read with the header of an earlier log of this name, which a
            // replay does not know.
            let header = if text.starts_with(LOG_HEADER) { LOG_HEADER.len() } else { 0 };
            let cut = (self.dice.below(text.len() as u64) as usize).max(header);
            self.growing[file].rest = text.split_off(cut);
        }
        self.write(file, &text);
    }

    /// Finishes the last line of a file.
    fn end_line(&mut self, file: usize) {
        let rest = std::mem::take(&mut self.growing[file].rest);
        self.write(file, &rest);
    }

    fn write(&mut self, file: usize, text: &str) {
        let growing = &mut self.growing[file];
        self.place.append(&growing.name, text);
        if let Some(last) = text.rfind('\n') {
            let whole = growing.len + last as u64 + 1;
            self.bytes += whole - growing.whole;
            growing.whole = whole;
        }
        growing.len += text.len() as u64;
    }

    fn choose(&mut self) -> Option<usize> {
        let files = self.growing.len() as u64;
        (files > 0).then(|| self.dice.below(files) as usize)
    }

    /// Renames a log to a different name that is also a log name.
    fn rotate(&mut self) {
        let Some(file) = self.choose() else { return };
        let name = self.next_name("rotated");
        self.rename(file, name);
        self.done.rotated += 1;
    }

    /// Renames a log to a name that is not a log name. Only a daemon that already knows the file continues to
    /// read it.
    fn move_away(&mut self) {
        let Some(file) = self.choose() else { return };
        let known = |feeder: &Self| feeder.published("inputs") == Some(feeder.inputs);
        if self.growing[file].len == 0 || !self.becomes_true(known) {
            return;
        }
        let name = format!("{}.{}", self.growing[file].name, self.files);
        self.files += 1;
        self.moved_away.push(name.clone());
        self.rename(file, name);
        self.done.moved_away += 1;
    }

    /// Renames a file, and creates a new file under the old name. The writer may still append to the renamed
    /// file.
    fn rename(&mut self, file: usize, name: String) {
        if self.dice.below(2) == 0 {
            self.append(file, 5);
        }
        let old = std::mem::replace(&mut self.growing[file].name, name);
        fs::rename(self.place.path(&old), self.place.path(&self.growing[file].name)).unwrap();
        if self.dice.below(2) == 0 {
            self.end_line(file);
            if self.dice.below(2) == 0 {
                self.append(file, 5);
            }
        }
        self.growing.swap_remove(file);
        self.start(old);
    }

    /// Copies a log and then truncates it. Truncation loses unread rows, so the daemon must have read
    /// everything before.
    fn copy_and_truncate(&mut self) {
        let Some(file) = self.choose() else { return };
        self.end_line(file);
        let is_read = |feeder: &Self| feeder.published("bytes") == Some(feeder.bytes);
        let rest = self.line();
        let text = format!("{LOG_HEADER}{rest}");
        if self.growing[file].len <= text.len() as u64 || !self.becomes_true(is_read) {
            return;
        }
        // The file stays shorter than before, so that the daemon can detect the truncation at any time.
        let Growing { name, .. } = self.growing.swap_remove(file);
        let copy = format!("{name}.{}", self.files);
        self.files += 1;
        fs::copy(self.place.path(&name), self.place.path(&copy)).unwrap();
        self.moved_away.push(copy);
        fs::write(self.place.path(&name), &text).unwrap();
        self.note(&text);
        self.done.truncated += 1;
    }

    /// Reads one of the totals in the last manifest.
    fn published(&self, sum: &str) -> Option<u64> {
        self.place.manifest("output")?["totals"][sum].as_u64()
    }

    fn becomes_true(&self, condition: impl Fn(&Self) -> bool) -> bool {
        let until = Instant::now() + BRIEFLY;
        while !condition(self) {
            if Instant::now() >= until {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

fn catalog(dice: &mut Dice, songs: u64) -> String {
    let mut one_of = |names: &[&str]| names[dice.below(names.len() as u64) as usize].to_owned();
    let rows = (0..songs).map(|song| {
        let (genre, mood) = (one_of(&["Rock", "Pop", "Jazz"]), one_of(&["Sad", "Happy", ""]));
        format!("s{song},Title {song},Artist,{genre},{mood}\n")
    });
    // The catalog always contains the same bad row, so `watch` must reject this row only once.
    format!("{CATALOG_HEADER}bad,row\n{}", rows.collect::<String>())
}

/// Checks the output after a kill: the manifest is complete, its epoch has not decreased, and the
/// append-only tables match it.
fn check_published(place: &Place, last_epoch: &mut u64) {
    let path = place.path("output/_manifest.json");
    let Ok(text) = fs::read(&path) else { return };
    let manifest: serde_json::Value = serde_json::from_slice(&text).expect("the manifest is complete");
    let epoch = manifest["epoch"].as_u64().unwrap();
    assert!(epoch >= *last_epoch, "epoch {epoch} follows epoch {last_epoch}");
    *last_epoch = epoch;
    let logs =
        [("enriched_logs", &manifest["insights"]["enriched_logs"]), ("_rejects", &manifest["rejects"])];
    for (name, log) in logs {
        for part in log["parts"].as_array().unwrap() {
            let path = place.path("output").join(name).join(part["file"].as_str().unwrap());
            let mut bytes = fs::read(&path).unwrap();
            bytes.truncate(part["bytes"].as_u64().unwrap() as usize);
            let hash = format!("xxh3-128:{:032x}", xxh3_128(&bytes));
            assert_eq!(part["hash"], hash, "{} after a kill", path.display());
        }
    }
}

/// Kills a `watch` the given number of times, and checks its output.
fn chain(seed: u64, kills: u64) -> Done {
    let _announced = Announced(format!("the chain of KILL_SEED={seed}"));
    let mut dice = Dice::new(seed, 0);
    let place = Place::below(&root(seed), "");
    place.write("data/songs_metadata.csv", &catalog(&mut dice, SONGS / 2));
    place.write("music-insights.toml", "[periods]\nday = 3\nweek = \"all\"\n");
    fs::create_dir(place.path("data/archive")).unwrap();
    let archives = seed % 4 > 1;
    let mut settings = vec!["--flush-interval", "5ms", "--set", "insights.enriched_logs.roll_bytes=3000"];
    if archives {
        settings.extend(["--set", "input.when_done=archive", "--set", "input.done_after=10ms"]);
    }
    let mut feeder = Feeder::new(&place, Dice::new(seed, 1));
    let act = if archives { Feeder::act_on_files_that_stay } else { Feeder::act };
    let mut last_epoch = 0;
    for kill in 0..kills {
        let daemon = place.watch(&settings);
        if dice.below(2) == 0 {
            act(&mut feeder);
            let begun = |feeder: &Feeder<'_>| {
                feeder
                    .place
                    .manifest("output")
                    .is_some_and(|manifest| manifest["epoch"].as_u64() > Some(last_epoch))
            };
            let _ = (0..5).any(|_| feeder.becomes_true(begun));
        }
        // The wait is sometimes long enough for the daemon to load a new catalog.
        let most = if kill % 12 == 11 { 800_000 } else { 120_000 };
        let until = Instant::now() + Duration::from_micros(dice.below(most));
        while Instant::now() < until {
            act(&mut feeder);
            let pause = Duration::from_micros(dice.below(10_000));
            thread::sleep(pause.min(until.saturating_duration_since(Instant::now())));
        }
        let killed = daemon.kill();
        assert_eq!(killed.status.signal(), Some(9), "the daemon ended before the kill: {}", stderr(&killed));
        assert!(!stderr(&killed).contains("bytes before"), "{}", stderr(&killed));
        check_published(&place, &mut last_epoch);
        for _ in 0..dice.below(3) {
            act(&mut feeder);
        }
    }
    let inputs: Vec<&str> = ["data/incoming", "data/archive"]
        .into_iter()
        .chain(feeder.moved_away.iter().map(String::as_str))
        .collect();
    assert_exact(&place, &settings, &inputs);
    Done { kills, ..feeder.done }
}

#[test]
fn kills_at_any_moment_lose_nothing_and_repeat_nothing() {
    let (chains, kills) = if is_long() { (120, 25) } else { (16, 20) };
    if let Ok(seed) = std::env::var("KILL_SEED") {
        let seed = seed.parse().expect("KILL_SEED is a number");
        println!("{:?}", chain(seed, kills));
        return;
    }
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() * 1000;
    let began = Instant::now();
    let done = in_parallel(chains, |number| chain(seed + number, kills));
    let sum = |of: fn(&Done) -> u64| done.iter().map(of).sum::<u64>();
    println!(
        "{} kills in {chains} chains in {:.1} s, 0 differences: {} files rotated, {} moved away, {} copied and \
         truncated, {} catalogs",
        sum(|done| done.kills),
        began.elapsed().as_secs_f64(),
        sum(|done| done.rotated),
        sum(|done| done.moved_away),
        sum(|done| done.truncated),
        sum(|done| done.catalogs)
    );
}
