//! Portcullis: a reverse-proxy authentication gateway on Pingora.
//!
//! The house in one minute: [`gateway`] is the contents page of the proxy. A request walks
//! [`pipeline`] from `arrive` to `settle`. [`auth`] is the other wing: the `/auth` endpoints.
//! Both stand on [`identity`] and on the traits in [`store`]. [`config`] turns the YAML file into
//! a `Policy` without any I/O. [`server`] is the outer ring: it reads files, opens sockets, and is
//! the only place that says "Postgres" or "Redis".

pub mod accounts;
pub mod answer;
pub mod auth;
pub mod balancer;
pub mod certificate;
pub mod cli;
pub mod clock;
pub mod config;
mod downstream;
pub mod edition;
pub mod exchange;
mod field_values;
pub mod front_door;
pub mod gateway;
pub mod identity;
pub mod issuers;
pub mod mail;
pub mod pace;
pub mod pipeline;
pub mod rehearsal;
pub mod rejection;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod tls;
