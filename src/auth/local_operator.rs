//! An operator on the gateway's own machine: whoever can open the control socket.

use uuid::Uuid;

use crate::identity::Identity;

/// An extension of requests that came by the control socket. They need no token.
#[derive(Debug, Clone)]
pub struct LocalOperator {
    /// For logs and the audit log: `cli:` and the login.
    pub name: String,
}

impl LocalOperator {
    /// In place of what a token would say. It has no roles, as nobody asks for any.
    pub fn identity(&self) -> Identity {
        Identity {
            user_id: Uuid::nil(),
            username: self.name.clone(),
            email: None,
            roles: Vec::new(),
            scopes: Vec::new(),
            amr: Vec::new(),
            session_id: Uuid::nil(),
            token_id: Uuid::nil(),
            version: 0,
            issued_at: 0,
            expires_at: u64::MAX,
        }
    }
}
