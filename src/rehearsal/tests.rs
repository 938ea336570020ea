//! The `tests:` of a policy: each is asked like a question, and must be answered as it says.

use std::sync::Arc;

use futures::FutureExt;

use super::{Caller, Explanation, Question, Rehearsal};
use crate::config::place::Step;
use crate::config::policy::{Policy, Test};
use crate::config::problem::Problems;

/// Adds a problem for every test that doesn't hold.
pub fn run(policy: Arc<Policy>, problems: &mut Problems) {
    if policy.tests.is_empty() {
        return;
    }
    let rehearsal = match Rehearsal::offline(policy.clone()) {
        Ok(rehearsal) => rehearsal,
        Err(reason) => return problems.error_at(Default::default(), reason),
    };
    for test in &policy.tests {
        if let Err((key, message)) = check(&rehearsal, test) {
            problems.error_at(test.place.join([Step::Key(key.to_owned())]), message);
        }
    }
}

/// `Err` names the key that isn't met, and says how.
fn check(rehearsal: &Rehearsal, test: &Test) -> Result<(), (&'static str, String)> {
    // Offline nothing has to be waited for.
    let answer = rehearsal.explain(&question(test)).now_or_never();
    let explanation = answer
        .unwrap_or_else(|| Err("the answer didn't come at once".to_owned()))
        .map_err(|reason| ("request", reason))?;
    let expected = test.refusal.map_or("allowed", |code| code.as_str());
    if expected != outcome(&explanation) {
        let message = format!(
            "{} {} as {}: expected {expected}, but it is {}",
            test.method,
            test.target,
            who(test),
            found(&explanation)
        );
        return Err(("expect", message));
    }
    check_forwarding(test, &explanation)
}

fn check_forwarding(test: &Test, explanation: &Explanation) -> Result<(), (&'static str, String)> {
    let reached = explanation.upstream.as_ref().map(|upstream| &upstream.name);
    if let Some(expected) = &test.upstream
        && reached != Some(expected)
    {
        let reached = reached.map_or("the gateway itself", |name| name);
        return Err(("upstream", format!("expected {expected:?}, but it goes to {reached:?}")));
    }
    let told = explanation.headers.as_ref().map(|headers| &headers.added);
    for (name, expected) in &test.headers {
        match told.and_then(|told| told.get(name)) {
            Some(value) if value == expected => {}
            Some(value) => {
                return Err(("headers", format!("expected {name}: {expected:?}, but it is {value:?}")));
            }
            None => return Err(("headers", format!("expected {name}: {expected:?}, but it isn't set"))),
        }
    }
    Ok(())
}

fn question(test: &Test) -> Question {
    let url = match &test.host {
        Some(host) => format!("http://{host}{}", test.target),
        None => test.target.clone(),
    };
    let caller = match test.is_anonymous() {
        true => Caller::Anonymous,
        false => Caller::Account {
            user: test.user.clone(),
            found: None,
            roles: test.roles.clone(),
            scopes: test.scopes.clone(),
            mfa: test.mfa,
        },
    };
    Question { method: test.method.clone(), url, caller, address: None, headers: Vec::new() }
}

fn who(test: &Test) -> String {
    let mut parts: Vec<String> = test.user.iter().cloned().collect();
    parts.extend(test.roles.iter().map(|role| format!("role {role}")));
    parts.extend(test.scopes.iter().map(|scope| format!("scope {scope}")));
    if test.mfa {
        parts.push("a second factor".to_owned());
    }
    if parts.is_empty() { "nobody".to_owned() } else { parts.join(", ") }
}

fn outcome(explanation: &Explanation) -> &str {
    if explanation.decision.allowed { "allowed" } else { &explanation.decision.code }
}

fn found(explanation: &Explanation) -> String {
    match &explanation.route {
        Some(route) => {
            format!("{} by the route {:?} (access: {})", outcome(explanation), route.name, route.access)
        }
        None => format!("{}: no route takes it", outcome(explanation)),
    }
}
