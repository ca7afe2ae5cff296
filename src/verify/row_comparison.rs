//! Compares the rows of the append-only tables with the rows recomputed from the inputs.

use crate::insights::enriched_logs;
use crate::model::error::Error;
use crate::model::shutdown::Shutdown;
use crate::publish::REJECTS;
use crate::publish::manifest::Manifest;
use crate::settings::Settings;
use crate::verify::multiset::{Multiset, missing_in};
use crate::verify::recompute::{Recomputed, ReplaySource, recompute};
use crate::verify::report::{MAX_SHOWN, Report};
use crate::verify::rows::{Comparison, Published, Rows, SongIds, published_rows, shown};

/// The published rows of `enriched_logs` and `_rejects`, and the source to compare them with.
#[derive(Debug)]
pub struct RowComparison<'a> {
    /// The settings of the output.
    pub settings: &'a Settings,
    /// Cancels the verification.
    pub shutdown: &'a Shutdown,
    /// The published manifest.
    pub manifest: &'a Manifest,
    /// The inputs.
    pub source: &'a ReplaySource,
    /// The ids of all songs that have or had metadata.
    pub songs: &'a SongIds,
    /// Facts about the published rows that cannot be recomputed from the inputs.
    pub published: &'a Published,
    /// Whether inputs are missing. If so, the published rows only need to include all recomputed rows.
    pub inputs_missing: bool,
}

impl RowComparison<'_> {
    /// Compares the published rows with the recomputed rows. If the rows differ, reads the published rows and
    /// the inputs once more to show differing rows of one bucket.
    ///
    /// # Errors
    /// The first file that cannot be read, exit code 66.
    pub async fn run(&self, recomputed: Recomputed, report: &mut Report) -> Result<(), Error> {
        let comparison = Comparison { keep_hashes: self.inputs_missing, ..Comparison::default() };
        let rows = self.published_rows(comparison, Some(report))?;
        let differing = |expected: &Multiset, published: &Multiset| {
            if self.inputs_missing {
                expected.bucket_missing_in(published)
            } else {
                expected.differing_bucket(published)
            }
        };
        let published_enriched = self.manifest.insights.get(enriched_logs::NAME);
        let has_enriched = published_enriched.is_some();
        let enriched = differing(&recomputed.rows.enriched, &rows.enriched).filter(|_| has_enriched);
        let rejects = differing(&recomputed.rows.rejects, &rows.rejects);
        let result = if self.inputs_missing {
            "rows, including all rows of the remaining inputs"
        } else {
            "rows, equal to the recomputed rows"
        };
        if let Some(entry) = published_enriched.filter(|_| enriched.is_none()) {
            report.verified.push(format!("{}: {} {result}", enriched_logs::NAME, entry.rows));
        }
        if rejects.is_none() {
            report.verified.push(format!("{REJECTS}: {} {result}", rows.rejects.rows));
        }
        // A `replay` publishes plays in the order of its logs.
        let ordered = matches!(self.source, ReplaySource::Logs(..)) && has_enriched && enriched.is_none();
        if ordered && recomputed.rows.order() != rows.order() {
            report.differences.push(format!("{}: the rows are in a different order", enriched_logs::NAME));
        }
        if enriched.is_none() && rejects.is_none() {
            return Ok(());
        }
        let comparison =
            Comparison { keep_hashes: false, enriched_bucket: enriched, rejects_bucket: rejects };
        let expected =
            recompute(self.settings, self.shutdown, self.source, self.songs, comparison).await?.rows;
        let published = self.published_rows(comparison, None)?;
        if enriched.is_some() {
            self.show(enriched_logs::NAME, expected.enriched, published.enriched, report);
        }
        if rejects.is_some() {
            self.show(REJECTS, expected.rejects, published.rejects, report);
        }
        Ok(())
    }

    /// Reads the published rows. If there is a `report`, adds to it each row with metadata that the song
    /// never had.
    fn published_rows(&self, comparison: Comparison, mut report: Option<&mut Report>) -> Result<Rows, Error> {
        let mut wrong_metadata = 0;
        published_rows(&self.settings.output, self.manifest, self.published, comparison, |row| {
            wrong_metadata += 1;
            if let Some(report) = report.as_deref_mut().filter(|_| wrong_metadata <= MAX_SHOWN) {
                report.differences.push(format!(
                    "{}: a row has metadata that its song never had: {}",
                    enriched_logs::NAME,
                    shown(row)
                ));
            }
        })
    }

    /// Reports the rows of one bucket that the expected and the published table do not have in common.
    fn show(&self, table: &str, expected: Multiset, published: Multiset, report: &mut Report) {
        let (expected, published) = (expected.into_kept(), published.into_kept());
        let mut show = |difference: &str, rows: Vec<Vec<u8>>| {
            let lines =
                rows.iter().take(MAX_SHOWN).map(|row| format!("{table}: {difference}: {}", shown(row)));
            report.differences.extend(lines);
        };
        show("missing", missing_in(&expected, &published));
        if !self.inputs_missing {
            show("not in the inputs", missing_in(&published, &expected));
        }
    }
}
