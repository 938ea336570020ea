//! The table `sessions`.

use async_trait::async_trait;
use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::column::{self, micros};
use super::{SqliteState, failed, revocations};
use crate::clock::Timestamp;
use crate::identity::{SessionId, UserId};
use crate::store::{
    Account, Bound, Presentation, Presenter, Revocation, Rotation, Session, SessionPage, Sessions, Start,
    StoreError,
};

#[derive(sqlx::FromRow)]
struct SessionRow {
    id: String,
    user_id: String,
    username: String,
    email: Option<String>,
    roles: String,
    version: i64,
    generation: i64,
    created_at: i64,
    rotated_at: i64,
    idle_until: i64,
    ends_at: i64,
    address: Option<String>,
    user_agent: Option<String>,
    amr: String,
    credentials: i64,
    last_address: Option<String>,
    last_device: Option<String>,
}

impl SessionRow {
    fn session(self) -> Result<Session, StoreError> {
        Ok(Session {
            id: column::parse(&self.id)?,
            user_id: column::parse(&self.user_id)?,
            username: self.username,
            email: self.email,
            roles: column::roles(&self.roles)?,
            version: column::count(self.version)?,
            credentials: column::count(self.credentials)?,
            amr: column::roles(&self.amr)?,
            generation: column::count(self.generation)?,
            created_at: column::instant(self.created_at)?,
            rotated_at: column::instant(self.rotated_at)?,
            idle_until: column::instant(self.idle_until)?,
            ends_at: column::instant(self.ends_at)?,
            address: column::parse_optional(self.address.as_deref())?,
            user_agent: self.user_agent,
            last_address: column::parse_optional(self.last_address.as_deref())?,
            last_device: self.last_device,
        })
    }
}

#[async_trait]
impl Sessions for SqliteState {
    async fn start(&self, session: &Session, bound: Bound) -> Result<Start, StoreError> {
        let mut transaction = self.begin().await?;
        let below = revocations::below(&mut transaction, session.user_id, session.created_at).await?;
        if let Some(below) = below.filter(|below| session.version < *below) {
            return Ok(Start::Stale { below });
        }
        let ended = make_room(&mut transaction, session, bound).await?;
        let insert = sqlx::query(
            "INSERT INTO sessions (id, user_id, username, email, roles, version, generation, \
                                   created_at, rotated_at, idle_until, ends_at, address, user_agent, amr, \
                                   credentials, last_address, last_device) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
        )
        .bind(session.id.to_string())
        .bind(session.user_id.to_string())
        .bind(&session.username)
        .bind(&session.email)
        .bind(column::roles_json(&session.roles))
        .bind(column::signed(session.version))
        .bind(column::signed(session.generation))
        .bind(micros(session.created_at))
        .bind(micros(session.rotated_at))
        .bind(micros(session.idle_until))
        .bind(micros(session.ends_at))
        .bind(session.address.map(|address| address.to_string()))
        .bind(&session.user_agent)
        .bind(column::roles_json(&session.amr))
        .bind(column::signed(session.credentials))
        .bind(session.last_address.map(|address| address.to_string()))
        .bind(&session.last_device);
        insert.execute(&mut *transaction).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        for id in &ended {
            self.revoked.insert(Revocation::Session(*id), bound.revoked_until);
        }
        Ok(Start::Started { ended })
    }

    async fn rotate(&self, id: SessionId, presented: Presentation<'_>) -> Result<Rotation, StoreError> {
        let Presentation { generation, by, window, idle, revoked_until, now } = presented;
        let mut transaction = self.begin().await?;
        let Some(mut session) = read(&mut transaction, id, now).await? else {
            return Ok(Rotation::Unknown);
        };
        if generation < 1 || generation > session.generation {
            return Ok(Rotation::Unknown);
        }
        if generation == session.generation {
            session.generation += 1;
            session.rotated_at = now;
            session.last_address = by.address;
            session.last_device = by.device.map(str::to_owned);
            session.idle_until = (now + idle).min(session.ends_at);
            write_rotation(&mut transaction, &session).await.map_err(failed)?;
            transaction.commit().await.map_err(failed)?;
            return Ok(Rotation::Rotated(session));
        }
        let is_predecessor = generation == session.generation - 1;
        if is_predecessor && (now <= session.rotated_at + window || was_presented_by(&session, by)) {
            return Ok(Rotation::Repeated(session));
        }
        remove(&mut transaction, id, revoked_until).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        self.revoked.insert(Revocation::Session(id), revoked_until);
        Ok(Rotation::Reused(session))
    }

    async fn note_account(&self, id: SessionId, account: &Account) -> Result<(), StoreError> {
        let update = sqlx::query(
            "UPDATE sessions SET roles = ?2, email = ?3, username = ?4, version = ?5, credentials = ?6 \
             WHERE id = ?1 AND version <= ?5 AND (credentials = ?6 OR credentials = 0 AND version = ?5)",
        )
        .bind(id.to_string())
        .bind(column::roles_json(&account.roles))
        .bind(account.confirmed_email())
        .bind(&account.username)
        .bind(column::signed(account.version))
        .bind(column::signed(account.credentials));
        update.execute(&self.pool).await.map_err(failed)?;
        Ok(())
    }

