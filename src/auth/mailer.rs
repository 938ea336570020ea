//! Mail to the owners of accounts, sent off the request: neither the answer nor its time tells whether
//! anybody has the address that was asked about. Each kind of mail has a queue of its own, so that mail for strangers
//! holds up none for owners; notices wait in the account store.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{Stores, audit, note_store_error};
use crate::accounts::notices::{Attempt, NoticeQueue, Outcome};
use crate::clock::{Timestamp, now};
use crate::config::policy::{MailDelivery, Policy};
use crate::identity::{email as address, one_time};
use crate::mail::{self, Errand, Message};
use crate::rejection::{Code, Rejection};
use crate::store::{Account, AuditEvent, AuditRecord, OneTimeToken, Purpose, QueuedNotice, StoreError};
use crate::telemetry::Metrics;

/// Requests whose mail may wait for a server that is slow; more are refused.
const QUEUE: usize = 256;
const AT_ONCE: usize = 4;
/// Senders of notices; each sends until none is due.
const NOTICE_SENDERS: usize = 2 * AT_ONCE;
const OVERLOAD_RETRY: Duration = Duration::from_secs(10);
/// A server that is busy or away for a moment is asked again after this.
const RETRIES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

#[derive(Clone)]
pub struct Mailer {
    postman: Arc<Postman>,
    /// For new passwords: owners with a confirmed address.
    resets: Queue,
    /// To confirm addresses, which anybody can name.
    confirmations: Queue,
    notices: Queue,
}

/// What somebody asked for: a token by which something can be done, once.
pub struct Job {
    pub purpose: Purpose,
    pub accounts: Vec<Account>,
    pub policy: Arc<Policy>,
    /// The request; event and account are filled in.
    pub record: AuditRecord,
}

impl Mailer {
    pub fn new(stores: Stores, metrics: Arc<Metrics>) -> Self {
        let notices = NoticeQueue::new(stores.notices.clone());
        Self {
            postman: Arc::new(Postman { stores, notices, metrics }),
            resets: Queue::new(QUEUE),
            confirmations: Queue::new(QUEUE),
            notices: Queue::new(NOTICE_SENDERS),
        }
    }

    /// A place for a mail that may turn out to be for nobody; taken before anybody is looked up, so that a full queue
    /// tells nothing of who has the address. `overloaded` when too many wait.
    pub fn reserve(&self, purpose: Purpose) -> Result<Place, Rejection> {
        let queue = match purpose {
            Purpose::ResetPassword => &self.resets,
            _ => &self.confirmations,
        };
        queue.place().ok_or_else(|| Rejection::from(Code::Overloaded).retry_after(OVERLOAD_RETRY))
    }

    /// To be sent from the caller's runtime, in turn.
    pub fn post(&self, place: Place, job: Job) {
        let postman = self.postman.clone();
        tokio::spawn(async move {
            let _turn = place.turn().await;
            postman.run(job).await;
            drop(place);
        });
    }

    /// Returns once the notice is in the queue, where nothing but its delivery or a day of failures ends it.
    pub async fn tell(&self, notice: &QueuedNotice, policy: &Arc<Policy>) {
        let Postman { notices, metrics, .. } = &*self.postman;
        match notices.add(notice).await {
            Ok(true) => self.send_notices(policy),
            Ok(false) => {
                metrics.mails.with_label_values(&["dropped"]).inc();
                tracing::warn!(user_id = %notice.user_id, change = notice.change, "too many notices wait; owner not told");
            }
            Err(error) => {
                metrics.mails.with_label_values(&["dropped"]).inc();
                note_store_error(metrics, &error, "owner not told of a change");
            }
        }
    }

    /// Whether a notice to this account finds room, which is counted and logged otherwise. A store that doesn't say
    /// takes no change, either.
    pub async fn has_room(&self, account: &Account, change: &str) -> bool {
        let Postman { notices, metrics, .. } = &*self.postman;
        let has_room = notices.has_room(account).await.unwrap_or(true);
        if !has_room {
            metrics.mails.with_label_values(&["dropped"]).inc();
            tracing::warn!(user_id = %account.id, change, "too many notices wait; owner not told");
        }
        has_room
    }

