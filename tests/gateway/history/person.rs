//! One person with one account at a time, who does one thing after the other and remembers what was acknowledged.

use std::collections::VecDeque;
use std::time::Instant;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::fleet::Fleet;
use super::outcome::Outcome;
use super::rules::{Credential, Ended, History};
use crate::random::Random;

/// Ended rights that are tried again and again; older ones are forgotten.
const ENDED: usize = 40;
/// Steps that a violation is reported with.
const TOLD: usize = 30;

pub struct Person {
    number: u64,
    /// Raised with every account; names are never used twice.
    generation: u64,
    pub random: Random,
    pub fleet: Fleet,
    pub history: History,
    pub account: Option<Account>,
    ended: VecDeque<Ended>,
    steps: VecDeque<String>,
    /// Accounts whose deletion was acknowledged, with their last password.
    pub deleted: Vec<(String, String)>,
    /// When limited requests that were let through were sent, for one account.
    pub let_through: Vec<Instant>,
}

#[derive(Clone)]
pub struct Account {
    pub name: String,
    pub id: String,
    pub password: String,
    pub sessions: Vec<Session>,
    pub keys: Vec<Key>,
}

#[derive(Debug, Clone)]
pub struct Session {
    pub access: String,
    pub refresh: String,
}

#[derive(Debug, Clone)]
pub struct Key {
    pub id: String,
    pub text: String,
}

impl Person {
    pub fn new(number: u64, random: Random, fleet: Fleet, history: History) -> Self {
        Self {
            number,
            generation: 0,
            random,
            fleet,
            history,
            account: None,
            ended: VecDeque::new(),
            steps: VecDeque::new(),
            deleted: Vec::new(),
            let_through: Vec::new(),
        }
    }

    /// Until the run is over. First each thing once, then whatever comes.
    pub async fn live(mut self) -> Self {
        let mut first: Vec<usize> = (0..Self::THINGS).collect();
        for at in (1..first.len()).rev() {
            first.swap(at, self.random.below(at + 1));
        }
        while !self.fleet.is_over() {
            if self.account.is_none() {
                self.register().await;
                continue;
            }
            let thing = first.pop().unwrap_or_else(|| self.random.below(2 * Self::THINGS));
            self.do_thing(thing).await;
            self.try_an_ended_right().await;
        }
        self
    }

    const THINGS: usize = 14;

    async fn do_thing(&mut self, thing: usize) {
        match thing {
            0 => self.refresh_in_pairs().await,
            1 => self.log_out().await,
            2 => self.log_out_everywhere().await,
            3 => self.change_password().await,
            4 => self.create_key().await,
            5 => self.delete_key().await,
            6 => self.change_role().await,
            7 => self.be_disabled_and_enabled().await,
            8 => self.turn_a_factor_on_and_off().await,
            9 => self.ask_the_limited().await,
            10 => self.ask_the_cached().await,
            11 => self.purge().await,
            12 => self.log_in().await,
            13 => self.delete_account().await,
            14..=17 => self.refresh_in_pairs().await,
            18..=21 => self.ask_the_limited().await,
            _ => self.ask_the_cached().await,
        }
    }

    pub fn next_name(&mut self) -> String {
        self.generation += 1;
        format!("person{}x{}", self.number, self.generation)
    }

    pub fn any_gateway(&mut self) -> usize {
        self.random.below(2)
    }

    /// Sends it, and notes what was learned.
    pub async fn send(&mut self, what: &str, gateway: usize, request: RequestBuilder) -> Outcome {
        let outcome = Outcome::of(request).await;
        self.learned(what, gateway, &outcome);
        outcome
    }

    pub fn learned(&mut self, what: &str, gateway: usize, outcome: &Outcome) {
        self.fleet.note_operation();
        if matches!(outcome, Outcome::Unknown) {
            self.history.unknown();
        }
        self.tell(format!("{what} at {gateway}: {outcome:?}"));
    }

    pub fn tell(&mut self, step: String) {
        if self.steps.len() == TOLD {
            self.steps.pop_front();
        }
        self.steps.push_back(step.chars().take(300).collect());
    }

    pub fn post(&self, gateway: usize, path: &str, access: Option<&str>, body: &Value) -> RequestBuilder {
        let request = self.fleet.request(gateway, Method::POST, path).json(body);
        match access {
            Some(access) => request.bearer_auth(access),
            None => request,
        }
    }

    pub fn get(&self, gateway: usize, path: &str, access: &str) -> RequestBuilder {
        self.fleet.request(gateway, Method::GET, path).bearer_auth(access)
    }

    pub fn violation(&mut self, what: &str) {
        let steps: Vec<&str> = self.steps.iter().map(String::as_str).collect();
        let steps = steps.join("\n  ");
        self.history.violation(format!("person {}: {what}; the steps before:\n  {steps}", self.number));
    }

    // --- what ended ---

    pub fn end(&mut self, credential: Credential, by: &'static str, gateway: Option<usize>) {
        if self.ended.len() == ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(Ended { credential, by, at: Instant::now(), gateway });
    }

    pub fn end_session(&mut self, session: &Session, by: &'static str, gateway: Option<usize>) {
        self.end(Credential::Access(session.access.clone()), by, gateway);
        self.end(Credential::Refresh(session.refresh.clone()), by, gateway);
    }

    /// All but those that the account goes on with.
    pub fn end_sessions(&mut self, sessions: &[Session], by: &'static str, gateway: Option<usize>) {
        for session in sessions {
            self.end_session(session, by, gateway);
        }
    }

    /// Nothing is known of these sessions and keys any more.
    pub fn forget_sessions(&mut self) {
        if let Some(account) = &mut self.account {
            account.sessions.clear();
            account.keys.clear();
        }
    }

    async fn try_an_ended_right(&mut self) {
        let gateway = self.any_gateway();
        let due: Vec<Ended> =
            self.ended.iter().filter(|ended| ended.must_be_refused_at(gateway)).cloned().collect();
        if due.is_empty() {
            return;
        }
        let ended = due[self.random.below(due.len())].clone();
        let request = match &ended.credential {
            Credential::Access(token) => self.get(gateway, "/protected", token),
            Credential::AdminAccess(token) => self.get(gateway, "/admin/dashboard", token),
            Credential::Refresh(token) => {
                self.post(gateway, "/auth/refresh", None, &json!({ "refresh_token": token }))
            }
            Credential::Key(text) => {
                self.fleet.request(gateway, Method::GET, "/protected").header("x-api-key", text)
            }
        };
        let outcome = self.send("an ended right", gateway, request).await;
        match outcome.status() {
            Some(401 | 403) => self.history.refused_as_it_must(),
            Some(status) => {
                let after = ended.at.elapsed();
                self.violation(&format!(
                    "rule 1: {status} for what {} ended {after:?} ago: {ended:?}",
                    ended.by
                ));
            }
            None => {}
        }
    }

    /// When all is well again: what was acknowledged is still there.
    pub async fn look_back(mut self) {
        if self.account.is_some() {
            self.look_at_the_account().await;
        }
        for (name, password) in self.deleted.clone() {
            let outcome = self.try_password(0, &name, &password).await;
            if outcome.is_success() {
                self.violation(&format!("rule 6: {name} was deleted and logs in"));
            }
        }
    }
}
