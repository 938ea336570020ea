//! What the gateway remembers, as narrow traits. Absence is an answer; `Err` means that the store
//! itself failed. Whatever must be atomic is one method.
//!
//! `tests/gateway/contract/` holds one behaviour suite per trait; every implementation runs it.

pub mod memory;
pub mod postgres;
pub mod redis;
pub mod sqlite;

mod accounts;
mod api_keys;
mod audit;
mod bounded;
mod flights;
mod keys;
mod limits;
pub mod lockouts;
mod marks;
mod notices;
mod one_time_tokens;
mod purges;
mod responses;
mod revocations;
mod schema;
mod second_factors;
mod sessions;

/// What the operator configures, in the words of the traits.
pub use crate::config::policy::{LockoutRule, Quota};
pub use accounts::{
    Account, AccountFilter, Accounts, AddressState, CreateError, FormerName, ImportedAccount, NewAccount,
};
pub use api_keys::{ApiKey, ApiKeys, KeyCreation};
pub use audit::{AuditEntry, AuditEvent, AuditFilter, AuditLog, AuditPage, AuditPosition, AuditRecord};
pub use bounded::bounded;
pub use flights::{FLIGHT_LEASE, Flight, Flights, Landing, Landings};
pub use keys::GeneratedKeys;
pub use limits::{Charge, Counters, Price, Verdict};
pub use lockouts::Lockouts;
pub use marks::Marks;
pub use notices::{NoticeBounds, NoticeKind, Notices, QueuedNotice};
pub use one_time_tokens::{OneTimeToken, OneTimeTokens, Purpose};
pub use purges::{AnswerKey, Epoch, Label, Purge, Purges};
pub use responses::{PART_BYTES, Parts, ResponseParts, Responses, StoredBody, StoredResponse};
pub use revocations::{Admission, Bearer, Gatekeeper, Mirroring, Renewal, Revocation, Revocations, Standing};
pub use second_factors::{CodeHash, SecondFactor, SecondFactors};
pub use sessions::{Bound, Presentation, Presenter, Rotation, Session, SessionPage, Sessions, Start};

/// The store failed: it could not be reached, did not answer in time, or answered nonsense.
/// The cause is for our log; clients see `store_unavailable`.
#[derive(Debug, thiserror::Error)]
#[error("{store}: {cause}")]
pub struct StoreError {
    /// `postgres`, `sqlite` or `redis`: the label of `portcullis_store_errors_total`.
    pub store: &'static str,
    pub cause: String,
}

impl StoreError {
    pub fn new(store: &'static str, cause: impl std::fmt::Display) -> Self {
        Self { store, cause: cause.to_string() }
    }
}
