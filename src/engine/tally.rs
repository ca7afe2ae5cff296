//! What a run has read and rejected. The counts decide whether the result of the run is accepted.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat};

use crate::ingest::hints::{self, Subject};
use crate::model::error::Error;
use crate::model::value::TimeSpan;
use crate::model::{Batch, InputId, OutsidePlays, Reason, Reject};
use crate::text::escape_bytes;
use crate::time::civil::{CivilDate, DAY};
use crate::time::date_range::DateRange;

/// The maximum number of bytes shown of a rejected row.
pub const SHOWN: usize = 200;

/// The rows that one run has read, and the first reject of each reason.
#[derive(Clone, Debug, Default)]
pub struct RunTally {
    rows: u64,
    plays: u64,
    outside: OutsideTally,
    logs: RejectTally,
    catalog: RejectTally,
    future: FutureRows,
}

/// Plays outside the dates of the run, and the range of their local times.
#[derive(Clone, Copy, Debug, Default)]
struct OutsideTally {
    plays: u64,
    times: Option<(i64, i64)>,
}

/// Rejects by reason.
#[derive(Clone, Debug, Default)]
struct RejectTally(BTreeMap<Reason, (u64, Example)>);

/// A rejected row, as messages show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The name of the file.
    pub file: String,
    /// The reject. Its `raw` may be shortened.
    pub reject: Reject,
    /// Why the file was rejected as a whole, if it was.
    pub refusal: Option<Box<str>>,
}

/// Rows whose timestamps are too far in the future.
#[derive(Clone, Debug, Default)]
struct FutureRows {
    total: u64,
    /// The inputs with such rows.
    by_input: BTreeMap<InputId, FutureRowsOfInput>,
}

#[derive(Clone, Debug)]
struct FutureRowsOfInput {
    label: String,
    future: u64,
    rows: u64,
}

/// What a run requires of the rows it reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acceptance {
    /// Whether each single reject is an error.
    pub strict: bool,
    /// Whether all plays may be outside the dates of the run.
    pub allow_empty: bool,
}

impl RunTally {
    /// Counts a batch. `rows_of_input` is the number of rows that were ever read from its input.
    pub fn add(&mut self, batch: &Batch, rows_of_input: u64) {
        self.rows += batch.rows() as u64;
        self.plays += batch.plays() as u64;
        self.outside.add(&batch.outside);
        for reject in &batch.rejects {
            self.logs.add(1, reject.reason, || {
                Example::new(&batch.input.label, reject).with_refusal(batch.refused.clone())
            });
        }
        self.future.add(batch.input.id, &batch.input.label, u64::from(batch.future), rows_of_input);
    }

    /// Counts a log that another process has read.
    pub fn add_log(&mut self, label: &str, number: InputId, rows: u64, plays: u64, future: u64) {
        self.rows += rows;
        self.plays += plays;
        self.future.add(number, label, future, rows);
    }

    /// Counts plays of a log outside the dates of the run. `times` are their first and last local time, in seconds.
    pub fn add_log_outside(&mut self, plays: u64, times: Option<(i64, i64)>) {
        self.outside.plays += plays;
        let times = self.outside.times.into_iter().chain(times);
        self.outside.times = times.reduce(|(first, last), (from, to)| (first.min(from), last.max(to)));
    }

    /// Counts rejects of a log that another process has read.
    pub fn add_log_rejects(&mut self, rows: u64, example: Example) {
        self.logs.add(rows, example.reject.reason, || example);
    }

    /// Counts the rejects of the catalog. They replace the rejects of an earlier version of the catalog.
    pub fn set_catalog(&mut self, file: &str, rejects: &[Reject]) {
        self.catalog = RejectTally::default();
        for reject in rejects {
            self.catalog.add(1, reject.reason, || Example::new(file, reject));
        }
    }

    /// Number of rows: plays, rejects, and plays outside the dates of the run.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The warning if most rows of a file or of the run are too far in the future; `None` if they are not.
    /// `now` is in seconds since 1970-01-01T00:00:00Z.
    pub fn clock_warning(&self, now: i64, max_future: TimeSpan) -> Option<String> {
        let mut inputs = self.future.by_input.values();
        let file = inputs.find(|input| input.future * 2 > input.rows).map(|input| input.label.as_str());
        let files = file.or((self.future.total * 2 > self.rows).then_some("all logs"))?;
        let now = DateTime::from_timestamp(now, 0).unwrap_or_default();
        let now = now.to_rfc3339_opts(SecondsFormat::Secs, true);
        Some(format!(
            "{files}: most rows are in the future: is the clock right? the current time is {now}, and \
             input.max_future is {max_future}"
        ))
    }

