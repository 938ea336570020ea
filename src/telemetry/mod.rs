//! What operators see: metrics, the access log, audit lines.

pub mod access_log;
pub mod decisions;
pub mod log;
pub mod metrics;
pub mod request_id;

pub use metrics::{Metrics, RouteMeters};
