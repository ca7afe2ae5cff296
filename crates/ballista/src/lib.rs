//! What `music-insights` needs of [Apache DataFusion Ballista](https://datafusion.apache.org/ballista/): a way to
//! hand out orders to the executors of a cluster, tables as Parquet where all nodes see them, and the seven
//! insights as SQL over these tables.
//!
//! Nothing here knows how a log is read; the program that hosts an executor brings a [`Worker`](orders::Worker)
//! that does. From top to bottom:
//!
//! ```text
//! session   the client: connects, hands out orders, registers tables, asks queries
//! orders    an order is a row of an in-memory table, which executors answer with a receipt
//! executor  the process that takes orders and runs queries
//! sql       queries with their parameters, as data
//! tables    the columns of the tables; writing and merging them
//! places    files and objects that all nodes see
//! trouble   what can go wrong, and whose fault it is
//! ```

mod connections;
pub mod executor;
pub mod messages;
pub mod orders;
pub mod places;
pub mod session;
pub mod sql;
pub mod tables;
pub mod trouble;

/// The version of Ballista that this was built with; that of the scheduler must be the same.
pub use ballista_core::BALLISTA_VERSION;
