//! What happens to accounts: sign in, factors, passwords, sessions, keys, administration. No HTTP here: `auth`
//! reads requests, calls this module, and words its results.

pub mod audit;
pub mod ending;
pub mod keys;
pub mod lockout;
pub mod names;
pub mod notices;
pub mod operators;
pub mod reauthentication;
pub mod roles;
