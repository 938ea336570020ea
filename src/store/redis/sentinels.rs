//! Which server is the master, by the word of the sentinels.
//!
//! Every sentinel is asked, and what most of those say that answer in time counts: one that was cut
//! off from the others may still name a master that they have replaced.

use futures::future::{BoxFuture, join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisError, RedisResult, Value, from_redis_value};
use tokio::time::timeout;

use super::server::{ANSWER_TIMEOUT, Ca, Question, Server, client};
use crate::config::policy::{RedisAccess, RedisAddress};

pub(super) struct Sentinels {
    sentinels: Vec<Server>,
    question: Cmd,
    access: RedisAccess,
    database: u32,
    ca: Ca,
}

impl Sentinels {
    pub fn new(sentinels: Vec<Server>, master: &str, access: RedisAccess, database: u32, ca: Ca) -> Self {
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        Self { sentinels, question, access, database, ca }
    }

    /// Boxed, because a sentinel is reached by way of a [`Server`], too.
    pub fn master(&self) -> BoxFuture<'_, RedisResult<RedisAddress>> {
        Box::pin(async {
            let answers = self.sentinels.iter().map(|sentinel| self.ask(sentinel));
            prevailing(answers).await.ok_or_else(|| error("no sentinel knows the master"))
        })
    }

    /// To the master, which says itself that it is one.
    pub async fn connect(
        &self,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<(MultiplexedConnection, RedisAddress)> {
        let master = self.master().await?;
        let client = client(&self.access.url(&master, self.database), &self.ca)?;
        let mut connection = client.get_multiplexed_async_connection_with_config(config).await?;
        let role: Vec<Value> = redis::cmd("ROLE").query_async(&mut connection).await?;
        let role: Option<String> = role.into_iter().next().and_then(|role| from_redis_value(role).ok());
        if role.as_deref() != Some("master") {
            return Err(error("the server that the sentinels name isn't a master yet"));
        }
        Ok((connection, master))
    }

    /// Of the sentinels; boxed like [`master`](Self::master).
    pub fn check_access(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            let checks = self.sentinels.iter().map(Server::check_access);
            join_all(checks).await.into_iter().collect()
        })
    }

    async fn ask(&self, sentinel: &Server) -> Option<RedisAddress> {
        let asked = timeout(ANSWER_TIMEOUT, sentinel.run(Question::new(&self.question))).await;
        let (host, port) = from_redis_value::<Option<(String, u16)>>(asked.ok()?.ok()?).ok()??;
        Some(RedisAddress { host, port })
    }
}

/// What is said most often; of several such, what was said first. Nobody waits for the last ones when
/// more than half of those who were asked say the same.
pub(super) async fn prevailing<T: Eq>(
    asked: impl Iterator<Item = impl Future<Output = Option<T>>>,
) -> Option<T> {
    let mut asked: FuturesUnordered<_> = asked.collect();
    let half = asked.len() / 2;
    let mut votes: Vec<(T, usize)> = Vec::new();
    while let Some(answer) = asked.next().await {
        let Some(answer) = answer else { continue };
        let known = votes.iter().position(|(known, _)| *known == answer);
        let place = known.unwrap_or_else(|| {
            votes.push((answer, 0));
            votes.len() - 1
        });
        votes[place].1 += 1;
        if votes[place].1 > half {
            return Some(votes.swap_remove(place).0);
        }
    }
    let most = votes.iter().map(|(_, count)| *count).max()?;
    votes.into_iter().find(|(_, count)| *count == most).map(|(answer, _)| answer)
}

fn error(what: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Client, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(answers: &[Option<u8>]) -> Option<u8> {
        prevailing(answers.iter().map(|answer| std::future::ready(*answer))).await
    }

    #[tokio::test]
    async fn the_word_of_most_counts() {
        assert_eq!(of(&[Some(1), Some(2), None, None, Some(2)]).await, Some(2));
        assert_eq!(of(&[Some(1), None, Some(2)]).await, Some(1));
        assert_eq!(of(&[None, Some(3)]).await, Some(3));
        assert_eq!(of(&[None]).await, None);
        assert_eq!(of(&[]).await, None);
    }

    #[tokio::test]
    async fn nobody_waits_for_those_who_can_not_change_it() {
        let hangs = |at: usize| async move {
            match at {
                0 => std::future::pending().await,
                _ => Some(at.min(1)),
            }
        };

        assert_eq!(prevailing((0..3).map(hangs)).await, Some(1));
    }
}
