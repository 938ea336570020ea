//! An attempt at a password or a code as an endpoint sees it: counted before it is compared, settled and audited
//! after. What a lockout says depends on who asks: strangers learn nothing, a known device or address is told.

use zeroize::Zeroizing;

use super::answer::Refusal;
use super::audit::Subject;
use super::call::Call;
use super::password_queue::Verification;
use super::{Wing, device};
use crate::accounts::lockout::{self, Attempt, Refused};
use crate::identity::UserId;
use crate::rejection::{Code, Rejection};
use crate::store::lockouts::{Lane, Locks, Outcome, Source, Target};
use crate::store::{Account, AuditEvent};

/// Told to a known device or address after too many failures in a row.
const UNTIL_RESET: &str =
    "Too many failures in a row. Set a new password by mail, or ask an operator to unlock the account";

pub struct Guess<'c> {
    wing: &'c Wing,
    call: &'c Call,
    target: Target<'c>,
    /// Whom audit records are about.
    subject: Subject<'c>,
    source: Source,
    attempt: Attempt,
}

impl<'c> Guess<'c> {
    /// `account` is none where `name`, which is folded, is of nobody.
    pub async fn begin(
        wing: &'c Wing,
        call: &'c Call,
        account: Option<UserId>,
        name: &'c str,
        subject: Subject<'c>,
    ) -> Result<Self, Refusal> {
        let target = account.map_or(Target::Unknown(name), Target::Account);
        // Asked for nobody, too, so that cookies of a caller's own making cost the same everywhere.
        let device = device::known(call, account.unwrap_or(UserId::nil()));
        let source = lockout::source(call.caller.address, device);
        let rule = call.settings.policy.auth.lockout;
        let attempt = lockout::begin(&*wing.stores.lockouts, target, &source, rule, call.now).await?;
        Ok(Self { wing, call, target, subject, source, attempt })
    }

    /// Of an account that is known by its token or its ticket.
    pub async fn of(wing: &'c Wing, call: &'c Call, account: &'c Account) -> Result<Self, Refusal> {
        let subject = Subject { user_id: Some(account.id), username: &account.username };
        Self::begin(wing, call, Some(account.id), "", subject).await
    }

    /// Whether it may be compared. If not, the same work is done on something else.
    pub fn is_counted(&self) -> bool {
        matches!(self.attempt, Attempt::Counted(_))
    }

    /// Hashes the password, and compares it if it may be: unknown users, and whoever is locked out, cost the same.
    pub async fn compare(
        self,
        password: Zeroizing<String>,
        account: Option<&Account>,
    ) -> Result<(Self, Verification), Refusal> {
        let params = self.call.settings.policy.auth.password.argon2;
        let stored = account.filter(|_| self.is_counted()).map(|account| account.password_hash.clone());
        match self.wing.passwords.verify(password, stored, params).await {
            Ok(verification) => Ok((self, verification)),
            Err(overloaded) => {
                self.give_back().await?;
                Err(overloaded.into())
            }
        }
    }

    /// It was wrong, or wasn't looked at: the refusal. `code` is what a wrong one gets.
    pub async fn fail(self, code: Code, reason: Option<&str>) -> Result<Rejection, Refusal> {
        match &self.attempt {
            Attempt::Counted(lane) => {
                let locks = self.settle(lane, Outcome::Wrong).await?;
                self.wing.audit(self.call, AuditEvent::LoginFailed, self.subject, reason).await;
                if let Some(locks) = locks {
                    let whom = match locks {
                        Locks::Lane => lane.as_str(),
                        Locks::All => "everybody, until a reset",
                    };
                    self.wing.audit(self.call, AuditEvent::LockedOut, self.subject, Some(whom)).await;
                }
                Ok(code.into())
            }
            Attempt::Refused(refused) => {
                let rule = self.call.settings.policy.auth.lockout;
                lockout::settle_nothing(&*self.wing.stores.lockouts, rule, self.call.now).await?;
                self.wing.audit(self.call, AuditEvent::LoginFailed, self.subject, Some("locked")).await;
                Ok(told(refused, code))
            }
        }
    }

    /// Right, but something else has to be shown still, or it was never compared.
    pub async fn give_back(self) -> Result<(), Refusal> {
        match &self.attempt {
            Attempt::Counted(lane) => self.settle(lane, Outcome::GivenBack).await.map(drop),
            Attempt::Refused(_) => Ok(()),
        }
    }

    /// Right, and nothing else has to be shown.
    pub async fn succeed(self) -> Result<(), Refusal> {
        let Attempt::Counted(lane) = &self.attempt else { return Ok(()) };
        let outcome = match &self.call.identity {
            // Whoever holds a token doesn't sign in by showing the password again.
            Some(_) => Outcome::Right { remember: None },
            None => lockout::signed_in(&self.source, self.call.now),
        };
        self.settle(lane, outcome).await.map(drop)
    }

    async fn settle(&self, lane: &Lane, outcome: Outcome<'_>) -> Result<Option<Locks>, Refusal> {
        let rule = self.call.settings.policy.auth.lockout;
        let lockouts = &self.wing.stores.lockouts;
        Ok(lockouts.settle(self.target, lane, outcome, rule, self.call.now).await?)
    }
}

fn told(refused: &Refused, code: Code) -> Rejection {
    match (&refused.lane, refused.wait) {
        (Lane::Strangers, _) => code.into(),
        (_, Some(wait)) => Rejection::from(Code::AccountLocked).retry_after(wait),
        (_, None) => Rejection::from(Code::AccountLocked).because(UNTIL_RESET),
    }
}
