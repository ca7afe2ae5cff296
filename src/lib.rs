//! Turns a live stream of music listening logs into always-correct insight tables.

// Ground: no I/O, no tasks.

/// Calendar, time zones, the clock, the night window.
pub mod time;

/// The nouns: ids and their dictionaries, plays, inputs, rejects, errors.
pub mod model;

/// Cells, numbers and escapes as text.
pub mod text;

// Services that every room may use.

/// What the program tells about itself: metrics, heartbeat, messages.
pub mod telemetry;

/// The file system: the only code that writes.
pub mod storage;

// The flow, upstream to downstream.

/// Files to chunks of whole lines, chunks to batches of plays.
pub mod ingest;

/// The songs, and the file that may change.
pub mod catalog;

/// Sums of all plays, which know nothing of the catalog.
pub mod ledger;

/// The seven questions, one file each.
pub mod insights;

/// Settings from defaults, file, environment and command line.
pub mod settings;

/// The output folder: snapshots, append-only tables, the manifest.
pub mod publish;

/// What outlives the process: input progress, unmatched plays, checkpoints.
pub mod state;

/// The run: pipeline, coordinator, workers, recovery.
pub mod engine;

/// For readers: views, charts, the report, HTTP.
pub mod serve;

// Built of it.

/// Recomputes everything from the inputs and compares it with the published output.
pub mod verify;

/// The same insights on a cluster.
#[cfg(feature = "cluster")]
pub mod cluster;

/// Synthetic catalogs and logs.
pub mod generate;

/// Arguments and commands.
pub mod cli;
