//! Messages for people and machines, all of them on stderr: one a line, and none too often.

mod line;
mod repeats;

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::model::value::{LogFormat, LogLevel};
use crate::telemetry::logging::line::Message;
use crate::telemetry::logging::repeats::Repeats;

/// What the whole process says, and how.
#[derive(Debug)]
struct Speaker {
    filter: reload::Handle<Targets, Registry>,
    saying: Arc<Mutex<Saying>>,
}

static SPEAKER: OnceLock<Speaker> = OnceLock::new();

/// Sends messages to stderr from now on: as text, until settings say otherwise.
pub fn start() {
    let (filter, handle) = reload::Layer::new(targets(LogLevel::Info));
    let saying = Arc::new(Mutex::new(Saying::new()));
    let lines = Lines(Arc::clone(&saying));
    tracing_subscriber::registry().with(filter).with(lines).init();
    // Whoever started first has the word.
    let _ = SPEAKER.set(Speaker { filter: handle, saying });
}

/// Says everything in another form or down to another level from now on.
pub fn configure(format: LogFormat, level: LogLevel) {
    if let Some(speaker) = SPEAKER.get() {
        lock(&speaker.saying).format = format;
        // The subscriber lives as long as the process.
        let _ = speaker.filter.reload(targets(level));
    }
}

/// Says how often what was not said again has come, before the process ends.
pub fn finish() {
    if let Some(speaker) = SPEAKER.get() {
        let mut saying = lock(&speaker.saying);
        let rest = saying.repeats.take_all();
        saying.say_all(&rest);
    }
}

/// Ours from a level on; of others only what somebody should look at.
fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("music_insights", level)
}

/// A panic while something was said must not silence the rest.
fn lock(saying: &Mutex<Saying>) -> MutexGuard<'_, Saying> {
    saying.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How messages are said, and which were lately.
#[derive(Debug)]
struct Saying {
    format: LogFormat,
    colours: bool,
    repeats: Repeats,
    /// Whether somebody waits to say how often repeats have come.
    is_awaited: bool,
}

impl Saying {
    fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colours = wanted && std::io::stderr().is_terminal();
        Self { format: LogFormat::Text, colours, repeats: Repeats::default(), is_awaited: false }
    }

    fn say(&self, message: &Message) {
        let line = match self.format {
            LogFormat::Text => message.to_text(self.colours),
            LogFormat::Json => message.to_json(),
        };
        // That nobody listens any more is no reason to end, and nothing that could be said.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    fn say_all(&self, messages: &[Message]) {
        for message in messages {
            self.say(message);
        }
    }
}

/// What makes lines of events.
struct Lines(Arc<Mutex<Saying>>);

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let message = Message::of(event);
        let mut saying = lock(&self.0);
        let now = Instant::now();
        let due = saying.repeats.take_due(now);
        saying.say_all(&due);
        if saying.repeats.admit(&message, now) {
            saying.say(&message);
        } else if !std::mem::replace(&mut saying.is_awaited, true) {
            let saying = Arc::clone(&self.0);
            std::thread::spawn(move || say_repeats(&saying));
        }
    }
}

/// Says how often messages have come again when their minutes are over, until there are none.
fn say_repeats(saying: &Mutex<Saying>) {
    loop {
        let now = Instant::now();
        let mut guard = lock(saying);
        let due = guard.repeats.take_due(now);
        guard.say_all(&due);
        let Some(next) = guard.repeats.next_due() else {
            guard.is_awaited = false;
            return;
        };
        drop(guard);
        std::thread::sleep(next.saturating_duration_since(now));
    }
}
