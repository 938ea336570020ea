//! Requests that were decided on one state of an account, and held until the account has another one.

use http::Method;
use portcullis::clock;
use portcullis::identity::totp;
use portcullis::store::{AuditEvent, Revocation, SessionPage, Standing};
use serde_json::{Value, json};

use super::wing::{Answer, PASSWORD, Pair, Wing, step, wing};

const OTHER: &str = "a horse of another colour";

/// What is asked while the call of this name is held, and what becomes of it.
async fn held_at(
    wing: &Wing,
    call: &'static str,
    asked: impl Future<Output = Answer>,
    meanwhile: impl AsyncFnOnce(),
) -> Answer {
    let held = wing.stores.hold(call);
    let meanwhile = async {
        held.reached().await;
        meanwhile().await;
        held.let_go();
    };
    futures::join!(asked, meanwhile).0
}

async fn sessions(wing: &Wing) -> usize {
    let page = SessionPage { after: None, limit: 100 };
    wing.administration().sessions("alice", page).await.unwrap().len()
}

fn refused(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.code())
}

const CHANGED: (u16, &str) = (409, "account_changed");

/// What ends whatever was begun before.
enum End {
    OwnPassword(Pair),
    Reset(String),
    OperatorsPassword,
    Disabled,
    FactorReset,
}

impl End {
    async fn come(self, wing: &Wing) {
        let administration = wing.administration();
        match self {
            Self::OwnPassword(pair) => {
                let change = json!({ "old_password": PASSWORD, "new_password": OTHER });
                let answer = wing.post("/password").bearer(&pair.access).json(change).send().await;
                assert_eq!(answer.status, 200, "{:?}", answer.body);
                wing.administration().end_sessions("alice", false).await.unwrap();
            }
            Self::Reset(token) => {
                let reset = json!({ "token": token, "new_password": OTHER });
                assert_eq!(wing.post("/password/reset").json(reset).send().await.status, 204);
            }
            Self::OperatorsPassword => {
                drop(administration.set_password("alice", OTHER, false).await.unwrap())
            }
            Self::Disabled => drop(administration.set_disabled("alice", true).await.unwrap()),
            Self::FactorReset => assert!(administration.reset_mfa("alice", false).await.unwrap()),
        }
    }
}

/// It found the account, and waits for its password to be compared; or has found it right, and waits to begin.
#[tokio::test]
async fn a_login_on_its_way_ends_with_what_ends_the_sessions_of_its_account() {
    for held in ["accounts.found_by_username", "state.start"] {
        for number in 0..4 {
            let wing = wing().await;
            let alice = wing.register("alice").await;
            let end = match number {
                0 => End::OwnPassword(wing.native_login("alice").await),
                1 => End::Reset(wing.reset_token(&alice).await),
                2 => End::OperatorsPassword,
                _ => End::Disabled,
            };

            let login = wing.login("alice", PASSWORD);
            let answer = held_at(&wing, held, login, async || end.come(&wing).await).await;

            assert_eq!(refused(&answer), CHANGED, "{held} {number}");
            assert_eq!(sessions(&wing).await, 0, "{held} {number}");
        }
    }
}

#[tokio::test]
async fn the_second_step_of_a_login_ends_with_the_factor() {
    let wing = wing().await;
    let (alice, code) = wing.enrolled("alice").await;
    let ticket = wing.login("alice", PASSWORD).await.body["ticket"].as_str().unwrap().to_owned();
    let step = json!({ "ticket": ticket, "code": code });

    let second = wing.post("/login/mfa").json(step).send();
    let answer = held_at(&wing, "state.start", second, async || End::FactorReset.come(&wing).await).await;

    assert_eq!(refused(&answer), CHANGED);
    assert_eq!((sessions(&wing).await, wing.account("alice").await.version), (0, alice.version + 1));
}

/// A thief who knows the password begins a factor; the owner changes the password while the thief confirms.
#[tokio::test]
async fn a_factor_that_is_confirmed_on_its_way_is_none_once_the_password_changes() {
    for held in ["accounts.found_by_id", "state.revoke"] {
        let wing = wing().await;
        wing.register("alice").await;
        let thief = wing.native_login("alice").await;
        let secret = wing.begin_factor(&thief).await;
        let code = json!({ "code": totp::code(&secret, step()) });

        let confirm = wing.post("/mfa/totp/confirm").bearer(&thief.access).json(code).send();
        let end = async || End::OperatorsPassword.come(&wing).await;
        let answer = held_at(&wing, held, confirm, end).await;

        assert_eq!(refused(&answer), CHANGED, "{held}");
        assert!(!wing.account("alice").await.has_second_factor, "{held}");
        assert_eq!(sessions(&wing).await, 0, "{held}");
        assert!(wing.login("alice", OTHER).await.body["access_token"].is_string(), "{held}");
    }
}

