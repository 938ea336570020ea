//! The auth wing's router on its own, over SQLite: what needs many cases, counted store calls or a
//! store that fails on demand. The same endpoints over a socket are tested with the whole gateway.

#![allow(clippy::unwrap_used, reason = "a test's tools may fail the test")]

mod account;
mod bodies;
mod faulty;
mod in_flight;
mod introspection;
mod login;
mod logout;
mod operators;
mod policy;
mod refresh;
mod registration;
mod wing;
