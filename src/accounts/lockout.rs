//! How guesses at passwords and codes are bounded: every attempt is counted before its answer is known, by account,
//! and strangers apart from what signed in to the account before.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::policy::LockoutRule;
use crate::store::StoreError;
use crate::store::lockouts::{Begun, Device, Lane, Lockouts, Outcome, Remembered, Source, Target};

/// For how long a device or an address that signed in is known.
pub const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Between questions for a free place, doubled each time. The last is asked after about five seconds, by when
/// every attempt under way has been answered.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LAST_PAUSE: Duration = Duration::from_secs(3);
/// Stands for an account in calls that are made for their cost: no name is like it.
const NOBODY: Target<'static> = Target::Unknown(" ");

/// Whether a password or a code is looked at.
#[derive(Debug)]
pub enum Attempt {
    /// It counts as a failure until it is settled.
    Counted(Lane),
    Refused(Refused),
}

#[derive(Debug)]
pub struct Refused {
    pub lane: Lane,
    /// `None`: until a reset.
    pub wait: Option<Duration>,
}

/// Where an attempt comes from, as it is counted: IPv6 by /64, since whoever has one address of it has them all.
pub fn source(address: IpAddr, device: Option<Device>) -> Source {
    let network = match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            format!("{}/64", Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
    };
    Source { network, device }
}

/// Counts the attempt. While others are under way that would lock the account if they all failed, it waits for
/// them: many right ones at once are no guesses.
pub async fn begin(
    lockouts: &dyn Lockouts,
    target: Target<'_>,
    source: &Source,
    rule: LockoutRule,
    now: Timestamp,
) -> Result<Attempt, StoreError> {
    let mut pause = FIRST_PAUSE;
    loop {
        let (lane, wait) = match lockouts.begin(target, source, rule, now).await? {
            Begun::Counted(lane) => return Ok(Attempt::Counted(lane)),
            Begun::Busy(..) if pause < LAST_PAUSE => {
                tokio::time::sleep(pause).await;
                pause *= 2;
                continue;
            }
            Begun::Busy(lane, wait) | Begun::Locked(lane, wait) => (lane, Some(wait)),
            Begun::UntilReset(lane) => (lane, None),
        };
        return Ok(Attempt::Refused(Refused { lane, wait }));
    }
}

/// Costs what settling an attempt costs, and changes nothing.
pub async fn settle_nothing(
    lockouts: &dyn Lockouts,
    rule: LockoutRule,
    now: Timestamp,
) -> Result<(), StoreError> {
    lockouts.settle(NOBODY, &Lane::Strangers, Outcome::GivenBack, rule, now).await.map(drop)
}

/// What a sign-in leaves behind: its network is known from now on.
pub fn signed_in(source: &Source, now: Timestamp) -> Outcome<'_> {
    Outcome::Right { remember: Some(Remembered { network: &source.network, until: now + KNOWN_FOR }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_subnet_are_one_network() {
        let network = |text: &str| source(text.parse().expect("an address"), None).network;

        assert_eq!(network("203.0.113.7"), "203.0.113.7");
        assert_eq!(network("::ffff:203.0.113.7"), "203.0.113.7");
        assert_eq!(network("2001:db8:1:2:3::4"), "2001:db8:1:2::/64");
        assert_eq!(network("2001:db8:1:2::"), network("2001:db8:1:2:ffff::1"));
        assert_ne!(network("2001:db8:1:2::"), network("2001:db8:1:3::"));
    }
}