#[tokio::test]
async fn a_password_change_on_its_way_leaves_a_disabled_account_disabled_and_without_a_token() {
    for held in ["accounts.found_by_id", "state.revoke", "accounts.set_password"] {
        let wing = wing().await;
        wing.register("alice").await;
        let pair = wing.native_login("alice").await;
        let change = json!({ "old_password": PASSWORD, "new_password": OTHER });

        let change = wing.post("/password").bearer(&pair.access).json(change).send();
        let answer = held_at(&wing, held, change, async || End::Disabled.come(&wing).await).await;

        assert_eq!(refused(&answer), CHANGED, "{held}");
        let alice = wing.account("alice").await;
        assert!(alice.disabled, "{held}");
        assert_eq!((alice.version, sessions(&wing).await), (2, 0), "{held}");
        wing.administration().set_disabled("alice", false).await.unwrap();
        assert!(wing.login("alice", PASSWORD).await.body["access_token"].is_string(), "it is the old one");
    }
}

/// The other way round: the operator's word counts, whatever comes in between.
#[tokio::test]
async fn disabling_on_its_way_is_tried_again_when_the_password_changes() {
    let wing = wing().await;
    wing.register("alice").await;
    let pair = wing.native_login("alice").await;
    let held = wing.stores.hold("accounts.set_disabled");
    let administration = wing.administration();
    let meanwhile = async {
        held.reached().await;
        let change = json!({ "old_password": PASSWORD, "new_password": OTHER, "refresh_token": "body" });
        let answer = wing.post("/password").bearer(&pair.access).json(change).send().await;
        held.let_go();
        answer
    };

    let (disabled, changed) = futures::join!(administration.set_disabled("alice", true), meanwhile);

    assert!(disabled.unwrap().disabled);
    let new = changed.tokens();
    assert_ne!(wing.standing(&new.access).await, Standing::Good);
    assert_eq!(wing.refresh(&new.refresh).await.code(), "refresh_invalid");
    assert_eq!(sessions(&wing).await, 0);
}

#[tokio::test]
async fn what_a_token_asks_for_on_its_way_is_refused_once_it_is_stale() {
    let patch = json!({ "username": "mallory", "password": PASSWORD });
    let asks: [(Method, &str, Value); 3] = [
        (Method::POST, "/keys", json!({ "name": "kept", "password": PASSWORD })),
        (Method::PATCH, "/me", patch),
        (Method::DELETE, "/me", json!({ "password": PASSWORD })),
    ];
    for (method, path, body) in asks {
        let wing = wing().await;
        let alice = wing.register("alice").await;
        let pair = wing.native_login("alice").await;

        let ask =
            async || wing.call(method.clone(), path).bearer(&pair.access).json(body.clone()).send().await;
        let end = async || End::OperatorsPassword.come(&wing).await;
        let answer = held_at(&wing, "accounts.found_by_id", ask(), end).await;

        assert_eq!(refused(&answer), CHANGED, "{path}");
        // The same a moment later, when it reads the account as it is now.
        assert_eq!(refused(&ask().await), (401, "token_stale"), "{path}");
        assert_eq!(wing.account("alice").await.username, "alice", "{path}");
        assert_eq!(wing.stores.api_keys().list(alice.id).await.unwrap(), [], "{path}");
    }
}

/// Its account was found, and then has another password: the session is gone, and no refresh lifts one.
#[tokio::test]
async fn a_refresh_never_lifts_a_session_to_other_credentials() {
    let wing = wing().await;
    wing.register("alice").await;
    let pair = wing.native_login("alice").await;
    let end = async || End::OperatorsPassword.come(&wing).await;
    let answer = held_at(&wing, "accounts.found_by_id", wing.refresh(&pair.refresh), end).await;
    assert_eq!(refused(&answer), (401, "refresh_invalid"));

    // Ending the sessions failed, and nobody tried again.
    let login = json!({ "username": "alice", "password": OTHER, "refresh_token": "body" });
    let left = wing.post("/login").json(login).send().await.tokens();
    wing.stores.break_down(&["state.end_all"]);
    assert!(wing.administration().set_password("alice", PASSWORD, false).await.is_err());
    wing.stores.break_down(&[]);
    assert_eq!(sessions(&wing).await, 1);
    let answer = wing.refresh(&left.refresh).await;
    assert_eq!(refused(&answer), (401, "refresh_invalid"));
    assert_eq!(sessions(&wing).await, 0);
    assert_ne!(wing.standing(&left.access).await, Standing::Good);
}

#[tokio::test]
async fn other_roles_and_another_name_leave_sessions_as_they_are() {
    let wing = wing().await;
    wing.register("alice").await;
    let pair = wing.native_login("alice").await;
    wing.administration().set_roles("alice", &["editor".to_owned()], false).await.unwrap();
    assert_eq!(wing.standing(&pair.access).await, Standing::Stale);

    let next = wing.refresh(&pair.refresh).await.tokens();

    assert_eq!(wing.read(&next.access).roles, ["editor"]);
    assert_eq!(wing.standing(&next.access).await, Standing::Good);
}

