//! Plays by weekday and hour, as a heat map.

use maud::{Markup, html};

use crate::ledger::hours::HOURS;
use crate::serve::charts::canvas::{Canvas, ChartMode, SMALL, WIDTH, empty, px};
use crate::serve::charts::text::{PLAYS, count, percent, width_of};
use crate::time::window::{NightWindow, TimeOfDay};

/// Row labels.
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// Names of the weekdays, Monday first.
pub const FULL_DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/// Width of the row labels.
const LEFT: f64 = 40.0;
/// Width of the cell of an hour, including the space beside it.
const CELL: f64 = (WIDTH - LEFT) / 24.0;
/// Height of the row of a day, including the space below it.
const ROW: f64 = 20.0;
/// Space between cells.
const SPACE: f64 = 1.5;
/// Top of the first row. The line that marks the night is above it.
const TOP: f64 = 30.0;
/// Bottom of the last row.
const BOTTOM: f64 = TOP + 7.0 * ROW;
/// Number of colours for cells with plays.
const LEVELS: u64 = 6;
/// Side length of a square in the legend.
const KEY: f64 = 14.0;

/// A heat map of the hours of a week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourPlays {
    /// Title of the chart.
    pub title: String,
    /// Plays by hour of the week, from Monday 00:00 on.
    pub plays: [u64; HOURS],
    /// Hours that count as night.
    pub night: NightWindow,
}

/// Draws a heat map with a row per weekday and a line above the hours of the night.
pub fn hours(chart: &HourPlays, mode: ChartMode) -> String {
    let total: u64 = chart.plays.iter().sum();
    let most = chart.plays.iter().copied().max().unwrap_or_default();
    if total == 0 {
        return empty(mode, &chart.title, "no plays yet");
    }
    let busiest = chart.plays.iter().position(|&plays| plays == most).unwrap_or_default();
    let fact = format!(
        "Busiest hour: {} with {} of {}. Night is from {} to {}.",
        hour_name(busiest),
        count(most),
        PLAYS.counted(total),
        chart.night.from,
        chart.night.to
    );
    let marks = html! {
        (night(chart.night))
        @for (day, name) in DAYS.iter().enumerate() {
            text class="small" x="0" y=(TOP + day as f64 * ROW + 14.0) { (name) }
        }
        @for (hour, &plays) in chart.plays.iter().enumerate() {
            rect class=(format!("cell level-{}", level(plays, most)))
                x=(px(LEFT + (hour % 24) as f64 * CELL)) y=(TOP + (hour / 24) as f64 * ROW)
                width=(px(CELL - SPACE)) height=(ROW - SPACE) rx="2" {
                title { (hour_name(hour)) ": " (PLAYS.counted(plays)) ", " (percent(plays, total)) }
            }
        }
        @for hour in [0, 6, 12, 18] {
            text class="small" x=(px(LEFT + f64::from(hour) * CELL)) y=(BOTTOM + 16.0) { (format!("{hour:02}:00")) }
        }
        text class="small" x=(WIDTH) y=(BOTTOM + 16.0) text-anchor="end" { "24:00" }
        (legend(most))
    };
    Canvas { mode, height: BOTTOM + 52.0, title: &chart.title, fact: &fact, linked: false }.draw(&marks)
}

/// The colour level of a cell, from 0 to [`LEVELS`]. Only a cell without plays has level 0.
fn level(plays: u64, most: u64) -> u64 {
    (u128::from(plays) * u128::from(LEVELS)).div_ceil(u128::from(most.max(1))) as u64
}

fn hour_name(hour: usize) -> String {
    format!("{} {:02}:00–{:02}:00", FULL_DAYS[hour / 24], hour % 24, hour % 24 + 1)
}

/// A line above the hours of the night. If the night includes midnight, the line has two pieces.
fn night(window: NightWindow) -> Markup {
    let (from, to) = (window.from, window.to);
    let end = TimeOfDay(24 * 60);
    let pieces = if from.0 < to.0 { vec![(from, to)] } else { vec![(TimeOfDay(0), to), (from, end)] };
    let x = |time: TimeOfDay| LEFT + f64::from(time.0) / 60.0 * CELL;
    let name = format!("night {from}–{to}");
    let width = width_of(&name) * SMALL;
    let left = x(from).min(WIDTH - width);
    html! {
        text class="small accent-text" x=(px(left)) y="15" { (name) }
        @for (from, to) in pieces.into_iter().filter(|(from, to)| from.0 < to.0) {
            rect class="accent" x=(px(x(from))) y=(TOP - 7.0) width=(px((x(to) - x(from) - SPACE / 2.0).max(0.0))) height="3" {}
        }
    }
}

/// The legend: colours from few to many plays.
fn legend(most: u64) -> Markup {
    let (y, text_y) = (BOTTOM + 32.0, BOTTOM + 44.0);
    let most_text = count(most);
    let end = WIDTH - width_of(&most_text) * SMALL - 6.0;
    let start = end - (LEVELS + 1) as f64 * (KEY + 2.0);
    html! {
        text class="small" x=(LEFT) y=(text_y) { "plays" }
        text class="small" x=(px(start - 6.0)) y=(text_y) text-anchor="end" { "0" }
        @for level in 0..=LEVELS {
            rect class=(format!("key level-{level}")) x=(px(start + level as f64 * (KEY + 2.0))) y=(y)
                width=(KEY) height=(KEY) rx="2" {}
        }
        text class="small" x=(WIDTH) y=(text_y) text-anchor="end" { (most_text) }
    }
}
