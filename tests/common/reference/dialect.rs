//! Dialects: how the rows of logs or of the catalog are written. The fields have the names of the settings.

/// A dialect. Values are the texts of the settings.
#[derive(Debug, Clone)]
pub struct Dialect {
    /// For each field, the name of its column, its place such as `#3`, or nothing if there is no such column.
    pub columns: Vec<(&'static str, String)>,
    /// `first_line`, `none`, or the header of every file.
    pub header: String,
    /// `iso`, `unix_s`, `unix_ms`, `unix_us` or a pattern.
    pub timestamp: String,
    /// `s` or `ms`.
    pub duration: String,
    /// The decimal mark.
    pub decimal: char,
    pub delimiter: char,
    /// `utf-8`, or the label of an encoding with one byte per character.
    pub encoding: String,
    pub quoting: bool,
}

impl Dialect {
    fn of(fields: &[&'static str]) -> Dialect {
        Dialect {
            columns: fields.iter().map(|field| (*field, field.to_string())).collect(),
            header: "first_line".to_string(),
            timestamp: "iso".to_string(),
            duration: "s".to_string(),
            decimal: '.',
            delimiter: ',',
            encoding: "utf-8".to_string(),
            quoting: true,
        }
    }

    /// The default dialect of logs.
    pub fn of_logs() -> Dialect {
        Dialect::of(&["user_id", "song_id", "timestamp", "duration_sec"])
    }

    /// The default dialect of the catalog.
    pub fn of_catalog() -> Dialect {
        Dialect::of(&["song_id", "title", "artist", "genre", "mood"])
    }

    /// The dialect of a file. A name that ends in `.tsv` means tabs.
    pub fn of_file(&self, path: &str) -> Dialect {
        let mut dialect = self.clone();
        let name = path.to_ascii_lowercase();
        let name =
            [".gz", ".zst", ".bz2", ".xz"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        if name.ends_with(".tsv") {
            dialect.delimiter = '\t';
        }
        dialect
    }
}
