//! The columns of the catalog file.

use crate::ingest::decode::header::{ColumnSearch, Columns, HeaderFault};
use crate::ingest::decode::record::Record;
use crate::model::FurtherFields;
use crate::model::dialect::CatalogDialect;
use crate::model::dialect::columns::{CATALOG_FIELDS, ColumnName};

/// Where the rows of a catalog have their fields.
#[derive(Debug)]
pub struct CatalogLayout {
    /// Number of fields in a row.
    pub(super) fields: usize,
    min_fields: usize,
    further: FurtherFields,
    positions: [Option<usize>; 5],
    /// The header without its line end. Rows that are equal to it are skipped. Empty if there is none.
    pub(super) header: Vec<u8>,
}

impl CatalogLayout {
    /// Finds the columns in a header without its line end.
    ///
    /// # Errors
    /// The fault of the header.
    pub fn of_header(header: &[u8], dialect: &CatalogDialect) -> Result<Self, HeaderFault> {
        let Columns { fields, min_fields, positions, .. } = ColumnSearch {
            table: "catalog",
            delimiter: dialect.delimiter,
            quoting: dialect.quoting,
            fields: CATALOG_FIELDS,
            columns: dialect.columns.in_order(),
        }
        .find(header)?;
        let header = header.to_vec();
        Ok(Self { fields, min_fields, further: FurtherFields::Empty, positions, header })
    }

    /// The layout of a catalog without a header. The settings have checked that all columns are places.
    pub(super) fn without_header(dialect: &CatalogDialect) -> Self {
        let place = |column: &ColumnName| match column {
            ColumnName::Index(index) => Some(*index),
            ColumnName::Name(_) => None,
        };
        let positions = dialect.columns.in_order().map(|column| column.and_then(place));
        let fields = positions.iter().flatten().max().map_or(0, |last| last + 1);
        let further = FurtherFields::Ignored;
        Self { fields, min_fields: fields, further, positions, header: Vec::new() }
    }

    /// The number of fields that a row must not exceed, unless the further fields are empty.
    pub(super) fn max_fields(&self) -> usize {
        match self.further {
            FurtherFields::Empty => self.fields,
            FurtherFields::Ignored => usize::MAX,
        }
    }

    /// Whether a record has all fields. Fields after the last column must be empty, such as those of trailing
    /// delimiters. If the last columns have no names, their fields may be missing.
    pub(super) fn has_all_fields(&self, record: &Record) -> bool {
        record.len() >= self.min_fields && record.fields().skip(self.max_fields()).all(<[u8]>::is_empty)
    }

    /// Index of `song_id`.
    pub(super) fn song_id(&self) -> usize {
        self.positions[0].unwrap_or_default()
    }

    /// The fields of a row: id, title, artist, genre, mood. `field` returns the field at an index. A column that
    /// the catalog does not have is empty.
    pub(super) fn fields_of<'a>(&self, field: impl Fn(usize) -> Option<&'a [u8]>) -> [&'a [u8]; 5] {
        self.positions.map(|position| position.and_then(&field).unwrap_or_default())
    }
}
