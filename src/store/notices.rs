//! Mail that tells owners what was changed in their accounts: a queue beside the accounts, shared by all gateways.

use std::net::IpAddr;

use async_trait::async_trait;
use uuid::Uuid;

use super::StoreError;
use crate::clock::Timestamp;
use crate::identity::UserId;

/// By which template a notice is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    Owner,
    Operators,
}

impl NoticeKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Operators => "operators",
        }
    }

    /// What a later version may have written is told as to an owner.
    pub fn read(text: &str) -> Self {
        match text {
            "operators" => Self::Operators,
            _ => Self::Owner,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedNotice {
    /// Goes up with time.
    pub id: Uuid,
    pub kind: NoticeKind,
    pub user_id: UserId,
    pub username: String,
    /// Where it goes, whatever the account has by then.
    pub email: String,
    /// In words for the owner: a sentence without its full stop.
    pub change: String,
    /// When the change was made.
    pub at: Timestamp,
    /// Who made it, and from where.
    pub actor: Option<String>,
    pub address: Option<IpAddr>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
    /// How often somebody began to send it.
    pub attempts: u32,
}

/// How many may wait.
#[derive(Debug, Clone, Copy)]
pub struct NoticeBounds {
    pub in_all: u32,
    pub per_account: u32,
}

impl NoticeBounds {
    /// One account can't keep the others from being told.
    pub const USUAL: Self = Self { in_all: 10_000, per_account: 20 };
}

#[async_trait]
pub trait Notices: Send + Sync {
    /// Due at once. `false`, and not added, while as many wait as may.
    async fn add(&self, notice: &QueuedNotice, most: NoticeBounds) -> Result<bool, StoreError>;
    /// Whether one more may wait for this account.
    async fn has_room(&self, user: UserId, most: NoticeBounds) -> Result<bool, StoreError>;
    /// Takes the one that is due longest, and counts the attempt; nobody else gets it before `until`. Of many who
    /// ask at once, each gets another one.
    async fn claim(&self, now: Timestamp, until: Timestamp) -> Result<Option<QueuedNotice>, StoreError>;
    /// To be tried again at `due_at`, unless somebody has claimed it since this attempt.
    async fn put_off(&self, id: Uuid, attempts: u32, due_at: Timestamp) -> Result<(), StoreError>;
    /// It was delivered, or is given up.
    async fn remove(&self, id: Uuid) -> Result<(), StoreError>;
    /// How many wait.
    async fn waiting(&self) -> Result<u64, StoreError>;
}
