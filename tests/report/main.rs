//! The report and its charts.

#[expect(dead_code, reason = "the other test binaries use the rest")]
#[path = "../common/daemon.rs"]
mod daemon;

mod charts;
mod report;
