//! Sessions: a hash each, and per user a sorted set of their ids.

mod in_steps;

use std::sync::LazyLock;

use async_trait::async_trait;
use futures::future::try_join_all;
use redis::{Cmd, RedisWrite, Value};

use super::key::{Key, Layout};
use super::script::{Call, Script};
use super::{RedisState, duration_micros, failed, micros, millis, parse};
use crate::clock::Timestamp;
use crate::identity::{SessionId, UserId};
use crate::store::{
    Account, Bound, Presentation, Revocation, Rotation, Session, SessionPage, Sessions, Start, StoreError,
};

/// All but the id, which is in the key's name. `rotate_session.lua` answers in the same order.
const FIELDS: [&str; 16] = [
    "user_id",
    "username",
    "email",
    "roles",
    "version",
    "generation",
    "created_at",
    "rotated_at",
    "idle_until",
    "ends_at",
    "address",
    "user_agent",
    "amr",
    "credentials",
    "last_address",
    "last_device",
];

/// Questions on the way at once when a user's sessions are listed.
const LISTED_AT_ONCE: usize = 32;

type Fields = [Option<String>; 16];

/// How many arguments of a script come before the fields.
const BEFORE_FIELDS: usize = 7;

static START: LazyLock<Script> = LazyLock::new(|| {
    ending(concat!(
        include_str!("scripts/refuse_stale.lua"),
        include_str!("scripts/make_room.lua"),
        include_str!("scripts/keep_session.lua"),
        include_str!("scripts/index_session.lua"),
        "return {false, ended}\n",
    ))
});
static NOTE_ACCOUNT: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/note_account.lua")));
static ROTATE: LazyLock<Script> = LazyLock::new(|| ending(include_str!("scripts/rotate_session.lua")));
static END: LazyLock<Script> = LazyLock::new(|| ending(include_str!("scripts/end_session.lua")));
static END_ALL: LazyLock<Script> = LazyLock::new(|| ending(include_str!("scripts/end_all_sessions.lua")));

/// A script that ends sessions.
fn ending(source: &str) -> Script {
    Script::revoking(Layout::OneServer, &[include_str!("scripts/ending.lua"), source].concat())
}

#[async_trait]
impl Sessions for RedisState {
    async fn start(&self, session: &Session, bound: Bound) -> Result<Start, StoreError> {
        if self.layout() == Layout::Cluster {
            return self.start_in_steps(session, bound).await;
        }
        let call = START.call(3, BEFORE_FIELDS + 2 * FIELDS.len());
        let call = call
            .key(Key::Session(session.id))
            .key(Key::RevokedUser(self.layout(), session.user_id))
            .key(Key::SessionsOf(session.user_id));
        let answer = with_values(call, session, bound).run(&self.connections).await?;
        let (below, ended): (Option<u64>, Vec<String>) = parse(answer)?;
        if let Some(below) = below {
            return Ok(Start::Stale { below });
        }
        let ended =
            ended.iter().map(|id| id.parse().map_err(failed)).collect::<Result<Vec<SessionId>, _>>()?;
        self.note_revoked(ended.iter().copied().map(Revocation::Session), bound.revoked_until);
        Ok(Start::Started { ended })
    }

    async fn rotate(&self, id: SessionId, presented: Presentation<'_>) -> Result<Rotation, StoreError> {
        let script: &Script = match self.layout() {
            Layout::OneServer => &ROTATE,
            Layout::Cluster => &in_steps::ROTATE,
        };
        let call = script
            .call(1, 8)
            .key(Key::Session(id))
            .text(id)
            .arg(presented.generation)
            .arg(duration_micros(presented.window))
            .arg(duration_micros(presented.idle))
            .arg(micros(presented.now))
            .arg(millis(presented.revoked_until))
            .arg(presented.by.address.map_or(String::new(), |address| address.to_string()))
            .arg(presented.by.device.unwrap_or_default());
        let answer: Vec<Value> = parse(call.run(&self.connections).await?)?;
        let mut answer = answer.into_iter();
        let outcome: String = parse(answer.next().unwrap_or(Value::Nil))?;
        let Some(fields) = answer.next() else {
            return Ok(Rotation::Unknown);
        };
        let session = session(id, parse(fields)?)?;
        match outcome.as_str() {
            "rotated" => Ok(Rotation::Rotated(session)),
            "repeated" => Ok(Rotation::Repeated(session)),
            "reused" => {
                if self.layout() == Layout::Cluster {
                    self.end_in_steps(id, presented.revoked_until).await?;
                }
                self.note_revoked([Revocation::Session(id)], presented.revoked_until);
                Ok(Rotation::Reused(session))
            }
            other => Err(failed(format_args!("rotate_session.lua answered {other:?}"))),
        }
    }

    async fn note_account(&self, id: SessionId, account: &Account) -> Result<(), StoreError> {
        let call = NOTE_ACCOUNT.call(1, 5).key(Key::Session(id));
        let call = call.arg(&account.username).arg(roles_json(&account.roles)).arg(account.version);
        call.arg(account.credentials).arg(account.confirmed_email()).run(&self.connections).await?;
        Ok(())
    }

    async fn find(&self, id: SessionId, now: Timestamp) -> Result<Option<Session>, StoreError> {
        let mut command = Cmd::new();
        command.arg("HMGET");
        command.write_arg_fmt(Key::Session(id));
        command.arg(&FIELDS);
        let fields: Fields = parse(self.connections.run(&command).await?)?;
        if fields.iter().all(Option::is_none) {
            return Ok(None);
        }
        let session = session(id, fields)?;
        Ok(Some(session).filter(|session| session.is_alive(now)))
    }

