//! A message and its two formats: `warning: data/incoming/a.csv: …`, or one JSON object.

use std::fmt::{Debug, Write as _};
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::telemetry::logging::level::LoggingLevel;
use crate::text::harmless;

/// A message: text, level, and named values for programs.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) text: String,
    level: LoggingLevel,
    fields: Map<String, Value>,
}

impl Message {
    #[cfg(test)]
    pub(super) fn new(level: LoggingLevel, text: &str) -> Self {
        Self { text: text.to_owned(), level, fields: Map::new() }
    }

    pub(super) fn of(event: &Event<'_>) -> Self {
        let level = match *event.metadata().level() {
            Level::ERROR => LoggingLevel::Error,
            Level::WARN => LoggingLevel::Warn,
            Level::INFO => LoggingLevel::Info,
            Level::DEBUG | Level::TRACE => LoggingLevel::Debug,
        };
        let mut message = Self { text: String::new(), level, fields: Map::new() };
        event.record(&mut message);
        message
    }

    /// Adds the number of suppressed repetitions to the message.
    pub(super) fn with_repetitions(mut self, times: u64) -> Self {
        let _ = write!(self.text, " (repeated {times} times)");
        self.fields.insert("repeated".to_owned(), times.into());
        self
    }

    pub(super) fn to_text(&self, colours: bool) -> String {
        let (name, colour) = match self.level {
            LoggingLevel::Error => ("error", 31),
            LoggingLevel::Warn => ("warning", 33),
            LoggingLevel::Info => ("info", 32),
            LoggingLevel::Debug => ("debug", 34),
        };
        let text = harmless(&self.text);
        if colours { format!("\x1b[{colour}m{name}\x1b[0m: {text}\n") } else { format!("{name}: {text}\n") }
    }

    pub(super) fn to_json(&self) -> String {
        let now = DateTime::<Utc>::from(SystemTime::now());
        let mut line = json!({
            "timestamp": now.to_rfc3339_opts(SecondsFormat::Millis, true),
            "level": self.level,
            "message": harmless(&self.text),
        });
        for (name, value) in &self.fields {
            line[name] = value.clone();
        }
        format!("{line}\n")
    }
}

/// Collects the fields of an event.
impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.text);
        } else {
            self.fields.insert(field.name().to_owned(), harmless(value).into());
        }
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_without_control_characters() {
        let mut message = Message::new(LoggingLevel::Error, "a\n\u{1b}[2J\u{202e}\".csv: gone");
        message.fields.insert("exit".to_owned(), 66.into());
        let escaped = r#"a\n\u{1b}[2J\u{202e}".csv: gone"#;
        assert_eq!(message.to_text(false), format!("error: {escaped}\n"));
        assert_eq!(message.to_text(true), format!("\u{1b}[31merror\u{1b}[0m: {escaped}\n"));
        let line = message.to_json();
        assert_eq!(line.matches('\n').count(), 1);
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["message"], escaped);
        assert_eq!((&read["level"], &read["exit"]), (&json!("error"), &json!(66)));
        assert!(DateTime::parse_from_rfc3339(read["timestamp"].as_str().unwrap()).is_ok());
    }
}
