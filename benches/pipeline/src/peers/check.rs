//! A peer that lets everybody pass would win every race: what is measured must refuse first.

use portcullis_bench::token::{self, Bearer};
use serde_json::Value;

use crate::Failure;
use crate::client::Client;

/// The one token that no peer with a list of revoked tokens lets pass.
pub fn revoked() -> Bearer {
    Bearer::user(usize::from(u16::MAX))
}

/// A good token passes and its user's id arrives at the upstream; a forged one, none, and one
/// without the role are refused.
pub fn refusals(address: &str, good: &str) -> Result<(), Failure> {
    let without_role = Bearer { role: "guest", ..Bearer::user(0) }.mint();
    expect(address, "a good token", Some(good), 200)?;
    expect(address, "a forged token", Some(&token::forged(good)), 401)?;
    expect(address, "no token", None, 401)?;
    expect(address, "a token without the role", Some(&without_role), 403)?;

    let claims: Value = token::verify(&token::key(), good).ok_or("the login's token isn't good")?;
    let user = claims["sub"].as_str().ok_or("a token without a subject")?;
    let seen = Client::connect(address)?.get("/echo", Some(good))?.body;
    if !seen.to_ascii_lowercase().contains(&format!("x-forwarded-user: {user}")) {
        return Err(format!("the user's id didn't reach the upstream: {seen}").into());
    }
    Ok(())
}

pub fn revocation(address: &str) -> Result<(), Failure> {
    expect(address, "a revoked token", Some(&revoked().mint()), 401)
}

fn expect(address: &str, what: &str, token: Option<&str>, status: u16) -> Result<(), Failure> {
    let answer = Client::connect(address)?.get("/protected", token)?;
    if answer.status != status {
        return Err(format!("{what} got {} instead of {status}: {}", answer.status, answer.body).into());
    }
    Ok(())
}
