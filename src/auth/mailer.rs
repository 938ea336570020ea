//! Mail to the owners of accounts, sent off the request: neither the answer nor its time tells whether
//! anybody has the address that was asked about.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::{Stores, audit};
use crate::clock::{Timestamp, now};
use crate::config::policy::{MailDelivery, MailTemplate, Policy};
use crate::identity::one_time;
use crate::mail::{self, Errand, Message, Notice};
use crate::rejection::{Code, Rejection};
use crate::store::{Account, AuditEvent, AuditRecord, OneTimeToken, Purpose, StoreError};
use crate::telemetry::Metrics;

/// Requests whose mail may wait for a server that is slow; more are refused.
const QUEUE: usize = 256;
const AT_ONCE: usize = 4;
const OVERLOAD_RETRY: Duration = Duration::from_secs(10);
/// A server that is busy or away for a moment is asked again after this.
const RETRIES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

#[derive(Clone)]
pub struct Mailer {
    postman: Arc<Postman>,
    at_once: Arc<Semaphore>,
    /// How many requests have mail that waits or is on its way.
    waiting: watch::Sender<usize>,
}

/// What somebody asked for, or is told of.
pub struct Job {
    pub letter: Letter,
    /// Nobody's, when nobody has the address.
    pub accounts: Vec<Account>,
    pub policy: Arc<Policy>,
    /// The request; event and account are filled in.
    pub record: AuditRecord,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Letter {
    /// By which something can be done, once.
    Token(Purpose),
    /// In words for the owner.
    Notice(&'static str),
    /// In words for operators.
    Operators(String),
}

impl Mailer {
    pub fn new(stores: Stores, metrics: Arc<Metrics>) -> Self {
        Self {
            postman: Arc::new(Postman { stores, metrics }),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: watch::Sender::new(0),
        }
    }

    /// To be sent from the caller's runtime, in turn. `overloaded` when too many wait, whoever they are for.
    pub fn post(&self, job: Job) -> Result<(), Rejection> {
        let full = || Rejection::from(Code::Overloaded).retry_after(OVERLOAD_RETRY);
        let place = self.place().ok_or_else(full)?;
        let (postman, at_once) = (self.postman.clone(), self.at_once.clone());
        tokio::spawn(async move {
            // Nobody closes it.
            let _turn = at_once.acquire().await;
            postman.run(job).await;
            drop(place);
        });
        Ok(())
    }

    fn place(&self) -> Option<Place> {
        let is_free = self.waiting.send_if_modified(|waiting| {
            let is_free = *waiting < QUEUE;
            *waiting += usize::from(is_free);
            is_free
        });
        is_free.then(|| Place(self.waiting.clone()))
    }

    /// How many requests have mail that isn't out yet.
    pub fn waiting(&self) -> usize {
        *self.waiting.borrow()
    }

    /// Returns when none has.
    pub async fn idle(&self) {
        // It has a sender here.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting == 0).await;
    }

    /// At the end of the process: says what won't be sent.
    pub fn give_up(&self) {
        let lost = self.waiting();
        if lost > 0 {
            self.postman.metrics.mails.with_label_values(&["lost"]).inc_by(lost as u64);
            tracing::error!(requests = lost, "mail not sent: the gateway ends");
        }
    }
}

/// In the queue, until it is dropped.
struct Place(watch::Sender<usize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

struct Postman {
    stores: Stores,
    metrics: Arc<Metrics>,
}

impl Postman {
    async fn run(&self, job: Job) {
        let Some(delivery) = &job.policy.mail.delivery else { return };
        for account in job.accounts.iter().filter(|account| !account.disabled) {
            let email = match job.letter {
                Letter::Token(Purpose::VerifyEmail) => account.unconfirmed_email(),
                _ => account.confirmed_email(),
            };
            if let Some(email) = email {
                self.send(&job, account, email, delivery).await;
            }
        }
    }

    async fn send(&self, job: &Job, account: &Account, email: &str, delivery: &MailDelivery) {
        let (outcome, (event, detail)) = match self.mail(job, account, email, delivery).await {
            Ok(true) => ("sent", noted(&job.letter)),
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
        let templates = &job.policy.mail;
        let written = match &job.letter {
            Letter::Token(purpose) => self.with_token(job, *purpose, account, email).await?,
            Letter::Notice(told) => Some(notice(job, &templates.notice, told, account, email)?),
            Letter::Operators(told) => Some(notice(job, &templates.operators, told, account, email)?),
        };
        let Some(message) = written else { return Ok(false) };
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
    async fn with_token(
        &self,
        job: &Job,
        purpose: Purpose,
        account: &Account,
        email: &str,
    ) -> Result<Option<Message>, String> {
        let text = one_time::mint();
        let token = token(job, purpose, account, email, &text);
        let kept = self.stores.one_time_tokens.keep(&token, job.policy.auth.email.most).await;
        let is_kept = kept.map_err(|error| self.counted(error))?;
        if !is_kept {
            return Ok(None);
        }
        let (mail, rules) = (&job.policy.mail, &job.policy.auth.email);
        let (template, link) = match purpose {
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

fn notice(
    job: &Job,
    template: &MailTemplate,
    told: &str,
    account: &Account,
    email: &str,
) -> Result<Message, String> {
    let notice =
        Notice { username: &account.username, change: told, at: job.record.at, address: job.record.address };
    mail::write(&job.policy.mail.from, email, template, &notice.words())
}

/// A password is reset by mail to the address the account has now, unless the account has changed since.
fn token(job: &Job, purpose: Purpose, account: &Account, email: &str, text: &str) -> OneTimeToken {
    let rules = &job.policy.auth.email;
    let (ttl, version) = match purpose {
        Purpose::ResetPassword => (rules.reset_ttl, Some(account.version)),
        _ => (rules.verify_ttl, None),
    };
    let created_at: Timestamp = now();
    OneTimeToken {
        hash: one_time::hash(text),
        purpose,
        user_id: account.id,
        address: Some(email.to_ascii_lowercase()),
        version,
        created_at,
        expires_at: created_at + ttl,
    }
}

/// What the audit log says of it once it is sent.
fn noted(letter: &Letter) -> (AuditEvent, Option<String>) {
    match letter {
        Letter::Token(Purpose::ResetPassword) => (AuditEvent::PasswordResetSent, None),
        Letter::Token(_) => (AuditEvent::VerificationSent, None),
        Letter::Notice(told) => (AuditEvent::NoticeSent, Some((*told).to_owned())),
        Letter::Operators(told) => (AuditEvent::NoticeSent, Some(told.clone())),
    }
}
