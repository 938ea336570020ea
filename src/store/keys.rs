//! The token secrets that the gateway makes for itself when gateway.yaml names no keys, as one text.

use async_trait::async_trait;

use super::StoreError;

#[async_trait]
pub trait GeneratedKeys: Send + Sync {
    /// The stored secret; `candidate` becomes it if there is none yet. However many gateways start
    /// at once, all get the same one.
    async fn get_or_create(&self, candidate: &str) -> Result<String, StoreError>;
    /// Replaces it if it still is `old`: of two at once, one wins.
    async fn replace(&self, old: &str, new: &str) -> Result<bool, StoreError>;
}
