//! Finds the tables of a view.

use crate::insights::enriched_logs;
use crate::serve::http::response::Problem;
use crate::serve::view::View;
use crate::serve::view::table::SnapshotTable;

/// The table of a snapshot.
pub(super) fn snapshot<'a>(view: &'a View, insight: &'static str) -> Result<&'a SnapshotTable, Problem> {
    view.table(insight).map(|table| &**table).ok_or_else(|| absent(view, insight))
}

/// The response for an insight that the view does not have.
pub(super) fn absent(view: &View, insight: &'static str) -> Problem {
    if insight == enriched_logs::NAME && view.period().is_some() {
        return Problem::not_found(format!(
            "{insight} is not kept for periods; ask without the parameter period"
        ));
    }
    Problem::not_found(view.absent(insight).0)
}
