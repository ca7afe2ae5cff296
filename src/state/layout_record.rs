//! The JSON format of the layout of an input.

use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ingest::decode::header::parse;
use crate::model::delimiter::Delimiter;
use crate::model::dialect::encoding::TextEncoding;
use crate::model::dialect::{Dialect, RowFormat};
use crate::model::layout::TypedCells;
use crate::model::value::from_text;
use crate::model::{FurtherFields, Header, Layout, RowLayout};

/// A layout. Fields with default values are absent, and so is the header of JSON Lines.
#[derive(Serialize, Deserialize)]
struct LayoutFormat {
    /// The header line. Empty if the file has no header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line: Option<String>,
    #[serde(default, skip_serializing_if = "Delimiter::is_comma")]
    delimiter: Delimiter,
    /// Absent in states of version 0.2.0, which read only the default columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    columns: Option<ColumnsFormat>,
    #[serde(default, deserialize_with = "from_text", skip_serializing_if = "is_utf8")]
    encoding: TextEncoding,
}

/// Where the fields of a row are.
#[derive(Serialize, Deserialize)]
struct ColumnsFormat {
    fields: usize,
    min_fields: usize,
    /// The indices of `user_id`, `song_id`, `timestamp` and `duration_sec`.
    positions: [usize; 4],
    ignores_further_fields: bool,
    quoting: bool,
    /// Whether timestamps and durations come from typed columns.
    typed: [bool; 2],
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_utf8(encoding: &TextEncoding) -> bool {
    encoding.is_utf8()
}

pub(super) fn serialize<S: Serializer>(layout: &Layout, serializer: S) -> Result<S::Ok, S::Error> {
    let encoding = layout.encoding;
    let format = match &layout.rows {
        RowLayout::JsonLines => {
            LayoutFormat { line: None, delimiter: Delimiter::COMMA, columns: None, encoding }
        }
        RowLayout::Csv(header) => LayoutFormat {
            line: Some(String::from_utf8_lossy(&header.line).into_owned()),
            delimiter: header.delimiter,
            columns: Some(ColumnsFormat {
                fields: header.fields,
                min_fields: header.min_fields,
                positions: [header.user, header.song, header.timestamp, header.duration],
                ignores_further_fields: header.further == FurtherFields::Ignored,
                quoting: header.quoting,
                typed: [header.typed.timestamp, header.typed.duration],
            }),
            encoding,
        },
    };
    format.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Layout>, D::Error> {
    let LayoutFormat { line, delimiter, columns, encoding } = LayoutFormat::deserialize(deserializer)?;
    let rows = match (line, columns) {
        (None, _) => RowLayout::JsonLines,
        (Some(line), Some(columns)) => RowLayout::Csv(header_of(line, delimiter, &columns)),
        (Some(line), None) => {
            let parsed = parse(line.as_bytes(), &Dialect::default(), RowFormat::Csv(delimiter));
            RowLayout::Csv(parsed.map_err(|fault| D::Error::custom(fault.detail))?.0)
        }
    };
    Ok(Arc::new(Layout { encoding, rows }))
}

fn header_of(line: String, delimiter: Delimiter, columns: &ColumnsFormat) -> Header {
    let [user, song, timestamp, duration] = columns.positions;
    let further = if columns.ignores_further_fields { FurtherFields::Ignored } else { FurtherFields::Empty };
    Header {
        fields: columns.fields,
        min_fields: columns.min_fields,
        further,
        user,
        song,
        timestamp,
        duration,
        delimiter,
        quoting: columns.quoting,
        typed: TypedCells { timestamp: columns.typed[0], duration: columns.typed[1] },
        line: line.into_bytes(),
    }
}
