//! Personal API keys on the request path: known ones are answered here, others by the account store.
//!
//! A key that was good is remembered for as long as revocations of access tokens are: whatever ends
//! it before (its deletion, a change of the account) is in the mirror of revocations by then, as the
//! key's id stands where a token has its session. Where this process can't say how the key stands,
//! the store is asked; while that is away, nobody passes.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;

use super::authenticate::Presented;
use crate::clock::{Timestamp, unix_seconds};
use crate::config::policy::KeyRules;
use crate::exchange::Exchange;
use crate::identity::{Identity, api_key, name};
use crate::rejection::{Code, Rejection};
use crate::store::{Account, ApiKey, ApiKeys, Bearer, Gatekeeper, Standing};
use crate::telemetry::Metrics;

const REMEMBERED_KEYS: usize = 10_000;
/// At most, so that `last_used_at` is right to the minute.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);
const STORE_RETRY: Duration = Duration::from_secs(1);

/// A key that may be good; the store knows.
pub struct UnknownKey {
    opened: api_key::Opened,
    text: String,
}

pub struct KnownKeys {
    store: Arc<dyn ApiKeys>,
    gatekeeper: Arc<dyn Gatekeeper>,
    metrics: Arc<Metrics>,
    /// By the whole text: a hash alone would let a collision pass as somebody else.
    good: Cache<Box<str>, Remembered>,
}

#[derive(Clone)]
struct Remembered {
    identity: Arc<Identity>,
    until: Timestamp,
}

impl Remembered {
    /// The longest life of keys may have become shorter by a reload.
    fn is_good_at(&self, now: Timestamp, rules: &KeyRules) -> bool {
        let is_young =
            |ttl: Duration| unix_seconds(now) < self.identity.issued_at.saturating_add(ttl.as_secs());
        now < self.until && rules.max_ttl.is_none_or(is_young)
    }
}

impl KnownKeys {
    pub fn new(store: Arc<dyn ApiKeys>, gatekeeper: Arc<dyn Gatekeeper>, metrics: Arc<Metrics>) -> Self {
        Self { store, gatekeeper, metrics, good: Cache::new(REMEMBERED_KEYS) }
    }

    /// What can be said about a key without the store.
    pub fn identify(&self, text: &str, exchange: &Exchange) -> Presented {
        let rules = &exchange.edition.policy.auth.keys;
        if !rules.enabled {
            return Presented::Bad(Code::TokenInvalid);
        }
        if let Some(known) = self.good.get(text) {
            let standing = self.gatekeeper.known_standing(Bearer::from(&*known.identity));
            if known.is_good_at(exchange.arrived_at, rules) && standing == Some(Standing::Good) {
                return Presented::Token(known.identity);
            }
            self.good.remove(text);
        }
        match api_key::open(text) {
            Ok(opened) => Presented::UnknownKey(Box::new(UnknownKey { opened, text: text.to_owned() })),
            Err(error) => Presented::Bad(error.into()),
        }
    }

    /// Whose key it is, by the store. The address has been charged before. `Err` when the store fails, which
    /// isn't the client's fault.
    pub async fn look_up(&self, key: &UnknownKey, exchange: &Exchange) -> Result<Presented, Rejection> {
        let now = exchange.arrived_at;
        let UnknownKey { opened, text } = key;
        let span = exchange.span("store: find API key");
        let found = self.store.find(opened.id).await.map_err(|error| {
            self.metrics.store_errors.with_label_values(&[error.store]).inc();
            tracing::warn!(request_id = %exchange.request_id, %error, "an API key could not be looked up");
            Rejection::from(Code::StoreUnavailable).retry_after(STORE_RETRY)
        })?;
        drop(span);
        let Some((key, account)) = found.filter(|(key, _)| opened.matches(&key.secret_hash)) else {
            return Ok(Presented::Bad(Code::TokenInvalid));
        };
        let max_ttl = exchange.edition.policy.auth.keys.max_ttl;
        let key = ApiKey { expires_at: key.ends_at(max_ttl), ..key };
        if let Err(code) = check(&key, &account, now) {
            return Ok(Presented::Bad(code));
        }
        let identity = Arc::new(identity(&key, account));
        self.remember(text, &identity, &key, exchange);
        if let Err(error) = self.store.note_use(key.id, now).await {
            self.metrics.store_errors.with_label_values(&[error.store]).inc();
            tracing::warn!(request_id = %exchange.request_id, %error, "an API key's use was not noted");
        }
        Ok(Presented::Token(identity))
    }

    /// Never for longer than revocations last.
    fn remember(&self, text: &str, identity: &Arc<Identity>, key: &ApiKey, exchange: &Exchange) {
        let most = REMEMBERED_FOR.min(exchange.edition.policy.tokens.access_ttl);
        let until = exchange.arrived_at + most;
        let until = key.expires_at.map_or(until, |end| until.min(end));
        self.good.insert(text.into(), Remembered { identity: identity.clone(), until });
    }
}

fn check(key: &ApiKey, account: &Account, now: Timestamp) -> Result<(), Code> {
    if account.disabled {
        return Err(Code::TokenRevoked);
    }
    if !name::may_be_told(&account.username) {
        return Err(Code::TokenInvalid);
    }
    match key.expires_at {
        Some(end) if end <= now => Err(Code::TokenExpired),
        _ => Ok(()),
    }
}

/// The account with those of the key's roles that it still has. What identity headers can't say is left
/// out, as it is of a token.
fn identity(key: &ApiKey, account: Account) -> Identity {
    let email = account.confirmed_email().filter(|email| name::fits_header(email)).map(str::to_owned);
    let roles =
        account.roles.into_iter().filter(|role| key.roles.contains(role) && name::is_role(role)).collect();
    Identity {
        user_id: account.id,
        username: account.username,
        email,
        roles,
        scopes: Vec::new(),
        // A key is one factor, whoever made it.
        amr: Vec::new(),
        session_id: key.id,
        token_id: key.id,
        version: account.version,
        issued_at: unix_seconds(key.created_at),
        expires_at: key.expires_at.map_or(u64::MAX, unix_seconds),
    }
}
