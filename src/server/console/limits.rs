//! The limits of `/auth/login` hold for whoever signs in here, too, by the same counters.

use std::sync::Arc;

use arc_swap::ArcSwap;
use pingora::http::RequestHeader;

use crate::auth::console::Visitor;
use crate::config::policy::{AuthEndpoint, Destination, Policy, Route};
use crate::edition::Edition;
use crate::exchange::{Exchange, NotRunning};
use crate::pipeline::arrive::meter::Meter;
use crate::rejection::{Code, Rejection};
use crate::telemetry::request_id::RequestId;

#[derive(Clone)]
pub struct Limits {
    pub editions: Arc<ArcSwap<Edition>>,
    pub meter: Arc<Meter>,
}

impl Limits {
    /// Charges a login, and its second step if a code comes with it.
    pub async fn charge(&self, visitor: &Visitor<'_>, has_code: bool) -> Result<(), Rejection> {
        self.take(visitor, AuthEndpoint::Login).await?;
        if has_code { self.take(visitor, AuthEndpoint::LoginMfa).await } else { Ok(()) }
    }

    /// As if the request had come to that endpoint.
    async fn take(&self, visitor: &Visitor<'_>, endpoint: AuthEndpoint) -> Result<(), Rejection> {
        let edition = self.editions.load_full();
        let route = route(&edition.policy, endpoint);
        let path = route.as_ref().map_or("/", |route| route.path.as_str());
        let bad = |_| Rejection::from(Code::BadRequest);
        let mut request = RequestHeader::build("POST", path.as_bytes(), None).map_err(bad)?;
        for (name, value) in visitor.headers {
            request.append_header(name.clone(), value.clone()).map_err(bad)?;
        }
        let running = Arc::new(NotRunning(self.meter.metrics.http_requests_in_flight.clone()));
        let mut exchange = Exchange::new(edition, RequestId::next(), running);
        exchange.client.address = visitor.address;
        exchange.client.address_text = visitor.address.to_string();
        exchange.route = route;
        self.meter.charge(&request, &mut exchange).await
    }
}

fn route(policy: &Policy, endpoint: AuthEndpoint) -> Option<Arc<Route>> {
    let leads_there =
        |route: &&Arc<Route>| matches!(route.destination, Destination::Auth(own) if own == endpoint);
    policy.routes.routes().iter().find(leads_there).cloned()
}
