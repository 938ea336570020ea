//! A request's way, from top to bottom. Stages return; `gateway` answers.

pub mod arrive;
pub mod cache;
pub mod forward;
pub mod respond;
pub mod settle;
