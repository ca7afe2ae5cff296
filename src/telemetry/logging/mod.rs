//! Messages on stderr: one line each, as text or JSON, with a limit on repetitions.

mod level;
mod message;
mod rate_limit;

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

pub use crate::telemetry::logging::level::{LoggingFormat, LoggingLevel};
use crate::telemetry::logging::message::Message;
use crate::telemetry::logging::rate_limit::RateLimiter;

/// The process-wide logger.
#[derive(Debug)]
struct Logger {
    filter: reload::Handle<Targets, Registry>,
    output: Arc<Mutex<Output>>,
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Starts to send messages to stderr. The format is text until [`configure`] changes it.
pub fn start() {
    let (filter, handle) = reload::Layer::new(targets(LoggingLevel::Info));
    let output = Arc::new(Mutex::new(Output::new()));
    let layer = OutputLayer(Arc::clone(&output));
    tracing_subscriber::registry().with(filter).with(layer).init();
    // The first initialisation wins.
    let _ = LOGGER.set(Logger { filter: handle, output });
}

/// Changes the format and level of all later messages.
pub fn configure(format: LoggingFormat, level: LoggingLevel) {
    if let Some(logger) = LOGGER.get() {
        lock(&logger.output).format = format;
        // This cannot fail, because the subscriber lives as long as the process.
        let _ = logger.filter.reload(targets(level));
    }
}

/// Writes the counts of all suppressed messages. Call it before the process ends.
pub fn finish() {
    if let Some(logger) = LOGGER.get() {
        let mut output = lock(&logger.output);
        let suppressed = output.limiter.take_all();
        output.write_all(&suppressed);
    }
}

/// The filter for messages. From this program, it passes messages that are at least as severe as `level`.
/// From other crates, it passes at most warnings and errors.
fn targets(level: LoggingLevel) -> Targets {
    let level = match level {
        LoggingLevel::Error => LevelFilter::ERROR,
        LoggingLevel::Warn => LevelFilter::WARN,
        LoggingLevel::Info => LevelFilter::INFO,
        LoggingLevel::Debug => LevelFilter::DEBUG,
    };
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("music_insights", level)
}

/// Locks the output even if a thread panicked while it held the lock, so that later messages are still
/// written.
fn lock(output: &Mutex<Output>) -> MutexGuard<'_, Output> {
    output.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Formats and writes messages.
#[derive(Debug)]
struct Output {
    format: LoggingFormat,
    colours: bool,
    limiter: RateLimiter,
    /// Whether a thread waits to write the counts of suppressed messages.
    has_reporter: bool,
}

impl Output {
    fn new() -> Self {
        // `NO_COLOR` follows the convention of no-color.org.
        let allowed = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colours = allowed && std::io::stderr().is_terminal();
        Self { format: LoggingFormat::Text, colours, limiter: RateLimiter::default(), has_reporter: false }
    }

    fn write(&self, message: &Message) {
        let line = match self.format {
            LoggingFormat::Text => message.to_text(self.colours),
            LoggingFormat::Json => message.to_json(),
        };
        // A closed stderr must not stop the program, and there is no place to report the error.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    fn write_all(&self, messages: &[Message]) {
        for message in messages {
            self.write(message);
        }
    }
}

/// The layer that turns tracing events into messages.
struct OutputLayer(Arc<Mutex<Output>>);

impl<S: Subscriber> Layer<S> for OutputLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let message = Message::of(event);
        let mut output = lock(&self.0);
        let now = Instant::now();
        let due = output.limiter.take_due(now);
        output.write_all(&due);
        if output.limiter.admit(&message, now) {
            output.write(&message);
        } else if !std::mem::replace(&mut output.has_reporter, true) {
            let output = Arc::clone(&self.0);
            std::thread::spawn(move || report_suppressed(&output));
        }
    }
}

/// Writes the counts of suppressed messages when their windows end. Returns when no suppressed message is
/// left.
fn report_suppressed(output: &Mutex<Output>) {
    loop {
        let now = Instant::now();
        let mut guard = lock(output);
        let due = guard.limiter.take_due(now);
        guard.write_all(&due);
        let Some(next) = guard.limiter.next_due() else {
            guard.has_reporter = false;
            return;
        };
        drop(guard);
        std::thread::sleep(next.saturating_duration_since(now));
    }
}
