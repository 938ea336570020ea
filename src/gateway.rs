//! The contents page: Pingora's phases in their order, each handed to the stage that does it.

mod beginning;
mod ending;
mod records;
pub mod upload;

use std::any::Any;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, StatusCode, Version};
use pingora::cache::key::HashBinary;
use pingora::cache::{
    CacheKey, CacheMeta, CachePhase, ForcedFreshness, HitHandler, NoCacheReason, RespCacheable,
};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::http::conditional_filter::not_modified_filter;
use pingora::proxy::{FailToProxy, ProxyHttp, RangeType, Session, range_header_filter};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use self::ending::announce_close;
pub use self::ending::into_http1;
pub use self::records::Records;
use crate::auth::bridge::Bridge;
use crate::downstream::ClientStream;
use crate::edition::Edition;
use crate::exchange::Exchange;
pub use crate::pipeline::Standing;
pub use crate::pipeline::arrive::Arrival;
use crate::pipeline::cache::enable::Cache;
use crate::pipeline::forward::fast_lane::FastLane;
use crate::pipeline::forward::sent_fields::SentFields;
use crate::pipeline::{arrive, cache, forward, respond};
use crate::telemetry::Metrics;

/// A request for more ranges of an answer gets all of it.
const MOST_RANGES: usize = 200;

/// Cheap to clone: Pingora's proxy holds one, the front door another.
#[derive(Clone)]
pub struct Gateway(Arc<Stages>);

/// What the stages need beside the request.
pub struct Stages {
    pub editions: Arc<ArcSwap<Edition>>,
    /// The console asks it, too.
    pub meter: Arc<arrive::meter::Meter>,
    pub keys: arrive::api_keys::KnownKeys,
    pub cache: Cache,
    pub fast_lane: FastLane,
    pub auth: Bridge,
    pub metrics: Arc<Metrics>,
    pub records: Arc<Records>,
}

impl From<Stages> for Gateway {
    fn from(stages: Stages) -> Self {
        Self(Arc::new(stages))
    }
}

impl Deref for Gateway {
    type Target = Stages;

    fn deref(&self) -> &Stages {
        &self.0
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    /// Boxed: Pingora moves it through several futures.
    type CTX = Box<Exchange>;

    fn new_ctx(&self) -> Box<Exchange> {
        self.begin()
    }

    /// What the front door has begun with this request.
    fn on_connection_reuse(
        &self,
        _: &mut Session,
        exchange: &mut Box<Exchange>,
        begun: Box<dyn Any + Send + Sync>,
    ) {
        if let Ok(begun) = begun.downcast() {
            *exchange = begun;
        }
    }

    /// None: Pingora's default adds a compression module that nothing here uses.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, exchange: &mut Self::CTX) -> Result<bool> {
        // RFC 9110 §15.2: a client of HTTP/1.0 knows no interim answers.
        let is_old = session.req_header().version == Version::HTTP_10;
        session.set_ignore_info_resp(is_old);
        if ClientStream::of(session).is_some_and(ClientStream::ends_with_answer) {
            session.set_keepalive(None);
        }
        if exchange.has_arrived() {
            return Ok(false);
        }
        cache::part::ask_for_whole(session);
        let arrived = self.arrive(&Arrival::from(&*session), exchange).await;
        match self.answer(session, exchange, arrived).await? {
            Standing::Answered => Ok(true),
            Standing::Found(hit) => hit.send(session, exchange).await.map(|()| true),
            Standing::Open => Ok(false),
        }
    }

    fn request_cache_filter(&self, session: &mut Session, exchange: &mut Self::CTX) -> Result<()> {
        cache::enable::run(session, exchange, self.cache);
        Ok(())
    }

    fn cache_key_callback(&self, session: &Session, exchange: &mut Self::CTX) -> Result<CacheKey> {
        if let Some(key) = exchange.cache_key.take() {
            return Ok(key);
        }
        let request = session.req_header();
        match cache::key::run(request, exchange) {
            Some(key) => Ok(self.cache.storage.expect(key, request, exchange)),
            None => Error::e_explain(ErrorType::InternalError, "the cache is enabled only by a rule"),
        }
    }

    fn response_cache_filter(
        &self,
        _: &Session,
        response: &ResponseHeader,
        exchange: &mut Self::CTX,
    ) -> Result<RespCacheable> {
        match exchange.cache_rule() {
            Some(rule) => {
                let confirmed =
                    exchange.confirmation.as_ref().map(|fields| cache::keep::confirm(response, fields));
                let verdict = cache::keep::run(confirmed.as_ref().unwrap_or(response), rule);
                if let (RespCacheable::Uncacheable(_), Some(visit)) = (&verdict, &exchange.cache_visit) {
                    // Nobody has to wait for what isn't kept.
                    visit.flight.lock().take();
                }
                Ok(verdict)
            }
            None => Ok(RespCacheable::Uncacheable(NoCacheReason::Custom("no rule"))),
        }
    }

    fn cache_vary_filter(
        &self,
        meta: &CacheMeta,
        exchange: &mut Self::CTX,
        request: &RequestHeader,
    ) -> Option<HashBinary> {
        cache::vary::run(meta, SentFields::of(&request.headers, exchange)?)
    }

