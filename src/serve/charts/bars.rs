//! Horizontal bars with their names above them: the most played songs, say.

use maud::{Markup, html};

use crate::serve::charts::canvas::{Canvas, Form, SMALL, TEXT, WIDTH, empty, px};
use crate::serve::charts::words::{Noun, clean, count, cut, width_of};

/// Height of a name, its bar and the space below.
const ROW: f64 = 42.0;
/// Where the name stands in its row.
const BASELINE: f64 = 15.0;
/// Where the bar begins.
const BAR_TOP: f64 = 22.0;
/// Its height.
const BAR: f64 = 10.0;
/// Space between name, second name and value.
const GAP: f64 = 8.0;

/// A chart of bars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bars {
    /// What it shows.
    pub title: String,
    /// What the values count.
    pub noun: Noun,
    /// The bars from top to bottom.
    pub bars: Vec<Bar>,
}

/// One bar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bar {
    /// Its name.
    pub label: String,
    /// What else there is to say, in smaller text; may be empty.
    pub second: String,
    /// Its value.
    pub value: u64,
    /// Where it leads, a path of the same server or a place of the same page; other links are left out.
    pub link: Option<String>,
}

/// Draws bars.
pub fn bars(chart: &Bars, form: Form) -> String {
    let Some(first) = chart.bars.iter().max_by_key(|bar| bar.value) else {
        return empty(form, &chart.title, &format!("no {} yet", chart.noun.many));
    };
    let fact = format!("Most: {} with {}.", full_name(first), chart.noun.counted(first.value));
    let rows = chart.bars.iter().map(|bar| Row {
        label: &bar.label,
        second: &bar.second,
        value: count(bar.value),
        words: format!("{}: {}", full_name(bar), chart.noun.counted(bar.value)),
        length: bar.value as f64 / first.value.max(1) as f64,
        link: bar.link.as_deref(),
        rest: false,
    });
    draw_rows(&chart.title, &fact, &rows.collect::<Vec<_>>(), form)
}

fn full_name(bar: &Bar) -> String {
    if bar.second.is_empty() { bar.label.clone() } else { format!("{} – {}", bar.label, bar.second) }
}

/// A bar as it is drawn.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) label: &'a str,
    pub(super) second: &'a str,
    /// The text at its right end.
    pub(super) value: String,
    /// All of it in words.
    pub(super) words: String,
    /// Of the width, from 0 to 1.
    pub(super) length: f64,
    pub(super) link: Option<&'a str>,
    /// Whether it is not one thing but the rest of them.
    pub(super) rest: bool,
}

/// Draws rows, each as long as it says.
pub(super) fn draw_rows(title: &str, fact: &str, rows: &[Row<'_>], form: Form) -> String {
    let link = |row: &Row<'_>| row.link.filter(|link| leads_nowhere_else(link)).map(clean);
    let marks = html! {
        @for (place, row) in rows.iter().enumerate() {
            @let mark = draw_row(row, place as f64 * ROW);
            @if let Some(link) = link(row) { a href=(link) { (mark) } } @else { (mark) }
        }
    };
    let linked = rows.iter().any(|row| link(row).is_some());
    Canvas { form, height: rows.len() as f64 * ROW, title, fact, linked }.draw(&marks)
}

/// `//host` and `/\host` would lead to another server.
fn leads_nowhere_else(link: &str) -> bool {
    let mut chars = link.chars();
    match chars.next() {
        Some('#' | '?') => true,
        Some('/') => !matches!(chars.next(), Some('/' | '\\')),
        _ => false,
    }
}

fn draw_row(row: &Row<'_>, top: f64) -> Markup {
    let room = WIDTH - width_of(&row.value) * TEXT - GAP;
    let label = cut(&clean(row.label), room / TEXT);
    let left = room - width_of(&label) * TEXT - GAP;
    let second =
        Some(cut(&clean(row.second), left / SMALL)).filter(|text| text.chars().any(|char| char != '…'));
    html! {
        g class="row" {
            title { (clean(&row.words)) }
            rect class="reach" x="0" y=(top) width=(WIDTH) height=(ROW) {}
            text class="label" x="0" y=(top + BASELINE) {
                tspan { (label) }
                @if let Some(second) = second { tspan class="second" dx=(GAP) { (second) } }
            }
            text class="value" x=(WIDTH) y=(top + BASELINE) text-anchor="end" { (row.value) }
            rect class="track" x="0" y=(top + BAR_TOP) width=(WIDTH) height=(BAR) rx="2" {}
            rect class=(if row.rest { "rest" } else { "mark" }) x="0" y=(top + BAR_TOP) width=(px(row.length * WIDTH)) height=(BAR) rx="2" {}
        }
    }
}