    /// Sends the notices that are due, off the caller: new ones, those that were put off, and those that a gateway
    /// which ended has left.
    pub fn send_notices(&self, policy: &Arc<Policy>) {
        if policy.mail.delivery.is_none() {
            return;
        }
        let Some(place) = self.notices.place() else { return };
        let (postman, policy) = (self.postman.clone(), policy.clone());
        tokio::spawn(async move {
            let _turn = place.turn().await;
            while postman.send_notice(&policy).await {}
            drop(place);
        });
    }

    /// How many requests have mail that isn't out yet. Notices aren't among them: they are in their queue.
    pub fn waiting(&self) -> usize {
        self.resets.waiting() + self.confirmations.waiting()
    }

    /// Returns when none has, and no notice is being sent.
    pub async fn idle(&self) {
        for queue in [&self.resets, &self.confirmations, &self.notices] {
            queue.idle().await;
        }
    }

    /// At the end of the process: says what won't be sent. Notices stay in their queue.
    pub fn give_up(&self) {
        let lost = self.waiting();
        if lost > 0 {
            self.postman.metrics.mails.with_label_values(&["lost"]).inc_by(lost as u64);
            tracing::error!(requests = lost, "mail not sent: the gateway ends");
        }
    }
}

#[derive(Clone)]
struct Queue {
    most: usize,
    at_once: Arc<Semaphore>,
    waiting: watch::Sender<usize>,
}

impl Queue {
    fn new(most: usize) -> Self {
        Self { most, at_once: Arc::new(Semaphore::new(AT_ONCE)), waiting: watch::Sender::new(0) }
    }

    fn place(&self) -> Option<Place> {
        let is_free = self.waiting.send_if_modified(|waiting| {
            let is_free = *waiting < self.most;
            *waiting += usize::from(is_free);
            is_free
        });
        is_free.then(|| Place(self.clone()))
    }

    fn waiting(&self) -> usize {
        *self.waiting.borrow()
    }

    async fn idle(&self) {
        // It has a sender here.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting == 0).await;
    }
}

/// In a queue, until it is dropped.
pub struct Place(Queue);

impl Place {
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // Nobody closes it.
        self.0.at_once.clone().acquire_owned().await.ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|waiting| *waiting -= 1);
    }
}

struct Postman {
    stores: Stores,
    notices: NoticeQueue,
    metrics: Arc<Metrics>,
}

impl Postman {
    async fn run(&self, job: Job) {
        let Some(delivery) = &job.policy.mail.delivery else { return };
        for account in job.accounts.iter().filter(|account| !account.disabled) {
            let email = match job.purpose {
                Purpose::VerifyEmail => account.unconfirmed_email(),
                _ => account.confirmed_email(),
            };
            if let Some(email) = email {
                self.send(&job, account, email, delivery).await;
            }
        }
    }

    /// `false` when none is due, or the store fails.
    async fn send_notice(&self, policy: &Policy) -> bool {
        let Some(delivery) = &policy.mail.delivery else { return false };
        match self.notices.send_next(&policy.mail, delivery).await {
            Ok(Some(attempt)) => {
                self.note(attempt).await;
                true
            }
            Ok(None) => false,
            Err(error) => {
                note_store_error(&self.metrics, &error, "notices wait");
                false
            }
        }
    }

