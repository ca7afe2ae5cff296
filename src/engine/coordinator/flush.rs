//! A flush: cut, stage, commit, publish.

use tokio::task::block_in_place;

use crate::engine::coordinator::engine_core::Core;
use crate::engine::coordinator::observe;
use crate::engine::coordinator::plays::RefreshScope;
use crate::engine::workers::StagedCut;
use crate::ingest::source::archive::WhenDone;
use crate::insights::enriched_logs;
use crate::model::Epoch;
use crate::model::error::Error;
use crate::publish::epoch::{CutSummary, StagedEpoch};
use crate::publish::manifest::{Manifest, Totals};
use crate::state::checkpoint::committer::Commit;
use crate::storage::failpoint::{Bug, fail_point, planted};
use crate::time::civil::Week;

/// One flush.
#[derive(Debug)]
pub(super) struct Flush {
    scope: RefreshScope,
}

impl Flush {
    /// A flush. `scope` says what has changed since the last cut.
    pub(super) fn new(scope: RefreshScope) -> Self {
        Self { scope }
    }

    /// Makes a cut, stages and commits it, and publishes it as the next epoch. Workers that have just started
    /// stage every table. If no row differs from the last epoch, the flush completes that epoch and publishes
    /// no new one. If the output folder is replaced in the meantime, the cut is committed but not published,
    /// and there are news for the next flush.
    ///
    /// # Errors
    /// The first file that cannot be written.
    pub(super) async fn run(self, core: &mut Core) -> Result<(), Error> {
        let _running = core.persistence.begin_flush();
        let (now, today) = core.context.today();
        core.pending.week = Week::of_day(today);
        core.periods.set_today(today);
        core.periods.warn_of_future(today);
        core.published.retain(&core.workers.enabled());
        let staged = self.stage(core).await?;
        block_in_place(|| {
            let cut = cut_summary(core, now);
            let manifest = core.published.next_manifest(&staged.epoch, &mut core.rejects, cut)?;
            let may_be_unchanged = self.scope == RefreshScope::Everything && !core.pending.has_news;
            if may_be_unchanged && core.published.shows(&manifest) {
                core.published.republish(staged.epoch)?;
            } else {
                commit_and_publish(core, staged, manifest)?;
            }
            if !core.published.was_damaged() {
                observe::record_epoch(core);
                observe::publish_view(core);
            }
            core.persistence.retire(&core.inputs.tracker)
        })?;
        core.pending.reset(core.published.was_damaged());
        Ok(())
    }

    /// Makes a cut, and waits until every worker has staged its changes.
    async fn stage(&self, core: &mut Core) -> Result<StagedCut, Error> {
        let threads = core.context.settings.decoders();
        let cut = core.plays.cut(self.scope, core.catalog.catalog(), core.pending.week, threads).await;
        fail_point("flush.cut");
        let periods = core.periods.begin(&cut, core.published.periods()).await?;
        let mut staged = core.workers.stage(cut, &core.published).await?;
        let periods = core.periods.finish(periods).await?;
        (staged.epoch.periods, staged.epoch.listed_periods) = (periods.changed, periods.listed);
        fail_point("flush.staged");
        Ok(staged)
    }
}

fn cut_summary(core: &Core, now: i64) -> CutSummary {
    let settings = &core.context.settings;
    let inputs = &core.inputs.tracker;
    let dates = core.context.dates;
    let outside = (!dates.is_unlimited()).then(|| inputs.outside());
    CutSummary {
        producer: core.context.mode.name(),
        dates,
        totals: Totals { outside, ..inputs.totals(core.plays.unmatched(core.catalog.catalog())) },
        unfinished: inputs.unfinished(),
        catalog: core.catalog.entry(&settings.songs),
        now: core.periods.rules().states_now().then_some(now),
        inputs_deleted: core.persistence.is_enabled() && settings.input.when_done == WhenDone::Delete,
    }
}

fn commit_and_publish(core: &mut Core, mut staged: StagedCut, manifest: Manifest) -> Result<(), Error> {
    if planted(Bug::PublishBeforeCommit) {
        let snapshots = std::mem::take(&mut staged.epoch.snapshots);
        core.published.publish(StagedEpoch { snapshots, ..StagedEpoch::default() }, manifest.clone())?;
    }
    let enriched = manifest.insights.get(enriched_logs::NAME);
    let (ledger, changes, dictionaries) = core.plays.for_commit();
    core.persistence.commit(Commit {
        ledger,
        changes,
        dictionaries,
        periods: core.periods.for_commit(),
        inputs: &mut core.inputs.tracker,
        unmatched: staged.unmatched,
        catalog: core.catalog.catalog(),
        enriched: enriched.map(|entry| entry.parts.clone()).unwrap_or_default(),
        rejects: manifest.rejects.parts.clone(),
        epoch: Epoch(manifest.epoch),
        manifest: &manifest.to_text(),
    })?;
    core.persistence.follow(&mut core.periods)?;
    if !core.output_lock.is_current() {
        // The staged files are gone, and another process may own the new folder. The next flush publishes
        // this commit again, if this process gets the lock.
        core.published.postpone(manifest);
        return Ok(());
    }
    core.published.publish(staged.epoch, manifest)?;
    fail_point("publish.done");
    Ok(())
}
