//! What operators see: metrics, the access log, audit lines.

pub mod access_log;
pub mod decisions;
pub mod log;
pub mod metrics;
pub mod otlp;
pub mod request_id;
pub mod trace;
pub mod trace_context;

pub use metrics::{Metrics, RouteMeters};
