//! One request on its way: what the stages found out, for later stages and for the log.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, StatusCode};
use parking_lot::Mutex;
use pingora::cache::CacheKey;
use prometheus::IntGauge;

use crate::balancer::Target;
use crate::clock::{Timestamp, now};
use crate::config::policy::{AuthEndpoint, CacheRule, Destination, Limit, Params, Quota, Route};
use crate::edition::Edition;
use crate::identity::foreign::Refused;
use crate::identity::{Identity, UserId};
use crate::rejection::Code;
use crate::store::{Flight, Label, Price, Verdict};
use crate::telemetry::RouteMeters;
use crate::telemetry::request_id::RequestId;
use crate::telemetry::trace::{OpenSpan, Trace};

/// The state of one request. It keeps the edition it started with, whatever is loaded meanwhile.
pub struct Exchange {
    pub edition: Arc<Edition>,
    pub started: Instant,
    /// The same as a time of day.
    pub arrived_at: Timestamp,
    pub request_id: RequestId,
    pub client: Client,
    /// `None` until a route is assigned, and for requests that no route takes.
    pub route: Option<Arc<Route>>,
    pub params: Params,
    /// One of those that are let in; `GET` until it was looked at.
    pub method: Method,
    /// Whether the request line came with bytes that no target may hold. Pingora's session encodes them before
    /// anything else sees them.
    pub is_line_odd: bool,
    /// Percent-decoded path, as matched.
    pub path: String,
    pub identity: Option<Arc<Identity>>,
    /// The limits this request was charged to and how they stood, for the answer's headers.
    pub verdicts: Vec<Charged>,
    /// The limit that refuses the request; of several, the one that does so for longest.
    pub refused_by: Option<Arc<Limit>>,
    /// Whose request it is, if their limits refuse it: there is no identity then.
    pub limited_user: Option<UserId>,
    /// What is still to be charged if the cache has no answer.
    pub owes: Option<Price>,
    /// Whether the limits that need no identity were charged in full, for an API key that had to be looked up.
    pub address_paid: bool,
    /// The code of the answer when it is ours; `None` while or when the upstream's is passed on.
    pub refused: Option<Code>,
    /// Why an upstream gave no whole answer, in a few words; with a code that says the same to the client.
    pub failure: Option<Cow<'static, str>>,
    /// Why the token of another issuer is refused, or brings no role. Boxed: it is rare.
    pub refused_token: Option<Box<Refused>>,
    /// What is wrong with the bearer of a logout, for the wing to weigh.
    pub excused: Option<Code>,
    /// What a rule or limit with `mode: observe` would have refused it with.
    pub would_deny: Option<Code>,
    /// The limits with `mode: observe` that would have, by index.
    pub would_refuse: Vec<usize>,
    /// Whether the client left before it had the whole answer.
    pub client_left: bool,
    /// Whether the answer was written here (a refusal or the auth wing's) and not by an upstream.
    pub answered_here: bool,
    /// When the stages before forwarding were done.
    pub arrived_after: Option<Duration>,
    /// The servers tried so far, the current one last.
    pub tried: Vec<Arc<Target>>,
    /// From the end of our own stages to the head of the upstream's answer.
    pub upstream_took: Option<Duration>,
    /// `None` unless the request is traced.
    pub trace: Option<Arc<Trace>>,
    /// Of the server that is being asked, until its answer begins.
    pub upstream_span: Option<OpenSpan>,
    pub body_received: u64,
    /// When the last byte of that answer came, if the upload goes on over HTTP/2.
    pub answer_ended: Option<Instant>,
    /// Of the request's body, after that.
    pub body_after_answer: u64,
    /// Whether the upload was given up because of that. The client has its answer.
    pub upload_cut: bool,
    /// What became of a request to a cached route; a label and the base of `Cache-Status`.
    pub cache_outcome: Option<&'static str>,
    /// The fields of a 304 by which the upstream has confirmed what is stored.
    pub confirmation: Option<HeaderMap>,
    /// Once the cache has been asked.
    pub cache_visit: Option<Arc<CacheVisit>>,
    /// By which the store was asked before Pingora's cache is; with what it said.
    pub cache_key: Option<CacheKey>,
    /// Whether its line in the access log is written, or none is due.
    pub is_settled: bool,
    /// Of the answer whose head has come from an upstream.
    pub answer_began: Option<StatusCode>,
    running: Arc<dyn Running>,
}

/// Knows the requests that are being handled.
pub trait Running: Send + Sync {
    fn in_flight(&self) -> &IntGauge;
    /// A request ends here, without an end of its own: its connection was cut, or its task panicked.
    fn note_cut(&self, exchange: &mut Exchange);
}

/// For requests that nobody has sent: they leave no trace.
pub struct NotRunning(pub IntGauge);

impl Running for NotRunning {
    fn in_flight(&self) -> &IntGauge {
        &self.0
    }

    fn note_cut(&self, _: &mut Exchange) {}
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.has_arrived() && !self.is_settled {
            let running = self.running.clone();
            running.note_cut(self);
        }
        self.running.in_flight().dec();
    }
}

