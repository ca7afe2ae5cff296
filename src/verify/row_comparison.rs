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
    /// The reasons why the rows cannot be equal.
    pub gaps: Gaps,
}

/// What is missing for an exact comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Whether inputs are missing. Their rows cannot be recomputed.
    pub inputs: bool,
    /// Whether rejects are lost whose reason depends on the time of reading. Their rows are recomputed as
    /// plays.
    pub rejects: bool,
    /// Number of published rejects of inputs that were read again later.
    pub retried: u64,
}

impl Gaps {
    /// Whether plays cannot be recomputed exactly.
    pub fn any(self) -> bool {
        self.inputs || self.rejects
    }
}

/// How the published rows of a table must relate to the recomputed rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    /// Both have the same rows.
    Equal,
    /// All recomputed rows are published.
    Includes,
    /// All published rows are recomputed.
    Included,
    /// No comparison is possible.
    Unknown,
}

impl Relation {
    /// The relation for a table of which recomputed or published rows are missing.
    fn new(recomputed_missing: bool, published_missing: bool) -> Self {
        match (recomputed_missing, published_missing) {
            (false, false) => Self::Equal,
            (true, false) => Self::Includes,
            (false, true) => Self::Included,
            (true, true) => Self::Unknown,
        }
    }

    /// A bucket with a row that contradicts the relation.
    fn violation(self, expected: &Multiset, published: &Multiset) -> Option<usize> {
        match self {
            Self::Equal => expected.differing_bucket(published),
            Self::Includes => expected.bucket_missing_in(published),
            Self::Included => published.bucket_missing_in(expected),
            Self::Unknown => None,
        }
    }

    /// Adds the result for a table without violations to the report. Its rows are complete since `since`.
    fn report(self, table: &str, rows: u64, since: Option<&str>, report: &mut Report) {
        let result = match self {
            Self::Equal => "rows, equal to the recomputed rows",
            Self::Includes => "rows, including all rows of the remaining inputs",
            Self::Included => "rows, all of them among the recomputed rows",
            Self::Unknown => "",
        };
        if self != Self::Unknown {
            report.verified.push(format!("{table}: {rows} {result}"));
        }
        let Some(since) = since else { return };
        report.unverifiable.push(match self {
            Self::Unknown => format!(
                "{table}: rows from before {since} are lost and inputs are missing, so the rows cannot be \
                 compared"
            ),
            _ => format!("{table}: rows from before {since} are lost; only the published rows were compared"),
        });
    }
}

impl RowComparison<'_> {
    /// Compares the published rows with the recomputed rows. If the rows differ, reads the published rows and
    /// the inputs once more to show differing rows of one bucket.
    ///
    /// # Errors
    /// The first file that cannot be read, exit code 66.
    pub async fn run(&self, recomputed: Recomputed, report: &mut Report) -> Result<(), Error> {
        let keep_hashes =
            self.gaps.any() || self.gaps.retried > 0 || self.manifest.incomplete_since.is_some();
        let comparison = Comparison { keep_hashes, ..Comparison::default() };
        let rows = self.published_rows(comparison, Some(report))?;
        let published_enriched = self.manifest.insights.get(enriched_logs::NAME);
        let has_enriched = published_enriched.is_some();
        let (for_enriched, for_rejects) = self.relations();
        let enriched = for_enriched.violation(&recomputed.rows.enriched, &rows.enriched);
        let enriched = enriched.filter(|_| has_enriched);
        let rejects = for_rejects.violation(&recomputed.rows.rejects, &rows.rejects);
        if let Some(entry) = published_enriched.filter(|_| enriched.is_none()) {
            for_enriched.report(enriched_logs::NAME, entry.rows, entry.incomplete_since.as_deref(), report);
        }
        let expected_rejects = recomputed.rows.rejects.rows + self.gaps.retried;
        if for_rejects == Relation::Includes
            && !self.gaps.inputs
            && rejects.is_none()
            && rows.rejects.rows != expected_rejects
        {
            report.differences.push(format!(
                "{REJECTS}: {} rows instead of {expected_rejects}, including those of inputs that were read again",
                rows.rejects.rows
            ));
        }
        if rejects.is_none() {
            let since = self.manifest.rejects.incomplete_since.as_deref();
            for_rejects.report(REJECTS, rows.rejects.rows, since, report);
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
        let expected = recompute(
            self.settings,
            self.manifest.dates(),
            self.shutdown,
            self.source,
            self.songs,
            comparison,
        )
        .await?
        .rows;
        let published = self.published_rows(comparison, None)?;
        if enriched.is_some() {
            show(enriched_logs::NAME, for_enriched, expected.enriched, published.enriched, report);
        }
        if rejects.is_some() {
            show(REJECTS, for_rejects, expected.rejects, published.rejects, report);
        }
        Ok(())
    }

    /// The relations for `enriched_logs` and `_rejects`.
    fn relations(&self) -> (Relation, Relation) {
        let enriched = self.manifest.insights.get(enriched_logs::NAME);
        let enriched_lost = enriched.is_some_and(|entry| entry.incomplete_since.is_some());
        let rejects_lost = self.manifest.rejects.incomplete_since.is_some();
        (
            Relation::new(self.gaps.inputs, enriched_lost || self.gaps.rejects),
            Relation::new(self.gaps.inputs || self.gaps.retried > 0, rejects_lost),
        )
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
}

/// Reports the rows of one bucket that contradict the relation.
fn show(table: &str, relation: Relation, expected: Multiset, published: Multiset, report: &mut Report) {
    let (expected, published) = (expected.into_kept(), published.into_kept());
    let mut show = |difference: &str, rows: Vec<Vec<u8>>| {
        let lines = rows.iter().take(MAX_SHOWN).map(|row| format!("{table}: {difference}: {}", shown(row)));
        report.differences.extend(lines);
    };
    if relation != Relation::Included {
        show("missing", missing_in(&expected, &published));
    }
    if relation != Relation::Includes {
        show("not in the inputs", missing_in(&published, &expected));
    }
}
