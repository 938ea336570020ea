//! This gateway's copy of the log of purges: what the request path reads before it serves a stored
//! answer. A copy that isn't current vouches for no answer at all.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use super::purges::{AnswerKey, Epoch, Label, Purge};
use crate::identity::UserId;

/// Beyond this, all marks become one on everything: the cache starts anew, nothing is forgotten.
const MOST: usize = 16 * 1024;
/// Beyond this, the older marks on single answers go: those aren't in the store any more, and copies of them
/// last for seconds.
const MOST_ANSWERS: usize = 16 * 1024;

pub struct Marks {
    set: RwLock<Set>,
    held: RwLock<Held>,
    /// Changes with every mark, so that what was checked once needn't be again.
    generation: AtomicU64,
    /// `None` when nobody else writes the log.
    max_staleness: Option<Duration>,
    /// Time zero: a clock that nobody sets back.
    start: Instant,
    /// No purge before this is missing, in microseconds since the start; 0 before the first reading.
    complete_at_us: AtomicU64,
}

#[derive(Default)]
struct Set {
    /// The last entry read.
    epoch: Epoch,
    everything: Epoch,
    routes: HashMap<String, Epoch>,
    prefixes: HashMap<String, Epoch>,
    users: HashMap<UserId, Epoch>,
    tags: HashMap<String, Epoch>,
    answers: HashMap<AnswerKey, Epoch>,
}

impl Marks {
    /// For a log that only this process writes.
    pub fn own() -> Self {
        Self::new(None)
    }

    /// For a log that is followed; the marks count while they aren't older than this.
    pub fn following(max_staleness: Duration) -> Self {
        Self::new(Some(max_staleness))
    }

    fn new(max_staleness: Option<Duration>) -> Self {
        Self {
            set: RwLock::default(),
            held: RwLock::default(),
            generation: AtomicU64::new(1),
            max_staleness,
            start: Instant::now(),
            complete_at_us: AtomicU64::new(0),
        }
    }

    pub fn epoch(&self) -> Epoch {
        self.set.read().epoch
    }

    /// Before [`allows`](Self::allows): what it says holds for this generation.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether no purge concerns the answer. `false` also when that isn't known.
    pub fn allows(&self, label: &Label) -> bool {
        self.is_current() && self.set.read().allows(label) && self.held.read().allows(label)
    }

    /// Allows no answer with this key until it is released: the log couldn't be told of a purge.
    pub fn hold(&self, key: AnswerKey) {
        self.change_held(|held| {
            held.answers.insert(key);
        });
    }

    /// After the purge is in the log, and in these marks.
    pub fn release(&self, key: AnswerKey) {
        self.change_held(|held| {
            held.answers.remove(&key);
        });
    }

    pub fn hold_everything(&self) {
        self.change_held(|held| held.everything = true);
    }

    pub fn release_everything(&self) {
        self.change_held(|held| held.everything = false);
    }

