//! The gatekeeper of the embedded mode: revocations from wherever they are kept, limits from this
//! process.

use std::sync::Arc;

use async_trait::async_trait;

use super::LocalCounters;
use crate::clock;
use crate::store::{Admission, Bearer, Charge, Counters, Gatekeeper, Revocations, Standing, StoreError};

pub struct LocalGatekeeper {
    revocations: Arc<dyn Revocations>,
    counters: LocalCounters,
}

impl LocalGatekeeper {
    pub fn new(revocations: Arc<dyn Revocations>) -> Self {
        Self { revocations, counters: LocalCounters::default() }
    }

    fn judge(&self, standing: Standing, charges: &[Charge]) -> Admission {
        let verdicts = if standing == Standing::Good {
            self.counters.take(charges)
        } else {
            let before_identity = charges.iter().filter(|charge| charge.before_identity);
            self.counters.take(before_identity)
        };
        Admission { standing, verdicts, runs_low: false }
    }
}

#[async_trait]
impl Gatekeeper for LocalGatekeeper {
    fn known_standing(&self, bearer: Bearer) -> Option<Standing> {
        self.revocations.standing_at_once(bearer, clock::now())
    }

    fn admit_at_once(&self, bearer: Option<Bearer>, charges: &[Charge]) -> Option<Admission> {
        let standing = bearer.map_or(Some(Standing::Good), |bearer| self.known_standing(bearer))?;
        Some(self.judge(standing, charges))
    }

    async fn admit(&self, bearer: Option<Bearer>, charges: &[Charge]) -> Result<Admission, StoreError> {
        let standing = match bearer {
            Some(bearer) => self.revocations.standing(bearer, clock::now()).await?,
            None => Standing::Good,
        };
        Ok(self.judge(standing, charges))
    }
}

#[async_trait]
impl Counters for LocalGatekeeper {
    async fn levels_us(&self, counters: &[String]) -> Result<Vec<u64>, StoreError> {
        Ok(counters.iter().map(|counter| self.counters.level_us(counter)).collect())
    }

    async fn reset(&self, counters: &[String]) -> Result<(), StoreError> {
        counters.iter().for_each(|counter| self.counters.reset(counter));
        Ok(())
    }
}
