//! The queue of notices to owners: kept beside the accounts, so that none is lost with a gateway, and shared by all
//! gateways. A notice is sent at least once; twice only if its gateway ends, or loses the store, between the mail
//! server's answer and the note of it.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::clock::{Timestamp, now};
use crate::config::policy::{Mail, MailDelivery};
use crate::mail::{self, Message, Notice};
use crate::store::{Account, AuditRecord, NoticeBounds, NoticeKind, Notices, QueuedNotice, StoreError};

/// For the whole of a conversation with the mail server.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);
/// Longer than a delivery takes: what is claimed for longer was left behind by a gateway that ended.
const CLAIM: Duration = Duration::from_secs(120);
/// How long after each failed attempt the next one is made, and the last one of them from then on.
const RETRIES: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(60 * 60),
];
const GIVEN_UP_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// A notice to the owner of this account, at this address, of what the record tells of.
pub fn notice(
    kind: NoticeKind,
    account: &Account,
    email: &str,
    change: String,
    record: &AuditRecord,
) -> QueuedNotice {
    QueuedNotice {
        id: Uuid::now_v7(),
        kind,
        user_id: account.id,
        username: account.username.clone(),
        email: email.to_owned(),
        change,
        at: record.at,
        actor: record.actor.clone(),
        address: record.address,
        user_agent: record.user_agent.clone(),
        request_id: record.request_id.clone(),
        attempts: 0,
    }
}

/// What became of one attempt.
#[derive(Debug)]
pub struct Attempt {
    pub notice: QueuedNotice,
    pub outcome: Outcome,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Sent,
    /// Why, in words. It is tried again later.
    PutOff(String),
    /// Why, in words. It has been tried for a day, or can't be written at all.
    GivenUp(String),
}

#[derive(Clone)]
pub struct NoticeQueue {
    store: Arc<dyn Notices>,
}

impl NoticeQueue {
    pub fn new(store: Arc<dyn Notices>) -> Self {
        Self { store }
    }

    /// `false` when too many wait.
    pub async fn add(&self, notice: &QueuedNotice) -> Result<bool, StoreError> {
        self.store.add(notice, NoticeBounds::USUAL).await
    }

    /// Whether one more may wait for this account.
    pub async fn has_room(&self, account: &Account) -> Result<bool, StoreError> {
        self.store.has_room(account.id, NoticeBounds::USUAL).await
    }

    /// Tries to send the one that is due longest; `None` if none is due.
    pub async fn send_next(
        &self,
        mail: &Mail,
        delivery: &MailDelivery,
    ) -> Result<Option<Attempt>, StoreError> {
        let Some(notice) = self.store.claim(now(), now() + CLAIM).await? else { return Ok(None) };
        let outcome = match write(mail, &notice) {
            Ok(message) => judge(&notice, deliver(message, delivery).await, now()),
            Err(reason) => Outcome::GivenUp(reason),
        };
        match &outcome {
            Outcome::PutOff(_) => {
                self.store.put_off(notice.id, notice.attempts, now() + delay(notice.attempts)).await?;
            }
            Outcome::Sent | Outcome::GivenUp(_) => self.store.remove(notice.id).await?,
        }
        Ok(Some(Attempt { notice, outcome }))
    }
}

fn write(mail: &Mail, notice: &QueuedNotice) -> Result<Message, String> {
    let words =
        Notice { username: &notice.username, change: &notice.change, at: notice.at, address: notice.address };
    let template = match notice.kind {
        NoticeKind::Owner => &mail.notice,
        NoticeKind::Operators => &mail.operators,
    };
    mail::write(&mail.from, &notice.email, template, &words.words())
}

async fn deliver(message: Message, delivery: &MailDelivery) -> Result<(), String> {
    match tokio::time::timeout(DELIVERY_TIMEOUT, mail::deliver(message, delivery)).await {
        Ok(delivered) => delivered,
        Err(_) => Err("the mail server took too long".to_owned()),
    }
}

fn judge(notice: &QueuedNotice, delivered: Result<(), String>, now: Timestamp) -> Outcome {
    match delivered {
        Ok(()) => Outcome::Sent,
        Err(reason) if now >= notice.at + GIVEN_UP_AFTER => Outcome::GivenUp(reason),
        Err(reason) => Outcome::PutOff(reason),
    }
}

/// After this many attempts.
fn delay(attempts: u32) -> Duration {
    let past = usize::try_from(attempts).unwrap_or(usize::MAX).saturating_sub(1);
    RETRIES[past.min(RETRIES.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_away_is_asked_less_and_less_often_for_a_day() {
        let seconds = |attempts| delay(attempts).as_secs();
        assert_eq!([0, 1, 2, 3, 6, 7, 1_000].map(seconds), [1, 1, 5, 30, 3600, 3600, 3600]);

        let at = Timestamp::from_timestamp(1_767_225_600, 0).unwrap();
        let notice = QueuedNotice {
            id: Uuid::nil(),
            kind: NoticeKind::Owner,
            user_id: Uuid::nil(),
            username: "alice".to_owned(),
            email: "a@example.org".to_owned(),
            change: "Your password was changed".to_owned(),
            at,
            actor: None,
            address: None,
            user_agent: None,
            request_id: None,
            attempts: 1,
        };
        let away = || Err("away".to_owned());
        let day = Duration::from_secs(86_400);
        assert_eq!(
            judge(&notice, away(), at + day - Duration::from_secs(1)),
            Outcome::PutOff("away".to_owned())
        );
        assert_eq!(judge(&notice, away(), at + day), Outcome::GivenUp("away".to_owned()));
        assert_eq!(judge(&notice, Ok(()), at + day), Outcome::Sent);
    }
}
