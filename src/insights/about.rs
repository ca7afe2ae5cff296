//! The description of an insight for readers, and its settings as the rest of the program sees them.

use std::fmt::Write as _;

use crate::insights::column::{self, Column};
use crate::insights::query::{Parameter, Weeks};

/// What the program knows of an insight besides its computation.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The name of its output folder, its settings and its metrics.
    pub name: &'static str,
    /// The heading on the dashboard and in the report.
    pub title: &'static str,
    /// The question that it answers; describes its settings too.
    pub question: &'static str,
    /// A sentence for readers. `{key}` stands for the value of a setting of the insight, or for the
    /// `timezone` or the `published_week`.
    pub meaning: &'static str,
    /// The columns, in the order of the header.
    pub columns: &'static [Column],
    /// What the dashboard shows in place of a table without rows.
    pub empty: &'static str,
    /// The query with which a cluster answers the question. Parameters are written `$name`.
    pub sql: &'static str,
}

impl About {
    /// The first line of a file of the insight.
    pub fn header(&self) -> String {
        column::header(self.columns)
    }

    /// The sentence for readers with the values of its placeholders; an unknown one is left as it is.
    pub fn meaning(&self, value_of: impl Fn(&str) -> Option<String>) -> String {
        let mut text = String::new();
        let mut rest = self.meaning;
        while let Some((before, (key, after))) =
            rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
        {
            text.push_str(before);
            match value_of(key) {
                Some(value) => text.push_str(&value),
                None => drop(write!(text, "{{{key}}}")),
            }
            rest = after;
        }
        text + rest
    }
}

/// What every `[insights.<name>]` provides besides its values.
pub trait InsightSettings {
    /// The parameters of the SQL query, by name.
    fn parameters(&self, weeks: Weeks) -> Vec<(&'static str, Parameter)>;

    /// The CSV file in place of a table without rows; without it, the file has only a header.
    fn message(&self) -> Option<String> {
        None
    }

    /// Checks values that depend on each other.
    ///
    /// # Errors
    /// The keys and what they must be.
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 2] = [Column::USER, Column::integer("plays", "Plays")];

    #[test]
    fn placeholders_are_replaced_by_their_values() {
        let about = About {
            name: "a",
            title: "A",
            question: "A?",
            meaning: "From {from} to {to} in {nothing}, {open",
            columns: &COLUMNS,
            empty: "",
            sql: "",
        };
        let value = |key: &str| ["from", "to"].contains(&key).then(|| key.to_uppercase());
        assert_eq!(about.meaning(value), "From FROM to TO in {nothing}, {open");
        assert_eq!(about.header(), "user_id,plays\n");
    }
}
