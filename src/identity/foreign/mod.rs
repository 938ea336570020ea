//! Tokens of issuers that aren't this gateway, such as OpenID providers: which keys verify them,
//! and what their claims mean here. No I/O: [`issuers`](crate::issuers) fetches the keys.
//!
//! Asymmetric algorithms only: whoever verifies must not be able to sign. The way of a token is the
//! one of our own ([`token`](super::token)); nothing in it can bring in a key.

mod cause;
mod claims;
mod key;
mod key_set;

pub use cause::{Cause, Refused};
pub use claims::{Absent, issuer_of, key_id_of, why_without_roles};
pub use key_set::{KeySet, Verified};
