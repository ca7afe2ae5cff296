//! Compares the published tables of periods with recomputed ones.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::insights::Cut;
use crate::ledger::Ledger;
use crate::ledger::periods::PeriodPlays;
use crate::model::error::{Error, FileRole, Op};
use crate::publish::FIRST_PART;
use crate::publish::formula_escape::FormulaEscape;
use crate::publish::manifest::{Manifest, PARQUET, PERIODS, PartEntry, PeriodEntry};
use crate::publish::periods::{INDEX, PeriodIndex, folder_of};
use crate::publish::table_folders::TableFolders;
use crate::settings::Settings;
use crate::state::checkpoint::periods::SavedPeriods;
use crate::storage::Disk;
use crate::text::shown;
use crate::time::period::Period;
use crate::verify::files::compare_part;
use crate::verify::report::Report;
use crate::verify::snapshots::compare_snapshot;

/// The plays of periods to compare with.
#[derive(Debug)]
pub struct ExpectedPeriods {
    /// The recomputed plays, or only the numbers of the committed plays.
    pub plays: PeriodPlays,
    /// The committed plays, if the plays cannot be recomputed.
    pub committed: Option<SavedPeriods>,
}

impl ExpectedPeriods {
    fn ledger(&self, period: Period, settings: &Settings) -> Result<Ledger, Error> {
        let window = settings.night_window();
        if let Some(saved) = &self.committed {
            return saved.load(period, window);
        }
        let plays = self.plays.uncommitted(period);
        Ok(plays.map_or_else(|| Ledger::new(window), |plays| Ledger::of_plays(plays, window)))
    }

    /// Compares the tables of all periods. `all_time` is a cut of all plays.
    ///
    /// # Errors
    /// If a published file (66) or a segment of the state (65) cannot be read.
    pub fn compare(
        &self,
        disk: &dyn Disk,
        settings: &Settings,
        manifest: &Manifest,
        all_time: &Cut,
        report: &mut Report,
    ) -> Result<(), Error> {
        let output = &settings.output;
        let entries = manifest.periods.iter().filter_map(|entry| Some((entry.period()?, entry)));
        let mut published: BTreeMap<Period, &PeriodEntry> = entries.collect();
        let (mut periods, before) = (0, report.differences.len());
        for (period, plays) in self.plays.published() {
            let index = published.remove(&period).and_then(|entry| PeriodIndex::read(disk, output, entry));
            let Some((_, index)) = index else {
                report.differences.push(format!("{}: the period is not published", period.path()));
                continue;
            };
            periods += 1;
            if index.plays != plays {
                let path = shown(&folder_of(output, period).join(INDEX));
                report.differences.push(format!("{path}: expected {plays} plays, found {}", index.plays));
            }
            let cut = Cut {
                period: Some(period),
                ledger: Arc::new(self.ledger(period, settings)?),
                ..all_time.clone()
            };
            let changes = Arc::new(cut.ledger.everything());
            compare_tables(settings, &index, &Cut { changes, ..cut }, period, report)?;
        }
        for period in published.into_keys() {
            report.differences.push(format!("{}: the period is published, but not kept", period.path()));
        }
        if periods > 0 && report.differences.len() == before {
            report
                .verified
                .push(format!("{PERIODS}: the tables of {periods} periods, equal to the recomputed ones"));
        }
        Ok(())
    }
}

fn compare_tables(
    settings: &Settings,
    index: &PeriodIndex,
    cut: &Cut,
    period: Period,
    report: &mut Report,
) -> Result<(), Error> {
    for mut insight in settings.period_insights() {
        let name = insight.name();
        if index.table(name).is_none() {
            report.differences.push(format!("{}/{name}: the table is not published", period.path()));
            continue;
        }
        insight.refresh(cut);
        let path = TableFolders::of_period(&settings.output, period, name).csv.join(FIRST_PART);
        let published =
            std::fs::read(&path).map_err(|cause| Error::file(FileRole::Input, Op::Read, &path, cause))?;
        let escape = FormulaEscape::of(name, settings.csv.escape_formulas);
        let differences = compare_snapshot(insight.as_ref(), cut, escape, &published);
        let path = shown(&path);
        report.differences.extend(differences.into_iter().map(|difference| format!("{path}:{difference}")));
    }
    Ok(())
}

/// Compares all files of periods with the manifest and with the indexes.
pub fn compare_files(disk: &dyn Disk, output: &Path, manifest: &Manifest, report: &mut Report) {
    for entry in &manifest.periods {
        let Some((period, index)) = PeriodIndex::read(disk, output, entry) else {
            let path = shown(&output.join(&entry.file));
            report.differences.push(format!("{path}: the file is missing or differs from the manifest"));
            continue;
        };
        let folders = [folder_of(output, period), folder_of(&output.join(PARQUET), period)];
        for (table, files) in &index.insights {
            let compare = |folder: &Path, part: &PartEntry, report: &mut Report| {
                compare_part(&folder.join(table).join(&part.file), part, report);
            };
            files.parts.iter().for_each(|part| compare(&folders[0], part, report));
            files.parquet.iter().for_each(|part| compare(&folders[1], part, report));
        }
    }
}
