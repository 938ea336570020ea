//! How requests begin: whether they may pass, and what can be answered with no more of Pingora than a session, or
//! without one. For the front door, and for the first of Pingora's phases.

use std::net::IpAddr;

use pingora::Result;
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use super::{Arrival, Gateway, Standing};
use crate::config::policy::AuthEndpoint;
use crate::exchange::Exchange;
use crate::pipeline::cache::serve::PlainHit;
use crate::pipeline::{arrive, cache, forward, respond};
use crate::rejection::Rejection;
use crate::telemetry::request_id::RequestId;

impl Gateway {
    pub fn begin(&self) -> Box<Exchange> {
        Box::new(Exchange::new(self.editions.load_full(), RequestId::next(), self.records.clone()))
    }

    /// Whether requests may be answered past Pingora's proxy.
    pub fn may_forward_itself(&self) -> bool {
        self.editions.load().policy.fast_lane
    }

    /// Whether this address speaks for others, as `trusted_proxies` says.
    pub fn is_trusted(&self, address: IpAddr) -> bool {
        arrive::is_trusted(&self.editions.load().policy, address)
    }

    /// Whether the request may pass.
    pub async fn arrive(&self, arrival: &Arrival<'_>, exchange: &mut Exchange) -> Result<(), Rejection> {
        arrive::run(arrival, exchange, &self.keys, &self.meter).await
    }

    /// What is stored for a request without a body that may pass.
    pub async fn find(&self, request: &RequestHeader, exchange: &mut Exchange) -> Option<PlainHit> {
        exchange.enter("cache");
        cache::serve::find(request, exchange, self.cache).await
    }

    /// Answers a request that has arrived, if that can be done here. The rare ways out are boxed: this future
    /// is made and moved for every request.
    pub async fn answer(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        arrived: Result<(), Rejection>,
    ) -> Result<Standing> {
        if let Err(rejection) = arrived {
            exchange.enter("refuse");
            Box::pin(respond::render_error::run(session, exchange, &rejection)).await;
            return Ok(Standing::Answered);
        }
        if let Some(endpoint) = exchange.auth_endpoint() {
            exchange.enter("auth");
            Box::pin(self.answer_auth(session, exchange, endpoint)).await;
            return Ok(Standing::Answered);
        }
        if exchange.cache_rule().is_some() {
            exchange.enter("cache");
            let is_plain = session.subrequest_ctx.is_none() && session.is_body_empty();
            let found = match is_plain {
                true => cache::serve::find(session.req_header(), exchange, self.cache).await,
                false => None,
            };
            return Ok(found.map_or(Standing::Open, Standing::Found));
        }
        exchange.enter("forward");
        if !forward::fast_lane::qualifies(session, exchange) {
            return Ok(Standing::Open);
        }
        self.metrics.fast_lane_requests.inc();
        self.fast_lane.run(session, exchange).await?;
        Ok(Standing::Answered)
    }

    async fn answer_auth(&self, session: &mut Session, exchange: &mut Exchange, endpoint: AuthEndpoint) {
        if let Err(rejection) = self.auth.answer(session, exchange, endpoint).await {
            respond::render_error::run(session, exchange, &rejection).await;
        }
    }
}
