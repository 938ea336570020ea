//! What the client sees.

pub mod cause;
pub mod failure;
pub mod framing;
pub mod harden_headers;
pub mod pass_on;
pub mod render_error;
