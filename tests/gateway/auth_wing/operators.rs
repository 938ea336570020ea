//! What operators do while a store fails.

use portcullis::clock;
use portcullis::store::AuditEvent;

use super::wing::{Wing, record, wing};

async fn with_second_factor(username: &str) -> Wing {
    let wing = wing().await;
    let account = wing.register(username).await;
    let factors = wing.stores.second_factors();
    assert!(factors.begin(&account, b"sealed").await.unwrap());
    factors
        .confirm(&account, b"sealed", 1, &[], clock::now(), &record())
        .await
        .unwrap()
        .expect("it was begun");
    wing
}

#[tokio::test]
async fn a_second_factor_stays_while_its_sessions_cannot_be_ended() {
    let wing = with_second_factor("alice").await;

    wing.stores.break_down(&["state"]);
    assert!(wing.administration().reset_mfa("alice", false).await.is_err());

    assert!(wing.account("alice").await.has_second_factor, "or the next try would have nothing to do");
    wing.stores.break_down(&[]);
    assert!(wing.administration().reset_mfa("alice", false).await.unwrap());
    assert!(!wing.administration().reset_mfa("alice", false).await.unwrap());
    let resets =
        wing.audited().await.iter().filter(|(event, ..)| *event == AuditEvent::SecondFactorReset).count();
    assert_eq!((resets, wing.account("alice").await.has_second_factor), (1, false));
}
