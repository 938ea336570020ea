//! What every `GeneratedKeys` promises.

use std::sync::Arc;

use portcullis::store::GeneratedKeys;

use super::{contract, in_parallel};

contract!([postgres_users, sqlite_users] {
    all_gateways_get_the_key_that_was_stored_first
    of_two_who_replace_the_keys_one_wins
});

async fn all_gateways_get_the_key_that_was_stored_first(keys: Arc<impl GeneratedKeys + 'static>) {
    let answers = in_parallel(16, |number| {
        let keys = keys.clone();
        async move { keys.get_or_create(&format!("candidate {number}")).await.unwrap() }
    })
    .await;

    let later = keys.get_or_create("too late").await.unwrap();
    assert!(later.starts_with("candidate "));
    assert!(answers.iter().all(|answer| *answer == later), "{answers:?}");
}

async fn of_two_who_replace_the_keys_one_wins(keys: Arc<impl GeneratedKeys + 'static>) {
    keys.get_or_create("first").await.unwrap();

    let replaced = in_parallel(16, |number| {
        let keys = keys.clone();
        async move { keys.replace("first", &format!("first\nsecond of {number}")).await.unwrap() }
    })
    .await;

    assert_eq!(replaced.iter().filter(|replaced| **replaced).count(), 1);
    assert!(keys.get_or_create("too late").await.unwrap().starts_with("first\nsecond of "));
}
