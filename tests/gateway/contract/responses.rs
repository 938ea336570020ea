//! What every `Responses` promises.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portcullis::store::redis::RedisState;
use portcullis::store::{PART_BYTES, Parts, ResponseParts, Responses, StoredBody, StoredResponse};
use uuid::Uuid;

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

mod in_parts {
    use super::*;

    contract!([redis_state, cluster_state] {
        a_long_body_is_read_part_by_part
        a_body_without_one_of_its_parts_is_absent
        parts_live_as_long_as_was_said_last
    });
}

fn response(word: &str, body_bytes: usize) -> StoredResponse {
    let part = |kind: &str| Bytes::from(format!("{kind} of {word}"));
    StoredResponse {
        label: part("label"),
        meta: part("meta"),
        head: part("head"),
        body: StoredBody::Whole(word.repeat(body_bytes / word.len()).into()),
    }
}

async fn nothing_is_stored_at_first(responses: Arc<impl Responses>) {
    assert_eq!(responses.find("key").await.unwrap(), None);
    assert!(!responses.forget("key").await.unwrap());
}

async fn a_kept_answer_is_found_as_it_was(responses: Arc<impl Responses>) {
    let body = StoredBody::Whole(Bytes::new());
    let empty = StoredResponse { label: Bytes::new(), meta: Bytes::new(), head: Bytes::new(), body };

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
                let StoredBody::Whole(body) = &found.body else { panic!("nobody keeps parts") };
                let whose = String::from_utf8(body[..9].to_vec()).unwrap();
                assert!(found == response(&whose, 90_000), "a mix of two writers' parts");
            }
        }
    })
    .await;
}

/// Two parts and a bit.
const LONG: u64 = 2 * PART_BYTES as u64 + 7;

pub(super) async fn keep_parts(state: &RedisState) -> Parts {
    let parts = Parts { id: Uuid::new_v4(), bytes: LONG };
    for (number, bytes) in [(0, PART_BYTES), (1, PART_BYTES), (2, 7)] {
        state.keep_part(parts.id, number, &vec![b'0' + number as u8; bytes], MINUTE).await.unwrap();
    }
    parts
}

pub(super) fn in_parts(parts: Parts) -> StoredResponse {
    StoredResponse { body: StoredBody::InParts(parts), ..response("long", 4) }
}

async fn a_long_body_is_read_part_by_part(state: Arc<RedisState>) {
    let parts = keep_parts(&state).await;
    state.keep("key", &in_parts(parts), MINUTE).await.unwrap();

    assert_eq!(state.find("key").await.unwrap(), Some(in_parts(parts)));
    let last = state.find_part(parts.id, 2).await.unwrap();
    assert_eq!(last, Some(Bytes::from_static(b"2222222")));
    assert_eq!(state.find_part(parts.id, 3).await.unwrap(), None);
    assert_eq!(state.find_part(Uuid::new_v4(), 0).await.unwrap(), None);
}

async fn a_body_without_one_of_its_parts_is_absent(state: Arc<RedisState>) {
    let parts = keep_parts(&state).await;
    let longer = Parts { bytes: 3 * PART_BYTES as u64 + 1, ..parts };

    state.keep("key", &in_parts(longer), MINUTE).await.unwrap();

    assert_eq!(state.find("key").await.unwrap(), None);
    assert!(!state.keep_parts_for(longer, MINUTE).await.unwrap());
}

async fn parts_live_as_long_as_was_said_last(state: Arc<RedisState>) {
    let parts = keep_parts(&state).await;
    state.keep("key", &in_parts(parts), MINUTE).await.unwrap();

    assert!(state.keep_parts_for(parts, Duration::from_millis(50)).await.unwrap());

    eventually("the parts are gone", async || state.find_part(parts.id, 0).await.unwrap().is_none()).await;
    assert_eq!(state.find("key").await.unwrap(), None);
}
