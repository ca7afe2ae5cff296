//! How messages look on stderr: `warning: data/incoming/a.csv: …`, one a line.

use std::fmt;
use std::io::IsTerminal;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Sends messages to stderr from now on.
pub fn start() {
    let messages = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(Level::INFO);
    // That nobody listens any more is no reason to end, and nothing that could be said.
    let messages = messages.log_internal_errors(false);
    messages.with_ansi(std::io::stderr().is_terminal()).event_format(Lines).init();
}

struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (name, colour) = match *event.metadata().level() {
            Level::ERROR => ("error", 31),
            Level::WARN => ("warning", 33),
            _ => ("info", 32),
        };
        if out.has_ansi_escapes() {
            write!(out, "\x1b[{colour}m{name}\x1b[0m: ")?;
        } else {
            write!(out, "{name}: ")?;
        }
        context.format_fields(out.by_ref(), event)?;
        writeln!(out)
    }
}
