//! `music-insights state`: shows the committed state and checks all its files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use indicatif::{HumanBytes, HumanCount};

use crate::cli::args::StateArgs;
use crate::cli::commands::print::print;
use crate::ingest::source::tail::KnownInput;
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;
use crate::model::period_rules::PeriodRules;
use crate::state::checkpoint::committer::manifest_of;
use crate::state::checkpoint::generation::{Generation, StateConfig, Unusable, generation_name};
use crate::state::checkpoint::load::Loaded;
use crate::state::checkpoint::recover::generations_in;
use crate::state::checkpoint::segment::SegmentReader;
use crate::state::unmatched::UnmatchedPlays;
use crate::storage::Disk;
use crate::storage::real::RealDisk;
use crate::text::shown;
use crate::time::period::Period;

/// Runs the command.
///
/// # Errors
/// If there is no state (66), if one of its files is damaged (65), or if it has a different format version
/// (78).
pub fn run(args: &StateArgs) -> Result<(), Error> {
    let settings = args.common.settings()?;
    let disk = RealDisk::without_fsync();
    let folder = &settings.state;
    let numbers = generations_in(&*disk, folder)?;
    if numbers.is_empty() {
        return Err(Error::MissingInput(format!(
            "{}: no state here; pass --state to use a different folder, or run `music-insights watch` to create one",
            shown(folder)
        )));
    }
    let mut text = String::new();
    let (mut damaged, mut other_formats) = (0, 0);
    let mut newest = None;
    for number in numbers {
        match Generation::read(&*disk, folder, &generation_name(number)) {
            Ok(generation) => {
                damaged += describe(&*disk, folder, &generation, &mut text);
                newest.get_or_insert(generation);
            }
            Err(unusable) => {
                match unusable {
                    Unusable::Damaged(_) => damaged += 1,
                    Unusable::Format(_) => other_formats += 1,
                }
                let _ = writeln!(text, "generation {number}: {unusable}");
            }
        }
    }
    if let Some(generation) = newest.filter(|_| damaged == 0) {
        let mut loaded = Loaded::of(&*disk, folder, &generation, &Dictionaries::default())?;
        let last_blocks = std::mem::take(&mut loaded.unmatched);
        UnmatchedPlays::open(&disk, folder, &generation.unmatched, last_blocks)?.check_all()?;
        if let Some(difference) = generation.config.difference(&StateConfig::of(&settings)) {
            let _ = writeln!(text, "settings   {difference}");
        }
        let rules = generation.config.periods;
        describe_periods(&rules, loaded.periods.latest_day, loaded.periods.saved.counts(), &mut text);
        let mut inputs = loaded.inputs.known();
        inputs.retain(|known| !known.retried);
        describe_inputs(&inputs, args.inputs, &mut text);
    }
    print(&text)?;
    if damaged > 0 {
        return Err(Error::Damaged(format!(
            "{}: {damaged} files are damaged; `music-insights watch --rollback` uses the newest sound generation",
            shown(folder)
        )));
    }
    if other_formats > 0 {
        return Err(Error::Config(format!(
            "{}: {other_formats} generations have another format version; use the program version that \
             wrote them, or read everything again with `music-insights watch --fresh`",
            shown(folder)
        )));
    }
    Ok(())
}

/// Describes a generation and its files. Returns the number of damaged files.
fn describe(disk: &dyn Disk, folder: &Path, generation: &Generation, text: &mut String) -> usize {
    let _ = writeln!(
        text,
        "generation {}: epoch {}, {} plays, {} segments ({}), written by version {}",
        generation.number,
        generation.epoch,
        HumanCount(generation.plays),
        generation.segments.len(),
        HumanBytes(generation.bytes()),
        generation.program
    );
    let mut damaged = 0;
    let mut describe_file = |name: &str, bytes: u64, checked: std::io::Result<()>| {
        let result = match checked {
            Ok(()) => "sound".to_owned(),
            Err(cause) => {
                damaged += 1;
                cause.to_string()
            }
        };
        let _ = writeln!(text, "  {name:<32} {:>10}  {result}", HumanBytes(bytes).to_string());
    };
    for segment in &generation.segments {
        let checked = SegmentReader::open(disk, folder, segment).map(drop);
        describe_file(&segment.file, segment.bytes, checked);
    }
    let unmatched = &generation.unmatched;
    if unmatched.bytes > 0 {
        describe_file(&unmatched.name(), unmatched.bytes, unmatched.check(disk, folder));
    }
    for (name, parts) in [("enriched_logs", &generation.enriched), ("_rejects", &generation.rejects)] {
        let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
        let rows: u64 = parts.iter().map(|part| part.rows).sum();
        let bytes = HumanBytes(bytes).to_string();
        let _ =
            writeln!(text, "  {name:<32} {bytes:>10}  {} rows in {} parts", HumanCount(rows), parts.len());
    }
    if let Some(since) = manifest_of(generation).and_then(|manifest| manifest.incomplete_since) {
        let _ = writeln!(text, "  rows of enriched_logs or _rejects from before {since} are lost");
    }
    damaged
}