    /// One question per session: only single keys are certain to be on one server.
    async fn list(
        &self,
        user: UserId,
        page: SessionPage,
        now: Timestamp,
    ) -> Result<Vec<Session>, StoreError> {
        let mut command = Cmd::new();
        command.arg("ZRANGE");
        command.write_arg_fmt(Key::SessionsOf(user));
        command.arg(0).arg(-1);
        let ids: Vec<String> = parse(self.connections.run(&command).await?)?;
        let ids = ids.iter().map(|id| id.parse().map_err(failed));
        let ids = ids.collect::<Result<Vec<SessionId>, _>>()?;
        let mut ids: Vec<_> =
            ids.into_iter().filter(|id| page.after.is_none_or(|after| *id < after)).collect();
        ids.sort_unstable_by(|one, other| other.cmp(one));
        let mut sessions = Vec::new();
        for some in ids.chunks(LISTED_AT_ONCE) {
            let finds = some.iter().map(|id| self.find(*id, now));
            sessions.extend(try_join_all(finds).await?.into_iter().flatten());
            if sessions.len() >= page.limit as usize {
                break;
            }
        }
        sessions.truncate(page.limit as usize);
        Ok(sessions)
    }

    async fn end(&self, id: SessionId, revoked_until: Timestamp) -> Result<bool, StoreError> {
        if self.layout() == Layout::Cluster {
            return self.end_in_steps(id, revoked_until).await;
        }
        let call = END.call(0, 2).text(id).arg(millis(revoked_until));
        let existed = parse(call.run(&self.connections).await?)?;
        self.note_revoked([Revocation::Session(id)], revoked_until);
        Ok(existed)
    }

    async fn end_all(&self, user: UserId, revoked_until: Timestamp) -> Result<u64, StoreError> {
        if self.layout() == Layout::Cluster {
            return self.end_all_in_steps(user, revoked_until).await;
        }
        let call = END_ALL.call(1, 1).key(Key::SessionsOf(user)).arg(millis(revoked_until));
        let (ended, ids): (u64, Vec<String>) = parse(call.run(&self.connections).await?)?;
        let ids = ids.iter().map(|id| id.parse().map_err(failed));
        let ids = ids.collect::<Result<Vec<SessionId>, _>>()?;
        self.note_revoked(ids.into_iter().map(Revocation::Session), revoked_until);
        Ok(ended)
    }
}

/// The arguments of `refuse_stale.lua`, `make_room.lua`, `keep_session.lua` and `index_session.lua`.
fn with_values<'a>(call: Call<'a>, session: &Session, bound: Bound) -> Call<'a> {
    call.text(session.id)
        .arg(millis(session.created_at))
        .arg(millis(session.idle_until))
        .arg(millis(session.ends_at))
        .arg(session.version)
        .arg(bound.most)
        .arg(millis(bound.revoked_until))
        .field("user_id", Some(session.user_id))
        .field("username", Some(&session.username))
        .field("email", session.email.as_ref())
        .field("roles", Some(roles_json(&session.roles)))
        .field("version", Some(session.version))
        .field("generation", Some(session.generation))
        .field("created_at", Some(micros(session.created_at)))
        .field("rotated_at", Some(micros(session.rotated_at)))
        .field("idle_until", Some(micros(session.idle_until)))
        .field("ends_at", Some(micros(session.ends_at)))
        .field("address", session.address)
        .field("user_agent", session.user_agent.as_ref())
        .field("amr", Some(roles_json(&session.amr)))
        .field("credentials", Some(session.credentials))
        .field("last_address", session.last_address)
        .field("last_device", session.last_device.as_ref())
}

fn roles_json(roles: &[String]) -> String {
    serde_json::json!(roles).to_string()
}

fn session(id: SessionId, fields: Fields) -> Result<Session, StoreError> {
    let [
        user_id,
        username,
        email,
        roles,
        version,
        generation,
        created_at,
        rotated_at,
        idle_until,
        ends_at,
        address,
        user_agent,
        amr,
        credentials,
        last_address,
        last_device,
    ] = fields;
    Ok(Session {
        id,
        user_id: required(user_id)?,
        username: required(username)?,
        email,
        roles: serde_json::from_str(&required::<String>(roles)?).map_err(failed)?,
        version: required(version)?,
        // Sessions from before have neither.
        credentials: credentials.map_or(Ok(0), |credentials| credentials.parse()).map_err(failed)?,
        amr: amr.map_or(Ok(Vec::new()), |amr| serde_json::from_str(&amr)).map_err(failed)?,
        generation: required(generation)?,
        created_at: instant(created_at)?,
        rotated_at: instant(rotated_at)?,
        idle_until: instant(idle_until)?,
        ends_at: instant(ends_at)?,
        address: address.map(|address| address.parse().map_err(failed)).transpose()?,
        user_agent,
        last_address: last_address.map(|address| address.parse().map_err(failed)).transpose()?,
        last_device,
    })
}

fn required<T>(field: Option<String>) -> Result<T, StoreError>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    field.ok_or_else(|| failed("a session lacks a field"))?.parse().map_err(failed)
}

fn instant(field: Option<String>) -> Result<Timestamp, StoreError> {
    let micros = required(field)?;
    Timestamp::from_timestamp_micros(micros).ok_or_else(|| failed("a session has an impossible date"))
}
