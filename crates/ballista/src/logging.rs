//! Passes log records of Ballista and DataFusion to the program.

use log::{Level, LevelFilter, Log, Metadata, Record};

/// Receives a log message. The first argument is whether the message is an error. The second argument is its text.
pub type Sink = fn(bool, &str);

struct Forwarder(Sink);

impl Log for Forwarder {
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

/// Forwards warnings and errors of the engine to `sink`. Only the first call has an effect.
pub fn forward(sink: Sink) {
    if log::set_logger(Box::leak(Box::new(Forwarder(sink)))).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}
