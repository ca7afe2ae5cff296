//! The folders of a table in the output folder.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::insights::name_in_period;
use crate::publish::manifest::{PARQUET, PERIODS};
use crate::time::period::Period;

/// The folders of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFolders {
    /// The folder of the CSV files.
    pub csv: PathBuf,
    /// The folder of the Parquet files.
    pub parquet: PathBuf,
    /// Part of the temporary names of staged files. Several versions of a table can be staged at the same time.
    pub tag: Cow<'static, str>,
}

impl TableFolders {
    /// The folders of an insight.
    pub fn of(output: &Path, insight: &str) -> Self {
        Self { csv: output.join(insight), parquet: output.join(PARQUET).join(insight), tag: "".into() }
    }

    /// The folders of an insight of a period.
    pub fn of_period(output: &Path, period: Period, insight: &'static str) -> Self {
        let table = Path::new(PERIODS).join(period.path()).join(name_in_period(insight));
        Self { csv: output.join(&table), parquet: output.join(PARQUET).join(&table), tag: "".into() }
    }

    /// The same folders, with a tag for the temporary names of staged files.
    #[must_use]
    pub fn tagged(self, tag: impl Into<Cow<'static, str>>) -> Self {
        Self { tag: tag.into(), ..self }
    }

    /// Both folders.
    pub fn all(&self) -> [&Path; 2] {
        [&self.csv, &self.parquet]
    }
}
