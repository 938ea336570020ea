//! How many connections clients have, in all and by address, and how many they may have.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::{IntCounter, IntGauge};

/// What a network gives one customer at least (RFC 6177): one counter for all of its addresses.
const IPV6_PREFIX: u32 = 64;

/// Where connections are counted.
#[derive(Debug)]
pub struct ConnectionLimits {
    max: Max,
    by_address: Mutex<HashMap<IpAddr, u32>>,
    gauge: IntGauge,
    refused: Refused,
}

/// How many there may be at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Max {
    pub total: u32,
    /// Of one address that is no trusted proxy.
    pub per_address: Option<u32>,
}

/// ConnectionLimits that were closed at once, by the limit that they were beyond.
#[derive(Debug)]
pub struct Refused {
    pub total: IntCounter,
    pub per_address: IntCounter,
}

/// A connection that counts for as long as this lives.
#[derive(Debug)]
pub struct Counted {
    limits: Arc<ConnectionLimits>,
    address: Option<IpAddr>,
}

impl ConnectionLimits {
    pub fn new(max: Max, gauge: IntGauge, refused: Refused) -> Self {
        Self { max, by_address: Mutex::default(), gauge, refused }
    }

    /// `None` if there is one too many. One whose address isn't limited by itself is counted without one.
    pub fn add(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Counted> {
        let address = address.filter(|_| self.max.per_address.is_some()).map(network);
        self.gauge.inc();
        // From here on the drop takes it back.
        let mut counted = Counted { limits: self.clone(), address: None };
        if self.gauge.get() > i64::from(self.max.total) {
            self.refused.total.inc();
            return None;
        }
        let Some((address, max)) = address.zip(self.max.per_address) else { return Some(counted) };
        let mut by_address = self.by_address.lock();
        let count = by_address.entry(address).or_default();
        if *count >= max {
            drop(by_address);
            self.refused.per_address.inc();
            return None;
        }
        *count += 1;
        counted.address = Some(address);
        Some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.limits.gauge.dec();
        let Some(address) = self.address else { return };
        let mut by_address = self.limits.by_address.lock();
        if let Some(count) = by_address.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                by_address.remove(&address);
            }
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mask = u128::MAX << (u128::BITS - IPV6_PREFIX);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(total: u32, per_address: Option<u32>) -> Arc<ConnectionLimits> {
        let counter = |name: &str| IntCounter::new(name, name).expect("a valid name");
        let refused = Refused { total: counter("total"), per_address: counter("per_address") };
        let gauge = IntGauge::new("connections", "connections").expect("a valid name");
        Arc::new(ConnectionLimits::new(Max { total, per_address }, gauge, refused))
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn no_more_than_the_limit_and_again_when_one_has_ended() {
        let connections = connections(2, None);
        let first = connections.add(address("192.0.2.1"));
        let second = connections.add(None);

        assert!(first.is_some() && second.is_some());
        assert!(connections.add(address("192.0.2.2")).is_none());
        drop(first);
        assert!(connections.add(address("192.0.2.2")).is_some());
        assert_eq!((connections.gauge.get(), connections.refused.total.get()), (1, 1));
    }

    #[test]
    fn an_address_has_its_own_limit_and_leaves_nothing_behind() {
        let connections = connections(100, Some(1));
        let own = connections.add(address("2001:db8::1"));

        assert!(own.is_some());
        assert!(connections.add(address("2001:db8::2:1")).is_none(), "the same network");
        assert!(connections.add(address("2001:db8:0:1::1")).is_some(), "another network");
        let mapped = connections.add(address("::ffff:192.0.2.1"));
        assert!(mapped.is_some());
        assert!(connections.add(address("192.0.2.1")).is_none(), "the same address");
        assert!(connections.add(None).is_some(), "an address that isn't limited");
        drop((own, mapped));
        assert!(connections.by_address.lock().is_empty());
        assert_eq!((connections.gauge.get(), connections.refused.per_address.get()), (0, 2));
    }
}
