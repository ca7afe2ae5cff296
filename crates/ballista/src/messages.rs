//! What the engine says of itself, handed to those who show messages.

use log::{Level, LevelFilter, Log, Metadata, Record};

/// Shows a message; whether it is an error, and its text.
pub type Show = fn(bool, &str);

struct Forward(Show);

impl Log for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            (self.0)(record.level() == Level::Error, &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// From here on, warnings and errors of the engine are shown. Only the first call has an effect.
pub fn forward(show: Show) {
    if log::set_logger(Box::leak(Box::new(Forward(show)))).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}
