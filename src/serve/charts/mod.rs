//! Draws charts as SVG text. The dashboard, the report and standalone SVG files use the same charts.
//!
//! The layout is computed here because no crate fits: `plotters` 0.3 writes colours and fonts into
//! every mark and has no classes, titles or links, and `charming` needs a JavaScript engine. `maud`
//! writes and escapes the markup.
//!
//! The marks of a chart have classes instead of colours. An HTML document includes [`STYLE`] once, so
//! that its content security policy can forbid inline styles. A standalone chart contains [`STYLE`].

mod axis;
mod bars;
mod canvas;
mod histogram;
mod hours;
mod line;
mod shares;
mod text;

pub use crate::serve::charts::bars::{Bar, Bars, bars};
pub use crate::serve::charts::canvas::ChartMode;
pub use crate::serve::charts::histogram::{Bucket, Histogram, Rule, Tick, histogram};
pub use crate::serve::charts::hours::{FULL_DAYS, HourPlays, hours};
pub use crate::serve::charts::line::{Line, MINUTES, line};
pub use crate::serve::charts::shares::{Share, Shares, shares};
pub use crate::serve::charts::text::{LISTENERS, Noun, PLAYS, SONGS, clean, count, percent};

/// The stylesheet of all charts, for the light and the dark theme.
pub const STYLE: &str = include_str!("charts.css");
