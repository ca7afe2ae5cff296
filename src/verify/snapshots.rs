//! Compares published snapshots with recomputed ones, line by line.

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::insights::{Cut, Insight};
use crate::ledger::Ledger;
use crate::model::dictionary::Dictionaries;
use crate::model::sorted_ids::SortedIds;
use crate::publish::formula_escape::FormulaEscape;
use crate::time::civil::Week;
use crate::verify::report::MAX_SHOWN;
use crate::verify::rows::{lines_of, shown};

/// A cut of all plays. It marks everything as changed.
pub fn cut_of(
    ledger: Ledger,
    catalog: Arc<Catalog>,
    dictionaries: &Arc<Dictionaries>,
    current_week: Week,
    threads: usize,
) -> Cut {
    let (mut user_order, mut song_order) = (SortedIds::default(), SortedIds::default());
    user_order.extend(&dictionaries.users.read());
    song_order.extend(&dictionaries.songs.read());
    Cut {
        period: None,
        changes: Arc::new(ledger.everything()),
        ledger: Arc::new(ledger),
        catalog,
        new_catalog: true,
        dictionaries: Arc::clone(dictionaries),
        user_order: Arc::new(user_order),
        song_order: Arc::new(song_order),
        current_week,
        threads,
    }
}

/// Compares the lines of a published snapshot with the rendered lines. Returns the first differences in
/// the form `<line>: expected …, found …`.
pub fn compare_snapshot(
    insight: &dyn Insight,
    cut: &Cut,
    escape: FormulaEscape,
    published: &[u8],
) -> Vec<String> {
    let mut published = lines_of(published);
    let mut differences = Vec::new();
    let mut line = 0_u64;
    let mut differ = |line: u64, expected: Option<&[u8]>, found: Option<&[u8]>| {
        if expected != found && differences.len() < MAX_SHOWN {
            let text = |row: Option<&[u8]>| row.map_or("nothing".to_owned(), shown);
            differences.push(format!("{line}: expected {}, found {}", text(expected), text(found)));
        }
    };
    let mut buffer = Vec::new();
    insight.render(cut, &mut |rows| {
        for row in lines_of(escape.apply(rows, &mut buffer)) {
            line += 1;
            differ(line, Some(row), published.next());
        }
    });
    differ(line + 1, None, published.next());
    differences
}
