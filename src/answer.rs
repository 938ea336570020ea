//! What every answer of the gateway carries, whichever wing gave it.

use std::sync::Arc;

use pingora::http::ResponseHeader;

use crate::config::policy::Limit;
use crate::exchange::Exchange;
use crate::store::Verdict;

/// `X-Request-Id`, and how the request's limits stand.
pub fn sign(head: &mut ResponseHeader, exchange: &Exchange) -> pingora::Result<()> {
    head.insert_header("X-Request-Id", exchange.request_id.as_str())?;
    set_rate_limits(head, &exchange.verdicts)
}

/// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers). Limit names need no
/// escaping within the structured field's quotes: the configuration lets no quote in.
fn set_rate_limits(head: &mut ResponseHeader, verdicts: &[(Arc<Limit>, Verdict)]) -> pingora::Result<()> {
    if verdicts.is_empty() {
        return Ok(());
    }
    let (mut policies, mut standings) = (String::with_capacity(48), String::with_capacity(48));
    let mut digits = itoa::Buffer::new();
    for (limit, verdict) in verdicts {
        let reset = verdict.reset_after.as_secs() + u64::from(verdict.reset_after.subsec_nanos() > 0);
        begin(&mut policies, &limit.name);
        policies.push_str(";q=");
        policies.push_str(digits.format(limit.quota.count));
        policies.push_str(";w=");
        policies.push_str(digits.format(limit.quota.window.as_secs().max(1)));
        begin(&mut standings, &limit.name);
        standings.push_str(";r=");
        standings.push_str(digits.format(verdict.remaining));
        standings.push_str(";t=");
        standings.push_str(digits.format(reset));
    }
    head.insert_header("RateLimit-Policy", policies)?;
    head.insert_header("RateLimit", standings)
}

/// The next member of a list, which begins with the limit's name.
fn begin(list: &mut String, name: &str) {
    list.push_str(if list.is_empty() { "\"" } else { ", \"" });
    list.push_str(name);
    list.push('"');
}
