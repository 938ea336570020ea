//! Every promise over real sockets, against a real Postgres and a real Redis.

mod contract;
mod servers;
