//! The description of an insight for readers, and the interface of its settings.

use std::fmt::Write as _;

use crate::insights::column::{self, Column};
use crate::insights::query::{Parameter, Weeks};

/// The name, texts, columns and query of an insight.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The name of the insight in the output folder, in settings and in metrics.
    pub name: &'static str,
    /// The heading on the dashboard and in the report.
    pub title: &'static str,
    /// The question that the insight answers. It also describes the settings of the insight.
    pub question: &'static str,
    /// An explanation for readers. `{key}` stands for the value of a setting of the insight. `{timezone}` and
    /// `{published_week}` stand for the time zone and the published week.
    pub meaning: &'static str,
    /// The columns, in the order of the header.
    pub columns: &'static [Column],
    /// What the dashboard shows in place of a table without rows.
    pub empty: &'static str,
    /// The query that computes the insight on a cluster. Parameters are written as `$name`.
    pub sql: &'static str,
}

impl About {
    /// The first line of a file of the insight.
    pub fn header(&self) -> String {
        column::header(self.columns)
    }

    /// Whether each row belongs to a listener.
    pub fn is_by_listener(&self) -> bool {
        self.columns.first().is_some_and(|column| column.name == Column::USER.name)
    }

    /// The explanation for readers, with values in place of placeholders. Unknown placeholders stay
    /// unchanged.
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

/// The methods that every settings table `[insights.<name>]` provides.
pub trait InsightSettings {
    /// The parameters of the SQL query, by name.
    fn parameters(&self, weeks: Weeks) -> Vec<(&'static str, Parameter)>;

    /// The content of the CSV file if the insight has no rows. With `None`, such a file has only a header.
    fn message(&self) -> Option<String> {
        None
    }

    /// Checks values that depend on each other.
    ///
    /// # Errors
    /// The keys with wrong values, and the values that these keys allow.
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
