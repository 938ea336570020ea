//! The request path's one question to Redis: a script, one round trip for revocation and all limits.

use std::sync::LazyLock;

use async_trait::async_trait;
use bytes::Bytes;

use super::key::Key;
use super::script::Script;
use super::{RedisState, failed, parse};
use crate::store::{Admission, Bearer, Charge, Gatekeeper, Standing, StoreError, Verdict};

static ADMIT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("scripts/gcra.lua"), include_str!("scripts/admit.lua")))
});

/// One counter, and for how many requests it may be charged at once; at least for one.
pub(super) struct Ask<'a> {
    pub charge: &'a Charge,
    pub count: u32,
}

/// What Redis said. With a bearer that isn't good, only the counters `before_identity` are judged.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub standing: Standing,
    pub counters: Vec<Counter>,
}

/// One counter, as the script left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counter {
    /// Until one request would pass; zero if it does.
    pub wait_us: u64,
    pub remaining: u64,
    pub level_us: u64,
    /// For how many requests it was charged: none when a counter of the question refuses.
    pub granted: u32,
}

impl RedisState {
    pub(super) async fn ask(&self, bearer: Option<Bearer>, asks: &[Ask<'_>]) -> Result<Answer, StoreError> {
        let bearer_keys = if bearer.is_some() { 3 } else { 0 };
        let mut call = ADMIT.call(bearer_keys + asks.len(), 2 + 4 * asks.len());
        if let Some(bearer) = bearer {
            call = call
                .key(Key::RevokedToken(bearer.token))
                .key(Key::RevokedSession(bearer.session))
                .key(Key::RevokedUser(bearer.user));
        }
        for ask in asks {
            call = call.key(Key::Limit(&ask.charge.key));
        }
        call = call.arg(bearer_keys).arg(bearer.map_or(0, |bearer| bearer.version));
        for Ask { charge: Charge { quota, before_identity, .. }, count } in asks {
            call = call.arg(quota.step_us()).arg(quota.tolerance_us());
            call = call.arg(u8::from(*before_identity)).arg(*count);
        }
        answer(&numbers(&parse::<Bytes>(call.run(&self.connections).await?)?)?)
    }
}

/// Asks Redis for every request, and for that request alone.
#[async_trait]
impl Gatekeeper for RedisState {
    async fn admit(&self, bearer: Option<Bearer>, charges: &[Charge]) -> Result<Admission, StoreError> {
        if bearer.is_none() && charges.is_empty() {
            return Ok(Admission { standing: Standing::Good, verdicts: Vec::new() });
        }
        let asks: Vec<Ask<'_>> = charges.iter().map(|charge| Ask { charge, count: 1 }).collect();
        let answer = self.ask(bearer, &asks).await?;
        Ok(Admission {
            standing: answer.standing,
            verdicts: answer.counters.iter().map(Counter::verdict).collect(),
        })
    }
}

impl Counter {
    /// For the one request that was charged.
    fn verdict(&self) -> Verdict {
        Verdict {
            allowed: self.wait_us == 0,
            remaining: u32::try_from(self.remaining).unwrap_or(u32::MAX),
            reset_after: std::time::Duration::from_micros(self.level_us),
            retry_after: std::time::Duration::from_micros(self.wait_us),
        }
    }
}

/// Whole numbers with a space between them.
fn numbers(answer: &[u8]) -> Result<Vec<u64>, StoreError> {
    let words = answer.split(|&byte| byte == b' ').map(|word| std::str::from_utf8(word).ok()?.parse().ok());
    words.collect::<Option<_>>().ok_or_else(|| failed("admit.lua answered with something else than numbers"))
}

fn answer(numbers: &[u64]) -> Result<Answer, StoreError> {
    let (standing, judged) = match numbers {
        [0, judged @ ..] => (Standing::Good, judged),
        [1, judged @ ..] => (Standing::Revoked, judged),
        [2, judged @ ..] => (Standing::Stale, judged),
        _ => return Err(failed("admit.lua answered without a standing")),
    };
    let (counters, []) = judged.as_chunks::<4>() else {
        return Err(failed("admit.lua answered with half a verdict"));
    };
    let counter = |&[wait_us, remaining, level_us, granted]: &[u64; 4]| Counter {
        wait_us,
        remaining,
        level_us,
        granted: u32::try_from(granted).unwrap_or(u32::MAX),
    };
    Ok(Answer { standing, counters: counters.iter().map(counter).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_number_by_number_and_nonsense_is_a_failure() {
        let read = |text: &str| numbers(text.as_bytes()).and_then(|numbers| answer(&numbers)).ok();

        let counter = Counter { wait_us: 0, remaining: 9, level_us: 360_000_000, granted: 1 };
        let expected = Answer { standing: Standing::Stale, counters: vec![counter] };
        assert_eq!(read("2 0 9 360000000 1"), Some(expected));
        for nonsense in ["", "3", "0 1", "0 1 2 3", "0 a b c d", "0  1", "-1", "0 0 9 360000000 1 7"] {
            assert_eq!(read(nonsense), None, "{nonsense:?}");
        }
    }
}
