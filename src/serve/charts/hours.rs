//! Plays by day of the week and hour of the day, as a heat map.

use maud::{Markup, html};

use crate::ledger::hours::HOURS;
use crate::serve::charts::canvas::{Canvas, Form, SMALL, WIDTH, empty, px};
use crate::serve::charts::words::{PLAYS, count, percent, width_of};
use crate::time::window::{NightWindow, TimeOfDay};

/// Short names of the days.
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// The days of a week.
pub const FULL_DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/// Room for the names of the days.
const LEFT: f64 = 40.0;
/// An hour, its space included.
const CELL: f64 = (WIDTH - LEFT) / 24.0;
/// A day, its space included.
const ROW: f64 = 20.0;
/// The space between cells.
const SPACE: f64 = 1.5;
/// Where the first day begins, below the night.
const TOP: f64 = 30.0;
/// Where the last day ends.
const BOTTOM: f64 = TOP + 7.0 * ROW;
/// Colours between no plays and the most.
const LEVELS: u64 = 6;
/// A square of the legend.
const KEY: f64 = 14.0;

/// A chart of the hours of a week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourPlays {
    /// What it shows.
    pub title: String,
    /// Plays by hour of the week, from Monday 00:00 on.
    pub plays: [u64; HOURS],
    /// What counts as night.
    pub night: NightWindow,
}

/// Draws the hours of a week.
pub fn hours(chart: &HourPlays, form: Form) -> String {
    let total: u64 = chart.plays.iter().sum();
    let most = chart.plays.iter().copied().max().unwrap_or_default();
    if total == 0 {
        return empty(form, &chart.title, "no plays yet");
    }
    let busiest = chart.plays.iter().position(|&plays| plays == most).unwrap_or_default();
    let fact = format!(
        "Most plays: {} with {} of {}. Night is from {} to {}.",
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
    Canvas { form, height: BOTTOM + 52.0, title: &chart.title, fact: &fact, linked: false }.draw(&marks)
}

/// Which colour so many plays have; only none has the first.
fn level(plays: u64, most: u64) -> u64 {
    (u128::from(plays) * u128::from(LEVELS)).div_ceil(u128::from(most.max(1))) as u64
}

fn hour_name(hour: usize) -> String {
    format!("{} {:02}:00–{:02}:00", FULL_DAYS[hour / 24], hour % 24, hour % 24 + 1)
}

/// A line above the hours of the night, in two pieces if it goes over midnight.
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

/// The colours from few to many.
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
