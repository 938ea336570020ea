//! Long work that shares its cores with requests gives way to them: it is done in short stretches with pauses
//! between, for as long as there are requests. A request waits for one stretch then, and not for the
//! time slice that the system would give to such work.

use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Short beside what a request takes on a busy machine.
const STRETCH: Duration = Duration::from_micros(200);
/// Long work gets an eighth of a core that requests fill.
const PAUSE: Duration = Duration::from_micros(1500);
/// Steps of work between two looks at the clock, which cost as much as a step.
const STEPS: u32 = 16;

thread_local! {
    static PACE: RefCell<Option<Pace>> = const { RefCell::new(None) };
}

struct Pace {
    is_busy: Box<dyn Fn() -> bool>,
    stretch_began: Instant,
    steps: u32,
}

/// Does `work`, which calls [`step`] now and then, in stretches while others are busy.
pub fn giving_way<T>(is_busy: impl Fn() -> bool + 'static, work: impl FnOnce() -> T) -> T {
    let _ended = Ended;
    let pace = Pace { is_busy: Box::new(is_busy), stretch_began: Instant::now(), steps: 0 };
    PACE.set(Some(pace));
    work()
}

/// However the work ends: the thread may do other work after it.
struct Ended;

impl Drop for Ended {
    fn drop(&mut self) {
        PACE.set(None);
    }
}

/// A point between two steps of long work. Nothing, outside of [`giving_way`].
pub fn step() {
    PACE.with_borrow_mut(|pace| {
        if let Some(pace) = pace {
            pace.step();
        }
    });
}

impl Pace {
    fn step(&mut self) {
        self.steps = (self.steps + 1) % STEPS;
        if self.steps > 0 || self.stretch_began.elapsed() < STRETCH {
            return;
        }
        // While this thread held the core, none of those who wait for it could show that they are busy.
        std::thread::yield_now();
        if (self.is_busy)() {
            std::thread::sleep(PAUSE);
        }
        self.stretch_began = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    /// How often the pace looked whether others are busy, over so much work.
    fn looks(work: Duration) -> usize {
        let looks = Rc::new(Cell::new(0));
        let counted = looks.clone();
        let is_busy = move || {
            counted.set(counted.get() + 1);
            false
        };
        giving_way(is_busy, || {
            let begun = Instant::now();
            while begun.elapsed() < work {
                step();
            }
        });
        looks.get()
    }

    #[test]
    fn long_work_asks_once_a_stretch_and_short_work_never() {
        let often = looks(STRETCH * 50);

        assert!((1..=50).contains(&often), "{often}");
        assert_eq!(looks(Duration::ZERO), 0);
    }

    #[test]
    fn what_comes_after_is_not_held_up() {
        giving_way(|| true, || ());

        PACE.with_borrow(|pace| assert!(pace.is_none()));
    }
}
