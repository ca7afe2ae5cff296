//! Recognises engine errors that a lost executor causes.
//!
//! Within one process, such an error has its own type. An error from an executor or the scheduler arrives as text.

use ballista_core::error::BallistaError;
use datafusion::error::DataFusionError;

/// Parts of the error texts of Ballista 55.0 and of its gRPC library tonic. A test produces such errors and checks that
/// they are recognised, so an upgrade of Ballista cannot disable retries unnoticed.
const MARKERS: [&str; 9] = [
    // Ballista: there is no connection to an executor. Texts in `Debug` and `Display` format.
    "GrpcConnection",
    "Grpc connection error",
    // Ballista: a partition of a shuffle cannot be fetched. Texts in `Debug` and `Display` format.
    "Fetch",
    "Shuffle fetch partition error",
    // Ballista: the scheduler has removed all executors.
    "all executors were lost",
    // tonic: a connection cannot be opened.
    "transport",
    "ConnectError",
    "tcp connect",
    // tonic: a connection broke.
    "h2 protocol",
];

/// Whether an error text means that an executor was lost.
pub(crate) fn is_lost_text(text: &str) -> bool {
    MARKERS.iter().any(|marker| text.contains(marker))
}

/// Whether the root cause of an engine error is a lost executor.
pub(crate) fn is_lost(error: &DataFusionError) -> bool {
    let DataFusionError::External(root) = error.find_root() else { return false };
    match root.downcast_ref::<BallistaError>() {
        Some(BallistaError::GrpcConnectionError(_) | BallistaError::FetchFailed(..)) => true,
        Some(BallistaError::DataFusionError(inner)) => is_lost(inner),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ballista_core::serde::protobuf::FailedTask;

    use super::*;

    fn errors_of_lost_executors() -> [BallistaError; 2] {
        [
            BallistaError::GrpcConnectionError("down".to_owned()),
            BallistaError::FetchFailed("executor-1".to_owned(), 3, 7, "down".to_owned()),
        ]
    }

    #[test]
    fn the_texts_of_ballista_are_recognised() {
        for error in errors_of_lost_executors() {
            assert!(is_lost_text(&error.to_string()), "{error}");
            assert!(is_lost_text(&format!("{error:?}")), "{error:?}");
            let task = FailedTask::from(error);
            let reason = format!("{:?}", task.failed_reason);
            assert!(is_lost_text(&task.error) || is_lost_text(&reason), "{} {reason}", task.error);
        }
    }

    #[test]
    fn other_errors_are_not_taken_for_a_lost_executor() {
        assert!(is_lost_text("all executors were lost and no executor re-registered within 12s"));
        let others = [
            BallistaError::Cancelled,
            BallistaError::General("bad plan".to_owned()),
            BallistaError::from(DataFusionError::Plan("no column user_id".to_owned())),
            BallistaError::from(DataFusionError::ResourcesExhausted("memory".to_owned())),
        ];
        for error in others {
            assert!(!is_lost_text(&error.to_string()) && !is_lost_text(&format!("{error:?}")), "{error:?}");
            assert!(!is_lost(&error.into_datafusion()));
        }
    }

    #[test]
    fn the_type_is_found_below_any_wrapper() {
        for error in errors_of_lost_executors() {
            let shared = DataFusionError::Shared(Arc::new(error.into_datafusion()));
            let wrapped = BallistaError::DataFusionError(Box::new(shared.context("reading a shuffle")));
            assert!(is_lost(&wrapped.into_datafusion().context("running a stage")));
        }
    }
}
