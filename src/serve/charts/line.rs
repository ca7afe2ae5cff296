//! A line chart of the last minutes, with one value per second.

use std::fmt::Write as _;

use maud::html;

use crate::serve::charts::axis::{Axis, short};
use crate::serve::charts::canvas::{Canvas, ChartMode, WIDTH, empty, px};
use crate::serve::charts::text::clean;

/// Length of the time axis, in minutes.
pub const MINUTES: usize = 10;
/// Maximum number of values.
const VALUES: usize = MINUTES * 60;
/// Left end of the line. The numbers of the axis stand further left.
const LEFT: f64 = 46.0;
/// Right end of the line. The dot at the end needs the rest of the width.
const RIGHT: f64 = WIDTH - 5.0;
/// Top of the axis. The unit stands above it.
const TOP: f64 = 28.0;
/// Vertical position of the value zero.
const BOTTOM: f64 = 132.0;
/// Values of at least this size are invalid and ignored.
const INVALID: f64 = 1e15;
/// Smallest step of the axis.
const MIN_STEP: f64 = 0.001;

/// A line chart of the last minutes.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Title of the chart.
    pub title: String,
    /// Unit of the values.
    pub unit: String,
    /// One value per second, oldest value first. `None` is a gap.
    pub values: Vec<Option<f64>>,
}

/// Draws a line chart. It shows only the last [`MINUTES`] minutes.
pub fn line(chart: &Line, mode: ChartMode) -> String {
    let values = &chart.values[chart.values.len().saturating_sub(VALUES)..];
    let measured = |value: &Option<f64>| value.filter(|value| (0.0..INVALID).contains(value));
    let Some(latest) = values.iter().rev().find_map(measured) else {
        return empty(mode, &chart.title, "no data yet");
    };
    let most = values.iter().filter_map(measured).fold(0.0, f64::max);
    let axis = Axis::up_to(most, MIN_STEP);
    let first = VALUES - values.len();
    let x = |second: usize| LEFT + (first + second) as f64 / (VALUES - 1) as f64 * (RIGHT - LEFT);
    let y = |value: f64| BOTTOM - value / axis.end() * (BOTTOM - TOP);
    let points: Vec<Option<(f64, f64)>> = values
        .iter()
        .enumerate()
        .map(|(second, value)| measured(value).map(|value| (px(x(second)), px(y(value)))))
        .collect();
    let unit = clean(&chart.unit);
    let fact = format!(
        "Latest: {} {unit}. Maximum of the last {MINUTES} minutes: {} {unit}.",
        short(latest),
        short(most)
    );
    let marks = html! {
        text class="small" x=(LEFT) y="14" { (unit) }
        @for &tick in &axis.ticks {
            line class="grid" x1=(LEFT) y1=(px(y(tick))) x2=(RIGHT) y2=(px(y(tick))) {}
            text class="small" x=(LEFT - 8.0) y=(px(y(tick) + 4.5)) text-anchor="end" { (short(tick)) }
        }
        text class="small" x=(LEFT) y=(BOTTOM + 20.0) { (MINUTES) " min ago" }
        text class="small" x=(px(f64::midpoint(LEFT, RIGHT))) y=(BOTTOM + 20.0) text-anchor="middle" { (MINUTES / 2) " min ago" }
        text class="small" x=(RIGHT) y=(BOTTOM + 20.0) text-anchor="end" { "now" }
        path class="line" d=(path(&points)) {}
        @if let Some((x, y)) = points.last().copied().flatten() {
            circle class="mark" cx=(x) cy=(y) r="4" { title { (short(latest)) " " (unit) } }
        }
    };
    Canvas { mode, height: BOTTOM + 28.0, title: &chart.title, fact: &fact, linked: false }.draw(&marks)
}

/// The path through all values. A gap interrupts the path, and a value between two gaps becomes a point.
fn path(points: &[Option<(f64, f64)>]) -> String {
    let mut path = String::new();
    let mut drawing = false;
    for (index, point) in points.iter().enumerate() {
        if let Some((x, y)) = point {
            let is_single = !drawing && !matches!(points.get(index + 1), Some(Some(_)));
            // A line of length zero appears as a dot, because line caps are round.
            let _ = write!(
                path,
                "{}{x} {y}{}",
                if drawing { "L" } else { "M" },
                if is_single { "h0" } else { "" }
            );
        }
        drawing = point.is_some();
    }
    path
}