/// What the cache and its storage tell each other about one request. Pingora hands it through.
pub struct CacheVisit {
    /// For the answer, should it be kept.
    pub label: Label,
    /// Whether the answer to this request would be kept; otherwise others compute it.
    pub fills: bool,
    /// Whether the store failed, so that nothing is found or kept.
    pub has_store_failed: AtomicBool,
    /// Whether another request's answer was waited for.
    pub is_collapsed: AtomicBool,
    /// Held while this request computes the answer for the fleet.
    pub flight: Mutex<Option<Flight>>,
    pub trace: Option<Arc<Trace>>,
}

impl CacheVisit {
    pub fn new(label: Label, fills: bool, trace: Option<Arc<Trace>>) -> Self {
        Self {
            label,
            fills,
            trace,
            has_store_failed: AtomicBool::new(false),
            is_collapsed: AtomicBool::new(false),
            flight: Mutex::new(None),
        }
    }
}

/// A limit that a request was charged to.
pub struct Charged {
    pub limit: Arc<Limit>,
    /// By which it was judged: some roles have one of their own.
    pub quota: Quota,
    pub verdict: Verdict,
}

impl From<((Arc<Limit>, Quota), Verdict)> for Charged {
    fn from(((limit, quota), verdict): ((Arc<Limit>, Quota), Verdict)) -> Self {
        Self { limit, quota, verdict }
    }
}

/// Where the request comes from, as far as it can be trusted.
#[derive(Debug, Clone)]
pub struct Client {
    /// The peer, or what a trusted proxy says of its own peer.
    pub address: IpAddr,
    /// The same for headers, keys and the log: formatted once.
    pub address_text: String,
    pub scheme: &'static str,
    /// Whether the connection or a trusted proxy says so. `http` may also be all that reaches us of HTTPS.
    pub is_scheme_known: bool,
    /// `Host` in lower case, with its port. Routes are chosen by this alone: many load balancers
    /// pass a client's own `X-Forwarded-Host` on.
    pub host: String,
    /// What a trusted proxy says that the client asked for.
    pub forwarded_host: Option<String>,
}

impl Client {
    /// The host that the client believes to talk to, with its port.
    pub fn believed_host(&self) -> &str {
        self.forwarded_host.as_deref().unwrap_or(&self.host)
    }
}

impl Exchange {
    /// Counts as running for as long as it lives.
    pub fn new(edition: Arc<Edition>, request_id: RequestId, running: Arc<dyn Running>) -> Self {
        running.in_flight().inc();
        Self {
            running,
            is_settled: false,
            answer_began: None,
            method: Method::GET,
            edition,
            started: Instant::now(),
            arrived_at: now(),
            request_id,
            client: Client {
                address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                address_text: String::new(),
                scheme: "http",
                is_scheme_known: false,
                host: String::new(),
                forwarded_host: None,
            },
            route: None,
            params: Vec::new(),
            is_line_odd: false,
            path: String::new(),
            identity: None,
            verdicts: Vec::new(),
            refused_by: None,
            limited_user: None,
            owes: None,
            address_paid: false,
            refused: None,
            failure: None,
            refused_token: None,
            excused: None,
            would_deny: None,
            would_refuse: Vec::new(),
            client_left: false,
            answered_here: false,
            arrived_after: None,
            tried: Vec::new(),
            upstream_took: None,
            trace: None,
            upstream_span: None,
            body_received: 0,
            answer_ended: None,
            body_after_answer: 0,
            upload_cut: false,
            cache_outcome: None,
            confirmation: None,
            cache_visit: None,
            cache_key: None,
        }
    }

    /// Says which stage begins, should the request be traced.
    pub fn enter(&self, stage: &'static str) {
        if let Some(trace) = &self.trace {
            trace.enter(stage);
        }
    }

    /// A call to another program, until this is dropped; `None` unless the request is traced.
    pub fn span(&self, name: &'static str) -> Option<OpenSpan> {
        self.trace.as_ref().map(|trace| trace.open(name))
    }

    /// Why the request was refused, or `ok`; a client that left was refused nothing.
    pub fn reason(&self) -> &'static str {
        match self.refused {
            Some(code) => code.as_str(),
            None if self.client_left => "client_left",
            None => "ok",
        }
    }

    /// Whether the stages before forwarding are done.
    pub fn has_arrived(&self) -> bool {
        self.arrived_after.is_some()
    }

    /// Whether the gateway refused the request. One that its upstream failed was allowed.
    pub fn is_denied(&self) -> bool {
        self.refused.is_some_and(|code| !code.is_failure_of_upstream())
    }

    /// The meters of the assigned route, or of "no route".
    pub fn meters(&self) -> &RouteMeters {
        self.edition.meters(self.route.as_deref())
    }

    /// The name of the assigned route for logs and labels; `-` without one.
    pub fn route_name(&self) -> &str {
        self.route.as_ref().map_or("-", |route| &route.name)
    }

    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(own, _)| **own == *name).map(|(_, value)| &**value)
    }

    /// The cache rule of the assigned route.
    pub fn cache_rule(&self) -> Option<&CacheRule> {
        self.route.as_ref()?.cache.as_ref()
    }

    /// The endpoint of the auth wing that the request goes to.
    pub fn auth_endpoint(&self) -> Option<AuthEndpoint> {
        match self.route.as_ref()?.destination {
            Destination::Auth(endpoint) => Some(endpoint),
            Destination::Upstream(_) => None,
        }
    }

    /// Whether the request goes to the auth wing.
    pub fn is_for_auth(&self) -> bool {
        self.auth_endpoint().is_some()
    }
}