    fn change_held(&self, change: impl FnOnce(&mut Held)) {
        change(&mut self.held.write());
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    pub fn is_current(&self) -> bool {
        self.max_staleness.is_none() || self.is_current_at(Instant::now())
    }

    /// The same, for whoever knows the time.
    pub fn is_current_at(&self, now: Instant) -> bool {
        let Some(max_staleness) = self.max_staleness else { return true };
        let complete_at = Duration::from_micros(self.complete_at_us.load(Ordering::Acquire));
        let elapsed = now.saturating_duration_since(self.start);
        self.is_filled() && elapsed.saturating_sub(complete_at) <= max_staleness
    }

    /// Whether the log has been read once.
    pub fn is_filled(&self) -> bool {
        self.max_staleness.is_none() || self.complete_at_us.load(Ordering::Acquire) > 0
    }

    /// All that was in the log at `asked`, the instant before it was read, has been inserted.
    pub fn note_complete(&self, asked: Instant) {
        let asked = asked.saturating_duration_since(self.start).as_micros();
        self.complete_at_us.fetch_max(u64::try_from(asked).unwrap_or(u64::MAX).max(1), Ordering::AcqRel);
    }

    pub fn insert(&self, at: Epoch, what: Purge) {
        self.set.write().insert(at, what);
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// The next entry of a log that only this process writes.
    pub fn append(&self, what: Purge) {
        let mut set = self.set.write();
        let next = Epoch(set.epoch.0 + 1, 0);
        set.insert(next, what);
        drop(set);
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// The log isn't the one that was read: its positions say nothing about this one's.
    pub fn restart(&self) {
        *self.set.write() = Set::default();
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

/// Purges that aren't in the log yet.
#[derive(Default)]
struct Held {
    answers: HashSet<AnswerKey>,
    everything: bool,
}

impl Held {
    fn allows(&self, label: &Label) -> bool {
        !self.everything && !self.answers.contains(&label.key)
    }
}

impl Set {
    fn insert(&mut self, at: Epoch, what: Purge) {
        self.epoch = self.epoch.max(at);
        match what {
            Purge::Everything => self.begin_anew(at),
            Purge::Route(name) => raise(&mut self.routes, name, at),
            Purge::Prefix(prefix) => raise(&mut self.prefixes, prefix, at),
            Purge::User(id) => raise(&mut self.users, id, at),
            Purge::Tag(tag) => raise(&mut self.tags, tag, at),
            Purge::Answer(key) => raise(&mut self.answers, key, at),
        }
        if self.answers.len() > MOST_ANSWERS {
            forget_older_half(&mut self.answers);
        }
        if self.routes.len() + self.prefixes.len() + self.users.len() + self.tags.len() > MOST {
            self.begin_anew(at);
        }
    }

    fn begin_anew(&mut self, at: Epoch) {
        self.everything = self.everything.max(at);
        self.routes.retain(|_, mark| *mark > at);
        self.prefixes.retain(|_, mark| *mark > at);
        self.users.retain(|_, mark| *mark > at);
        self.tags.retain(|_, mark| *mark > at);
        self.answers.retain(|_, mark| *mark > at);
    }

    fn allows(&self, label: &Label) -> bool {
        let is_before = |mark: Option<&Epoch>| mark.is_none_or(|mark| *mark <= label.epoch);
        self.everything <= label.epoch
            && is_before(self.routes.get(&label.route))
            && label.user.as_ref().is_none_or(|user| is_before(self.users.get(user)))
            && is_before(self.answers.get(&label.key))
            && label.tags.iter().all(|tag| is_before(self.tags.get(tag)))
            && self
                .prefixes
                .iter()
                .all(|(prefix, mark)| *mark <= label.epoch || !label.path.starts_with(prefix.as_str()))
    }
}

/// A mark never goes back, not even while the log is read once more.
fn raise<K: std::hash::Hash + Eq>(marks: &mut HashMap<K, Epoch>, key: K, at: Epoch) {
    let mark = marks.entry(key).or_default();
    *mark = at.max(*mark);
}

fn forget_older_half(marks: &mut HashMap<AnswerKey, Epoch>) {
    let mut epochs: Vec<Epoch> = marks.values().copied().collect();
    let middle = epochs.len() / 2;
    let (_, middle, _) = epochs.select_nth_unstable(middle);
    marks.retain(|_, mark| *mark >= *middle);
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn label(marks: &Marks, path: &str) -> Label {
        Label {
            epoch: marks.epoch(),
            key: 5,
            route: "shop".into(),
            path: path.into(),
            user: Some(Uuid::from_u128(7)),
            tags: vec!["red".into()],
        }
    }

    #[test]
    fn a_purge_concerns_what_it_names_and_was_asked_for_before() {
        let concerned = [
            Purge::Everything,
            Purge::Route("shop".into()),
            Purge::Prefix("/a/".into()),
            Purge::User(Uuid::from_u128(7)),
            Purge::Tag("red".into()),
            Purge::Answer(5),
        ];
        for purge in concerned {
            let marks = Marks::own();
            let before = label(&marks, "/a/b");
            marks.append(purge.clone());

            assert!(!marks.allows(&before), "{purge:?}");
            assert!(marks.allows(&label(&marks, "/a/b")), "{purge:?}: what came after it stays");
        }
        for other in [
            Purge::Route("sho".into()),
            Purge::Prefix("/b".into()),
            Purge::User(Uuid::from_u128(8)),
            Purge::Tag("re".into()),
            Purge::Answer(6),
        ] {
            let marks = Marks::own();
            let before = label(&marks, "/a/b");
            marks.append(other.clone());

            assert!(marks.allows(&before), "{other:?}");
        }
    }

    #[test]
    fn reading_the_log_once_more_changes_nothing() {
        let marks = Marks::own();
        let log = [
            (Epoch(1, 0), Purge::Tag("red".into())),
            (Epoch(2, 0), Purge::Everything),
            (Epoch(3, 0), Purge::Tag("red".into())),
        ];
        log.clone().into_iter().for_each(|(at, what)| marks.insert(at, what));
        let purged = Label { epoch: Epoch(2, 0), ..label(&marks, "/") };

        for (at, what) in log {
            marks.insert(at, what);
            assert!(!marks.allows(&purged), "{at:?}");
        }
    }

    #[test]
    fn what_is_held_is_allowed_again_once_it_is_released_even_if_the_log_begins_anew() {
        let marks = Marks::own();
        let [one, other] = [5, 6].map(|key| Label { key, ..label(&marks, "/") });

        marks.hold(5);
        marks.restart();
        assert!(!marks.allows(&one) && marks.allows(&other));
        marks.release(5);
        assert!(marks.allows(&one));
        marks.hold_everything();
        assert!(!marks.allows(&one) && !marks.allows(&other));
        marks.release_everything();
        assert!(marks.allows(&one) && marks.allows(&other));
    }

    #[test]
    fn too_many_marks_become_one_on_everything() {
        let marks = Marks::own();
        let before = label(&marks, "/");
        for number in 0..=MOST {
            marks.append(Purge::Tag(number.to_string()));
        }

        assert!(!marks.allows(&before));
        assert!(marks.set.read().tags.len() < MOST);
    }

    #[test]
    fn of_too_many_marks_on_single_answers_the_newer_stay() {
        let marks = Marks::own();
        let answer = |key| Label { key, ..label(&marks, "/") };
        let (oldest, newest, other) = (answer(0), answer(MOST_ANSWERS as AnswerKey), answer(AnswerKey::MAX));
        for key in 0..=MOST_ANSWERS {
            marks.append(Purge::Answer(key as AnswerKey));
        }

        assert!(marks.set.read().answers.len() <= MOST_ANSWERS / 2 + 1);
        assert!(marks.allows(&oldest) && marks.allows(&other) && !marks.allows(&newest));
    }

    #[test]
    fn marks_that_are_not_current_vouch_for_nothing() {
        let marks = Marks::following(Duration::from_secs(60));
        let answer = label(&marks, "/");

        assert!(!marks.allows(&answer));
        marks.note_complete(Instant::now());
        assert!(marks.allows(&answer));

        let old = Marks::following(Duration::ZERO);
        old.note_complete(old.start);
        while old.start.elapsed() < Duration::from_micros(10) {}
        assert!(!old.allows(&label(&old, "/")));
    }
}
