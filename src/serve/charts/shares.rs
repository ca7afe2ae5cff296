//! Shares of a whole, for example plays by genre.

use crate::serve::charts::bars::{Row, draw_rows};
use crate::serve::charts::canvas::{ChartMode, empty};
use crate::serve::charts::text::{Noun, count, percent};

/// Maximum number of bars. If there are more shares, the last bar shows the sum of the smallest shares.
const BARS: usize = 12;

/// A chart of shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Title of the chart.
    pub title: String,
    /// Name of the counted items.
    pub noun: Noun,
    /// The shares, in any order.
    pub shares: Vec<Share>,
}

/// One share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Label.
    pub label: String,
    /// Absolute value; the whole is the sum of all values.
    pub value: u64,
}

/// Draws shares, largest first. If there are more than 12 shares, the last row shows the sum of the
/// smallest ones.
pub fn shares(chart: &Shares, mode: ChartMode) -> String {
    let whole: u64 = chart.shares.iter().map(|share| share.value).sum();
    if whole == 0 {
        return empty(mode, &chart.title, &format!("no {} yet", chart.noun.many));
    }
    let mut shares = chart.shares.clone();
    shares.sort_by(|a, b| b.value.cmp(&a.value).then_with(|| a.label.cmp(&b.label)));
    let (first, largest) = (shares[0].label.clone(), shares[0].value);
    let has_rest = shares.len() > BARS;
    if has_rest {
        let rest = shares.split_off(BARS - 1);
        let value = rest.iter().map(|share| share.value).sum();
        shares.push(Share { label: format!("{} others", count(rest.len() as u64)), value });
    }
    let longest = shares.iter().map(|share| share.value).max().unwrap_or(largest);
    let counts: Vec<String> = shares.iter().map(|share| chart.noun.counted(share.value)).collect();
    let rows = shares.iter().zip(&counts).enumerate().map(|(index, (share, counted))| Row {
        label: &share.label,
        subtitle: counted,
        value: percent(share.value, whole),
        description: format!("{}: {counted}, {}", share.label, percent(share.value, whole)),
        length: share.value as f64 / longest as f64,
        link: None,
        is_rest: has_rest && index == BARS - 1,
    });
    let fact =
        format!("Largest share: {first} with {} of {}.", percent(largest, whole), chart.noun.counted(whole));
    draw_rows(&chart.title, &fact, &rows.collect::<Vec<_>>(), mode)
}
