//! Starts over, because the source reads all inputs again.

use std::sync::Arc;

use crate::engine::coordinator::engine_core::{Core, RunInputs};
use crate::engine::coordinator::pending::Pending;
use crate::engine::coordinator::plays::Plays;
use crate::engine::coordinator::reject_reports::RejectReports;
use crate::model::error::Error;
use crate::state::checkpoint::generation::StateConfig;
use crate::state::checkpoint::load::Loaded;

impl Core {
    /// Takes back everything that the source has sent. This works only in a `replay`, which commits and publishes
    /// nothing before its end. The dictionaries keep the ids of all rows: no result depends on an id without plays.
    ///
    /// # Errors
    /// A file system error, or a worker that has ended.
    pub(super) async fn start_over(&mut self) -> Result<(), Error> {
        let Loaded { ledger, inputs, periods, .. } = Loaded::empty(&StateConfig::of(&self.context.settings));
        self.periods.start_over(&self.context.settings, periods);
        self.plays = Plays::new(ledger, Arc::clone(&self.plays.dictionaries));
        self.inputs = RunInputs::new(inputs);
        self.pending = Pending::new(true);
        self.reports = RejectReports::default();
        self.context.progress.restart();
        self.context.control.metrics.take_back_rows();
        self.workers.start_over().await?;
        tokio::task::block_in_place(|| self.rejects.start_over())?;
        self.catalog.forget_reported();
        self.adopt_catalog()
    }
}
