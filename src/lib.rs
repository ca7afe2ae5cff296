//! Insights from music listening logs.
//!
//! The binary `music-insights` tails logs of plays, joins them with a catalog of songs, and publishes
//! seven tables. Each play counts exactly once. The binary is a thin layer over this library.
//!
//! **This is not a stable API.** Modules and items may change in every release. Settings, output,
//! HTTP API and exit codes of the binary follow semantic versioning.
//!
//! ```text
//! logs ──▶ ingest ──▶ engine (coordinator) ◀── catalog
//!                        │
//!                        ├──▶ ledger ──▶ insights ──▶ publish ──▶ output/ ──▶ serve
//!                        └──▶ state
//! ```
//!
//! - [`ingest`] reads logs as chunks of whole lines, and decodes chunks to batches of plays.
//! - [`catalog`] holds the songs and watches the catalog file for changes.
//! - [`ledger`] keeps sums over all plays. Insights are computed from these sums.
//! - [`insights`] has one file per insight.
//! - [`publish`] writes snapshots, append-only tables and the manifest.
//! - [`state`] stores everything that must survive a restart.
//! - [`engine`] connects these stages and runs them.
//!
//! # Example
//!
//! This example turns bytes into the rows of an insight, without files or threads:
//!
//! ```
//! use std::sync::Arc;
//!
//! use music_insights::ingest::decode::header::default_layout;
//! use music_insights::insights::night_owl_users::{NightOwlUsers, Settings};
//! use music_insights::model::dictionary::Dictionaries;
//! use music_insights::model::sorted_ids::SortedIds;
//! use music_insights::model::{Chunk, Content, Input, InputId, Position, Span, Text};
//! use music_insights::time::civil::Week;
//! use music_insights::time::date_range::DateRange;
//! use music_insights::time::zone::Zone;
//! use music_insights::{Cut, Decoder, Insight, Ledger};
//!
//! let log = b"u1,s1,2025-03-21 02:30:00,180\nu2,s1,2025-03-21 12:00:00,95.5\n";
//! let layout = default_layout(b"user_id,song_id,timestamp,duration_sec").unwrap();
//! let chunk = Chunk {
//!     input: Arc::new(Input { id: InputId(0), label: "example.csv".to_owned() }),
//!     span: Span { from: 39, to: 39 + log.len() as u64, first_line: 2 },
//!     position: Position::default(),
//!     read_at: 1_742_600_000,
//!     content: Content::Lines(Arc::new(layout), Text::new(log.to_vec(), log.len())),
//! };
//!
//! let dictionaries = Arc::new(Dictionaries::default());
//! let zone = Zone::named("UTC").unwrap();
//! let dialect = Arc::default();
//! let dates = DateRange::default();
//! let decoder = Decoder { dictionaries: Arc::clone(&dictionaries), zone, max_future: 3600, dialect, dates };
//! let batch = decoder.decode(chunk);
//! assert_eq!((batch.plays(), batch.rejects.len()), (2, 0));
//!
//! let settings = Settings::default();
//! let mut ledger = Ledger::new(settings.window());
//! ledger.observe(&batch);
//! let changes = Arc::new(ledger.cut());
//! let mut user_order = SortedIds::default();
//! user_order.extend(&dictionaries.users.read());
//! let cut = Cut {
//!     period: None,
//!     ledger: Arc::new(ledger),
//!     changes,
//!     catalog: Arc::default(),
//!     new_catalog: true,
//!     dictionaries,
//!     user_order: Arc::new(user_order),
//!     song_order: Arc::default(),
//!     current_week: Week(0),
//!     threads: 1,
//! };
//!
//! let mut insight = NightOwlUsers::new(settings);
//! assert!(insight.refresh(&cut), "there are new rows");
//! let mut csv = Vec::new();
//! insight.render(&cut, &mut |lines| csv.extend_from_slice(lines));
//! assert_eq!(csv, b"user_id\nu1\n");
//! ```

pub use crate::engine::coordinator::RunSummary;
pub use crate::engine::pipeline::Pipeline;
pub use crate::ingest::decode::Decoder;
pub use crate::ingest::source::replay::Replay;
pub use crate::ingest::source::watch::Watch;
pub use crate::insights::{Cut, Insight};
pub use crate::ledger::Ledger;
pub use crate::model::error::Error;
pub use crate::publish::manifest::Manifest;
pub use crate::settings::Settings;

// A room is a top-level module. Rooms are listed in the order of imports: a room imports only rooms above
// it. Rooms that only the binary, tests and benches need are hidden from the documentation.

// ── Ground: no I/O, no tasks ────────────────────────────────────────────────────────────────────

// Calendar dates, time zones, the clock, and daily windows such as the night.
pub mod time;

// Types that the stages exchange (ids, chunks, batches, rejects), dictionaries and errors.
pub mod model;

// Cells, numbers, timestamps and escapes as text.
#[doc(hidden)]
pub mod text;

// ── Services: for all rooms below ───────────────────────────────────────────────────────────────

// Metrics, heartbeat, systemd notification, messages and progress.
pub mod telemetry;

// The interface to the file system, and the only code that writes files.
pub mod storage;

// ── Flow: upstream to downstream ────────────────────────────────────────────────────────────────

// Reads logs as chunks of whole lines, and decodes chunks to batches of plays.
pub mod ingest;

// The songs and the catalog file.
pub mod catalog;

// Sums over all plays, independent of the catalog.
pub mod ledger;

// The seven insights, one file each.
pub mod insights;

// Settings from flags, environment, file and defaults.
pub mod settings;

// The output folder: snapshots, append-only tables and the manifest.
pub mod publish;

// Data that survives a restart: input progress, unmatched plays, checkpoints.
pub mod state;

// The pipeline, the coordinator, the workers, and recovery at start.
pub mod engine;

// The current epoch for readers: views, charts, the report and the HTTP server.
#[doc(hidden)]
pub mod serve;

// ── Tools: use the rooms above ──────────────────────────────────────────────────────────────────

// Recomputes everything from the inputs and compares it with the published output.
#[doc(hidden)]
pub mod verify;

// The same insights on a Ballista cluster.
#[cfg(feature = "cluster")]
#[doc(hidden)]
pub mod cluster;

// Synthetic catalogs and logs.
#[doc(hidden)]
pub mod generate;

// Arguments, commands and exit codes.
#[doc(hidden)]
pub mod cli;
