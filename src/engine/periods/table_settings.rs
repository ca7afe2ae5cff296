//! The settings that decide what the tables of a period look like.

use std::path::PathBuf;

use xxhash_rust::xxh3::xxh3_128;

use crate::catalog::Catalog;
use crate::insights;
use crate::publish::OutputFormats;
use crate::publish::manifest::hash_text;
use crate::settings::{PeriodInsights, Settings};

/// The settings that decide what the tables of a period look like.
#[derive(Clone, Debug)]
pub(super) struct TableSettings {
    pub(super) output: PathBuf,
    pub(super) formats: OutputFormats,
    pub(super) insights: insights::Settings,
    pub(super) names: PeriodInsights,
}

impl TableSettings {
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            output: settings.output.clone(),
            formats: OutputFormats::of(settings),
            insights: settings.insights.clone(),
            names: settings.periods.insights.clone(),
        }
    }

    /// The catalog and the settings as a hash. Tables with the same plays and the same basis are the same.
    pub(super) fn basis(&self, catalog: &Catalog) -> String {
        let catalog = catalog.fingerprint();
        let text = format!(
            "{} {catalog:032x} {} {:?} {}",
            env!("CARGO_PKG_VERSION"),
            self.names,
            self.formats,
            serde_json::to_string(&self.insights).expect("settings are plain data"),
        );
        hash_text(xxh3_128(text.as_bytes()))
    }
}
