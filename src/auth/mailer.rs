//! Mail to the owners of accounts, sent off the request: neither the answer nor its time tells whether
//! anybody has the address that was asked about.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use tokio::sync::mpsc;

use super::{Stores, audit};
use crate::clock::{Timestamp, now};
use crate::config::policy::{MailDelivery, Policy};
use crate::identity::one_time;
use crate::mail::{self, Facts};
use crate::rejection::{Code, Rejection};
use crate::store::{Account, AuditEvent, AuditRecord, OneTimeToken, Purpose, StoreError};
use crate::telemetry::Metrics;

/// Requests that may wait for a server that is slow; more are refused.
const QUEUE: usize = 256;
const AT_ONCE: usize = 4;
const OVERLOAD_RETRY: Duration = Duration::from_secs(10);
/// A server that is busy or away for a moment is asked again after this.
const RETRIES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// A handle to the task that sends; it ends when the last handle is dropped.
#[derive(Clone)]
pub struct Mailer {
    jobs: mpsc::Sender<Job>,
}

/// What somebody asked for.
pub struct Job {
    pub purpose: Purpose,
    /// Nobody's, when nobody has the address.
    pub accounts: Vec<Account>,
    pub policy: Arc<Policy>,
    /// The request; event and account are filled in.
    pub record: AuditRecord,
}

impl Mailer {
    /// Must run within a runtime, which the task stays in.
    pub fn start(stores: Stores, metrics: Arc<Metrics>) -> Self {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            let postman = &Postman { stores, metrics };
            let jobs = stream::unfold(waiting, async |mut waiting: mpsc::Receiver<Job>| {
                Some((waiting.recv().await?, waiting))
            });
            jobs.for_each_concurrent(AT_ONCE, |job| postman.run(job)).await;
        });
        Self { jobs }
    }

    /// `overloaded` when too many wait, whoever they are for.
    pub fn post(&self, job: Job) -> Result<(), Rejection> {
        let posted = self.jobs.try_send(job);
        posted.map_err(|_| Rejection::from(Code::Overloaded).retry_after(OVERLOAD_RETRY))
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
            let is_needed = job.purpose != Purpose::VerifyEmail || !account.email_verified;
            if let (Some(email), true) = (&account.email, is_needed) {
                self.send(&job, account, email, delivery).await;
            }
        }
    }

    async fn send(&self, job: &Job, account: &Account, email: &str, delivery: &MailDelivery) {
        let (outcome, event, detail) = match self.mail(job, account, email, delivery).await {
            Ok(true) => ("sent", sent(job.purpose), None),
            Ok(false) => ("limited", AuditEvent::MailFailed, Some("too many mails".to_owned())),
            Err(reason) => {
                tracing::error!(user_id = %account.id, reason, "mail not sent");
                ("failed", AuditEvent::MailFailed, Some(reason))
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
        let text = one_time::mint();
        let token = token(job, account, email, &text);
        let kept = self.stores.one_time_tokens.keep(&token, job.policy.auth.email.most).await;
        let is_kept = kept.map_err(|error| self.counted(error))?;
        if !is_kept {
            return Ok(false);
        }
        let (mail, rules) = (&job.policy.mail, &job.policy.auth.email);
        let (template, link) = match job.purpose {
            Purpose::ResetPassword => (&mail.reset, &rules.reset_link),
            _ => (&mail.verify, &rules.verify_link),
        };
        let facts = Facts {
            username: &account.username,
            token: &text,
            link: link.as_deref(),
            expires_at: token.expires_at,
        };
        let message = mail::write(&mail.from, email, template, &facts)?;
        for wait in RETRIES {
            match mail::deliver(message.clone(), delivery).await {
                Ok(()) => return Ok(true),
                Err(reason) => tracing::warn!(user_id = %account.id, reason, "mail not sent yet"),
            }
            tokio::time::sleep(wait).await;
        }
        mail::deliver(message, delivery).await.map(|()| true)
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
        address: Some(email.to_ascii_lowercase()),
        version,
        created_at,
        expires_at: created_at + ttl,
    }
}

fn sent(purpose: Purpose) -> AuditEvent {
    match purpose {
        Purpose::ResetPassword => AuditEvent::PasswordResetSent,
        _ => AuditEvent::VerificationSent,
    }
}
