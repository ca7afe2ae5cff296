//! Horizontal bars with labels above them, for example the most played songs.

use maud::{Markup, html};

use crate::serve::charts::canvas::{Canvas, ChartMode, SMALL, TEXT, WIDTH, empty, px};
use crate::serve::charts::text::{Noun, clean, count, ellipsize, width_of};

/// Height of a row: the label, the bar and the space below the bar.
const ROW: f64 = 42.0;
/// Distance from the top of a row to the baseline of the label.
const BASELINE: f64 = 15.0;
/// Distance from the top of a row to the top of the bar.
const BAR_TOP: f64 = 22.0;
/// Height of the bar.
const BAR: f64 = 10.0;
/// Space between label, subtitle and value.
const GAP: f64 = 8.0;

/// A chart of bars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bars {
    /// Title of the chart.
    pub title: String,
    /// Name of the counted items.
    pub noun: Noun,
    /// Message if there are no bars.
    pub empty: String,
    /// The bars, top to bottom.
    pub bars: Vec<Bar>,
}

/// One bar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bar {
    /// Label.
    pub label: String,
    /// Secondary text after the label; may be empty.
    pub subtitle: String,
    /// Value. It determines the length of the bar.
    pub value: u64,
    /// A link to a path on the same server or a fragment of the same document. Any other link is ignored.
    pub link: Option<String>,
}

/// Draws horizontal bars. The length of a bar is proportional to its value.
pub fn bars(chart: &Bars, mode: ChartMode) -> String {
    let Some(first) = chart.bars.iter().max_by_key(|bar| bar.value) else {
        return empty(mode, &chart.title, &chart.empty);
    };
    let fact = format!("Highest: {} with {}.", full_label(first), chart.noun.counted(first.value));
    let rows = chart.bars.iter().map(|bar| Row {
        label: &bar.label,
        subtitle: &bar.subtitle,
        value: count(bar.value),
        description: format!("{}: {}", full_label(bar), chart.noun.counted(bar.value)),
        length: bar.value as f64 / first.value.max(1) as f64,
        link: bar.link.as_deref(),
        is_rest: false,
    });
    draw_rows(&chart.title, &fact, &rows.collect::<Vec<_>>(), mode)
}

fn full_label(bar: &Bar) -> String {
    if bar.subtitle.is_empty() { bar.label.clone() } else { format!("{} – {}", bar.label, bar.subtitle) }
}

/// A row as it is drawn: label, value and bar.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) label: &'a str,
    pub(super) subtitle: &'a str,
    /// Text at the right end.
    pub(super) value: String,
    /// The row as one phrase, shown as a tooltip.
    pub(super) description: String,
    /// Length of the bar as a share of the width, from 0 to 1.
    pub(super) length: f64,
    pub(super) link: Option<&'a str>,
    /// Whether the row shows the sum of the remaining items.
    pub(super) is_rest: bool,
}

/// Draws rows, top to bottom.
pub(super) fn draw_rows(title: &str, fact: &str, rows: &[Row<'_>], mode: ChartMode) -> String {
    let link = |row: &Row<'_>| row.link.filter(|link| is_local(link)).map(clean);
    let marks = html! {
        @for (index, row) in rows.iter().enumerate() {
            @let mark = draw_row(row, index as f64 * ROW);
            @if let Some(link) = link(row) { a href=(link) { (mark) } } @else { (mark) }
        }
    };
    let linked = rows.iter().any(|row| link(row).is_some());
    Canvas { mode, height: rows.len() as f64 * ROW, title, fact, linked }.draw(&marks)
}

/// Whether a link stays on the same server. Browsers read `//host` and `/\host` as links to a different
/// server.
fn is_local(link: &str) -> bool {
    let mut chars = link.chars();
    match chars.next() {
        Some('#' | '?') => true,
        Some('/') => !matches!(chars.next(), Some('/' | '\\')),
        _ => false,
    }
}

fn draw_row(row: &Row<'_>, top: f64) -> Markup {
    let space = WIDTH - width_of(&row.value) * TEXT - GAP;
    let label = ellipsize(&clean(row.label), space / TEXT);
    let left = space - width_of(&label) * TEXT - GAP;
    let subtitle = Some(ellipsize(&clean(row.subtitle), left / SMALL))
        .filter(|text| text.chars().any(|char| char != '…'));
    html! {
        g class="row" {
            title { (clean(&row.description)) }
            rect class="hit-area" x="0" y=(top) width=(WIDTH) height=(ROW) {}
            text class="label" x="0" y=(top + BASELINE) {
                tspan { (label) }
                @if let Some(subtitle) = subtitle { tspan class="second" dx=(GAP) { (subtitle) } }
            }
            text class="value" x=(WIDTH) y=(top + BASELINE) text-anchor="end" { (row.value) }
            rect class="track" x="0" y=(top + BAR_TOP) width=(WIDTH) height=(BAR) rx="2" {}
            rect class=(if row.is_rest { "rest" } else { "mark" }) x="0" y=(top + BAR_TOP) width=(px(row.length * WIDTH)) height=(BAR) rx="2" {}
        }
    }
}
