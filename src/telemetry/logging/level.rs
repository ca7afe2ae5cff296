//! Format and level of messages, as settings.

use crate::model::value::keywords;

keywords! {
    /// The format of messages on stderr.
    pub enum LoggingFormat {
        /// `warning: …`, for people.
        Text = "text",
        /// One JSON object per line, for machines.
        Json = "json",
    }
}

keywords! {
    /// The minimum severity of messages.
    #[derive(PartialOrd, Ord)]
    pub enum LoggingLevel {
        /// Errors that end a command or lose data.
        Error = "error",
        /// Problems that need attention.
        Warn = "warn",
        /// Occasional events.
        Info = "info",
        /// Details for debugging the program.
        Debug = "debug",
    }
}
