//! The request path's question to a Redis Cluster, where the bearer and each counter have a slot of
//! their own: all parts are sent at once, each to its server.
//!
//! What the servers did say counts. A bearer that isn't good or a counter that refuses is an answer,
//! whatever became of the other parts; the question fails when the bearer's part fails, or when no
//! counter refuses and one didn't answer. A counter may have been charged for a request that another
//! part refuses. That isn't given back (docs/decisions/0008-leases-decay.md); the gateway holds it as a
//! lease. So others may be refused who could have passed, never the other way round.

use futures::future::join_all;

use super::RedisState;
use super::ask::{Answer, Ask, Counter, Failure};
use crate::clock;
use crate::store::{Bearer, Revocations, Standing, StoreError};

impl RedisState {
    pub(super) async fn ask_in_parts(
        &self,
        bearer: Option<Bearer>,
        asks: &[Ask<'_>],
    ) -> Result<Answer, Failure> {
        let standing = async {
            match bearer {
                Some(bearer) => self.standing(bearer, clock::now()).await,
                None => Ok(Standing::Good),
            }
        };
        let counters = join_all(asks.iter().map(|ask| self.charge(ask)));
        let (standing, counters) = tokio::join!(standing, counters);
        combine(standing, asks, counters)
    }

    async fn charge(&self, ask: &Ask<'_>) -> Result<Option<Counter>, StoreError> {
        let answer = self.ask_at_once(None, std::slice::from_ref(ask)).await?;
        Ok(answer.counters.into_iter().flatten().next())
    }
}

fn combine(
    standing: Result<Standing, StoreError>,
    asks: &[Ask<'_>],
    parts: Vec<Result<Option<Counter>, StoreError>>,
) -> Result<Answer, Failure> {
    let mut away = None;
    let mut counters = Vec::with_capacity(parts.len());
    for part in parts {
        counters.push(part.unwrap_or_else(|error| {
            away = Some(error);
            None
        }));
    }
    let standing = match standing {
        Ok(standing) => standing,
        Err(error) => return Err(Failure { error, counters }),
    };
    let refuses = |(ask, counter): (&Ask<'_>, &Option<Counter>)| {
        let is_judged = standing == Standing::Good || ask.charge.before_identity;
        is_judged && counter.is_some_and(|counter| counter.wait_us > 0)
    };
    let is_refused = standing != Standing::Good || asks.iter().zip(&counters).any(refuses);
    match away {
        Some(error) if !is_refused => Err(Failure { error, counters }),
        _ => Ok(Answer { standing, counters }),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;
    use crate::store::redis::failed;
    use crate::store::{Charge, Price, Quota};

    const ALLOWS: Counter = Counter { wait_us: 0, remaining: 5, level_us: 3_000_000, granted: 2 };
    const REFUSES: Counter = Counter { wait_us: 7, remaining: 0, level_us: 9_000_000, granted: 0 };

    /// The first charge counts before the identity does, the second doesn't. `None` is away.
    fn combined(standing: Option<Standing>, parts: [Option<Counter>; 2]) -> Result<Answer, Failure> {
        let quota = Quota::new(NonZeroU32::MIN, Duration::from_secs(1), NonZeroU32::MIN);
        let charges = [true, false].map(|before_identity| Charge {
            key: "k".into(),
            quota,
            before_identity,
            price: Price::WHOLE,
        });
        let asks: Vec<Ask<'_>> = charges.iter().map(|charge| Ask { charge, count: 2 }).collect();
        let parts = parts.map(|part| part.map(Some).ok_or_else(|| failed("away")));
        combine(standing.ok_or_else(|| failed("away")), &asks, parts.into())
    }

    #[test]
    fn what_refuses_counts_whatever_is_away() {
        for parts in [
            [Some(ALLOWS), Some(ALLOWS)],
            [Some(REFUSES), Some(ALLOWS)],
            [Some(REFUSES), None],
            [None, Some(REFUSES)],
        ] {
            let answer = combined(Some(Standing::Good), parts).expect("an answer");
            assert_eq!(answer, Answer { standing: Standing::Good, counters: parts.to_vec() });
        }
    }

    #[test]
    fn without_a_refusal_a_part_that_is_away_fails_the_question_and_what_was_charged_is_known() {
        for parts in [[Some(ALLOWS), None], [None, Some(ALLOWS)], [None, None]] {
            let failure = combined(Some(Standing::Good), parts).expect_err("nobody may pass");
            assert_eq!(failure.counters, parts);
        }
    }

    #[test]
    fn without_the_bearers_part_nothing_is_known_not_even_that_a_limit_refuses() {
        for parts in [[Some(ALLOWS), Some(ALLOWS)], [Some(REFUSES), Some(REFUSES)]] {
            let failure = combined(None, parts).expect_err("the bearer may be revoked");
            assert_eq!(failure.counters, parts);
        }
    }

    #[test]
    fn a_bearer_that_is_not_good_is_refused_whatever_is_away() {
        for parts in [[Some(ALLOWS), None], [None, Some(REFUSES)], [None, None]] {
            let answer = combined(Some(Standing::Revoked), parts).expect("an answer");
            assert_eq!(answer, Answer { standing: Standing::Revoked, counters: parts.to_vec() });
        }
    }
}
