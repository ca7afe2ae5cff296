//! Checks that the published output is still there, and that the folder is the locked one.

use std::path::PathBuf;
use std::time::Duration;

use tokio::task::block_in_place;

use crate::engine::coordinator::engine_core::Core;
use crate::insights::enriched_logs;
use crate::model::error::Error;
use crate::publish::REJECTS;
use crate::publish::append_only::TableCheck;
use crate::storage::failpoint::fail_point;
use crate::text::path_text;

/// Time between two checks if there is nothing to publish.
pub(super) const QUIET_CHECK: Duration = Duration::from_secs(10);

/// Checks the folders and the published files. A `watch` locks a new output folder, restores the append-only
/// tables, and notes that missing files must be published again. The check reads no file.
///
/// # Errors
/// If another process has locked the output folder (75), if published rows are lost and the loss is not
/// accepted (65), or if the state is gone (74). In a `replay`, if the output folder was replaced (74).
pub(super) async fn check_output(core: &mut Core) -> Result<(), Error> {
    if !core.persistence.is_enabled() {
        if core.output_lock.is_current() {
            return Ok(());
        }
        let output = path_text(core.published.output());
        let message = format!("{output}: the folder was removed or replaced during the run; run it again");
        return Err(Error::Io(message));
    }
    core.persistence.check_folder()?;
    let is_new = block_in_place(|| core.output_lock.renew())?;
    let accept_loss = core.context.accept_missing_output;
    let missing = core.published.forget_missing(is_new);
    let rejects = block_in_place(|| core.rejects.check(accept_loss))?;
    let enriched = if missing.enriched || !missing.parquet.is_empty() {
        core.workers.restore_enriched(accept_loss, missing.parquet).await?
    } else {
        TableCheck::InPlace
    };
    for (table, check) in [(REJECTS, rejects), (enriched_logs::NAME, enriched)] {
        if check == TableCheck::RowsLost {
            core.published.note_rows_lost(table);
        }
    }
    if is_new || !missing.paths.is_empty() || [rejects, enriched] != [TableCheck::InPlace; 2] {
        core.published.note_damage();
        core.pending.has_news = true;
        warn_of_damage(core, is_new, &missing.paths);
        fail_point("output.damaged");
    }
    Ok(())
}

fn warn_of_damage(core: &Core, is_new: bool, missing: &[PathBuf]) {
    let output = path_text(core.published.output());
    let damage = match missing {
        _ if is_new => "the folder was removed or replaced".to_owned(),
        [] => "an append-only table was removed or replaced".to_owned(),
        [first, ..] => format!(
            "{} published files are missing or have a wrong length, including {}",
            missing.len(),
            path_text(first)
        ),
    };
    tracing::warn!("{output}: {damage}; everything that is missing is written again");
}
