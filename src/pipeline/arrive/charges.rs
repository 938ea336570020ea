//! Which limits a request counts against, under which key and at which price.

use std::net::IpAddr;
use std::sync::Arc;

use pingora::http::RequestHeader;
use uuid::Uuid;

use crate::config::policy::{Limit, LimitBy};
use crate::exchange::{Client, Exchange};
use crate::identity::Identity;
use crate::pipeline::cache::enable;
use crate::store::{Charge, Price, Quota};

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
    let address = || address_key(&limit.name, &exchange.client);
    let key = match (&limit.by, identity) {
        (LimitBy::Address, _) => address(),
        (LimitBy::User, Some(identity)) => {
            let mut digits = Uuid::encode_buffer();
            [&limit.name, ":user:", identity.user_id.hyphenated().encode_lower(&mut digits)].concat()
        }
        (LimitBy::Role, Some(identity)) => format!("{}:role:{}", limit.name, sorted(&identity.roles)),
        (LimitBy::User | LimitBy::Role, None) => address(),
        (LimitBy::Header(name), _) => match request.headers.get(name.as_str()) {
            Some(value) => format!("{}:header:{}", limit.name, digest(value.as_bytes())),
            None => address(),
        },
        (LimitBy::Parameter(name), _) => match exchange.param(name) {
            Some(value) => format!("{}:parameter:{}", limit.name, digest(value.as_bytes())),
            None => address(),
        },
    };
    let before_identity = limit.by.is_before_identity();
    Charge { key, quota: quota(limit, identity), before_identity, price: Price::WHOLE }
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

/// The most generous quota among the user's roles, or the limit's own.
fn quota(limit: &Limit, identity: Option<&Identity>) -> Quota {
    let own =
        identity.into_iter().flat_map(|identity| &identity.roles).filter_map(|role| limit.roles.get(role));
    own.min_by_key(|quota| quota.emission_us).copied().unwrap_or(limit.quota)
}

/// IPv6 by /64: whoever has one address of it has them all.
fn address_key(limit: &str, client: &Client) -> String {
    match client.address {
        IpAddr::V4(_) => [limit, ":address:", &client.address_text].concat(),
        IpAddr::V6(address) => {
            let net = std::net::Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX));
            format!("{limit}:address:{net}/64")
        }
    }
}

fn sorted(roles: &[String]) -> String {
    let mut roles: Vec<&str> = roles.iter().map(String::as_str).collect();
    roles.sort_unstable();
    roles.join(",")
}

/// Client-chosen text becomes a key of fixed length and harmless alphabet.
fn digest(value: &[u8]) -> String {
    use base64::Engine;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, value);
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&digest.as_ref()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_addresses_of_one_subnet_share_a_counter() {
        let key = |text: &str| {
            let (address, address_text) = (text.parse().unwrap(), text.to_owned());
            address_key(
                "l",
                &Client {
                    address,
                    address_text,
                    scheme: "http",
                    is_scheme_known: false,
                    host: String::new(),
                    forwarded_host: None,
                },
            )
        };

        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    #[test]
    fn a_set_of_roles_has_one_key_whatever_its_order() {
        let words = |text: &[&str]| text.iter().map(|word| word.to_string()).collect::<Vec<_>>();

        assert_eq!(sorted(&words(&["b", "a"])), sorted(&words(&["a", "b"])));
    }
}
