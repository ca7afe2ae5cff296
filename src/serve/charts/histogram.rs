//! How many there are of each size: listeners by their loyalty, songs by their listening time.

use maud::html;

use crate::serve::charts::axis::{Axis, short};
use crate::serve::charts::canvas::{Canvas, Form, SMALL, WIDTH, empty, px};
use crate::serve::charts::words::{Noun, clean, percent, width_of};

/// Where the bars begin, right of the numbers.
const LEFT: f64 = 46.0;
/// Where the highest bar ends, below the name of the mark.
const TOP: f64 = 30.0;
/// Where the bars stand.
const BOTTOM: f64 = 174.0;
/// Room for what is counted, above the numbers.
const NOUN: f64 = 72.0;
/// The space between bars.
const SPACE: f64 = 2.0;

/// A chart of sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// What it shows.
    pub title: String,
    /// What is counted.
    pub noun: Noun,
    /// The sizes from the smallest to the largest.
    pub buckets: Vec<Bucket>,
    /// Names of places on the axis.
    pub ticks: Vec<Tick>,
    /// A place that matters.
    pub mark: Option<Mark>,
    /// What must be known to read it, such as that it shows a sample; may be empty.
    pub note: String,
}

/// Those of about the same size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Which size that is.
    pub name: String,
    /// How many there are.
    pub count: u64,
}

/// The name of a place on the axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// The place, in buckets from the left.
    pub at: f64,
    /// Its name.
    pub name: String,
}

/// A place that matters: what is right of it is drawn in another colour.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// The place, in buckets from the left.
    pub at: f64,
    /// What it means.
    pub name: String,
}

/// Draws sizes.
pub fn histogram(chart: &Histogram, form: Form) -> String {
    let total: u64 = chart.buckets.iter().map(|bucket| bucket.count).sum();
    let Some(most) = chart.buckets.iter().max_by_key(|bucket| bucket.count).filter(|_| total > 0) else {
        return empty(form, &chart.title, "no plays yet");
    };
    let axis = Axis::up_to(most.count as f64, 1.0);
    let bucket_width = (WIDTH - LEFT) / chart.buckets.len() as f64;
    let x = |at: f64| LEFT + at.clamp(0.0, chart.buckets.len() as f64) * bucket_width;
    let y = |count: f64| BOTTOM - count / axis.end() * (BOTTOM - TOP);
    let beyond = |place: usize| chart.mark.as_ref().is_some_and(|mark| place as f64 + 1e-9 >= mark.at);
    let mut fact = format!(
        "{} in all; most, {}, at {}.",
        chart.noun.counted(total),
        percent(most.count, total),
        most.name
    );
    if !chart.note.is_empty() {
        fact = format!("{fact} {}.", chart.note);
    }
    let marks = html! {
        @for &tick in &axis.ticks {
            line class="grid" x1=(LEFT) y1=(px(y(tick))) x2=(WIDTH) y2=(px(y(tick))) {}
            text class="small" x=(LEFT - 8.0) y=(px(y(tick) + 4.5)) text-anchor="end" { (short(tick)) }
        }
        @for (place, bucket) in chart.buckets.iter().enumerate() {
            @let top = y(bucket.count as f64);
            g {
                title { (clean(&bucket.name)) ": " (chart.noun.counted(bucket.count)) ", " (percent(bucket.count, total)) }
                rect class="reach" x=(px(x(place as f64))) y=(TOP) width=(px(bucket_width)) height=(BOTTOM - TOP) {}
                rect class=(if beyond(place) { "bucket accent" } else { "bucket mark" })
                    x=(px(x(place as f64) + SPACE / 2.0)) y=(px(top))
                    width=(px(bucket_width - SPACE)) height=(px(BOTTOM - top)) {}
            }
        }
        @for tick in &chart.ticks {
            @let name = clean(&tick.name);
            // Names at the ends of the axis must not leave the picture.
            @let half = width_of(&name) * SMALL / 2.0;
            text class="small" x=(px(x(tick.at).clamp(half, WIDTH - half))) y=(BOTTOM + 18.0) text-anchor="middle" { (name) }
        }
        text class="small" x="0" y="14" { (chart.noun.many) }
        @if let Some(mark) = &chart.mark {
            @let name = clean(&mark.name);
            @let width = width_of(&name) * SMALL;
            @let at = x(mark.at);
            // Its name stands left of it, unless what is counted stands there.
            @let end = if at - width < NOUN { (at + width).min(WIDTH) } else { at };
            line class="threshold" x1=(px(at)) y1=(TOP - 10.0) x2=(px(at)) y2=(BOTTOM) {}
            text class="small accent-text" x=(px(end)) y="14" text-anchor="end" { (name) }
        }
        @if !chart.note.is_empty() {
            text class="small" x="0" y=(BOTTOM + 40.0) { (clean(&chart.note)) }
        }
    };
    let height = BOTTOM + if chart.note.is_empty() { 24.0 } else { 46.0 };
    Canvas { form, height, title: &chart.title, fact: &fact, linked: false }.draw(&marks)
}
