//! The account itself: made, changed, deleted; by its owner or by an operator.

use serde_json::{Value, json};
use tokio::join;

use super::outcome::Outcome;
use super::person::{Account, Key, Person, Session};
use super::rules::Credential;
use crate::second_factor::App;

const FIRST_PASSWORD: &str = "correct horse battery staple";

impl Person {
    /// The account that this person has; asked only where there is one.
    pub fn account_mut(&mut self) -> &mut Account {
        self.account.as_mut().expect("things are done with an account only")
    }

    pub async fn register(&mut self) {
        let (name, gateway) = (self.next_name(), self.any_gateway());
        let body = json!({ "username": name, "password": FIRST_PASSWORD });
        let request = self.post(gateway, "/auth/register", None, &body);
        let outcome = self.send("register", gateway, request).await;
        // One that nobody knows to exist is left alone.
        let Some(id) = outcome.text("id").filter(|_| outcome.is_success()) else { return };
        self.history.acknowledged("register");
        self.let_through.clear();
        let password = FIRST_PASSWORD.to_owned();
        self.account = Some(Account { name, id, password, sessions: Vec::new(), keys: Vec::new() });
    }

    /// While somebody logs in with the old password.
    pub async fn change_password(&mut self) {
        let Some((_, session)) = self.session().await else { return };
        let (gateway, account) = (self.any_gateway(), self.account_mut().clone());
        let new = format!("another {} staple horse", self.random.next());
        let change =
            json!({ "old_password": account.password, "new_password": new, "refresh_token": "body" });
        let login =
            json!({ "username": account.name, "password": account.password, "refresh_token": "body" });
        let change = self.post(gateway, "/auth/password", Some(&session.access), &change);
        let login = self.post(1 - gateway, "/auth/login", None, &login);
        let (changed, meanwhile) = join!(Outcome::of(change), Outcome::of(login));
        self.learned("password change", gateway, &changed);
        self.learned("login meanwhile", 1 - gateway, &meanwhile);
        match changed.status() {
            Some(200) => {
                self.history.acknowledged("password change");
                self.end_sessions(&account.sessions, "a password change", Some(gateway));
                self.end_keys(&account.keys, "a password change", Some(gateway));
                if let Some(meanwhile) = Session::of(&meanwhile) {
                    self.end_session(&meanwhile, "a password change at the same time", Some(gateway));
                }
                self.forget_sessions();
                let account = self.account_mut();
                account.password = new;
                account.sessions.extend(Session::of(&changed));
            }
            // A stale token, and nothing was changed; or a store failed after keys had ended.
            Some(_) => {
                let account = self.account_mut();
                account.sessions.extend(Session::of(&meanwhile));
                account.keys.clear();
            }
            None => self.find_out_the_password(&account.password, &new).await,
        }
    }

    /// Whether it was changed is not known, and it may still be on its way: one of the two is the password, and the
    /// account is left alone after this.
    async fn find_out_the_password(&mut self, old: &str, new: &str) {
        let Some(Account { name, .. }) = self.account.take() else { return };
        let gateway = self.any_gateway();
        let with_old = self.try_password(gateway, &name, old).await;
        let with_new = self.try_password(gateway, &name, new).await;
        if (with_old.status(), with_new.status()) == (Some(401), Some(401)) {
            self.violation("rule 6: neither the old nor the new password is the password");
        }
    }

    pub async fn create_key(&mut self) {
        let Some((_, session)) = self.session().await else { return };
        let gateway = self.any_gateway();
        let body = json!({ "name": "a key", "password": self.account_mut().password });
        let request = self.post(gateway, "/auth/keys", Some(&session.access), &body);
        let outcome = self.send("create a key", gateway, request).await;
        if let (Some(id), Some(text)) = (outcome.text("id"), outcome.text("key")) {
            self.history.acknowledged("key created");
            self.account_mut().keys.push(Key { id, text });
        }
    }

    pub async fn delete_key(&mut self) {
        if self.account_mut().keys.is_empty() {
            self.create_key().await;
        }
        let Some((_, session)) = self.session().await else { return };
        let Some(key) = self.account_mut().keys.pop() else { return };
        let gateway = self.any_gateway();
        let body = json!({ "password": self.account_mut().password });
        let path = format!("/auth/keys/{}", key.id);
        let request = self.fleet.request(gateway, reqwest::Method::DELETE, &path);
        let outcome =
            self.send("delete a key", gateway, request.bearer_auth(&session.access).json(&body)).await;
        match outcome.status() {
            Some(200..=299) => {
                self.history.acknowledged("key deleted");
                self.end_keys(&[key], "the deletion of a key", Some(gateway));
            }
            Some(_) => self.account_mut().keys.push(key),
            None => {}
        }
    }

    pub fn end_keys(&mut self, keys: &[Key], by: &'static str, gateway: Option<usize>) {
        for key in keys {
            self.end(Credential::Key(key.text.clone()), by, gateway);
        }
    }

    /// The role `admin` is given and taken away.
    pub async fn change_role(&mut self) {
        let name = self.account_mut().name.clone();
        let gateway = self.any_gateway();
        let given = self.fleet.command(gateway, &["user", "set-role", &name, "admin"]).await;
        self.tell(format!("set-role admin: {:?}", given.status));
        self.refresh_in_pairs().await;
        let taken = self.fleet.command(gateway, &["user", "set-role", &name, "user"]).await;
        self.tell(format!("set-role user: {:?}", taken.status));
        if taken.status.success() {
            self.history.acknowledged("role change");
            for session in self.account_mut().sessions.clone() {
                self.end(Credential::AdminAccess(session.access), "taking a role away", None);
            }
        }
    }

