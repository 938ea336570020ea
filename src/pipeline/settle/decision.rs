//! Tells those who follow decisions, whether or not the access log has a line of this one.

use super::{Outcome, access_log};
use crate::config::policy::Share;
use crate::exchange::Exchange;
use crate::telemetry::decisions::{Decided, Decision, Decisions};

pub fn run(decisions: &Decisions, exchange: &Exchange, outcome: &Outcome) {
    let decided = Decided {
        route: exchange.route_name(),
        decision: if exchange.is_denied() { Decision::Deny } else { Decision::Allow },
        reason: exchange.reason(),
        user: exchange.identity.as_ref().map(|identity| (identity.user_id, identity.username.as_str())),
        status: outcome.status,
    };
    decisions.tell(&decided, |line| access_log::write(line, exchange, outcome, Share::ALL));
}
