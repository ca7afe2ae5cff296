//! Checks the output for given inputs: golden cases, property tests, input formats, faulty inputs and
//! `generate`.

#[expect(dead_code, reason = "the other test binaries use the rest")]
#[path = "../common/daemon.rs"]
mod daemon;
#[path = "../common/engine.rs"]
mod engine;
#[path = "../common/files.rs"]
mod files;
#[path = "../common/oracle.rs"]
mod oracle;
#[path = "../common/reference/mod.rs"]
mod reference;
#[path = "../common/size.rs"]
mod size;

mod bad_files;
mod catalog;
mod dates;
mod delimiter;
mod dialect_world;
mod dialects;
mod formats;
mod generate;
mod golden;
mod headers;
mod laws;
mod live_engine;
mod output_files;
mod packed;
mod parquet;
mod period_runs;
mod periods;
mod reference_edges;
mod reference_periods;
mod reference_settings;
mod stdin;
mod world;
