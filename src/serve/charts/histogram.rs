//! Histograms, for example listeners by loyalty or songs by listening time.

use maud::html;

use crate::serve::charts::axis::{Axis, short};
use crate::serve::charts::canvas::{Canvas, ChartMode, SMALL, WIDTH, empty, px};
use crate::serve::charts::text::{Noun, clean, percent, width_of};

/// Left end of the bars. The numbers of the axis stand further left.
const LEFT: f64 = 46.0;
/// Top of the highest bar. The name of the rule stands above it.
const TOP: f64 = 30.0;
/// Bottom of the bars.
const BOTTOM: f64 = 174.0;
/// Width of the noun above the numbers of the axis.
const NOUN: f64 = 72.0;
/// Space between bars.
const SPACE: f64 = 2.0;

/// A histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Title of the chart.
    pub title: String,
    /// Name of the counted items.
    pub noun: Noun,
    /// The buckets, left to right.
    pub buckets: Vec<Bucket>,
    /// Labels of the horizontal axis.
    pub ticks: Vec<Tick>,
    /// A rule at a threshold; `None` if the chart has no threshold.
    pub rule: Option<Rule>,
    /// A remark below the chart, for example about sampling; may be empty.
    pub note: String,
}

/// One bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The range of the bucket, as text.
    pub name: String,
    /// Number of items in the range.
    pub count: u64,
}

/// A label of the horizontal axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Distance from the left end of the axis, in buckets.
    pub at: f64,
    /// Text of the label.
    pub name: String,
}

/// A vertical rule at a threshold. Buckets to the right of the rule have a different colour.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Distance from the left end of the axis, in buckets.
    pub at: f64,
    /// Text beside the rule.
    pub name: String,
}

/// Draws a histogram.
pub fn histogram(chart: &Histogram, mode: ChartMode) -> String {
    let total: u64 = chart.buckets.iter().map(|bucket| bucket.count).sum();
    let Some(most) = chart.buckets.iter().max_by_key(|bucket| bucket.count).filter(|_| total > 0) else {
        return empty(mode, &chart.title, "no plays yet");
    };
    let axis = Axis::up_to(most.count as f64, 1.0);
    let bucket_width = (WIDTH - LEFT) / chart.buckets.len() as f64;
    let x = |at: f64| LEFT + at.clamp(0.0, chart.buckets.len() as f64) * bucket_width;
    let y = |count: f64| BOTTOM - count / axis.end() * (BOTTOM - TOP);
    let is_beyond = |index: usize| chart.rule.as_ref().is_some_and(|rule| index as f64 + 1e-9 >= rule.at);
    let mut fact = format!(
        "{} in total. Largest bucket: {} with {}.",
        chart.noun.counted(total),
        most.name,
        percent(most.count, total)
    );
    if !chart.note.is_empty() {
        fact = format!("{fact} {}.", chart.note);
    }
    let marks = html! {
        @for &tick in &axis.ticks {
            line class="grid" x1=(LEFT) y1=(px(y(tick))) x2=(WIDTH) y2=(px(y(tick))) {}
            text class="small" x=(LEFT - 8.0) y=(px(y(tick) + 4.5)) text-anchor="end" { (short(tick)) }
        }
        @for (index, bucket) in chart.buckets.iter().enumerate() {
            @let top = y(bucket.count as f64);
            g {
                title { (clean(&bucket.name)) ": " (chart.noun.counted(bucket.count)) ", " (percent(bucket.count, total)) }
                rect class="hit-area" x=(px(x(index as f64))) y=(TOP) width=(px(bucket_width)) height=(BOTTOM - TOP) {}
                rect class=(if is_beyond(index) { "bucket accent" } else { "bucket mark" })
                    x=(px(x(index as f64) + SPACE / 2.0)) y=(px(top))
                    width=(px(bucket_width - SPACE)) height=(px(BOTTOM - top)) {}
            }
        }
        @for tick in &chart.ticks {
            @let name = clean(&tick.name);
            // Labels at the ends of the axis must stay inside the chart.
            @let half = width_of(&name) * SMALL / 2.0;
            text class="small" x=(px(x(tick.at).clamp(half, WIDTH - half))) y=(BOTTOM + 18.0) text-anchor="middle" { (name) }
        }
        text class="small" x="0" y="14" { (chart.noun.many) }
        @if let Some(rule) = &chart.rule {
            @let name = clean(&rule.name);
            @let width = width_of(&name) * SMALL;
            @let at = x(rule.at);
            // The text stands to the left of the rule unless it would cover the noun.
            @let end = if at - width < NOUN { (at + width).min(WIDTH) } else { at };
            line class="threshold" x1=(px(at)) y1=(TOP - 10.0) x2=(px(at)) y2=(BOTTOM) {}
            text class="small accent-text" x=(px(end)) y="14" text-anchor="end" { (name) }
        }
        @if !chart.note.is_empty() {
            text class="small" x="0" y=(BOTTOM + 40.0) { (clean(&chart.note)) }
        }
    };
    let height = BOTTOM + if chart.note.is_empty() { 24.0 } else { 46.0 };
    Canvas { mode, height, title: &chart.title, fact: &fact, linked: false }.draw(&marks)
}
