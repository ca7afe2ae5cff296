//! The interfaces of the program: command line, settings, documentation, HTTP API, dashboard and systemd.

#[path = "../common/browser.rs"]
mod browser;
#[path = "../common/client.rs"]
mod client;
#[expect(dead_code, reason = "the other test binaries use the rest")]
#[path = "../common/daemon.rs"]
mod daemon;
#[path = "../common/oracle.rs"]
mod oracle;

mod cli;
mod config;
mod docs;
mod generated_docs;
mod http;
mod http_periods;
mod page;
mod page_periods;
mod rejected_runs;
mod shell;
mod systemd;
