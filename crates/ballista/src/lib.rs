//! The part of `music-insights` that uses
//! [Apache DataFusion Ballista](https://datafusion.apache.org/ballista/). It submits jobs to the executors of a
//! cluster, writes tables as Parquet to storage that all machines see, and queries these tables in SQL.
//!
//! This crate does not know how a log is read. The program that hosts an executor provides a
//! [`JobHandler`](jobs::JobHandler) for that. It is not a general-purpose library: its API changes with
//! `music-insights`.
//!
//! Client:
//!
//! ```text
//! session         the connection to a cluster: submits jobs, reports progress, cancels
//! scheduler       the REST API of the scheduler
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
//! jobs            a job travels as a row of an in-memory table; an executor replies with a report
//! tables          the columns of the tables; writing and merging them
//! shared_storage  files and objects that all machines see
//! error, lost     error kinds, and which errors mean that an executor was lost
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

/// The version of Ballista in this build. The scheduler must have the same one.
pub use ballista_core::BALLISTA_VERSION;
