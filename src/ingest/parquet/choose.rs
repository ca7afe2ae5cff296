//! Chooses the columns of a Parquet file that become columns of the CSV text.

use ::parquet::basic::Type as PhysicalType;
use ::parquet::errors::ParquetError;
use ::parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use crate::ingest::decode::header::find_column;
use crate::ingest::parquet::cell::Meaning;
use crate::model::dialect::columns::{ColumnName, LogColumns, compare_names};
use crate::model::layout::TypedCells;

/// A column of the CSV text.
#[derive(Clone, Debug)]
pub(super) struct ChosenColumn {
    /// The name. Dots separate the names of nested groups.
    pub(super) name: String,
    /// The index of the column with the cells. `None` if all cells are empty, because the column only keeps
    /// the places of other columns or shows its name.
    pub(super) leaf: Option<usize>,
}

/// A column that has cells without repetition.
struct Candidate {
    name: String,
    leaf: Option<usize>,
    is_nested: bool,
}

/// The columns of the text: the wanted columns. If a wanted column has a place, all columns before this
/// place are there, too. If a wanted column is missing, the names of all columns are there, so that the
/// reject shows them. Without wanted columns, all columns have cells.
///
/// # Errors
/// If a wanted place has a group or a repeated column, or if the file has no column with cells.
pub(super) fn choose(
    schema: &SchemaDescriptor,
    wanted: &[ColumnName],
) -> Result<Vec<ChosenColumn>, ParquetError> {
    let candidates = candidates(schema);
    if candidates.iter().all(|column| column.leaf.is_none()) {
        return Err(ParquetError::General("the file has no flat columns".to_owned()));
    }
    let found: Vec<Vec<usize>> = wanted.iter().map(|name| matches(name, &candidates)).collect();
    let places = wanted.iter().filter_map(|column| match column {
        ColumnName::Index(index) => Some(*index),
        ColumnName::Name(_) => None,
    });
    let top_level = candidates.iter().filter(|column| !column.is_nested).count();
    if let Some(place) = places.clone().find(|&place| place < top_level && candidates[place].leaf.is_none()) {
        let message = format!("column #{} is a group or a repeated column", place + 1);
        return Err(ParquetError::General(message));
    }
    let last_place = places.map(|place| place + 1).max().unwrap_or_default().min(top_level);
    let shows_names = found.iter().any(Vec::is_empty);
    let chosen = candidates.into_iter().enumerate().filter_map(|(index, Candidate { name, leaf, .. })| {
        let is_wanted = wanted.is_empty() || found.iter().flatten().any(|&found| found == index);
        if is_wanted && leaf.is_some() {
            return Some(ChosenColumn { name, leaf });
        }
        let is_shown = index < last_place || shows_names && leaf.is_some();
        is_shown.then_some(ChosenColumn { name, leaf: None })
    });
    Ok(chosen.collect())
}

/// The columns at the top level by their places, then the nested columns. A column that cannot be read has no
/// name.
fn candidates(schema: &SchemaDescriptor) -> Vec<Candidate> {
    let leaves = || schema.columns().iter().enumerate().filter(|(_, column)| column.max_rep_level() == 0);
    let top_level = schema.root_schema().get_fields().iter().enumerate().map(|(place, field)| {
        let is_leaf = |index: usize, column: &ColumnDescriptor| {
            schema.get_column_root_idx(index) == place && column.path().parts().len() == 1
        };
        let leaf = leaves().find(|(index, column)| is_leaf(*index, column)).map(|(index, _)| index);
        let name = leaf.map_or_else(String::new, |_| field.name().to_owned());
        Candidate { name, leaf, is_nested: false }
    });
    let nested = leaves().filter(|(_, column)| column.path().parts().len() > 1).map(|(index, column)| {
        Candidate { name: column.path().parts().join("."), leaf: Some(index), is_nested: true }
    });
    top_level.chain(nested).collect()
}

/// The columns that a wanted column may stand for. A name at the top level wins over a nested one.
fn matches(wanted: &ColumnName, candidates: &[Candidate]) -> Vec<usize> {
    let name = match wanted {
        ColumnName::Index(index) => {
            let found = candidates.get(*index).filter(|column| !column.is_nested);
            return found.map(|_| *index).into_iter().collect();
        }
        ColumnName::Name(name) => name.as_bytes(),
    };
    let at = |is_nested: bool| -> Vec<usize> {
        let matches = |column: &Candidate| {
            column.leaf.is_some()
                && column.is_nested == is_nested
                && compare_names(column.name.as_bytes(), name).is_some()
        };
        (0..candidates.len()).filter(|&index| matches(&candidates[index])).collect()
    };
    let top_level = at(false);
    if top_level.is_empty() { at(true) } else { top_level }
}

