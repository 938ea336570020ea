//! Where spans go.

use super::Share;
use crate::identity::secret::Secret;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracing {
    /// Takes OTLP over HTTP: the whole URL.
    pub endpoint: String,
    /// Of the requests that begin a trace; others are recorded if their trace is.
    pub sample: Share,
    /// `service.name`
    pub service: String,
    /// Of each message, such as the key of an API.
    pub headers: Vec<(String, Secret)>,
}
