//! `audit:`

use std::num::NonZeroU32;
use std::time::Duration;

use super::Compiler;
use crate::config::place::Place;
use crate::config::policy::{Audit, Quota};
use crate::config::raw;

/// What is removed sooner was never an audit log.
const SHORTEST: Duration = Duration::from_secs(24 * 3600);
const FAILURES: NonZeroU32 = NonZeroU32::new(100).expect("it isn't 0");
const PER: Duration = Duration::from_secs(60);

impl Compiler<'_> {
    pub fn audit(&mut self, raw: raw::Audit, at: &Place<'_>) -> Audit {
        let keep = raw.keep.map(|keep| self.duration(at, "keep", Some(keep), SHORTEST));
        if keep.is_some_and(|keep| keep < SHORTEST) {
            let message = "less than a day would remove records before they are read; write it like 400d";
            self.problems.error(&at.key("keep"), message);
        }
        let failures = raw.failures.and_then(|rate| self.quota(&rate, None, &at.key("failures")));
        Audit { keep, failures: failures.unwrap_or_else(|| Quota::new(FAILURES, PER, FAILURES)) }
    }
}