/// Describes the kept periods of each length: how many of them have plays, the first and the last one, their plays,
/// and which of them are still open. `counts` has the number of plays of each saved period.
fn describe_periods(
    rules: &PeriodRules,
    latest_day: Option<i64>,
    mut counts: BTreeMap<Period, u64>,
    text: &mut String,
) {
    if rules.is_empty() {
        return;
    }
    // The plays of periods that are no longer kept stay in a segment until it is merged.
    counts.retain(|period, _| rules.needs(*period, latest_day));
    let _ = writeln!(text, "periods    {}", HumanCount(counts.len() as u64));
    for length in rules.lengths() {
        let mut kept = counts.clone();
        kept.retain(|period, _| period.length == length);
        let (number, plays) = (HumanCount(kept.len() as u64), HumanCount(kept.values().sum()));
        let periods: Vec<Period> = kept.into_keys().collect();
        let open = periods.partition_point(|period| !period.is_still_open(latest_day));
        let _ = write!(text, "  {:<9}{:>7}", length.name(), number.to_string());
        if let Some(span) = span_of(&periods) {
            let _ = write!(text, "  {span:<24} {:>14} plays", plays.to_string());
        }
        if let Some(span) = span_of(&periods[open..]) {
            let _ = write!(text, ", still open: {span}");
        }
        text.push('\n');
    }
}

/// The first and the last one of some periods in order; `None` if there are none.
fn span_of(periods: &[Period]) -> Option<String> {
    match periods {
        [] => None,
        [one] => Some(one.to_string()),
        [first, .., last] => Some(format!("{first} to {last}")),
    }
}

/// Describes the positions in all inputs, or only in the inputs that are not fully read.
fn describe_inputs(inputs: &[KnownInput], all: bool, text: &mut String) {
    let _ = writeln!(text, "inputs     {}", HumanCount(inputs.len() as u64));
    for input in inputs {
        let (offset, size) = (input.position.offset, input.fingerprint.stat.size);
        if all || offset < size {
            let (name, lines) = (shown(&input.fingerprint.name), input.position.lines);
            let _ = writeln!(text, "  {name}: read to byte {offset} of {size}, {lines} lines");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::period_rules::Kept;
    use crate::time::civil::CivilDate;

    fn described(rules: &PeriodRules, counts: &[(&str, u64)]) -> String {
        let counts = counts.iter().map(|(period, plays)| (period.parse().unwrap(), *plays)).collect();
        let mut text = String::new();
        let latest_day = CivilDate { year: 2025, month: 3, day: 21 }.to_days();
        describe_periods(rules, latest_day, counts, &mut text);
        text
    }

    #[test]
    fn periods_are_described_by_length() {
        let counts = [
            ("2025-03-20", 4),
            ("2025-03-21", 5),
            ("2025-03-22", 6),
            ("2025-03-23", 7),
            ("2025-01", 99),
            ("2025-02", 60_000),
            ("2024", 8),
        ];
        let rules = PeriodRules {
            day: Kept::All,
            month: Kept::Latest(2),
            year: Kept::Latest(1),
            ..PeriodRules::default()
        };
        let expected = "\
periods    5
  day            4  2025-03-20 to 2025-03-23             22 plays, still open: 2025-03-21 to 2025-03-23
  month          1  2025-02                          60,000 plays
  year           0
";
        assert_eq!(described(&rules, &counts), expected);
        assert_eq!(described(&PeriodRules::default(), &counts), "", "no period is kept");
    }
}
