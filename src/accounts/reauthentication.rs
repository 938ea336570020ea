//! Which proofs a sensitive action needs: the password, and a code where the account has a second factor. An
//! account without a password needs a sign-in that isn't long ago.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::identity::password;
use crate::store::Account;

/// How long a sign-in counts for an account that has no password (ASVS 7.5.1).
const RECENT_SIGN_IN: Duration = Duration::from_secs(5 * 60);

/// What a request shows beside its access token.
#[derive(Default)]
pub struct Proof {
    pub password: Option<Zeroizing<String>>,
    /// Of the app, or a recovery code.
    pub code: Option<Zeroizing<String>>,
}

/// What is missing in a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Missing {
    pub password: bool,
    pub code: bool,
    pub sign_in: bool,
}

impl Proof {
    pub fn new(password: Option<String>, code: Option<String>) -> Self {
        Self { password: password.map(Zeroizing::new), code: code.map(Zeroizing::new) }
    }

    /// Says what is missing for this account before anything is verified.
    pub fn missing(&self, account: &Account, signed_in: Option<Timestamp>, now: Timestamp) -> Missing {
        let is_recent = |at: Timestamp| now <= at + RECENT_SIGN_IN;
        let has_password = has_password(account);
        Missing {
            password: has_password && self.password.is_none(),
            code: account.has_second_factor && self.code.is_none(),
            sign_in: !has_password && !signed_in.is_some_and(is_recent),
        }
    }
}

impl Missing {
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// By name, for clients.
    pub fn names(self) -> Vec<&'static str> {
        let named = [("password", self.password), ("code", self.code), ("sign_in", self.sign_in)];
        named.into_iter().filter(|(_, is_missing)| *is_missing).map(|(name, _)| name).collect()
    }
}

/// Whether there is a hash that a password can match.
pub fn has_password(account: &Account) -> bool {
    password::check_stored(&account.password_hash).is_ok()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::clock::now;

    const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$WtAUX+v+g4HnHaXwKkPOfPNAvNh6VLYxHFpL+eXZtyI";

    fn account(hash: &str, has_second_factor: bool) -> Account {
        Account {
            id: Uuid::nil(),
            username: "alice".to_owned(),
            email: None,
            email_verified: false,
            pending_email: None,
            must_confirm_email: false,
            has_second_factor,
            password_hash: hash.to_owned(),
            roles: Vec::new(),
            version: 1,
            credentials: 1,
            disabled: false,
            created_at: now(),
            updated_at: now(),
        }
    }

    fn missing(
        account: &Account,
        proof: &Proof,
        signed_in: Option<Timestamp>,
        at: Timestamp,
    ) -> Vec<&'static str> {
        proof.missing(account, signed_in, at).names()
    }

    #[test]
    fn a_password_is_needed_and_a_code_where_there_is_a_factor() {
        let at = now();
        let (none, password) = (Proof::default(), Proof::new(Some("p".to_owned()), None));
        let both = Proof::new(Some("p".to_owned()), Some("123456".to_owned()));
        let (plain, with_factor) = (account(HASH, false), account(HASH, true));

        assert_eq!(
            missing(&plain, &none, Some(at), at),
            ["password"],
            "a sign-in just now stands for nothing"
        );
        assert!(missing(&plain, &password, None, at).is_empty());
        assert_eq!(missing(&with_factor, &none, Some(at), at), ["password", "code"]);
        assert_eq!(missing(&with_factor, &password, Some(at), at), ["code"]);
        assert!(missing(&with_factor, &both, None, at).is_empty());
    }

    #[test]
    fn without_a_password_a_sign_in_counts_for_five_minutes() {
        let at = now();
        let code = Proof::new(None, Some("123456".to_owned()));
        let later = |seconds| at + Duration::from_secs(seconds);

        for hash in ["", "!", "unusable"] {
            let plain = account(hash, false);
            assert!(missing(&plain, &Proof::default(), Some(at), later(300)).is_empty());
            assert_eq!(missing(&plain, &Proof::default(), Some(at), later(301)), ["sign_in"]);
            assert_eq!(missing(&plain, &Proof::default(), None, at), ["sign_in"], "the session is gone");
            let with_factor = account(hash, true);
            assert_eq!(missing(&with_factor, &Proof::default(), Some(at), at), ["code"]);
            assert!(missing(&with_factor, &code, Some(at), at).is_empty());
        }
    }
}
