//! What counters of limits are called: `<limit>:<kind>:<value>`.

use std::net::{IpAddr, Ipv6Addr};

use uuid::Uuid;

use crate::identity::UserId;

/// What a header or a path parameter holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Header,
    Parameter,
}

/// IPv6 by /64: whoever has one address of it has them all. `text` is the address as it is written.
pub fn of_address(limit: &str, address: IpAddr, text: &str) -> String {
    match address {
        IpAddr::V4(_) => [limit, ":address:", text].concat(),
        IpAddr::V6(address) => {
            let net = Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX));
            format!("{limit}:address:{net}/64")
        }
    }
}

pub fn of_user(limit: &str, user: UserId) -> String {
    let mut digits = Uuid::encode_buffer();
    [limit, ":user:", user.hyphenated().encode_lower(&mut digits)].concat()
}

/// Of a set of roles, whatever their order.
pub fn of_roles(limit: &str, roles: &[String]) -> String {
    let mut roles: Vec<&str> = roles.iter().map(String::as_str).collect();
    roles.sort_unstable();
    format!("{limit}:role:{}", roles.join(","))
}

/// Client-chosen text becomes a name of fixed length and harmless alphabet.
pub fn of_value(limit: &str, kind: Kind, value: &[u8]) -> String {
    use base64::Engine;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, value);
    let digest = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&digest.as_ref()[..16]);
    let kind = match kind {
        Kind::Header => "header",
        Kind::Parameter => "parameter",
    };
    format!("{limit}:{kind}:{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_addresses_of_one_subnet_share_a_counter() {
        let name = |text: &str| of_address("l", text.parse().unwrap(), text);

        assert_eq!(name("2001:db8:1:2::1"), name("2001:db8:1:2:ffff::9"));
        assert_ne!(name("2001:db8:1:2::1"), name("2001:db8:1:3::1"));
        assert_ne!(name("192.0.2.1"), name("192.0.2.2"));
    }

    #[test]
    fn a_set_of_roles_has_one_counter_whatever_its_order() {
        let name = |roles: [&str; 2]| of_roles("l", &roles.map(str::to_owned));

        assert_eq!(name(["b", "a"]), name(["a", "b"]));
    }
}