    pub async fn be_disabled_and_enabled(&mut self) {
        let (gateway, account) = (self.any_gateway(), self.account_mut().clone());
        let disabled = self.fleet.command(gateway, &["user", "disable", &account.name]).await;
        self.tell(format!("disable: {:?}", disabled.status));
        self.forget_sessions();
        if disabled.status.success() {
            self.history.acknowledged("disable");
            self.end_sessions(&account.sessions, "disabling the account", None);
            let outcome = self.try_password(gateway, &account.name, &account.password).await;
            if outcome.is_success() {
                self.violation("rule 1: a disabled account logs in");
            }
        }
        loop {
            let enabled = self.fleet.command(gateway, &["user", "disable", &account.name, "--undo"]).await;
            self.tell(format!("enable: {:?}", enabled.status));
            if enabled.status.success() {
                return;
            }
            if self.fleet.is_over() {
                // Nobody knows whether it is enabled.
                self.account = None;
                return;
            }
        }
    }

    /// All other sessions end when it is turned on; a recovery code takes it away again.
    pub async fn turn_a_factor_on_and_off(&mut self) {
        let Some((_, session)) = self.session().await else { return };
        let (gateway, account) = (self.any_gateway(), self.account_mut().clone());
        let password = json!({ "password": account.password });
        let begin = self.post(gateway, "/auth/mfa/totp", Some(&session.access), &password);
        let begun = self.send("begin a factor", gateway, begin).await;
        let Some(secret) = begun.text("secret") else { return };
        let code = json!({ "code": App::new(&secret).code(), "password": account.password, "refresh_token": "body" });
        let confirm = self.post(gateway, "/auth/mfa/totp/confirm", Some(&session.access), &code);
        let confirmed = self.send("confirm a factor", gateway, confirm).await;
        let Outcome::Answered { status: 200, body, .. } = &confirmed else {
            if confirmed.status().is_none() {
                // Whether the account has a factor, or will have one in a moment, is not known.
                self.account = None;
            }
            return;
        };
        self.history.acknowledged("factor on");
        self.end_sessions(&account.sessions, "turning a factor on", Some(gateway));
        self.forget_sessions();
        let access = body["access_token"].as_str().unwrap_or_default().to_owned();
        let recovery = body["recovery_codes"][0].as_str().unwrap_or_default();
        let outcome = self.try_password(gateway, &account.name, &account.password).await;
        if outcome.is_success() {
            self.violation("rule 3: the password alone opens an account with a second factor");
        }
        let disable = json!({ "password": account.password, "code": recovery });
        let disable = self.post(gateway, "/auth/mfa/disable", Some(&access), &disable);
        if !self.send("disable the factor", gateway, disable).await.is_success() {
            self.have_the_factor_reset(gateway).await;
        }
    }

    async fn have_the_factor_reset(&mut self, gateway: usize) {
        self.forget_sessions();
        let name = self.account_mut().name.clone();
        loop {
            let reset = self.fleet.command(gateway, &["user", "reset-mfa", &name]).await;
            self.tell(format!("reset-mfa: {reset:?}"));
            // There may have been none.
            if reset.status.success() {
                return;
            }
            if self.fleet.is_over() {
                self.account = None;
                return;
            }
        }
    }

    pub async fn delete_account(&mut self) {
        let Some((_, session)) = self.session().await else { return };
        let (gateway, account) = (self.any_gateway(), self.account_mut().clone());
        let request = self.fleet.request(gateway, reqwest::Method::DELETE, "/auth/me");
        let body = json!({ "password": account.password });
        let outcome = self.send("delete", gateway, request.bearer_auth(&session.access).json(&body)).await;
        match outcome.status() {
            Some(200..=299) => {
                self.history.acknowledged("delete");
                self.end_sessions(&account.sessions, "the deletion of the account", Some(gateway));
                self.end_keys(&account.keys, "the deletion of the account", Some(gateway));
                self.deleted.push((account.name, account.password));
                self.account = None;
            }
            Some(_) => {}
            None => self.account = None,
        }
    }

    /// Roles, password, sessions and keys are as they were acknowledged.
    pub async fn look_at_the_account(&mut self) {
        let account = self.account_mut().clone();
        let outcome = self.try_password(0, &account.name, &account.password).await;
        let Some(session) = Session::of(&outcome) else {
            return self.violation("rule 6: the account is gone, or its password is another");
        };
        let request = self.get(1, "/auth/me", &session.access);
        let outcome = self.send("me", 1, request).await;
        if outcome.text("id").as_deref() != Some(&account.id) {
            self.violation("rule 6: the account has another id");
        }
        for session in account.sessions {
            let body: Value = json!({ "refresh_token": session.refresh });
            let request = self.post(1, "/auth/refresh", None, &body);
            if !self.send("refresh at the end", 1, request).await.is_success() {
                self.violation("rule 6: a session that nobody ended is gone");
            }
        }
        for key in account.keys {
            let request =
                self.fleet.request(0, reqwest::Method::GET, "/protected").header("x-api-key", key.text);
            if !self.send("a key at the end", 0, request).await.is_success() {
                self.violation("rule 6: a key that nobody ended is gone");
            }
        }
    }
}
