//! After the answer: the log line and the counters.

pub mod access_log;
pub mod count;
pub mod decision;
pub mod spans;
