//! The kinds of files that hints are about.

/// The kind of file that was rejected. It determines the names of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A listening log, with settings under `[input]`.
    Log,
    /// The catalog, with settings under `[catalog]`.
    Catalog,
}

impl Subject {
    /// The table of the settings.
    pub fn table(self) -> &'static str {
        match self {
            Self::Log => "input",
            Self::Catalog => "catalog",
        }
    }
}

/// The hint for files of JSON Lines.
pub(super) fn json_hint() -> String {
    "for JSON Lines, set input.format = \"jsonl\", or let the name of the file end in .jsonl".to_owned()
}
