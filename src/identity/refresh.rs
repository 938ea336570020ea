//! Refresh tokens.

use crate::config::policy::TokenKey;
use crate::identity::SessionId;

pub struct RefreshKeys {}

impl RefreshKeys {
    pub fn new(_keys: &[TokenKey]) -> Self {
        todo!()
    }
    pub fn mint(&self, _session: SessionId, _generation: u64) -> String {
        todo!()
    }
    /// `None` for anything we didn't mint; touches no store.
    pub fn open(&self, _token: &str) -> Option<(SessionId, u64)> {
        todo!()
    }
}
