//! The frame of every chart: its size, what it says in words, and the form in which it is written.

use maud::{Markup, PreEscaped, html};

use crate::serve::charts::STYLE;
use crate::serve::charts::words::{clean, cut};

/// Width of a chart in its own units. It is narrow so that text of [`SMALL`] units has eleven pixels
/// where a telephone leaves 328 for it.
pub(super) const WIDTH: f64 = 400.0;
/// Size of the text of names and values (`charts.css` says the same).
pub(super) const TEXT: f64 = 14.0;
/// Size of the other text.
pub(super) const SMALL: f64 = 13.5;
/// Height of a chart without data.
const EMPTY_HEIGHT: f64 = 64.0;
/// Room around a chart that stands alone.
const MARGIN: f64 = 20.0;
/// Room for its title.
const HEADER: f64 = 34.0;

/// Where a chart is going to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In an HTML page that has [`STYLE`] and a heading above the chart.
    Inline,
    /// In a file of its own.
    Standalone,
}

/// What is around the marks of a chart.
#[derive(Debug)]
pub(super) struct Canvas<'a> {
    pub(super) form: Form,
    pub(super) height: f64,
    /// What the chart shows.
    pub(super) title: &'a str,
    /// What there is to see in it, in words.
    pub(super) fact: &'a str,
    /// Whether there are links in it, which would be out of reach in a mere image.
    pub(super) linked: bool,
}

impl Canvas<'_> {
    /// The chart with these marks.
    pub(super) fn draw(&self, marks: &Markup) -> String {
        let alone = self.form == Form::Standalone;
        let (left, top) = if alone { (-MARGIN, -MARGIN - HEADER) } else { (0.0, 0.0) };
        let (width, height) = (WIDTH - 2.0 * left, self.height - top - left);
        let (title, fact) = (clean(self.title), clean(self.fact));
        let svg = html! {
            svg class="chart" viewBox=(format!("{left} {top} {width} {}", px(height)))
                role=(if self.linked { "group" } else { "img" })
                xmlns=[alone.then_some("http://www.w3.org/2000/svg")] {
                title { (title) }
                desc { (fact) }
                @if alone {
                    style { (PreEscaped(STYLE)) }
                    rect class="ground" x=(left) y=(top) width=(width) height=(px(height)) {}
                    text class="heading" x="0" y="-16" { (cut(&title, WIDTH / 17.0)) }
                }
                (marks)
            }
        };
        svg.into_string()
    }
}

/// A chart that has nothing to show yet.
pub(super) fn empty(form: Form, title: &str, why: &str) -> String {
    let marks = html! {
        text class="small" x=(WIDTH / 2.0) y=(EMPTY_HEIGHT / 2.0 + 5.0) text-anchor="middle" { (why) }
    };
    Canvas { form, height: EMPTY_HEIGHT, title, fact: why, linked: false }.draw(&marks)
}

/// A length with as many digits as anybody can see.
pub(super) fn px(length: f64) -> f64 {
    // Adding zero makes a negative zero a plain one.
    (length * 100.0).round() / 100.0 + 0.0
}
