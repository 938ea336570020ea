//! The only place that turns "Postgres" or "Redis" in the file into stores.

use std::sync::Arc;

use crate::auth;
use crate::config::policy::{Policy, StateStorage, Storage, UserStorage};
use crate::pipeline::cache::process_tier::ProcessTier;
use crate::store::memory::{LocalGatekeeper, MemoryResponses};
use crate::store::postgres::PostgresUsers;
use crate::store::redis::{RedisGatekeeper, RedisState};
use crate::store::sqlite::{SqliteState, SqliteUsers};
use crate::store::{
    Accounts, ApiKeys, AuditLog, Counters, Flights, Gatekeeper, GeneratedKeys, Lockouts, Notices,
    OneTimeTokens, Purges, Responses, Revocations, SecondFactors, Sessions, StoreError,
};

/// Of the cache's memory, with embedded storage: the store gets this part of four, ready answers the rest.
const STORE_PARTS: u64 = 3;

pub struct OpenStores {
    pub accounts: Arc<dyn Accounts>,
    pub api_keys: Arc<dyn ApiKeys>,
    pub audit: Arc<dyn AuditLog>,
    pub keys: Arc<dyn GeneratedKeys>,
    pub sessions: Arc<dyn Sessions>,
    pub revocations: Arc<dyn Revocations>,
    pub lockouts: Arc<dyn Lockouts>,
    pub notices: Arc<dyn Notices>,
    pub one_time_tokens: Arc<dyn OneTimeTokens>,
    pub second_factors: Arc<dyn SecondFactors>,
    pub gatekeeper: Arc<dyn Gatekeeper>,
    pub counters: Arc<dyn Counters>,
    pub responses: Arc<dyn Responses>,
    pub purges: Arc<dyn Purges>,
    pub flights: Option<Arc<dyn Flights>>,
    pub process_tier: Arc<ProcessTier>,
}

impl OpenStores {
    pub fn for_auth(&self) -> auth::Stores {
        auth::Stores {
            accounts: self.accounts.clone(),
            api_keys: self.api_keys.clone(),
            audit: self.audit.clone(),
            sessions: self.sessions.clone(),
            revocations: self.revocations.clone(),
            lockouts: self.lockouts.clone(),
            notices: self.notices.clone(),
            one_time_tokens: self.one_time_tokens.clone(),
            second_factors: self.second_factors.clone(),
        }
    }
}

/// By what name each store's failures are counted.
pub fn names(storage: &Storage) -> [&'static str; 2] {
    let users = match &storage.users {
        UserStorage::Sqlite(_) => "sqlite",
        UserStorage::Postgres(_) => "postgres",
    };
    let state = match &storage.state {
        StateStorage::Embedded(_) => "sqlite",
        StateStorage::Redis { .. } => "redis",
    };
    [users, state]
}

/// Opens both stores and brings their tables up to date. For a gateway that serves, revocations
/// and purges in Redis are followed from now on; commands admit nobody and need neither.
pub async fn open(policy: &Policy, serves: bool) -> Result<OpenStores, StoreError> {
    let (storage, memory) = (&policy.storage, policy.cache.memory);
    let Users { accounts, api_keys, notices, one_time_tokens, second_factors, audit, keys } =
        open_users(&storage.users, serves).await?;
    match &storage.state {
        StateStorage::Embedded(path) => {
            let state = Arc::new(SqliteState::open(path).await?);
            let responses = Arc::new(MemoryResponses::new(memory / 4 * STORE_PARTS));
            let gatekeeper = Arc::new(LocalGatekeeper::new(state.clone()));
            Ok(OpenStores {
                accounts,
                api_keys,
                notices,
                one_time_tokens,
                second_factors,
                audit,
                keys,
                sessions: state.clone(),
                lockouts: state.clone(),
                gatekeeper: gatekeeper.clone(),
                counters: gatekeeper,
                revocations: state,
                responses: responses.clone(),
                purges: responses,
                flights: None,
                process_tier: Arc::new(ProcessTier::new(memory - memory / 4 * STORE_PARTS)),
            })
        }
        StateStorage::Redis { servers, ca } => {
            let state = Arc::new(RedisState::connect(servers, ca.as_deref())?);
            state.check_access().await?;
            if serves {
                state.follow_purges();
            }
            if let Some(max_staleness) = policy.revocation.max_staleness.filter(|_| serves) {
                state.follow(max_staleness);
            }
            Ok(OpenStores {
                accounts,
                api_keys,
                notices,
                one_time_tokens,
                second_factors,
                audit,
                keys,
                sessions: state.clone(),
                revocations: state.clone(),
                lockouts: state.clone(),
                gatekeeper: Arc::new(RedisGatekeeper::new(state.clone())),
                counters: state.clone(),
                responses: state.clone(),
                purges: state.clone(),
                flights: Some(state),
                process_tier: Arc::new(ProcessTier::new(memory)),
            })
        }
    }
}

/// What one database holds.
struct Users {
    accounts: Arc<dyn Accounts>,
    api_keys: Arc<dyn ApiKeys>,
    notices: Arc<dyn Notices>,
    one_time_tokens: Arc<dyn OneTimeTokens>,
    second_factors: Arc<dyn SecondFactors>,
    audit: Arc<dyn AuditLog>,
    keys: Arc<dyn GeneratedKeys>,
}

impl Users {
    fn of(
        store: Arc<
            impl Accounts + ApiKeys + Notices + OneTimeTokens + SecondFactors + AuditLog + GeneratedKeys + 'static,
        >,
    ) -> Self {
        Self {
            accounts: store.clone(),
            api_keys: store.clone(),
            notices: store.clone(),
            one_time_tokens: store.clone(),
            second_factors: store.clone(),
            audit: store.clone(),
            keys: store,
        }
    }
}

/// A gateway that serves waits for a Postgres that is away; a command says so.
async fn open_users(storage: &UserStorage, serves: bool) -> Result<Users, StoreError> {
    match storage {
        UserStorage::Sqlite(path) => Ok(Users::of(Arc::new(SqliteUsers::open(path).await?))),
        UserStorage::Postgres(url) => {
            let url = String::from_utf8_lossy(url.url.expose());
            let store = match serves {
                true => PostgresUsers::connect_in_time(&url).await?,
                false => PostgresUsers::connect(&url).await?,
            };
            Ok(Users::of(Arc::new(store)))
        }
    }
}
