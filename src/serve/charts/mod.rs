//! Charts as SVG: data in, text out, the same for a page, a report and a file of its own.
//!
//! The layout is ours: `plotters` 0.3 writes colours and fonts onto every mark and knows no classes,
//! no titles and no links, and `charming` draws with a JavaScript engine. Markup and its escaping are
//! those of `maud`, which serves HTML as well.
//!
//! A chart has no colours of its own. Inside a page its classes meet [`STYLE`], so that a content
//! security policy can forbid styles in attributes; a chart that stands alone brings it along.

mod axis;
mod bars;
mod canvas;
mod histogram;
mod hours;
mod line;
mod shares;
mod words;

pub use crate::serve::charts::bars::{Bar, Bars, bars};
pub use crate::serve::charts::canvas::Form;
pub use crate::serve::charts::histogram::{Bucket, Histogram, Mark, Tick, histogram};
pub use crate::serve::charts::hours::{FULL_DAYS, HourPlays, hours};
pub use crate::serve::charts::line::{Line, MINUTES, line};
pub use crate::serve::charts::shares::{Share, Shares, shares};
pub use crate::serve::charts::words::{LISTENERS, Noun, PLAYS, SONGS, clean, count, percent};

/// The stylesheet of all charts, light and dark.
pub const STYLE: &str = include_str!("charts.css");
