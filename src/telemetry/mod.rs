//! What operators see: metrics, the access log, audit lines.

pub mod access_log;
pub mod decisions;
pub mod known_labels;
pub mod log;
pub mod metrics;
pub mod otlp;
pub mod request_id;
mod route_meters;
pub mod trace;
pub mod trace_context;
mod whole_lines;

pub use metrics::Metrics;
pub use route_meters::RouteMeters;
