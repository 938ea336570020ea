//! Guesses at passwords and codes: a hash of counters for each account, and one of the networks known for it.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use redis::{Cmd, RedisWrite};

use super::key::Key;
use super::script::Script;
use super::{RedisState, duration_micros, failed, micros, parse};
use crate::clock::Timestamp;
use crate::config::policy::LockoutRule;
use crate::identity::UserId;
use crate::store::StoreError;
use crate::store::lockouts::{
    ABANDONED, Begun, Lane, Lockout, Lockouts, Locks, MOST_ADDRESSES, MOST_IN_A_ROW, Outcome, Remembered,
    Source, Target,
};

/// Questions on the way at once when accounts are listed.
const LISTED_AT_ONCE: usize = 32;

static BEGIN: LazyLock<Script> = LazyLock::new(|| counting(include_str!("scripts/begin_attempt.lua")));
static SETTLE: LazyLock<Script> = LazyLock::new(|| counting(include_str!("scripts/settle_attempt.lua")));

static CLEAR_IN_A_ROW: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/clear_in_a_row.lua")));

fn counting(source: &str) -> Script {
    Script::new(&[include_str!("scripts/attempts.lua"), source].concat())
}

#[async_trait]
impl Lockouts for RedisState {
    async fn begin(
        &self,
        target: Target<'_>,
        source: &Source,
        rule: LockoutRule,
        now: Timestamp,
    ) -> Result<Begun, StoreError> {
        let device = source.device.map(Lane::Device);
        let device_lane = device.as_ref().map(Lane::to_string).unwrap_or_default();
        let call = BEGIN.call(2, 8).key(Key::Lockout(target)).key(Key::KnownAddresses(target));
        let call = call.arg(rule.failures).arg(duration_micros(rule.for_)).arg(micros(now));
        let call = call.arg(duration_micros(ABANDONED)).arg(MOST_IN_A_ROW).arg(device_lane);
        let call = call.arg(&source.network).arg(u8::from(target.is_account()));
        let (outcome, lane, left): (String, String, u64) = parse(call.run(&self.connections).await?)?;
        let lane = match (lane.as_str(), device) {
            ("strangers", _) => Lane::Strangers,
            (_, Some(device)) => device,
            (_, None) => Lane::Network(source.network.clone()),
        };
        let left = Duration::from_micros(left);
        match outcome.as_str() {
            "counted" => Ok(Begun::Counted(lane)),
            "busy" => Ok(Begun::Busy(lane, left)),
            "locked" => Ok(Begun::Locked(lane, left)),
            "until_reset" => Ok(Begun::UntilReset(lane)),
            other => Err(failed(format!("an attempt began as {other:?}"))),
        }
    }

    async fn settle(
        &self,
        target: Target<'_>,
        lane: &Lane,
        outcome: Outcome<'_>,
        rule: LockoutRule,
        now: Timestamp,
    ) -> Result<Option<Locks>, StoreError> {
        let (word, remember) = match outcome {
            Outcome::Wrong => ("wrong", None),
            Outcome::GivenBack => ("given_back", None),
            Outcome::Right { remember } => ("right", remember),
        };
        let (network, until) = match remember {
            Some(Remembered { network, until }) => (network, micros(until)),
            None => ("", 0),
        };
        let call = SETTLE.call(2, 10).key(Key::Lockout(target)).key(Key::KnownAddresses(target));
        let call = call.arg(word).text(lane);
        let call = call.arg(rule.failures).arg(duration_micros(rule.for_)).arg(micros(now));
        let call = call.arg(MOST_IN_A_ROW).arg(u8::from(target.is_account()));
        let call = call.arg(network).arg(until).arg(MOST_ADDRESSES);
        match parse::<String>(call.run(&self.connections).await?)?.as_str() {
            "lane" => Ok(Some(Locks::Lane)),
            "all" => Ok(Some(Locks::All)),
            _ => Ok(None),
        }
    }

    async fn lockouts(&self, accounts: &[UserId], now: Timestamp) -> Result<Vec<Lockout>, StoreError> {
        let asked = stream::iter(accounts.to_vec()).map(|account| self.lockout(account, now));
        asked.buffered(LISTED_AT_ONCE).try_collect().await
    }

    async fn clear(&self, account: UserId) -> Result<bool, StoreError> {
        let mut command = Cmd::new();
        command.arg("DEL");
        command.write_arg_fmt(Key::Lockout(Target::Account(account)));
        parse(self.connections.run(&command).await?)
    }

    async fn clear_in_a_row(&self, account: UserId) -> Result<(), StoreError> {
        let call = CLEAR_IN_A_ROW.call(1, 0).key(Key::Lockout(Target::Account(account)));
        call.run(&self.connections).await?;
        Ok(())
    }
}

impl RedisState {
    async fn lockout(&self, account: UserId, now: Timestamp) -> Result<Lockout, StoreError> {
        let mut command = Cmd::new();
        command.arg("HGETALL");
        command.write_arg_fmt(Key::Lockout(Target::Account(account)));
        let fields: HashMap<String, String> = parse(self.connections.run(&command).await?)?;
        Ok(lockout(&fields, now))
    }
}

fn lockout(fields: &HashMap<String, String>, now: Timestamp) -> Lockout {
    let mut lockout = Lockout::default();
    for (field, value) in fields {
        if field == "in_a_row" {
            lockout.all = value.parse::<u32>().is_ok_and(|failures| failures >= MOST_IN_A_ROW);
            continue;
        }
        // failures, attempts under way, locked, begun, until
        let mut parts = value.split(':').skip(2);
        let (is_locked, until) = (parts.next() == Some("1"), parts.nth(1));
        let until = until.and_then(|until| until.parse().ok()).and_then(Timestamp::from_timestamp_micros);
        let Some(until) = until.filter(|until| is_locked && *until > now) else { continue };
        let whose = if field == "strangers" { &mut lockout.strangers } else { &mut lockout.owner };
        *whose = (*whose).max(Some(until));
    }
    lockout
}
