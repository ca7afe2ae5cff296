//! Presents the published output: views of epochs, charts, the report and the HTTP server.

pub mod charts;
pub mod http;
pub mod overview;
pub mod report;
pub mod view;
