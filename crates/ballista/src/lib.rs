//! The part of `music-insights` that uses
//! [Apache DataFusion Ballista](https://datafusion.apache.org/ballista/). It submits jobs to the executors of a
//! cluster, and gives access to storage that all machines see.
//!
//! This crate does not read logs itself. The program that runs an executor provides a
//! [`JobHandler`](jobs::JobHandler), which reads them. This crate is not a general-purpose library: its API changes
//! with `music-insights`.
//!
//! Client:
//!
//! ```text
//! session         the connection to a cluster: submits jobs, reports progress, cancels
//! scheduler       a client of the scheduler's REST API
//! lease           locks a folder in a bucket, so that one client at a time writes to it
//! ```
//!
//! Executor:
//!
//! ```text
//! executor        the process that executes jobs
//! ```
//!
//! Both:
//!
//! ```text
//! jobs            sends each job as a row of an in-memory table; the executor returns a report
//! shared_storage  files and objects that all machines can access
//! open_file       reads a file or an object from any offset
//! error, lost     kinds of errors; recognises errors caused by a lost executor
//! logging         passes Ballista's log records to the program
//! ```
//!
//! Tests:
//!
//! ```text
//! sql             runs SQL in this process
//! ```

pub mod error;
pub mod executor;
pub mod jobs;
pub mod lease;
pub mod logging;
mod lost;
pub mod open_file;
pub mod scheduler;
pub mod session;
pub mod shared_storage;
pub mod sql;

/// The version of Ballista in this build. The scheduler must have the same major version.
pub use ballista_core::BALLISTA_VERSION;
