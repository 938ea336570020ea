//! What every answer of the gateway carries, whichever wing gave it.

use std::fmt::Write;
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
    for (limit, verdict) in verdicts {
        if !policies.is_empty() {
            policies.push_str(", ");
            standings.push_str(", ");
        }
        let window = limit.quota.window.as_secs().max(1);
        let reset = verdict.reset_after.as_secs() + u64::from(verdict.reset_after.subsec_nanos() > 0);
        // Writing to a String can't fail.
        let _ = write!(policies, "\"{}\";q={};w={window}", limit.name, limit.quota.count);
        let _ = write!(standings, "\"{}\";r={};t={reset}", limit.name, verdict.remaining);
    }
    head.insert_header("RateLimit-Policy", policies)?;
    head.insert_header("RateLimit", standings)
}
