//! The last minutes of something that is measured every second.

use std::fmt::Write as _;

use maud::html;

use crate::serve::charts::axis::{Axis, short};
use crate::serve::charts::canvas::{Canvas, Form, WIDTH, empty, px};
use crate::serve::charts::words::clean;

/// How far back a line goes.
pub const MINUTES: usize = 10;
/// Values that are shown at most.
const VALUES: usize = MINUTES * 60;
/// Where the line begins, right of the numbers.
const LEFT: f64 = 46.0;
/// Room for the dot at the end.
const RIGHT: f64 = WIDTH - 5.0;
/// The top of the axis, below the unit.
const TOP: f64 = 28.0;
/// Zero.
const BOTTOM: f64 = 132.0;
/// Values from here on are no measurements.
const ABSURD: f64 = 1e15;
/// The smallest step of the axis.
const LEAST: f64 = 0.001;

/// A chart of the last minutes.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What it shows.
    pub title: String,
    /// The unit of its values.
    pub unit: String,
    /// One value a second, the latest last; nothing where nothing was measured.
    pub values: Vec<Option<f64>>,
}

/// Draws the last minutes.
pub fn line(chart: &Line, form: Form) -> String {
    let values = &chart.values[chart.values.len().saturating_sub(VALUES)..];
    let measured = |value: &Option<f64>| value.filter(|value| (0.0..ABSURD).contains(value));
    let Some(latest) = values.iter().rev().find_map(measured) else {
        return empty(form, &chart.title, "nothing measured yet");
    };
    let most = values.iter().filter_map(measured).fold(0.0, f64::max);
    let axis = Axis::up_to(most, LEAST);
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
        "Latest: {} {unit}; at most {} {unit} in the last {MINUTES} minutes.",
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
    Canvas { form, height: BOTTOM + 28.0, title: &chart.title, fact: &fact, linked: false }.draw(&marks)
}

/// A line through what was measured one second after the other; what stands alone becomes a point.
fn path(points: &[Option<(f64, f64)>]) -> String {
    let mut path = String::new();
    let mut drawing = false;
    for (place, point) in points.iter().enumerate() {
        if let Some((x, y)) = point {
            let alone = !drawing && !matches!(points.get(place + 1), Some(Some(_)));
            // A line to where it is shows as a round end.
            let _ =
                write!(path, "{}{x} {y}{}", if drawing { "L" } else { "M" }, if alone { "h0" } else { "" });
        }
        drawing = point.is_some();
    }
    path
}
