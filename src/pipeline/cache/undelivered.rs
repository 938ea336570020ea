//! What unsafe requests made doubtful while the store couldn't be told: nothing that is concerned is served here until it
//! is, and the store is told as soon as it answers again. It ends with the process.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::storage::ResponseStorage;
use crate::store::{AnswerKey, Purge, StoreError};

const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// Beyond this, all becomes one purge of everything.
const MOST: usize = 4096;
/// Marks that haven't followed the log for so long allow nothing by themselves.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Undelivered(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    answers: HashMap<AnswerKey, Answer>,
    everything: bool,
    is_being_told: bool,
    /// How often something was kept.
    count: u64,
}

#[derive(Clone)]
struct Answer {
    /// In the store.
    name: String,
    /// Which of those that were kept it is; the last, if the answer became doubtful again.
    number: u64,
}

impl Undelivered {
    /// Keeps a purge that the store didn't take, and goes on trying.
    pub fn keep(storage: &'static ResponseStorage, key: AnswerKey, name: String) {
        let mut waiting = storage.undelivered.0.lock();
        waiting.count += 1;
        let number = waiting.count;
        if waiting.answers.len() < MOST || waiting.answers.contains_key(&key) {
            waiting.answers.insert(key, Answer { name, number });
            storage.purges.marks().hold(key);
        } else {
            waiting.everything = true;
            storage.purges.marks().hold_everything();
        }
        if !std::mem::replace(&mut waiting.is_being_told, true) {
            tracing::warn!("the store can't be told what a change made doubtful; it is told later");
            tokio::spawn(tell(storage));
        }
    }

    /// `None` when all is told.
    fn next(&self) -> Option<(Purge, Answer)> {
        let mut waiting = self.0.lock();
        if waiting.everything {
            return Some((Purge::Everything, Answer { name: String::new(), number: waiting.count }));
        }
        let first = waiting.answers.iter().next();
        let next = first.map(|(key, answer)| (Purge::Answer(*key), answer.clone()));
        waiting.is_being_told = next.is_some();
        next
    }

    /// What was kept once more meanwhile stays.
    fn note_told(&self, storage: &ResponseStorage, what: &Purge, number: u64) {
        let mut waiting = self.0.lock();
        let marks = storage.purges.marks();
        match what {
            Purge::Answer(key) if waiting.answers.get(key).is_some_and(|answer| answer.number == number) => {
                waiting.answers.remove(key);
                marks.release(*key);
            }
            Purge::Everything if waiting.count == number => {
                waiting.everything = false;
                marks.release_everything();
            }
            _ => {}
        }
    }
}

async fn tell(storage: &'static ResponseStorage) {
    while let Some((what, answer)) = storage.undelivered.next() {
        match deliver(storage, &what, &answer.name).await {
            Ok(()) => storage.undelivered.note_told(storage, &what, answer.number),
            Err(error) => {
                tracing::debug!(%error, "the store still can't be told of a change");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
}

async fn deliver(storage: &ResponseStorage, what: &Purge, name: &str) -> Result<(), StoreError> {
    storage.purges.purge(what).await?;
    match what {
        Purge::Answer(_) => storage.responses.forget(name).await.map(drop),
        _ => {
            tokio::time::sleep(FOLLOWED_WITHIN).await;
            Ok(())
        }
    }
}
