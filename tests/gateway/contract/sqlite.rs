//! The embedded stores' files: who may read them, and what survives a restart or comes from
//! another process.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use portcullis::store::lockouts::{Begun, Lane, Outcome, Source, Target};
use portcullis::store::sqlite::{SqliteState, SqliteUsers};
use portcullis::store::{
    Accounts, AuditEvent, LockoutRule, Lockouts, Revocation, Revocations, Sessions, Standing,
};

use super::accounts::{new_account, note};
use super::revocations::bearer;
use super::sessions::{bound, session};
use super::{HOUR, eventually, in_parallel, now};

fn mode(path: &Path) -> u32 {
    path.metadata().expect("it exists").permissions().mode() & 0o777
}

#[tokio::test]
async fn only_the_owner_may_read_the_databases() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data/inner");

    let users = SqliteUsers::open(&folder.join("portcullis.db")).await.unwrap();
    let _state = SqliteState::open(&folder.join("state.db")).await.unwrap();
    users.create(&new_account("alice"), &note(AuditEvent::Registered, "alice")).await.unwrap();

    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 4, "{files:?} should hold the write-ahead logs, too");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_processes_may_open_a_new_database_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = Arc::new(folder.path().join("portcullis.db"));

    let opened = in_parallel(8, |number| {
        let path = path.clone();
        async move {
            let users = SqliteUsers::open(&path).await.map_err(|error| error.to_string())?;
            let create = users
                .create(
                    &new_account(&format!("user{number}")),
                    &note(AuditEvent::Registered, &format!("user{number}")),
                )
                .await;
            create.map(|_| ()).map_err(|error| error.to_string())
        }
    })
    .await;

    assert!(opened.iter().all(Result::is_ok), "{opened:?}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_in_the_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("portcullis.db");
    std::fs::write(&path, "certainly not a database, but long enough to look like a file").unwrap();

    let error = SqliteUsers::open(&path).await.err().expect("it can't be opened").to_string();

    assert!(error.contains("portcullis.db"), "{error}");
}

#[tokio::test]
async fn sessions_revocations_and_lockouts_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let (live, revoked, stale) = (session(), bearer(), bearer());
    let rule = LockoutRule { failures: 1, for_: HOUR };

    let before = SqliteState::open(&path).await.unwrap();
    before.start(&live, bound()).await.unwrap();
    before.end(revoked.session, now() + HOUR).await.unwrap();
    before.revoke(Revocation::UserBelow(stale.user, stale.version + 1), now() + HOUR).await.unwrap();
    let (target, from) = (Target::Unknown("alice"), Source { network: "::/64".to_owned(), device: None });
    before.begin(target, &from, rule, now()).await.unwrap();
    before.settle(target, &Lane::Strangers, Outcome::Wrong, rule, now()).await.unwrap();
    drop(before);

    let after = SqliteState::open(&path).await.unwrap();
    assert_eq!(after.find(live.id, now()).await.unwrap(), Some(live));
    assert_eq!(after.standing(revoked, now()).await.unwrap(), Standing::Revoked);
    assert_eq!(after.standing(stale, now()).await.unwrap(), Standing::Stale);
    let begun = after.begin(target, &from, rule, now()).await.unwrap();
    assert!(matches!(begun, Begun::Locked(Lane::Strangers, _)), "{begun:?}");
}

#[tokio::test]
async fn a_revocation_by_another_process_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let gateway = SqliteState::open(&path).await.unwrap();
    let command_line = SqliteState::open(&path).await.unwrap();
    let bearer = bearer();

    command_line.revoke(Revocation::UserBelow(bearer.user, 99), now() + HOUR).await.unwrap();

    eventually("the gateway knows", async || {
        gateway.standing(bearer, now()).await.unwrap() == Standing::Stale
    })
    .await;
}
