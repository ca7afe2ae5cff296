//! Columns of tables: name, type of the cells, and heading.

/// The type of a column's cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Any text.
    Text,
    /// An integer of at most 64 bits.
    Integer,
    /// A decimal number.
    Number,
    /// A point in time as RFC 3339 text with an offset.
    Time,
}

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name in the header.
    pub name: &'static str,
    /// The type of the cells.
    pub kind: ColumnType,
    /// The heading on the dashboard.
    pub title: &'static str,
}

impl Column {
    /// The id of a listener.
    pub const USER: Self = Self::text("user_id", "Listener");
    /// The id of a song.
    pub const SONG: Self = Self::text("song_id", "Song");
    /// The title of a song.
    pub const TITLE: Self = Self::text("title", "Title");
    /// The genre of a song.
    pub const GENRE: Self = Self::text("genre", "Genre");

    /// A column of text.
    pub const fn text(name: &'static str, title: &'static str) -> Self {
        Self { name, kind: ColumnType::Text, title }
    }

    /// A column of integers.
    pub const fn integer(name: &'static str, title: &'static str) -> Self {
        Self { name, kind: ColumnType::Integer, title }
    }

    /// A column of decimal numbers.
    pub const fn number(name: &'static str, title: &'static str) -> Self {
        Self { name, kind: ColumnType::Number, title }
    }

    /// A column of points in time.
    pub const fn time(name: &'static str, title: &'static str) -> Self {
        Self { name, kind: ColumnType::Time, title }
    }
}

/// The first line of a CSV file with these columns.
pub fn header(columns: &[Column]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    names.join(",") + "\n"
}
