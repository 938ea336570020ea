//! What every `Responses` promises.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portcullis::store::{Responses, StoredResponse};

use super::{MINUTE, contract, eventually, in_parallel};

contract!([redis_state, cluster_state, memory_responses] {
    nothing_is_stored_at_first
    a_kept_answer_is_found_as_it_was
    a_large_answer_is_kept_whole
    keeping_again_replaces_all_of_it
    keys_are_kept_apart
    a_forgotten_answer_is_gone
    an_answer_expires
    parallel_writers_never_mix_their_parts
});

fn response(word: &str, body_bytes: usize) -> StoredResponse {
    let part = |kind: &str| Bytes::from(format!("{kind} of {word}"));
    StoredResponse {
        label: part("label"),
        meta: part("meta"),
        head: part("head"),
        body: word.repeat(body_bytes / word.len()).into(),
    }
}

async fn nothing_is_stored_at_first(responses: Arc<impl Responses>) {
    assert_eq!(responses.find("key").await.unwrap(), None);
    assert!(!responses.forget("key").await.unwrap());
}

async fn a_kept_answer_is_found_as_it_was(responses: Arc<impl Responses>) {
    let empty =
        StoredResponse { label: Bytes::new(), meta: Bytes::new(), head: Bytes::new(), body: Bytes::new() };

    responses.keep("key", &response("a", 10), MINUTE).await.unwrap();
    responses.keep("empty", &empty, MINUTE).await.unwrap();

    assert_eq!(responses.find("key").await.unwrap(), Some(response("a", 10)));
    assert_eq!(responses.find("empty").await.unwrap(), Some(empty));
}

async fn a_large_answer_is_kept_whole(responses: Arc<impl Responses>) {
    let large = response("0123456789", 5 << 20);

    responses.keep("key", &large, MINUTE).await.unwrap();

    assert!(responses.find("key").await.unwrap() == Some(large));
}

async fn keeping_again_replaces_all_of_it(responses: Arc<impl Responses>) {
    responses.keep("key", &response("first", 100), MINUTE).await.unwrap();
    responses.keep("key", &response("second", 12), MINUTE).await.unwrap();

    assert_eq!(responses.find("key").await.unwrap(), Some(response("second", 12)));
}

async fn keys_are_kept_apart(responses: Arc<impl Responses>) {
    responses.keep("one", &response("one", 9), MINUTE).await.unwrap();

    assert_eq!(responses.find("on").await.unwrap(), None);
    assert_eq!(responses.find("one ").await.unwrap(), None);
}

async fn a_forgotten_answer_is_gone(responses: Arc<impl Responses>) {
    responses.keep("key", &response("a", 1), MINUTE).await.unwrap();

    let was_there = responses.forget("key").await.unwrap();

    assert!(was_there);
    assert_eq!(responses.find("key").await.unwrap(), None);
}

async fn an_answer_expires(responses: Arc<impl Responses>) {
    responses.keep("key", &response("a", 1), Duration::from_millis(50)).await.unwrap();

    eventually("the answer is forgotten", async || responses.find("key").await.unwrap().is_none()).await;
}

async fn parallel_writers_never_mix_their_parts(responses: Arc<impl Responses + 'static>) {
    let written = responses.clone();
    in_parallel(16, move |number| {
        let responses = written.clone();
        async move {
            let own = response(&format!("writer-{number:02}"), 90_000);
            for _ in 0..8 {
                responses.keep("key", &own, MINUTE).await.unwrap();
                let found = responses.find("key").await.unwrap().expect("nobody forgets it");
                let whose = String::from_utf8(found.body[..9].to_vec()).unwrap();
                assert!(found == response(&whose, 90_000), "a mix of two writers' parts");
            }
        }
    })
    .await;
}
