//! The frame of every chart: size, title, text alternative and mode.

use maud::{Markup, PreEscaped, html};

use crate::serve::charts::STYLE;
use crate::serve::charts::text::{clean, ellipsize};

/// Width of a chart in SVG units. On a phone, a chart is 328 pixels wide. On such a chart, text of [`SMALL`]
/// units is still 11 pixels high.
pub(super) const WIDTH: f64 = 400.0;
/// Font size of labels and values; the same as in `charts.css`.
pub(super) const TEXT: f64 = 14.0;
/// Font size of secondary text.
pub(super) const SMALL: f64 = 13.5;
/// Height of a chart without data.
const EMPTY_HEIGHT: f64 = 64.0;
/// Space around a standalone chart.
const MARGIN: f64 = 20.0;
/// Height of the title above a standalone chart.
const HEADER: f64 = 34.0;

/// Where a chart is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChartMode {
    /// Inside an HTML document that includes [`STYLE`] and has its own heading.
    Inline,
    /// In its own SVG file.
    Standalone,
}

/// A chart without its marks.
#[derive(Debug)]
pub(super) struct Canvas<'a> {
    pub(super) mode: ChartMode,
    pub(super) height: f64,
    pub(super) title: &'a str,
    /// The main fact that the chart shows, as a sentence for screen readers.
    pub(super) fact: &'a str,
    /// Whether the marks contain links. The role `img` would hide links.
    pub(super) linked: bool,
}

impl Canvas<'_> {
    /// Draws the chart with these marks as SVG.
    pub(super) fn draw(&self, marks: &Markup) -> String {
        let standalone = self.mode == ChartMode::Standalone;
        let (left, top) = if standalone { (-MARGIN, -MARGIN - HEADER) } else { (0.0, 0.0) };
        let (width, height) = (WIDTH - 2.0 * left, self.height - top - left);
        let (title, fact) = (clean(self.title), clean(self.fact));
        let svg = html! {
            svg class="chart" viewBox=(format!("{left} {top} {width} {}", px(height)))
                role=(if self.linked { "group" } else { "img" })
                xmlns=[standalone.then_some("http://www.w3.org/2000/svg")] {
                title { (title) }
                desc { (fact) }
                @if standalone {
                    style { (PreEscaped(STYLE)) }
                    rect class="ground" x=(left) y=(top) width=(width) height=(px(height)) {}
                    text class="heading" x="0" y="-16" { (ellipsize(&title, WIDTH / 17.0)) }
                }
                (marks)
            }
        };
        svg.into_string()
    }
}

/// A chart that has no data and shows a message instead.
pub(super) fn empty(mode: ChartMode, title: &str, message: &str) -> String {
    let marks = html! {
        text class="small" x=(WIDTH / 2.0) y=(EMPTY_HEIGHT / 2.0 + 5.0) text-anchor="middle" { (clean(message)) }
    };
    Canvas { mode, height: EMPTY_HEIGHT, title, fact: message, linked: false }.draw(&marks)
}

/// Rounds a length to hundredths of a unit.
pub(super) fn px(length: f64) -> f64 {
    // Adding zero turns negative zero into zero.
    (length * 100.0).round() / 100.0 + 0.0
}
