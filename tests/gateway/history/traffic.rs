//! Proxied requests: limited ones and cached ones.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::fleet::{LIMIT_BURST, LIMIT_PER_MINUTE};
use super::outcome::Outcome;
use super::person::Person;
use super::rules::BOUND;

/// Targets of cached requests; few, so that there are hits.
const TARGETS: usize = 3;

impl Person {
    /// As many at once as the burst has, at both gateways.
    pub async fn ask_the_limited(&mut self) {
        let Some((_, session)) = self.session().await else { return };
        let begun = Instant::now();
        let requests = (0..2 * LIMIT_BURST).map(|at| self.get(at % 2, "/secure/data", &session.access));
        let outcomes = futures::future::join_all(requests.map(Outcome::of)).await;
        for (at, outcome) in outcomes.iter().enumerate() {
            self.learned("a limited request", at % 2, outcome);
            if outcome.is_success() {
                self.history.acknowledged("limited request");
                self.let_through.push(begun);
            }
        }
        let Some(first) = self.let_through.first() else { return };
        // What a full bucket and its refilling allow, counted from before the first one.
        let seconds = first.elapsed().as_secs_f64();
        let allowed = LIMIT_BURST as f64 + seconds * LIMIT_PER_MINUTE as f64 / 60.0 + 1.0;
        let count = self.let_through.len();
        if count as f64 > allowed {
            self.violation(&format!("rule 4: {count} requests in {seconds} s, where {allowed} are allowed"));
        }
    }

    pub async fn ask_the_cached(&mut self) {
        let Some((_, session)) = self.session().await else { return };
        let (gateway, target) = (self.any_gateway(), self.random.below(TARGETS));
        let by_role = self.random.chance(50);
        let request = self.get(gateway, &format!("/echo?target={target}"), &session.access);
        let request = if by_role { request.header("host", "roles.example") } else { request };
        let outcome = self.send("a cached request", gateway, request).await;
        let Outcome::Answered { status: 200, body, .. } = &outcome else { return };
        let id = self.account_mut().id.clone();
        let roles = roles_of(&session.access);
        if by_role && field(body, "x-forwarded-groups") != Some(&roles.join(",")) {
            self.violation("rule 5: an answer for other roles");
        }
        if !by_role && field(body, "x-forwarded-user") != Some(&id) {
            self.violation("rule 5: an answer for somebody else");
        }
    }

    /// Whatever was stored before is too old once all gateways must have heard of it.
    pub async fn purge(&mut self) {
        let name = self.account_mut().name.clone();
        self.ask_the_cached().await;
        let gateway = self.any_gateway();
        let purged = self.fleet.command(gateway, &["cache", "purge", "--user", &name]).await;
        let at = Instant::now();
        self.tell(format!("purge: {purged:?}"));
        if !purged.status.success() {
            return;
        }
        self.history.acknowledged("purge");
        while at.elapsed() < BOUND && !self.fleet.is_over() {
            self.ask_the_limited().await;
        }
        let Some((_, session)) = self.session().await else { return };
        for target in 0..TARGETS {
            let asked = at.elapsed();
            let request = self.get(1 - gateway, &format!("/echo?target={target}"), &session.access);
            let outcome = self.send("after a purge", 1 - gateway, request).await;
            // `Age` is in whole seconds, and one that came meanwhile is as old as the purge at most.
            if let Outcome::Answered { status: 200, age: Some(age), .. } = outcome
                && age > at.elapsed().as_secs() + 1
                && asked >= BOUND
            {
                self.violation(&format!("rule 5: an answer {age} s old, purged {asked:?} ago"));
            }
        }
    }
}

/// One that the upstream was sent.
fn field<'b>(echo: &'b Value, name: &str) -> Option<&'b str> {
    let fields = echo["headers"].as_array()?;
    fields.iter().find(|field| field[0] == name)?[1].as_str()
}

/// That an access token tells.
fn roles_of(token: &str) -> Vec<String> {
    let claims = token.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
    let claims: Value = serde_json::from_slice(&claims.unwrap_or_default()).unwrap_or_default();
    let roles = claims["roles"].as_array().cloned().unwrap_or_default();
    roles.iter().filter_map(|role| role.as_str().map(str::to_owned)).collect()
}