/// Which cells of a log have types. The decoder then finds the same columns in the header of the text.
///
/// # Errors
/// The same as for [`choose`].
pub(super) fn typed_cells(
    schema: &SchemaDescriptor,
    columns: &LogColumns,
) -> Result<TypedCells, ParquetError> {
    let chosen = choose(schema, &columns.in_order().map(Clone::clone))?;
    let names: Vec<&[u8]> = chosen.iter().map(|column| column.name.as_bytes()).collect();
    let descriptor = |column| {
        let place = find_column(column, &names).ok().flatten()?;
        Some(schema.column(chosen[place].leaf?))
    };
    Ok(TypedCells {
        timestamp: descriptor(&columns.timestamp).is_some_and(|column| is_time(&column)),
        duration: descriptor(&columns.duration_sec).is_some_and(|column| is_number(&column)),
    })
}

fn is_time(column: &ColumnDescriptor) -> bool {
    matches!(Meaning::of(column), Meaning::Time { .. } | Meaning::Date)
        || column.physical_type() == PhysicalType::INT96
}

fn is_number(column: &ColumnDescriptor) -> bool {
    let has_digits = matches!(
        column.physical_type(),
        PhysicalType::INT32 | PhysicalType::INT64 | PhysicalType::FLOAT | PhysicalType::DOUBLE
    );
    match Meaning::of(column) {
        Meaning::Decimal(_) => true,
        Meaning::Plain | Meaning::Unsigned => has_digits,
        Meaning::Time { .. } | Meaning::Date | Meaning::Uuid => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::parquet::schema::parser::parse_message_type;
    use std::sync::Arc;

    const SCHEMA: &str = "message log {
        optional binary User_ID (UTF8);
        optional group track { optional binary id (UTF8); repeated binary tags (UTF8); }
        repeated int32 scores;
        optional int64 timestamp;
        optional int64 at (TIMESTAMP_MILLIS);
        optional int96 old;
        optional binary duration_sec (UTF8);
        optional fixed_len_byte_array(4) exact (DECIMAL(9, 3));
        optional boolean flag;
        optional group m { optional group n { required double seconds; } }
    }";

    fn schema() -> SchemaDescriptor {
        SchemaDescriptor::new(Arc::new(parse_message_type(SCHEMA).unwrap()))
    }

    /// The names of the chosen columns. A column without cells is in parentheses.
    fn names(wanted: &[&str]) -> String {
        let wanted: Vec<ColumnName> = wanted.iter().map(|name| name.parse().unwrap()).collect();
        let show = |column: ChosenColumn| match column.leaf {
            Some(_) => column.name,
            None => format!("({})", column.name),
        };
        match choose(&schema(), &wanted) {
            Ok(chosen) => chosen.into_iter().map(show).collect::<Vec<_>>().join(","),
            Err(cause) => cause.to_string(),
        }
    }

    #[test]
    fn wanted_columns_are_chosen_by_name_or_place() {
        for (wanted, expected) in [
            (&["user_id", "timestamp"][..], "User_ID,timestamp"),
            (&["Track.ID", "m.n.seconds", "user_id"], "User_ID,track.id,m.n.seconds"),
            (&["#1", "#4"], "User_ID,(),(),timestamp"),
            (&["track.id", "#1"], "User_ID,track.id"),
            (&["#2"], "Parquet error: column #2 is a group or a repeated column"),
            (&["#3"], "Parquet error: column #3 is a group or a repeated column"),
        ] {
            assert_eq!(names(wanted), expected, "{wanted:?}");
        }
        let all = names(&["user_id", "track"]);
        assert_eq!(
            all,
            "User_ID,(timestamp),(at),(old),(duration_sec),(exact),(flag),(track.id),(m.n.seconds)"
        );
        assert_eq!(names(&[]), all.replace(['(', ')'], ""));
        assert!(names(&["#11"]).starts_with("(User_ID),(),(),(timestamp)"));
    }

    #[test]
    fn typed_cells_do_not_follow_the_dialect() {
        for (timestamp, duration_sec, expected) in [
            ("timestamp", "duration_sec", (false, false)),
            ("at", "exact", (true, true)),
            ("old", "m.n.seconds", (true, true)),
            ("#5", "#4", (true, true)),
            ("user_id", "flag", (false, false)),
            ("missing", "missing", (false, false)),
        ] {
            let columns = LogColumns {
                timestamp: timestamp.parse().unwrap(),
                duration_sec: duration_sec.parse().unwrap(),
                user_id: "user_id".parse().unwrap(),
                song_id: "track.id".parse().unwrap(),
            };
            let typed = typed_cells(&schema(), &columns).unwrap();
            assert_eq!((typed.timestamp, typed.duration), expected, "{timestamp} {duration_sec}");
        }
    }
}