    /// Decides whether the result of the run is accepted. `dates` are the dates of the plays that count, and
    /// `consequence` says what a refusal means.
    ///
    /// # Errors
    /// If no row was accepted although rows were read, or if there are rejects and each of them is an error
    /// (exit code 65). If all plays are outside the dates (66).
    pub fn judge(&self, acceptance: Acceptance, dates: DateRange, consequence: &str) -> Result<(), Error> {
        let no_play = self.rows > 0 && self.plays + self.outside.plays == 0;
        let text = if no_play {
            format!("no row was accepted{consequence}: {}", self.logs.text(Subject::Log))
        } else if acceptance.strict && !self.logs.0.is_empty() {
            format!("--strict allows no rejects{consequence}: {}", self.logs.text(Subject::Log))
        } else if acceptance.strict && !self.catalog.0.is_empty() {
            let rejects = self.catalog.text(Subject::Catalog);
            format!("--strict allows no rejects{consequence}: {rejects}")
        } else if self.plays == 0 && self.outside.plays > 0 && !acceptance.allow_empty {
            let outside = self.outside.text();
            return Err(Error::MissingInput(format!(
                "all plays are outside {dates}{consequence}: {outside}"
            )));
        } else {
            return Ok(());
        };
        Err(Error::Rejected(text))
    }
}

impl OutsideTally {
    fn add(&mut self, outside: &OutsidePlays) {
        self.plays += outside.len() as u64;
        for &time in &outside.times {
            let (first, last) = self.times.unwrap_or((time, time));
            self.times = Some((first.min(time), last.max(time)));
        }
    }

    /// The number and the dates of the plays, and what may help.
    fn text(self) -> String {
        let plays = if self.plays == 1 { "1 play".to_owned() } else { format!("{} plays", self.plays) };
        let date = |local: i64| CivilDate::from_days(local.div_euclid(DAY));
        let dates = self.times.map(|(first, last)| (date(first), date(last)));
        let dates = match dates {
            Some((first, last)) if first == last => format!(" of {first}"),
            Some((first, last)) => format!(" from {first} to {last}"),
            None => String::new(),
        };
        format!("the logs have {plays}{dates}; correct the dates, or accept this with --allow-empty")
    }
}

impl RejectTally {
    fn add(&mut self, rows: u64, reason: Reason, example: impl FnOnce() -> Example) {
        self.0.entry(reason).or_insert_with(|| (0, example())).0 += rows;
    }

    /// The most common reason, an example, and the setting that may help.
    fn text(&self, subject: Subject) -> String {
        let total: u64 = self.0.values().map(|(rows, _)| rows).sum();
        let mut text = if total == 1 { "1 row".to_owned() } else { format!("{total} rows") };
        text.push_str(" rejected");
        // Of reasons that are equally common, the first one counts.
        let most = self.0.iter().rev().max_by_key(|(_, (rows, _))| *rows);
        let Some((reason, (rows, example))) = most else { return text };
        let share = if *rows == total { "all".to_owned() } else { format!("most often ({rows} rows)") };
        let _ = write!(text, ", {share} as {}, for example {example}", reason.code());
        let hint = example.refusal.as_deref().map(ToOwned::to_owned);
        if let Some(hint) = hint.or_else(|| hints::hint(subject, &example.reject)) {
            let _ = write!(text, "; {hint}");
        }
        text
    }
}

impl Example {
    /// Keeps what messages show of a reject.
    pub fn new(file: &str, reject: &Reject) -> Self {
        Self { file: file.to_owned(), reject: reject.clone(), refusal: None }
    }

    /// Adds why the file was rejected as a whole.
    #[must_use]
    pub fn with_refusal(self, refusal: Option<Box<str>>) -> Self {
        Self { refusal, ..self }
    }
}

/// `file:line: raw`, or `file` if a whole file was rejected unread.
impl std::fmt::Display for Example {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.reject.raw.as_slice() {
            [] => out.write_str(&self.file),
            raw => write!(out, "{}:{}: {}", self.file, self.reject.line, shown(raw)),
        }
    }
}

/// The start of a rejected row, with bytes that are not UTF-8 as `\xNN`.
pub fn shown(raw: &[u8]) -> String {
    let mut text = escape_bytes(&raw[..raw.len().min(SHOWN)]);
    if raw.len() > SHOWN {
        text.push('…');
    }
    text
}

