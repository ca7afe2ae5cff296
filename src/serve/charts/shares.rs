//! What a whole is made of: plays by genre, say.

use crate::serve::charts::bars::{Row, draw_rows};
use crate::serve::charts::canvas::{Form, empty};
use crate::serve::charts::words::{Noun, count, percent};

/// More bars than these are not read.
const BARS: usize = 12;

/// A chart of shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares {
    /// What it shows.
    pub title: String,
    /// What the values count.
    pub noun: Noun,
    /// The shares in any order.
    pub shares: Vec<Share>,
}

/// One share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its name.
    pub label: String,
    /// How much of the whole it is.
    pub value: u64,
}

/// Draws shares, the largest first and the smallest as one.
pub fn shares(chart: &Shares, form: Form) -> String {
    let whole: u64 = chart.shares.iter().map(|share| share.value).sum();
    if whole == 0 {
        return empty(form, &chart.title, &format!("no {} yet", chart.noun.many));
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
    let rows = shares.iter().zip(&counts).enumerate().map(|(place, (share, counted))| Row {
        label: &share.label,
        second: counted,
        value: percent(share.value, whole),
        words: format!("{}: {counted}, {}", share.label, percent(share.value, whole)),
        length: share.value as f64 / longest as f64,
        link: None,
        rest: has_rest && place == BARS - 1,
    });
    let fact =
        format!("Of {}, most are {first} with {}.", chart.noun.counted(whole), percent(largest, whole));
    draw_rows(&chart.title, &fact, &rows.collect::<Vec<_>>(), form)
}
