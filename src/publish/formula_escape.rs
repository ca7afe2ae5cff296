//! Escapes CSV cells that a spreadsheet would run as formulas (OWASP: CSV injection).

use crate::insights::{Column, ColumnType, columns};

/// Appends CSV lines to `out`, with an apostrophe before each text cell that begins with `=`, `+`, `-`,
/// `@`, a tab or a carriage return. Cells with numbers or times stay unchanged.
///
/// ```
/// use music_insights::insights::columns;
/// let mut out = Vec::new();
/// let lines = b"user_id,genre,play_count\n=1+1,\"-a,b\",7\n";
/// # use music_insights::publish::formula_escape::escape_formulas;
/// escape_formulas(columns("user_favorite_genres").unwrap(), lines, &mut out);
/// assert_eq!(out, b"user_id,genre,play_count\n'=1+1,\"'-a,b\",7\n");
/// ```
pub fn escape_formulas(columns: &[Column], lines: &[u8], out: &mut Vec<u8>) {
    out.reserve(lines.len());
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        let mut rest = line;
        for column in columns {
            let (cell, more) = rest.split_at(cell_len(rest));
            let (quote, text) = cell.split_at(usize::from(cell.starts_with(b"\"")));
            out.extend_from_slice(quote);
            if column.kind == ColumnType::Text && is_formula(text) {
                out.push(b'\'');
            }
            out.extend_from_slice(text);
            rest = more;
        }
        out.extend_from_slice(rest);
    }
}

/// Whether a spreadsheet could read a text as a formula. A leading tab or carriage return counts,
/// because some programs skip it.
pub fn is_formula(text: &[u8]) -> bool {
    matches!(text, [b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r', ..])
}

/// The length of the first cell of a line, including its quotes and the comma or line feed after it.
fn cell_len(line: &[u8]) -> usize {
    let mut quoted = false;
    let end = line.iter().position(|&byte| {
        quoted ^= byte == b'"';
        byte == b',' && !quoted
    });
    end.map_or(line.len(), |comma| comma + 1)
}

/// The setting `csv.escape_formulas`, applied to the lines of one table.
#[derive(Clone, Copy, Debug, Default)]
pub struct FormulaEscape(Option<&'static [Column]>);

impl FormulaEscape {
    /// Escapes the columns of an insight. Lines stay unchanged unless `enabled` is set.
    pub fn of(insight: &str, enabled: bool) -> Self {
        Self::of_columns(columns(insight).unwrap_or_default(), enabled)
    }

    /// Escapes the given columns. Lines stay unchanged unless `enabled` is set.
    pub fn of_columns(columns: &'static [Column], enabled: bool) -> Self {
        Self(enabled.then_some(columns))
    }

    /// Returns the lines to write: escaped lines in `buffer`, or `lines` themselves if escaping is disabled.
    #[inline]
    pub fn apply<'a>(self, lines: &'a [u8], buffer: &'a mut Vec<u8>) -> &'a [u8] {
        let Some(columns) = self.0 else { return lines };
        buffer.clear();
        escape_formulas(columns, lines, buffer);
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::decode::record::Record;
    use crate::text::push_cell;
    use proptest::prelude::*;

    const COLUMNS: [Column; 3] = [Column::USER, Column::number("plays", "Plays"), Column::TITLE];

    fn line(cells: &[String; 3]) -> Vec<u8> {
        let mut line = Vec::new();
        for (cell, end) in cells.iter().zip([b',', b',', b'\n']) {
            push_cell(&mut line, cell.as_bytes());
            line.push(end);
        }
        line
    }

    #[test]
    fn text_cells_that_start_a_formula_are_escaped_and_numbers_are_not() {
        for first in ["=", "+", "-", "@", "\t", "\r"] {
            let cell = format!("{first}1");
            let mut out = Vec::new();
            escape_formulas(&COLUMNS, &line(&[cell.clone(), "-1".to_owned(), cell.clone()]), &mut out);
            let escaped = format!("'{cell}");
            assert_eq!(out, line(&[escaped.clone(), "-1".to_owned(), escaped]));
        }
        let mut buffer = Vec::new();
        assert_eq!(
            FormulaEscape::of("night_owl_users", false).apply(b"user_id\n=1\n", &mut buffer),
            b"user_id\n=1\n"
        );
        assert_eq!(
            FormulaEscape::of("night_owl_users", true).apply(b"user_id\n=1\n", &mut buffer),
            b"user_id\n'=1\n"
        );
        let message = b"message\nNo users found with genre loyalty score above 0.8.\n";
        assert_eq!(FormulaEscape::of("genre_loyalty_scores", true).apply(message, &mut buffer), message);
    }

    proptest! {
        #[test]
        fn no_text_cell_starts_a_formula_and_other_cells_are_unchanged(
            rows in proptest::collection::vec(proptest::array::uniform3("[=+@\t\r\",;'é a-]{0,4}"), 0..8),
        ) {
            let text: Vec<u8> = rows.iter().flat_map(line).collect();
            let mut out = Vec::new();
            escape_formulas(&COLUMNS, &text, &mut out);
            let mut record = Record::default();
            let lines: Vec<&[u8]> = out.split_inclusive(|&byte| byte == b'\n').collect();
            prop_assert_eq!(lines.len(), rows.len());
            for (line, row) in lines.into_iter().zip(&rows) {
                record.read(line.strip_suffix(b"\n").unwrap()).unwrap();
                prop_assert_eq!(record.len(), 3);
                for (index, (cell, before)) in record.fields().zip(row).enumerate() {
                    let text = COLUMNS[index].kind == ColumnType::Text;
                    let formula = text && before.starts_with(['=', '+', '-', '@', '\t', '\r']);
                    let expected = if formula { format!("'{before}") } else { before.clone() };
                    prop_assert_eq!(std::str::from_utf8(cell).unwrap(), expected);
                }
            }
        }
    }
}
