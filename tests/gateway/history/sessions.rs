//! Sessions: logging in, refreshing, logging out.

use serde_json::{Value, json};

use super::outcome::Outcome;
use super::person::{Person, Session};

impl Person {
    pub async fn try_password(&mut self, gateway: usize, name: &str, password: &str) -> Outcome {
        let body = json!({ "username": name, "password": password, "refresh_token": "body" });
        let request = self.post(gateway, "/auth/login", None, &body);
        self.send("login", gateway, request).await
    }

    pub async fn log_in(&mut self) {
        let gateway = self.any_gateway();
        let Some(account) = self.account.clone() else { return };
        let outcome = self.try_password(gateway, &account.name, &account.password).await;
        match Session::of(&outcome) {
            Some(session) => {
                self.history.acknowledged("login");
                self.account_mut().sessions.push(session);
            }
            None if outcome.status().is_some() => {
                self.violation("rule 6: the acknowledged password is refused");
            }
            None => {}
        }
    }

    /// A session that is known to be alive; logs in when there is none.
    pub async fn session(&mut self) -> Option<(usize, Session)> {
        if self.account.as_ref()?.sessions.is_empty() {
            self.log_in().await;
        }
        let count = self.account.as_ref()?.sessions.len();
        if count == 0 {
            return None;
        }
        let index = self.random.below(count);
        Some((index, self.account.as_ref()?.sessions[index].clone()))
    }

    /// The same refresh token at both gateways at once: one successor.
    pub async fn refresh_in_pairs(&mut self) {
        let Some((index, session)) = self.session().await else { return };
        let body = json!({ "refresh_token": session.refresh });
        let at_one = self.post(0, "/auth/refresh", None, &body);
        let at_other = self.post(1, "/auth/refresh", None, &body);
        let (one, other) = tokio::join!(Outcome::of(at_one), Outcome::of(at_other));
        self.learned("refresh", 0, &one);
        self.learned("refresh", 1, &other);
        let sessions: Vec<Session> = [&one, &other].into_iter().filter_map(Session::of).collect();
        if let [first, second] = &sessions[..]
            && first.refresh != second.refresh
        {
            self.violation("rule 2: one refresh token has two successors");
        }
        if [&one, &other].iter().any(|outcome| outcome.status().is_some_and(|status| status >= 400)) {
            self.violation("rule 6: the refresh token of a session that nobody ended is refused");
        }
        if [&one, &other].iter().any(|outcome| outcome.status().is_none()) {
            // It may still be on its way. When the successor was used, the token that comes late ends the session.
            self.account_mut().sessions.remove(index);
            return;
        }
        if let Some(successor) = sessions.into_iter().next() {
            self.history.acknowledged("refresh in pairs");
            // The predecessor and the old access token stay good for what they are; nobody ended them.
            self.account_mut().sessions[index] = successor;
        }
    }

    pub async fn log_out(&mut self) {
        let Some((index, session)) = self.session().await else { return };
        let gateway = self.any_gateway();
        let request =
            self.post(gateway, "/auth/logout", Some(&session.access), &Value::Object(Default::default()));
        let outcome = self.send("logout", gateway, request).await;
        match outcome.status() {
            Some(200..=299) => {
                self.history.acknowledged("logout");
                self.account_mut().sessions.remove(index);
                self.end_session(&session, "a logout", Some(gateway));
            }
            // The token may be stale by a change of roles; what is to be done then is to refresh it.
            Some(_) => {}
            None => {
                self.account_mut().sessions.remove(index);
            }
        }
    }

    pub async fn log_out_everywhere(&mut self) {
        let Some((_, session)) = self.session().await else { return };
        let gateway = self.any_gateway();
        let empty = Value::Object(Default::default());
        let request = self.post(gateway, "/auth/logout?all=true", Some(&session.access), &empty);
        let outcome = self.send("logout everywhere", gateway, request).await;
        match outcome.status() {
            Some(200..=299) => {
                self.history.acknowledged("logout everywhere");
                let account = self.account_mut().clone();
                self.end_sessions(&account.sessions, "a logout everywhere", Some(gateway));
                self.end_keys(&account.keys, "a logout everywhere", Some(gateway));
                self.forget_sessions();
            }
            Some(_) => {}
            // It may still be on its way, and end sessions that begin meanwhile.
            None => self.account = None,
        }
    }
}

impl Session {
    /// What an answer with tokens holds.
    pub fn of(outcome: &Outcome) -> Option<Self> {
        Some(Self { access: outcome.text("access_token")?, refresh: outcome.text("refresh_token")? })
    }
}
