//! Watches what a request would be charged, and takes nothing.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::store::{Admission, Bearer, Charge, Gatekeeper, Standing, StoreError, Verdict};

pub struct Onlooker {
    /// Asked how a bearer stands, never to charge anything. `None`: every bearer is good.
    real: Option<Arc<dyn Gatekeeper>>,
    charges: Mutex<Vec<Charge>>,
}

impl Onlooker {
    pub fn new(real: Option<Arc<dyn Gatekeeper>>) -> Self {
        Self { real, charges: Mutex::default() }
    }

    /// What would have been charged, in order.
    pub fn charges(&self) -> Vec<Charge> {
        self.charges.lock().clone()
    }

    fn note(&self, standing: Standing, charges: &[Charge]) -> Admission {
        let judged = charges.iter().filter(|charge| standing == Standing::Good || charge.before_identity);
        let judged: Vec<Charge> = judged.cloned().collect();
        let verdicts = judged.iter().map(|charge| passed(&charge.quota)).collect();
        self.charges.lock().extend(judged);
        Admission { standing, verdicts, runs_low: false }
    }
}

#[async_trait]
impl Gatekeeper for Onlooker {
    async fn admit(&self, bearer: Option<Bearer>, charges: &[Charge]) -> Result<Admission, StoreError> {
        let standing = match &self.real {
            Some(real) => real.admit(bearer, &[]).await?.standing,
            None => Standing::Good,
        };
        Ok(self.note(standing, charges))
    }

    fn admit_at_once(&self, _: Option<Bearer>, charges: &[Charge]) -> Option<Admission> {
        self.real.is_none().then(|| self.note(Standing::Good, charges))
    }

    fn known_standing(&self, bearer: Bearer) -> Option<Standing> {
        self.real.as_ref()?.known_standing(bearer)
    }
}

/// The verdict on a counter at rest.
fn passed(quota: &crate::config::policy::Quota) -> Verdict {
    Verdict {
        allowed: true,
        remaining: quota.burst.saturating_sub(1),
        reset_after: Duration::ZERO,
        retry_after: Duration::ZERO,
    }
}
