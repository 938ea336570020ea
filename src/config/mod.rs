//! From the text of gateway.yaml to a [`policy::Policy`], without I/O.
//!
//! `raw/` is what the file may say, `compile/` gives it meaning, `policy/` is what the request path
//! reads; the same file names in all three. [`problem`] gathers everything that is wrong at once,
//! each with its [`place`] in the file, which [`marks`] turns into a line and a column. What a reload needn't read again
//! is known to [`unchanged_routes`].

pub mod compile;
pub mod digest;
pub mod document;
pub mod include;
pub mod marks;
pub mod place;
pub mod policy;
pub mod problem;
pub mod raw;
pub mod substitute;
pub mod unchanged_routes;
