//! Guesses at passwords and second-factor codes, counted by account. An attempt counts as a failure before its
//! answer is known and is given back when it was right, so that guesses sent in parallel all count.
//!
//! Names that no account has are counted by themselves, like accounts, so that neither time nor answer tells which
//! accounts exist.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::StoreError;
use crate::clock::Timestamp;
use crate::config::policy::LockoutRule;
use crate::identity::UserId;

/// Failures in a row, by whomever, after which only a reset helps (NIST SP 800-63B-4 §3.2.2).
pub const MOST_IN_A_ROW: u32 = 100;
/// Addresses that are known for an account at once: the newest.
pub const MOST_ADDRESSES: u32 = 20;
/// An attempt that nobody settled for so long counts as a failure: its gateway or its client went away.
pub const ABANDONED: Duration = Duration::from_secs(60);

/// Whose password or code is guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    Account(UserId),
    /// A name, folded, that no account has.
    Unknown(&'a str),
}

impl Target<'_> {
    pub fn is_account(&self) -> bool {
        matches!(self, Self::Account(_))
    }
}

/// Names of accounts can't look like one of unknown names.
impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(f, "{id}"),
            Self::Unknown(name) => write!(f, "name:{name}"),
        }
    }
}

/// What has signed in to the account before, and proves it without a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// A browser with our device cookie.
    Browser(Uuid),
    /// The session of an access token.
    Session(Uuid),
}

/// Where an attempt comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As it is counted: an IPv4 address, or a /64 of IPv6.
    pub network: String,
    pub device: Option<Device>,
}

/// A counter of an account: each locks on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lane {
    Strangers,
    Device(Device),
    /// A network that signed in to the account within 30 days.
    Network(String),
}

impl Lane {
    pub fn is_strangers(&self) -> bool {
        *self == Self::Strangers
    }

    /// For the audit log.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Strangers => "strangers",
            Self::Device(_) => "a known device",
            Self::Network(_) => "a known address",
        }
    }
}

/// As stores name it.
impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strangers => f.write_str("strangers"),
            Self::Device(Device::Browser(id)) => write!(f, "device:{id}"),
            Self::Device(Device::Session(id)) => write!(f, "session:{id}"),
            Self::Network(network) => write!(f, "address:{network}"),
        }
    }
}

/// What came of an attempt before anything was compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It counts as a failure until it is settled.
    Counted(Lane),
    /// Attempts under way would lock the counter if they all failed. Ask again once some are settled.
    Busy(Lane, Duration),
    Locked(Lane, Duration),
    /// There were too many failures in a row, by whomever.
    UntilReset(Lane),
}

/// What a counted attempt turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'a> {
    Wrong,
    /// Right, but it opens nothing yet, or it was never compared: as if it hadn't been made.
    GivenBack,
    /// Right. Ends the failures in a row and those of its counter, though never those of strangers.
    Right {
        remember: Option<Remembered<'a>>,
    },
}

/// A network that is known for the account from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered<'a> {
    pub network: &'a str,
    pub until: Timestamp,
}

/// What a wrong attempt has locked; told once, for the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locks {
    Lane,
    /// Everybody, until a reset.
    All,
}

/// Who is locked out of an account, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lockout {
    pub strangers: Option<Timestamp>,
    /// A device or a network that signed in before: the one that is locked longest.
    pub owner: Option<Timestamp>,
    /// Everybody, until a reset.
    pub all: bool,
}

impl Lockout {
    /// For whom the account is locked, and until when; without an end, until a reset.
    pub fn parts(&self) -> Vec<(&'static str, Option<Timestamp>)> {
        let timed = [("strangers", self.strangers), ("owner", self.owner)];
        let timed = timed.into_iter().filter(|(_, until)| until.is_some());
        self.all.then_some(("all", None)).into_iter().chain(timed).collect()
    }
}

#[async_trait]
pub trait Lockouts: Send + Sync {
    /// Counts an attempt in one step with the question whether it may be made. Attempts while locked change
    /// nothing: nobody can prolong a lockout for ever. A counter is forgotten when `rule.for_` has gone by without
    /// an attempt.
    async fn begin(
        &self,
        target: Target<'_>,
        source: &Source,
        rule: LockoutRule,
        now: Timestamp,
    ) -> Result<Begun, StoreError>;
    /// Settles an attempt of [`begin`](Self::begin), once. It says so when it locks.
    async fn settle(
        &self,
        target: Target<'_>,
        lane: &Lane,
        outcome: Outcome<'_>,
        rule: LockoutRule,
        now: Timestamp,
    ) -> Result<Option<Locks>, StoreError>;
    /// In the order of the accounts.
    async fn lockouts(&self, accounts: &[UserId], now: Timestamp) -> Result<Vec<Lockout>, StoreError>;
    /// Forgets every failure; by an operator, or after a reset. Known addresses stay. `true` if there was any.
    async fn clear(&self, account: UserId) -> Result<bool, StoreError>;
    /// Forgets only how many failures there were in a row; what is locked for a time stays so.
    async fn clear_in_a_row(&self, account: UserId) -> Result<(), StoreError>;
}
