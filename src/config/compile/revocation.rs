//! `revocation:`

use std::time::Duration;

use super::Compiler;
use crate::config::place::Place;
use crate::config::policy::Revocation;
use crate::config::raw::{self, OnUncheckedBearer, RevocationMode};

const MAX_STALENESS: Duration = Duration::from_secs(2);
/// Below this, the delays of a network and a busy machine would count as silence.
const LEAST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(60);

impl Compiler<'_> {
    pub fn revocation(&mut self, raw: raw::Revocation, at: &Place<'_>) -> Revocation {
        let max_staleness = self.duration(at, "max_staleness", raw.max_staleness, MAX_STALENESS);
        if max_staleness < LEAST {
            let message =
                "less than 100ms can't be kept; write `mode: strict` to ask the store for every request";
            self.problems.error(&at.key("max_staleness"), message);
        }
        if max_staleness > MOST {
            self.problems.error(&at.key("max_staleness"), "more than 60s would keep revoked tokens alive");
        }
        Revocation {
            max_staleness: match raw.mode.unwrap_or(RevocationMode::Mirrored) {
                RevocationMode::Mirrored => Some(max_staleness),
                RevocationMode::Strict => None,
            },
            admit_unchecked_bearers: raw.on_store_error == Some(OnUncheckedBearer::Allow),
        }
    }
}