impl FutureRows {
    fn add(&mut self, input: InputId, label: &str, future: u64, rows_of_input: u64) {
        self.total += future;
        if future == 0 {
            if let Some(known) = self.by_input.get_mut(&input) {
                known.rows = rows_of_input;
            }
            return;
        }
        let new = || FutureRowsOfInput { label: label.to_owned(), future: 0, rows: 0 };
        let known = self.by_input.entry(input).or_insert_with(new);
        known.future += future;
        known.rows = rows_of_input;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn example(reason: Reason, raw: &str) -> Example {
        Example::new("logs/a.csv", &Reject::new(reason, 2, 40, raw.as_bytes()))
    }

    fn judge(tally: &RunTally, strict: bool) -> String {
        let acceptance = Acceptance { strict, ..Acceptance::default() };
        tally
            .judge(acceptance, DateRange::default(), ", and nothing was published")
            .map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_run_without_plays_fails_with_its_most_common_reason() {
        let mut tally = RunTally::default();
        assert_eq!(judge(&tally, true), "");
        tally.add_log("logs/a.csv", InputId(0), 3, 0, 0);
        tally.add_log_rejects(1, example(Reason::BadNumber, "ann,t1,2025-03-21 01:09,x"));
        tally.add_log_rejects(2, example(Reason::BadTimestamp, "ann,t1,1742519340,\u{1b}7"));
        let message = "no row was accepted, and nothing was published: 3 rows rejected, most often (2 rows) as \
             bad_timestamp, for example \
             logs/a.csv:2: ann,t1,1742519340,\u{1b}7; set input.timestamp = \"unix_s\"";
        assert_eq!(judge(&tally, false), message);
        tally.add_log("logs/b.csv", InputId(1), 1, 1, 0);
        assert_eq!(judge(&tally, false), "");
        assert!(
            judge(&tally, true)
                .starts_with("--strict allows no rejects, and nothing was published: 3 rows rejected")
        );
    }

    #[test]
    fn plays_that_are_all_outside_are_an_error_of_their_own() {
        let mut tally = RunTally::default();
        let times = vec![20_000 * 86_400, 20_002 * 86_400 - 1];
        tally.outside.add(&OutsidePlays { times, ..OutsidePlays::default() });
        tally.add_log("logs/a.csv", InputId(0), 3, 0, 0);
        tally.add_log_rejects(1, example(Reason::BadNumber, "ann,t1,2025-03-21 01:09,x"));
        let dates = DateRange { from: CivilDate::parse("2025-01-01"), to: None };
        let judge = |strict, allow_empty| tally.judge(Acceptance { strict, allow_empty }, dates, "");
        let Err(Error::MissingInput(message)) = judge(false, false) else { panic!() };
        assert_eq!(
            message,
            "all plays are outside --from 2025-01-01: the logs have 2 plays from 2024-10-04 to 2024-10-05; \
             correct the dates, or accept this with --allow-empty"
        );
        assert!(judge(false, true).is_ok());
        assert!(matches!(judge(true, true), Err(Error::Rejected(_))), "strict is about rejects");
    }

    #[test]
    fn rejects_of_the_catalog_count_only_if_strict() {
        let mut tally = RunTally::default();
        let reject = Reject::new(Reason::FieldCount, 3, 60, b"t1,one");
        tally.set_catalog("songs.csv", std::slice::from_ref(&reject));
        assert_eq!(judge(&tally, false), "");
        let text = judge(&tally, true);
        assert!(
            text.contains("1 row rejected, all as field_count, for example songs.csv:3: t1,one"),
            "{text}"
        );
        assert!(text.contains("catalog.delimiter"), "{text}");
        tally.set_catalog("songs.csv", &[]);
        assert_eq!(judge(&tally, true), "");
    }

    #[test]
    fn most_rows_of_a_file_or_of_the_run_are_in_the_future() {
        let warning = |tally: &RunTally| tally.clock_warning(86_400, TimeSpan(Duration::from_hours(48)));
        let mut tally = RunTally::default();
        tally.add_log("a.csv", InputId(0), 100, 100, 0);
        tally.add_log("b.csv", InputId(1), 10, 5, 5);
        assert_eq!(warning(&tally), None);
        tally.add_log("c.csv", InputId(2), 3, 1, 2);
        let text = "c.csv: most rows are in the future: is the clock right? the current time is \
                    1970-01-02T00:00:00Z, and input.max_future is 48h";
        assert_eq!(warning(&tally).as_deref(), Some(text));
        let mut tally = RunTally::default();
        tally.future.add(InputId(0), "a.csv", 4, 4);
        tally.future.add(InputId(0), "a.csv", 0, 10);
        tally.rows = 10;
        assert_eq!(warning(&tally), None, "later rows are fine");
    }
}