#[tokio::test]
async fn a_deletion_that_fails_half_way_can_be_tried_again() {
    let delete = async |wing: &Wing, pair: &Pair| {
        let password = json!({ "password": PASSWORD });
        wing.call(Method::DELETE, "/me").bearer(&pair.access).json(password).send().await
    };
    for broken in ["state.end_all", "accounts.delete", "state"] {
        let wing = wing().await;
        wing.register("alice").await;
        let pair = wing.native_login("alice").await;

        wing.stores.break_down(&[broken]);
        let failed = delete(&wing, &pair).await;
        assert_eq!(refused(&failed), (503, "store_unavailable"), "{broken}");
        wing.stores.break_down(&[]);

        let again = wing.native_login("alice").await;
        assert_eq!(wing.standing(&again.access).await, Standing::Good, "{broken}");
        let deleted = delete(&wing, &again).await;
        assert_eq!(deleted.status, 204, "{broken}: {:?}", deleted.body);
        for pair in [pair, again] {
            assert_ne!(wing.standing(&pair.access).await, Standing::Good, "{broken}");
            assert_eq!(wing.refresh(&pair.refresh).await.code(), "refresh_invalid", "{broken}");
        }
    }
}

#[tokio::test]
async fn an_operators_deletion_that_fails_half_way_can_be_tried_again() {
    for broken in ["state.end_all", "accounts.delete"] {
        let wing = wing().await;
        wing.register("alice").await;
        let pair = wing.native_login("alice").await;

        wing.stores.break_down(&[broken]);
        assert!(wing.administration().delete("alice").await.is_err(), "{broken}");
        wing.stores.break_down(&[]);

        wing.administration().delete("alice").await.unwrap();
        assert_ne!(wing.standing(&pair.access).await, Standing::Good, "{broken}");
        assert_eq!(wing.login("alice", PASSWORD).await.code(), "bad_credentials", "{broken}");
    }
}

/// A login that begins while the account is being deleted holds nothing up and survives nothing.
#[tokio::test]
async fn no_login_survives_the_deletion_it_overlaps() {
    let wing = wing().await;
    wing.register("alice").await;
    let delete = async || wing.administration().delete("alice").await.unwrap();

    let answer = held_at(&wing, "state.start", wing.login("alice", PASSWORD), delete).await;

    assert_eq!(refused(&answer), CHANGED);
    assert_eq!(wing.login("alice", PASSWORD).await.code(), "bad_credentials");
}

/// The state store knows of versions that the account store has forgotten.
#[tokio::test]
async fn an_account_of_an_older_dump_is_mended_by_the_next_login() {
    let wing = wing().await;
    let alice = wing.register("alice").await;
    let before = wing.native_login("alice").await;
    let until = clock::now() + std::time::Duration::from_secs(900);
    let undone = Revocation::UserBelow(alice.id, 7);
    portcullis::store::Revocations::revoke(&*wing.stores, undone, until).await.unwrap();

    let pair = wing.native_login("alice").await;

    assert_eq!(wing.standing(&pair.access).await, Standing::Good);
    assert_eq!((wing.read(&pair.access).version, wing.account("alice").await.version), (8, 8));
    assert_ne!(wing.standing(&before.access).await, Standing::Good);
    assert_eq!(wing.refresh(&before.refresh).await.code(), "refresh_invalid", "begun before the restore");
    assert!(wing.audited().await.iter().any(|(event, ..)| *event == AuditEvent::Mended));
    let next = wing.refresh(&pair.refresh).await.tokens();
    assert_eq!(wing.standing(&next.access).await, Standing::Good);
}

/// For a removed factor whose sessions weren't ended, there is nothing left to remove.
#[tokio::test]
async fn a_reset_of_a_factor_that_failed_half_way_is_finished_by_the_next() {
    let wing = wing().await;
    let (_, code) = wing.enrolled("alice").await;
    let ticket = wing.login("alice", PASSWORD).await.body["ticket"].as_str().unwrap().to_owned();
    let step = json!({ "ticket": ticket, "code": code, "refresh_token": "body" });
    let pair = wing.post("/login/mfa").json(step).send().await.tokens();

    wing.stores.break_down(&["state.end_all"]);
    assert!(wing.administration().reset_mfa("alice", false).await.is_err());
    wing.stores.break_down(&[]);
    assert_eq!(sessions(&wing).await, 2);

    assert!(!wing.administration().reset_mfa("alice", false).await.unwrap(), "it is gone already");
    assert_eq!(sessions(&wing).await, 0);
    assert_ne!(wing.standing(&pair.access).await, Standing::Good);
}
