//! A progress line on stderr. Nothing is drawn if stderr is not a terminal.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{
    FormattedDuration, HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle,
};

/// The unit of a [`Progress`] total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Rows.
    Rows,
    /// Bytes. Rows are counted too, but their total is unknown.
    Bytes,
}

/// A progress line with rows, rows per second, percentage and time left.
///
/// All methods may be called from any thread. A call takes a few nanoseconds, and the line is drawn at most
/// ten times per second.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    rows: Arc<AtomicU64>,
}

impl Progress {
    /// A progress line. `total` is `None` if it is unknown. The line is drawn only if stderr is a terminal.
    pub fn new(total: Option<u64>, unit: Unit) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::silent();
        }
        let rows = Arc::new(AtomicU64::new(0));
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(10));
        bar.set_style(style(total.is_some(), unit, &rows));
        Self { bar: Some(bar), rows }
    }

    /// A progress line that is never drawn.
    pub fn silent() -> Self {
        Self { bar: None, rows: Arc::default() }
    }

    /// Adds rows, and `done` units of the total. For [`Unit::Rows`], both numbers are the same.
    pub fn advance(&self, rows: u64, done: u64) {
        // Relaxed ordering is enough, because no other memory depends on the count.
        self.rows.fetch_add(rows, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.inc(done);
        }
    }

    /// Starts at zero again.
    pub fn restart(&self) {
        self.rows.store(0, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.reset();
        }
    }

    /// The rows counted so far.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Removes the line before a summary or an error is printed.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    /// Removes the line even after an error.
    fn drop(&mut self) {
        self.finish();
    }
}

fn style(bounded: bool, unit: Unit, rows: &Arc<AtomicU64>) -> ProgressStyle {
    let template = match (bounded, unit) {
        (true, Unit::Rows) => "{rows} rows  {speed} rows/s  {percent} %  {eta} left",
        (true, Unit::Bytes) => "{rows} rows  {speed} rows/s  {percent} % of {total_bytes}  {eta} left",
        (false, _) => "{rows} rows  {speed} rows/s  {elapsed}",
    };
    let (count, speed) = (Arc::clone(rows), Arc::clone(rows));
    ProgressStyle::with_template(template)
        .expect("the templates above are valid")
        .with_key("rows", move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
            // A formatting error must not stop the work.
            let _ = write!(out, "{}", HumanCount(count.load(Ordering::Relaxed)));
        })
        .with_key("speed", move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let millis = state.elapsed().as_millis().max(1);
            let per_second = u128::from(speed.load(Ordering::Relaxed)) * 1000 / millis;
            let _ = write!(out, "{}", HumanCount(per_second as u64));
        })
}

/// The progress line of a run on a cluster: a step of the run, and its tasks.
#[derive(Debug)]
pub struct Tasks(Option<ProgressBar>);

/// How fast rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Rows per second since the start.
    pub rows_per_second: u64,
    /// The part of the bytes that is read, from 0 to 100.
    pub percent: u64,
    /// The time until all bytes are read.
    pub left: Duration,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// A line that is drawn only if stderr is a terminal.
    pub fn new() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self(is_terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            bar.set_style(ProgressStyle::with_template("{msg}  {elapsed}").expect("a valid template"));
            bar
        }))
    }

    /// Whether the line is drawn.
    pub fn is_visible(&self) -> bool {
        self.0.is_some()
    }

    /// Shows how many tasks of a step are done, and how many there are. `verb` names the step.
    pub fn show(&self, verb: &str, done: usize, tasks: usize, rate: Option<Rate>) {
        if let Some(bar) = &self.0 {
            bar.set_message(task_text(verb, done, tasks, rate));
        }
    }

    /// Removes the line.
    pub fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn task_text(verb: &str, done: usize, tasks: usize, rate: Option<Rate>) -> String {
    let tasks = format!("{verb}  task {done} of {tasks}");
    let Some(Rate { rows_per_second, percent, left }) = rate else { return tasks };
    let (rows, left) = (HumanCount(rows_per_second), FormattedDuration(left));
    format!("{tasks}  {rows} rows/s  {percent} %  {left} left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_is_valid_and_a_silent_progress_counts_rows() {
        for (bounded, unit) in
            [(true, Unit::Rows), (true, Unit::Bytes), (false, Unit::Rows), (false, Unit::Bytes)]
        {
            let _ = style(bounded, unit, &Arc::default());
        }
        let progress = Progress::silent();
        progress.advance(3, 100);
        progress.finish();
        assert_eq!(progress.rows(), 3);
        progress.restart();
        assert_eq!(progress.rows(), 0);
    }

    #[test]
    fn the_line_of_a_cluster_has_rows_and_the_time_left() {
        let rate = Rate { rows_per_second: 1_234_567, percent: 25, left: Duration::from_secs(65) };
        let text = "reading  task 3 of 12  1,234,567 rows/s  25 %  00:01:05 left";
        assert_eq!(task_text("reading", 3, 12, Some(rate)), text);
        assert_eq!(task_text("rendering", 0, 4, None), "rendering  task 0 of 4");
    }
}
