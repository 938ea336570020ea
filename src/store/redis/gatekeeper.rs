//! The request path's one question: a script, one round trip.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::key::Key;
use super::script::Script;
use super::{RedisState, failed, parse};
use crate::store::{Admission, Bearer, Charge, Gatekeeper, Standing, StoreError, Verdict};

static ADMIT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("scripts/gcra.lua"), include_str!("scripts/admit.lua")))
});

#[async_trait]
impl Gatekeeper for RedisState {
    async fn admit(&self, bearer: Option<Bearer>, charges: &[Charge]) -> Result<Admission, StoreError> {
        if bearer.is_none() && charges.is_empty() {
            return Ok(Admission { standing: Standing::Good, verdicts: Vec::new() });
        }
        let bearer_keys = if bearer.is_some() { 3 } else { 0 };
        let mut call = ADMIT.call(bearer_keys + charges.len(), 2 + 3 * charges.len());
        if let Some(bearer) = bearer {
            call = call
                .key(Key::RevokedToken(bearer.token))
                .key(Key::RevokedSession(bearer.session))
                .key(Key::RevokedUser(bearer.user));
        }
        for charge in charges {
            call = call.key(Key::Limit(&charge.key));
        }
        call = call.arg(bearer_keys).arg(bearer.map_or(0, |bearer| bearer.version));
        for Charge { quota, before_identity, .. } in charges {
            call = call.arg(quota.step_us()).arg(quota.tolerance_us()).arg(u8::from(*before_identity));
        }
        admission(&numbers(&parse::<Bytes>(call.run(&self.connections).await?)?)?)
    }
}

/// Whole numbers with a space between them.
fn numbers(answer: &[u8]) -> Result<Vec<u64>, StoreError> {
    let words = answer.split(|&byte| byte == b' ').map(|word| std::str::from_utf8(word).ok()?.parse().ok());
    words.collect::<Option<_>>().ok_or_else(|| failed("admit.lua answered with something else than numbers"))
}

fn admission(answer: &[u64]) -> Result<Admission, StoreError> {
    let (standing, judged) = match answer {
        [0, judged @ ..] => (Standing::Good, judged),
        [1, judged @ ..] => (Standing::Revoked, judged),
        [2, judged @ ..] => (Standing::Stale, judged),
        _ => return Err(failed("admit.lua answered without a standing")),
    };
    let (counters, []) = judged.as_chunks::<3>() else {
        return Err(failed("admit.lua answered with half a verdict"));
    };
    let verdict = |[wait, remaining, level]: &[u64; 3]| Verdict {
        allowed: *wait == 0,
        remaining: u32::try_from(*remaining).unwrap_or(u32::MAX),
        reset_after: Duration::from_micros(*level),
        retry_after: Duration::from_micros(*wait),
    };
    Ok(Admission { standing, verdicts: counters.iter().map(verdict).collect() })
}