    /// A client that declines what is stored gets it confirmed or computed anew.
    async fn cache_hit_filter(
        &self,
        session: &mut Session,
        _: &CacheMeta,
        _: &mut HitHandler,
        _: bool,
        exchange: &mut Self::CTX,
    ) -> Result<Option<ForcedFreshness>> {
        let is_declined = |rule| cache::enable::is_declined(session.req_header(), rule);
        Ok(exchange.cache_rule().is_some_and(is_declined).then_some(ForcedFreshness::ForceExpired))
    }

    /// What comes from the upstream to be stored goes to the client whole: Pingora would stop reading it after a 304.
    fn cache_not_modified_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        _: &mut Self::CTX,
    ) -> Result<bool> {
        let is_being_stored = matches!(session.cache.phase(), CachePhase::Miss | CachePhase::Expired);
        Ok(!is_being_stored && not_modified_filter(session.req_header(), response))
    }

    fn range_header_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        _: &mut Self::CTX,
    ) -> RangeType {
        // RFC 9110 §14.2: a range of anything but a GET is ignored.
        if session.req_header().method != Method::GET {
            return RangeType::None;
        }
        cache::part::drop_empty_suffixes(session.req_header_mut());
        range_header_filter(session.req_header(), response, Some(MOST_RANGES))
    }

    /// What the rule allows is in the stored answer itself; `None` asks for serving while it is
    /// being refreshed.
    fn should_serve_stale(&self, session: &mut Session, _: &mut Self::CTX, error: Option<&Error>) -> bool {
        let Some(error) = error else { return true };
        let may_serve = error.esource() == &ErrorSource::Upstream;
        if may_serve {
            announce_close(session);
        }
        may_serve
    }

    /// Hits don't come here, so what a hit was spared is charged now. A request that is refused here has
    /// passed everything else.
    async fn proxy_upstream_filter(&self, session: &mut Session, exchange: &mut Self::CTX) -> Result<bool> {
        cache::part::step_aside(session, exchange);
        if exchange.owes.is_none() {
            return Ok(true);
        }
        let charged = self.meter.run_rest(session.req_header(), exchange).await;
        if let Err(rejection) = charged {
            Box::pin(respond::render_error::run(session, exchange, &rejection)).await;
            return Ok(false);
        }
        Ok(true)
    }

    async fn upstream_peer(&self, session: &mut Session, exchange: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        match forward::choose_upstream::run(exchange) {
            Ok(mut peer) => {
                forward::upload::set_timeouts(&mut peer, session, exchange);
                Ok(Box::new(peer))
            }
            Err(code) => Err(respond::failure::refuse(exchange, code)),
        }
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Self::CTX,
    ) -> Result<()> {
        let peer = arrive::peer_address(session);
        // Also while bypassing: Pingora bypasses keys that lately gave nothing to keep, and still
        // keeps the answer if this one turns out otherwise.
        let may_be_kept = session.cache.enabled() || session.cache.bypassing();
        let cached = exchange.cache_rule().filter(|_| may_be_kept);
        let has_body = !session.is_body_empty();
        forward::rewrite_request::run(request, has_body, peer, exchange, cached)
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        exchange: &mut Self::CTX,
    ) -> Result<()> {
        if session.was_upgraded() {
            return Ok(());
        }
        forward::request_body::run(body, end_of_stream, exchange)
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        exchange: &mut Self::CTX,
        mut error: Box<Error>,
    ) -> Box<Error> {
        error.set_retry(forward::choose_upstream::may_try_another(exchange));
        error
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Self::CTX,
    ) -> Result<()> {
        respond::pass_on::from_upstream(response, exchange, session.is_upgrade_req())?;
        if response.status == StatusCode::NOT_MODIFIED && exchange.cache_rule().is_some() {
            exchange.confirmation = Some(response.headers.clone());
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Self::CTX,
    ) -> Result<()> {
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        if exchange.cache_rule().is_some() {
            let storage = self.cache.storage;
            cache::invalidate::run(session.req_header(), response.status, exchange, storage).await;
        }
        respond::framing::to_old_client(response, session);
        let cache = match exchange.cache_rule() {
            Some(_) => Some(cache::outcome::describe(session, exchange)?),
            None => None,
        };
        exchange.cache_outcome = cache.as_ref().map(|(label, _)| *label);
        respond::pass_on::to_client(response, exchange, cache.map(|(_, status)| status))
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        exchange: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        if end_of_stream {
            self.note_end_of_answer(session, body.as_ref().map_or(0, Bytes::len), exchange);
        }
        Ok(None)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Self::CTX,
    ) -> FailToProxy {
        let code = self.fail(session, error, exchange).await;
        FailToProxy { error_code: code.status().as_u16(), can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Self::CTX) {
        match session.subrequest_ctx.is_none() {
            true => self.settle(session, exchange),
            false => exchange.is_settled = true,
        }
        if session.downstream_session.is_http2() {
            Box::pin(self.let_upload_end(session, error.is_some(), exchange)).await;
        }
    }

    /// The access log says it; Pingora's own line would add nothing but the peer's words.
    fn suppress_error_log(&self, _: &Session, _: &Self::CTX, _: &Error) -> bool {
        true
    }
}
