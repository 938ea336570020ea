//! Which limits a request counts against, under which key and at which price.

use std::sync::Arc;

use pingora::http::RequestHeader;

use super::counter_names::{self, Kind};
use crate::config::policy::{Limit, LimitBy};
use crate::exchange::Exchange;
use crate::identity::Identity;
use crate::pipeline::cache::enable;
use crate::store::{Charge, Price};

/// The limits of the route; without a good token only those that don't need to know the user.
pub fn applicable(exchange: &Exchange, refused: bool) -> Vec<Arc<Limit>> {
    let Some(route) = &exchange.route else { return Vec::new() };
    route.limits.iter().filter(|limit| !refused || limit.by.is_before_identity()).cloned().collect()
}

pub fn charge(
    limit: &Limit,
    request: &RequestHeader,
    exchange: &Exchange,
    identity: Option<&Identity>,
) -> Charge {
    let client = &exchange.client;
    let address = || counter_names::of_address(&limit.name, client.address, &client.address_text);
    let key = match (&limit.by, identity) {
        (LimitBy::Address, _) => address(),
        (LimitBy::User, Some(identity)) => counter_names::of_user(&limit.name, identity.user_id),
        (LimitBy::Role, Some(identity)) => counter_names::of_roles(&limit.name, &identity.roles),
        (LimitBy::User | LimitBy::Role, None) => address(),
        (LimitBy::Header(name), _) => match request.headers.get(name.as_str()) {
            Some(value) => counter_names::of_value(&limit.name, Kind::Header, value.as_bytes()),
            None => address(),
        },
        (LimitBy::Parameter(name), _) => match exchange.param(name) {
            Some(value) => counter_names::of_value(&limit.name, Kind::Parameter, value.as_bytes()),
            None => address(),
        },
    };
    let before_identity = limit.by.is_before_identity();
    let quota = limit.quota_of(identity.into_iter().flat_map(|identity| &identity.roles));
    Charge { key, quota, before_identity, price: Price::WHOLE }
}

/// What the cache may answer is charged as a hit at first.
pub fn price(request: &RequestHeader, exchange: &Exchange) -> Price {
    match exchange.cache_rule() {
        Some(rule) if rule.hit_cost < 1000 && enable::may_hit(request, exchange, rule) => {
            Price::part(rule.hit_cost)
        }
        _ => Price::WHOLE,
    }
}
