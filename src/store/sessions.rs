//! Sessions: a refresh-token family each. What is stored lets nobody mint a refresh token; see
//! `identity::refresh`.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Account, StoreError};
use crate::clock::Timestamp;
use crate::identity::{SessionId, UserId};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub id: SessionId,
    pub user_id: UserId,
    /// A copy of the account as it was at the last refresh, for when the account store is away.
    pub username: String,
    pub email: Option<String>,
    pub roles: Vec<String>,
    pub version: u64,
    /// The account's `credentials` when the session began. It ends when the account has others. 0 for
    /// sessions that were begun before accounts had any.
    pub credentials: u64,
    /// How the user proved who they are (RFC 8176).
    pub amr: Vec<String>,
    /// Of the refresh tokens handed out for this session, the number of the newest; starts at 1.
    pub generation: u64,
    pub created_at: Timestamp,
    /// When `generation` was last raised.
    pub rotated_at: Timestamp,
    /// Dead after this without a refresh; each rotation moves it on, up to `ends_at`.
    pub idle_until: Timestamp,
    /// Dead after this in any case.
    pub ends_at: Timestamp,
    /// Where the session began, and by which program.
    pub address: Option<IpAddr>,
    pub user_agent: Option<String>,
    /// Who presented the refresh token whose successor is the newest; see [`Presenter`].
    pub last_address: Option<IpAddr>,
    pub last_device: Option<String>,
}

/// Who presents a refresh token.
#[derive(Debug, Clone, Copy, Default)]
pub struct Presenter<'a> {
    pub address: Option<IpAddr>,
    /// What tells a browser from others, for those that keep the token in a cookie.
    pub device: Option<&'a str>,
}

/// A refresh token of a session, as it is presented.
#[derive(Debug, Clone, Copy)]
pub struct Presentation<'a> {
    pub generation: u64,
    pub by: Presenter<'a>,
    /// For this long the predecessor is repeated for everybody.
    pub window: Duration,
    /// How long the session lives without another refresh.
    pub idle: Duration,
    /// Until when the session's tokens are revoked, should it end.
    pub revoked_until: Timestamp,
    pub now: Timestamp,
}

/// What became of a session that was to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// `ended`: those that had to make room.
    Started { ended: Vec<SessionId> },
    /// Tokens of the session's version are revoked, so that nothing was kept. `below` is the lowest version
    /// that still counts.
    Stale { below: u64 },
}

/// How many sessions a user may have at once.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// At least one.
    pub most: u32,
    /// Until when the tokens of those are revoked that make room.
    pub revoked_until: Timestamp,
}

/// Some of a user's sessions, by their ids, which are in order of their beginning.
#[derive(Debug, Clone, Copy)]
pub struct SessionPage {
    /// Only sessions that began before this one.
    pub after: Option<SessionId>,
    pub limit: u32,
}

/// What became of a presented refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// It was the newest: `generation` is raised.
    Rotated(Session),
    /// It was the predecessor, whose successor nobody has presented, and came within the window, or from the
    /// address or device whose answer must have been lost: the session unchanged, with the successor's generation.
    Repeated(Session),
    /// It was used before in any other way: the session is ended and revoked now.
    Reused(Session),
    /// No such session (ended, expired), or a generation it never had.
    Unknown,
}

impl Session {
    pub fn is_alive(&self, now: Timestamp) -> bool {
        now < self.idle_until && now < self.ends_at
    }

    /// Whether it was begun under the account's present credentials. A session that doesn't tell counts only
    /// while the account hasn't changed at all. A version that the account never had stems from a time that
    /// a restored dump has undone.
    pub fn is_of(&self, account: &Account) -> bool {
        match self.credentials {
            0 => self.version == account.version,
            credentials => credentials == account.credentials && self.version <= account.version,
        }
    }
}

#[async_trait]
pub trait Sessions: Send + Sync {
    /// Keeps the session, unless its version is revoked: both are one step, so that a session never begins
    /// after what ended it. In the same step the user's least recently used sessions end that are more than the
    /// bound allows.
    async fn start(&self, session: &Session, bound: Bound) -> Result<Start, StoreError>;
    /// Presents a generation of session `id`. Atomic: of many at once with the newest generation, one gets
    /// `Rotated` and the others `Repeated` with the same generation. On `Reused` the session is removed and
    /// revoked until `revoked_until` in the same step. A rotation sets `idle_until` to the smaller of
    /// `now + idle` and `ends_at`, and notes who presented the token.
    async fn rotate(&self, id: SessionId, presented: Presentation<'_>) -> Result<Rotation, StoreError>;
    /// Updates the copy of the account within a session, unless that is gone, belongs to other credentials,
    /// or has a copy of a later version.
    async fn note_account(&self, id: SessionId, account: &Account) -> Result<(), StoreError>;
    /// `None` when it ended or expired.
    async fn find(&self, id: SessionId, now: Timestamp) -> Result<Option<Session>, StoreError>;
    /// A page of the user's sessions that are alive, newest first.
    async fn list(&self, user: UserId, page: SessionPage, now: Timestamp)
    -> Result<Vec<Session>, StoreError>;
    /// Removes the session and revokes its access tokens until `revoked_until`, in one step, also
    /// when the session itself is already gone. `true` if it existed.
    async fn end(&self, id: SessionId, revoked_until: Timestamp) -> Result<bool, StoreError>;
    /// [`end`](Self::end) for every session of the user; how many existed.
    async fn end_all(&self, user: UserId, revoked_until: Timestamp) -> Result<u64, StoreError>;
}
