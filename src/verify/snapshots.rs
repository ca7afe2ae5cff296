//! The six snapshots, made again and compared line by line.

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::insights::{Cut, Insight};
use crate::ledger::Ledger;
use crate::model::dictionary::Dictionaries;
use crate::model::sorted_ids::SortedIds;
use crate::publish::formula_escape::FormulaEscape;
use crate::time::civil::Week;
use crate::verify::rows::{lines_of, shown};

/// Differences that are shown of one table.
const SHOWN: usize = 3;

/// A cut of everything that was ever played.
pub fn cut_of(
    ledger: Ledger,
    catalog: Arc<Catalog>,
    dictionaries: &Arc<Dictionaries>,
    current_week: Week,
) -> Cut {
    let (mut user_order, mut song_order) = (SortedIds::default(), SortedIds::default());
    user_order.extend(&dictionaries.users.read());
    song_order.extend(&dictionaries.songs.read());
    Cut {
        changes: Arc::new(ledger.everything()),
        ledger: Arc::new(ledger),
        catalog,
        new_catalog: true,
        dictionaries: Arc::clone(dictionaries),
        user_order: Arc::new(user_order),
        song_order: Arc::new(song_order),
        current_week,
    }
}

/// The first lines in which a published snapshot differs from the rows of an insight.
pub fn compare_snapshot(
    insight: &dyn Insight,
    cut: &Cut,
    guard: FormulaEscape,
    published: &[u8],
) -> Vec<String> {
    let mut theirs = lines_of(published);
    let mut differences = Vec::new();
    let mut line = 0_u64;
    let mut differ = |line: u64, expected: Option<&[u8]>, found: Option<&[u8]>| {
        if expected != found && differences.len() < SHOWN {
            let text = |row: Option<&[u8]>| row.map_or("nothing".to_owned(), shown);
            differences.push(format!("{line}: expected {}, found {}", text(expected), text(found)));
        }
    };
    let mut room = Vec::new();
    insight.render(cut, &mut |rows| {
        for row in lines_of(guard.apply(rows, &mut room)) {
            line += 1;
            differ(line, Some(row), theirs.next());
        }
    });
    differ(line + 1, None, theirs.next());
    differences
}