    async fn note(&self, Attempt { notice, outcome }: Attempt) {
        let (counted, event, detail) = match outcome {
            Outcome::Sent => ("sent", AuditEvent::NoticeSent, notice.change),
            Outcome::PutOff(reason) => {
                tracing::warn!(user_id = %notice.user_id, reason, "mail not sent yet");
                return;
            }
            Outcome::GivenUp(reason) => {
                tracing::error!(user_id = %notice.user_id, reason, "mail not sent");
                ("failed", AuditEvent::MailFailed, reason)
            }
        };
        self.metrics.mails.with_label_values(&[counted]).inc();
        let record = AuditRecord {
            at: now(),
            event,
            user_id: Some(notice.user_id),
            username: notice.username,
            actor: notice.actor,
            address: notice.address,
            user_agent: notice.user_agent,
            request_id: notice.request_id,
            detail: Some(detail),
            notices: Vec::new(),
        };
        audit::keep(&self.stores, &self.metrics, &record).await;
    }

    async fn send(&self, job: &Job, account: &Account, email: &str, delivery: &MailDelivery) {
        let (outcome, (event, detail)) = match self.mail(job, account, email, delivery).await {
            Ok(true) => ("sent", (sent(job.purpose), None)),
            Ok(false) => ("limited", (AuditEvent::MailFailed, Some("too many mails".to_owned()))),
            Err(reason) => {
                tracing::error!(user_id = %account.id, reason, "mail not sent");
                ("failed", (AuditEvent::MailFailed, Some(reason)))
            }
        };
        self.metrics.mails.with_label_values(&[outcome]).inc();
        let record = AuditRecord {
            at: now(),
            event,
            user_id: Some(account.id),
            username: account.username.clone(),
            detail,
            ..job.record.clone()
        };
        audit::keep(&self.stores, &self.metrics, &record).await;
    }

    /// `false` when there were too many mails to this account or address.
    async fn mail(
        &self,
        job: &Job,
        account: &Account,
        email: &str,
        delivery: &MailDelivery,
    ) -> Result<bool, String> {
        let Some(message) = self.with_token(job, account, email).await? else { return Ok(false) };
        for wait in RETRIES {
            match mail::deliver(message.clone(), delivery).await {
                Ok(()) => return Ok(true),
                Err(reason) => tracing::warn!(user_id = %account.id, reason, "mail not sent yet"),
            }
            tokio::time::sleep(wait).await;
        }
        mail::deliver(message, delivery).await.map(|()| true)
    }

    /// `None` when there were too many.
    async fn with_token(&self, job: &Job, account: &Account, email: &str) -> Result<Option<Message>, String> {
        let text = one_time::mint();
        let token = token(job, account, email, &text);
        let kept = self.stores.one_time_tokens.keep(&token, job.policy.auth.email.most).await;
        let is_kept = kept.map_err(|error| self.counted(error))?;
        if !is_kept {
            return Ok(None);
        }
        let (mail, rules) = (&job.policy.mail, &job.policy.auth.email);
        let (template, link) = match job.purpose {
            Purpose::ResetPassword => (&mail.reset, &rules.reset_link),
            _ => (&mail.verify, &rules.verify_link),
        };
        let errand = Errand {
            username: &account.username,
            token: &text,
            link: link.as_deref(),
            expires_at: token.expires_at,
        };
        mail::write(&mail.from, email, template, &errand.words()).map(Some)
    }

    fn counted(&self, error: StoreError) -> String {
        self.metrics.store_errors.with_label_values(&[error.store]).inc();
        error.to_string()
    }
}

/// A password is reset by mail to the address the account has now, unless the account has changed since.
fn token(job: &Job, account: &Account, email: &str, text: &str) -> OneTimeToken {
    let rules = &job.policy.auth.email;
    let (ttl, version) = match job.purpose {
        Purpose::ResetPassword => (rules.reset_ttl, Some(account.version)),
        _ => (rules.verify_ttl, None),
    };
    let created_at: Timestamp = now();
    OneTimeToken {
        hash: one_time::hash(text),
        purpose: job.purpose,
        user_id: account.id,
        address: Some(address::key(email)),
        version,
        created_at,
        expires_at: created_at + ttl,
    }
}

/// What the audit log says of it.
fn sent(purpose: Purpose) -> AuditEvent {
    match purpose {
        Purpose::ResetPassword => AuditEvent::PasswordResetSent,
        _ => AuditEvent::VerificationSent,
    }
}