    async fn find(&self, id: SessionId, now: Timestamp) -> Result<Option<Session>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        read(&mut connection, id, now).await
    }

    async fn list(
        &self,
        user: UserId,
        page: SessionPage,
        now: Timestamp,
    ) -> Result<Vec<Session>, StoreError> {
        let select = sqlx::query_as::<_, SessionRow>(
            "SELECT * FROM sessions \
             WHERE user_id = ?1 AND idle_until > ?2 AND ends_at > ?2 AND (?3 IS NULL OR id < ?3) \
             ORDER BY id DESC LIMIT ?4",
        );
        let select = select.bind(user.to_string()).bind(micros(now));
        let select = select.bind(page.after.map(|id| id.to_string())).bind(page.limit);
        let rows = select.fetch_all(&self.pool).await.map_err(failed)?;
        rows.into_iter().map(SessionRow::session).collect()
    }

    async fn end(&self, id: SessionId, revoked_until: Timestamp) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let existed = remove(&mut transaction, id, revoked_until).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        self.revoked.insert(Revocation::Session(id), revoked_until);
        Ok(existed)
    }

    async fn end_all(&self, user: UserId, revoked_until: Timestamp) -> Result<u64, StoreError> {
        let mut transaction = self.begin().await?;
        let select = sqlx::query_scalar::<_, String>("SELECT id FROM sessions WHERE user_id = ?1");
        let ids = select.bind(user.to_string()).fetch_all(&mut *transaction).await.map_err(failed)?;
        let ids = ids.iter().map(|id| column::parse(id)).collect::<Result<Vec<SessionId>, _>>()?;
        for id in &ids {
            remove(&mut transaction, *id, revoked_until).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)?;
        for id in &ids {
            self.revoked.insert(Revocation::Session(*id), revoked_until);
        }
        Ok(ids.len() as u64)
    }
}

impl SqliteState {
    /// Takes the write lock at once: one taken later could fail half-way.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)
    }
}

/// Ends the user's least recently used sessions, so that one more can begin; their ids.
async fn make_room(
    connection: &mut SqliteConnection,
    session: &Session,
    bound: Bound,
) -> Result<Vec<SessionId>, StoreError> {
    let select = sqlx::query_scalar::<_, String>(
        "SELECT id FROM sessions WHERE user_id = ?1 AND idle_until > ?2 AND ends_at > ?2 \
         ORDER BY rotated_at DESC, id DESC LIMIT -1 OFFSET ?3",
    );
    let select = select.bind(session.user_id.to_string()).bind(micros(session.created_at));
    let ids = select.bind(bound.most.saturating_sub(1)).fetch_all(&mut *connection).await.map_err(failed)?;
    let ids = ids.iter().map(|id| column::parse(id)).collect::<Result<Vec<SessionId>, _>>()?;
    for id in &ids {
        remove(connection, *id, bound.revoked_until).await.map_err(failed)?;
    }
    Ok(ids)
}

async fn read(
    connection: &mut SqliteConnection,
    id: SessionId,
    now: Timestamp,
) -> Result<Option<Session>, StoreError> {
    let select = sqlx::query_as::<_, SessionRow>("SELECT * FROM sessions WHERE id = ?1");
    let row = select.bind(id.to_string()).fetch_optional(connection).await.map_err(failed)?;
    let session = row.map(SessionRow::session).transpose()?;
    Ok(session.filter(|session| session.is_alive(now)))
}

/// Whether the same address or device asks again, since it never got the answer.
fn was_presented_by(session: &Session, by: Presenter<'_>) -> bool {
    let is_same_address = by.address.is_some() && by.address == session.last_address;
    is_same_address || by.device.is_some() && by.device == session.last_device.as_deref()
}

async fn write_rotation(connection: &mut SqliteConnection, session: &Session) -> sqlx::Result<()> {
    let update = sqlx::query(
        "UPDATE sessions SET generation = ?2, rotated_at = ?3, idle_until = ?4, last_address = ?5, \
                             last_device = ?6 \
         WHERE id = ?1",
    );
    update
        .bind(session.id.to_string())
        .bind(column::signed(session.generation))
        .bind(micros(session.rotated_at))
        .bind(micros(session.idle_until))
        .bind(session.last_address.map(|address| address.to_string()))
        .bind(&session.last_device)
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes the session and revokes its tokens; whether it was there.
async fn remove(
    connection: &mut SqliteConnection,
    id: SessionId,
    revoked_until: Timestamp,
) -> sqlx::Result<bool> {
    revocations::insert(connection, Revocation::Session(id), revoked_until).await?;
    let delete = sqlx::query("DELETE FROM sessions WHERE id = ?1").bind(id.to_string());
    Ok(delete.execute(connection).await?.rows_affected() > 0)
}
