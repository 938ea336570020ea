//! The request path's one question to Redis: a script, one round trip for revocation and all limits.

use std::sync::LazyLock;

use async_trait::async_trait;
use bytes::Bytes;

use super::key::{Key, Layout};
use super::script::{Call, Script};
use super::{RedisState, failed, parse};
use crate::store::{Admission, Bearer, Charge, Gatekeeper, Price, Standing, StoreError, Verdict};

static ADMIT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(include_str!("scripts/gcra.lua"), include_str!("scripts/admit.lua")))
});

/// One counter, and for how many requests it may be charged at once: for the one that asks by its price,
/// for others whole.
pub(super) struct Ask<'a> {
    pub charge: &'a Charge,
    pub count: u32,
}

/// What Redis said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub standing: Standing,
    /// One per counter of the question. With a bearer that isn't good, only those that count before the
    /// identity does are judged; of a cluster, some may be unknown where the answer is a refusal anyway.
    pub counters: Vec<Option<Counter>>,
}

/// Why there is no answer, and which counters were charged all the same, as a cluster may do.
#[derive(Debug)]
pub(super) struct Failure {
    pub error: StoreError,
    pub counters: Vec<Option<Counter>>,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self { error, counters: Vec::new() }
    }
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
    pub(super) async fn ask(&self, bearer: Option<Bearer>, asks: &[Ask<'_>]) -> Result<Answer, Failure> {
        match self.layout() {
            Layout::OneServer => Ok(self.ask_at_once(bearer, asks).await?),
            Layout::Cluster => self.ask_in_parts(bearer, asks).await,
        }
    }

    /// All of it in one script.
    pub(super) async fn ask_at_once(
        &self,
        bearer: Option<Bearer>,
        asks: &[Ask<'_>],
    ) -> Result<Answer, StoreError> {
        let bearer_keys = if bearer.is_some() { 3 } else { 0 };
        let mut call = ADMIT.call(bearer_keys + asks.len(), 2 + 4 * asks.len());
        if let Some(bearer) = bearer {
            call = self.keys_of(bearer).into_iter().fold(call, Call::key);
        }
        for ask in asks {
            call = call.key(Key::Limit(&ask.charge.key));
        }
        call = call.arg(bearer_keys).arg(bearer.map_or(0, |bearer| bearer.version));
        for Ask { charge, count } in asks {
            let (tolerance_us, ceiling_us) = (charge.quota.tolerance_us(), charge.quota.ceiling_us());
            call = call.arg(charge.quota.step_us());
            call = match tolerance_us == ceiling_us {
                true => call.arg(tolerance_us),
                false => call.text(format_args!("{tolerance_us}:{ceiling_us}")),
            };
            call = call.arg(u8::from(charge.before_identity));
            call = match charge.price {
                Price::WHOLE => call.arg(*count),
                _ => call.text(format_args!("{count}:{}:{}", charge.cost_us(), charge.room_us())),
            };
        }
        let numbers = numbers(&parse::<Bytes>(call.run(&self.connections).await?)?)?;
        answer(&numbers, asks.iter().map(|ask| ask.charge.before_identity))
    }
}

/// Asks Redis for every request, and for that request alone.
#[async_trait]
impl Gatekeeper for RedisState {
    async fn admit(&self, bearer: Option<Bearer>, charges: &[Charge]) -> Result<Admission, StoreError> {
        if bearer.is_none() && charges.is_empty() {
            return Ok(Admission { standing: Standing::Good, verdicts: Vec::new(), runs_low: false });
        }
        let asks: Vec<Ask<'_>> = charges.iter().map(|charge| Ask { charge, count: 1 }).collect();
        let Answer { standing, counters } = self.ask(bearer, &asks).await.map_err(|failure| failure.error)?;
        let judged = charges.iter().zip(&counters);
        let judged = judged.filter(|(charge, _)| standing == Standing::Good || charge.before_identity);
        let verdict = |(charge, counter): (&Charge, &Option<Counter>)| match counter {
            Some(counter) => counter.verdict(),
            None => charge.verdict(0, false),
        };
        Ok(Admission { standing, verdicts: judged.map(verdict).collect(), runs_low: false })
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

/// `asked` tells of each counter whether it counts before the identity does.
fn answer(numbers: &[u64], asked: impl Iterator<Item = bool>) -> Result<Answer, StoreError> {
    let (standing, judged) = match numbers {
        [0, judged @ ..] => (Standing::Good, judged),
        [1, judged @ ..] => (Standing::Revoked, judged),
        [2, judged @ ..] => (Standing::Stale, judged),
        _ => return Err(failed("admit.lua answered without a standing")),
    };
    let (judged, []) = judged.as_chunks::<4>() else {
        return Err(failed("admit.lua answered with half a verdict"));
    };
    let mut judged = judged.iter().map(|&[wait_us, remaining, level_us, granted]| Counter {
        wait_us,
        remaining,
        level_us,
        granted: u32::try_from(granted).unwrap_or(u32::MAX),
    });
    let other = || failed("admit.lua judged other counters than it was asked to");
    let counter = |before_identity| match before_identity || standing == Standing::Good {
        true => judged.next().map(Some).ok_or_else(other),
        false => Ok(None),
    };
    let counters = asked.map(counter).collect::<Result<_, _>>()?;
    if judged.next().is_some() {
        return Err(other());
    }
    Ok(Answer { standing, counters })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_number_by_number_and_nonsense_is_a_failure() {
        let read = |text: &str| {
            numbers(text.as_bytes()).and_then(|numbers| answer(&numbers, [true, false].into_iter())).ok()
        };

        let counter = Counter { wait_us: 0, remaining: 9, level_us: 360_000_000, granted: 1 };
        let expected = Answer { standing: Standing::Stale, counters: vec![Some(counter), None] };
        assert_eq!(read("2 0 9 360000000 1"), Some(expected));
        let expected = Answer { standing: Standing::Good, counters: vec![Some(counter), Some(counter)] };
        assert_eq!(read("0 0 9 360000000 1 0 9 360000000 1"), Some(expected));
        assert_eq!(read("0 0 9 360000000 1"), None, "one judged of two");
        assert_eq!(read("1 0 9 360000000 1 0 9 360000000 1"), None, "two judged of one");
        for nonsense in ["", "3", "0 1", "0 1 2 3", "0 a b c d", "0  1", "-1", "0 0 9 360000000 1 7"] {
            assert_eq!(read(nonsense), None, "{nonsense:?}");
        }
    }
}
