//! Which server is the master, by the word of the sentinels.
//!
//! Every sentinel is asked, and what most of those say that answer in time counts: one that was cut
//! off from the others may still name a master that they have replaced.

use std::hash::Hash;

use futures::future::{BoxFuture, join_all};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisError, RedisResult, Value, from_redis_value};
use tokio::time::timeout;

use super::server::{ANSWER_TIMEOUT, Question, Server, client};
use crate::config::policy::{RedisAccess, RedisAddress};

pub(super) struct Sentinels {
    sentinels: Vec<Server>,
    question: Cmd,
    access: RedisAccess,
    database: u32,
}

impl Sentinels {
    pub fn new(sentinels: Vec<Server>, master: &str, access: RedisAccess, database: u32) -> Self {
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        Self { sentinels, question, access, database }
    }

    /// Boxed, because a sentinel is reached by way of a [`Server`], too.
    pub fn master(&self) -> BoxFuture<'_, RedisResult<RedisAddress>> {
        Box::pin(async {
            let answers = self.sentinels.iter().map(|sentinel| self.ask(sentinel));
            prevailing(join_all(answers).await.into_iter().flatten())
                .ok_or_else(|| error("no sentinel knows the master"))
        })
    }

    /// To the master, which says itself that it is one.
    pub async fn connect(
        &self,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<(MultiplexedConnection, RedisAddress)> {
        let master = self.master().await?;
        let client = client(&self.access.url(&master, self.database))?;
        let mut connection = client.get_multiplexed_async_connection_with_config(config).await?;
        let role: Vec<Value> = redis::cmd("ROLE").query_async(&mut connection).await?;
        let role: Option<String> = role.into_iter().next().and_then(|role| from_redis_value(role).ok());
        if role.as_deref() != Some("master") {
            return Err(error("the server that the sentinels name isn't a master yet"));
        }
        Ok((connection, master))
    }

    async fn ask(&self, sentinel: &Server) -> Option<RedisAddress> {
        let asked = timeout(ANSWER_TIMEOUT, sentinel.run(Question::new(&self.question))).await;
        let (host, port) = from_redis_value::<Option<(String, u16)>>(asked.ok()?.ok()?).ok()??;
        Some(RedisAddress { host, port })
    }
}

/// What is said most often; of several such, what was said first.
pub(super) fn prevailing<T: Eq + Hash>(answers: impl Iterator<Item = T>) -> Option<T> {
    let mut votes: Vec<(T, usize)> = Vec::new();
    for answer in answers {
        match votes.iter_mut().find(|(known, _)| *known == answer) {
            Some((_, count)) => *count += 1,
            None => votes.push((answer, 1)),
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

    #[test]
    fn the_word_of_most_counts() {
        assert_eq!(prevailing([1, 2, 2].into_iter()), Some(2));
        assert_eq!(prevailing([1, 2].into_iter()), Some(1));
        assert_eq!(prevailing([3].into_iter()), Some(3));
        assert_eq!(prevailing(std::iter::empty::<u8>()), None);
    }
}
