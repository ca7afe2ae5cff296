//! The part of `music-insights` that uses
//! [Apache DataFusion Ballista](https://datafusion.apache.org/ballista/). It submits jobs to the executors of a
//! cluster, writes tables as Parquet to storage that all machines can access, and queries these tables with SQL.
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
//! liveness        which executors are alive
//! query           runs a query on the cluster and streams its rows
//! rows            rows of a result as text
//! sql             a query as data
//! ```
//!
//! Executor:
//!
//! ```text
//! executor        the process that executes jobs and queries
//! connections     pooled connections between executors
//! ```
//!
//! Both:
//!
//! ```text
//! jobs            sends each job as a row of an in-memory table; the executor returns a report
//! tables          the columns of the tables; writes and merges tables
//! shared_storage  files and objects that all machines can access
//! error, lost     kinds of errors; recognises errors caused by a lost executor
//! logging         passes Ballista's log records to the program
//! ```

mod connections;
pub mod error;
pub mod executor;
pub mod jobs;
pub mod liveness;
pub mod logging;
mod lost;
pub mod query;
pub mod rows;
pub mod scheduler;
pub mod session;
pub mod shared_storage;
pub mod sql;
pub mod tables;

/// The version of Ballista in this build. The scheduler must run the same version.
pub use ballista_core::BALLISTA_VERSION;
