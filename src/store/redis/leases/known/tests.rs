use std::num::NonZeroU32;

use super::*;

const STEP: u64 = 60_000_000;
const ONE: Price = Price::WHOLE;

/// `burst` at once, then one a minute.
fn quota(burst: u32) -> Quota {
    let burst = NonZeroU32::new(burst).expect("not zero");
    Quota::new(NonZeroU32::MIN, Duration::from_micros(STEP), burst)
}

fn granted(level: u64, granted: u32, burst: u32) -> Counter {
    Counter { wait_us: 0, remaining: u64::from(burst) - level, level_us: level * STEP, granted }
}

/// Asks and is granted all it asks for, at once.
fn lease(known: &mut Known, used: &mut u64, now_us: u64) -> u32 {
    let wish = known.wish(ONE, now_us);
    *used += u64::from(wish.count);
    known.settle((ONE, wish), &granted(*used, wish.count, known.quota.burst), Used::One, now_us, now_us);
    wish.count
}

fn take(known: &mut Known, now_us: u64) -> Taken {
    match known.take(ONE, now_us) {
        Outcome::Taken(taken) => taken,
        other => panic!("{other:?}"),
    }
}

#[test]
fn leases_double_while_they_do_not_last_and_end_at_a_tenth_of_the_burst() {
    let (mut known, mut used) = (Known::new(quota(100), 0), 0);

    let sizes: Vec<u32> = (0..6).map(|round| lease(&mut known, &mut used, round * QUICK_US)).collect();

    assert_eq!(sizes, [1, 2, 4, 8, 10, 10]);
    let slower: Vec<u32> =
        (1..4).map(|round| lease(&mut known, &mut used, (5 + 2 * round) * QUICK_US)).collect();
    assert_eq!(slower, [5, 2, 1], "half a second later each time");
    assert_eq!(Known::new(quota(9), 0).wish(ONE, 0).count, 1);
}

#[test]
fn only_one_question_at_a_time_asks_for_more_than_one() {
    let (mut known, mut used) = (Known::new(quota(100), 0), 0);
    lease(&mut known, &mut used, 0);

    let (first, second) = (known.wish(ONE, 1), known.wish(ONE, 1));

    assert_eq!((first.count, second.count), (2, 1));
    known.give_up(second);
    assert_eq!(known.wish(ONE, 2).count, 1, "the first is still on its way");
    known.give_up(first);
    assert_eq!(known.wish(ONE, 2).count, 2);
    assert!(known.wish(ONE, 2 + ASKING_US).is_for_lease, "a question that was abandoned");
}

#[test]
fn a_request_from_the_lease_is_told_what_remains_in_both_places() {
    let mut known = Known::new(quota(100), 0);
    let wish = Wish { count: 10, is_for_lease: true };

    let first = known.settle((ONE, wish), &granted(10, 10, 100), Used::One, 0, 0);
    let second = take(&mut known, 0).verdict;

    assert_eq!((first.remaining, first.reset_after), (99, Duration::from_micros(STEP)));
    assert_eq!((second.remaining, second.reset_after), (98, Duration::from_micros(2 * STEP)));
}

#[test]
fn a_full_bucket_is_refused_here_for_a_second_at_a_time() {
    let mut known = Known::new(quota(2), 0);
    for asked_us in [0, BELIEVED_US] {
        let wish = known.wish(ONE, asked_us);
        known.settle((ONE, wish), &granted(2, 1, 2), Used::One, asked_us, asked_us);

        let until_us = asked_us + BELIEVED_US;
        let Outcome::Refused(refused) = known.take(ONE, until_us - 1) else { panic!("it is full") };

        assert_eq!((refused.allowed, refused.remaining), (false, 0));
        assert_eq!(refused.retry_after, Duration::from_micros(STEP - BELIEVED_US + 1));
        assert_eq!(known.take(ONE, until_us), Outcome::Unknown, "it may have been reset");
        assert_eq!(known.last_level_us(until_us), 2 * STEP - BELIEVED_US);
    }
}

#[test]
fn a_counter_that_was_reset_is_at_rest_by_the_next_answer() {
    let mut known = Known::new(quota(2), 0);
    let wish = known.wish(ONE, 0);
    known.settle((ONE, wish), &granted(2, 1, 2), Used::One, 0, 0);

    let wish = known.wish(ONE, BELIEVED_US);
    known.settle((ONE, wish), &granted(1, 1, 2), Used::One, BELIEVED_US, BELIEVED_US);

    assert_eq!(known.last_level_us(BELIEVED_US), STEP);
}

#[test]
fn what_was_granted_to_a_request_that_is_refused_all_the_same_is_a_lease() {
    let mut known = Known::new(quota(100), 0);
    let wish = Wish { count: 1, is_for_lease: true };

    let verdict = known.settle((ONE, wish), &granted(1, 1, 100), Used::None, 0, 0);

    assert_eq!((verdict.remaining, verdict.reset_after), (100, Duration::ZERO));
    take(&mut known, 0);
    assert_eq!(known.take(ONE, 0), Outcome::Unknown);
}

#[test]
fn what_is_given_back_to_a_lease_that_was_replaced_is_lost() {
    let mut known = Known::new(quota(100), 0);
    let wish = Wish { count: 3, is_for_lease: true };
    known.settle((ONE, wish), &granted(3, 3, 100), Used::One, 0, 0);
    let old = take(&mut known, 0).lease;
    take(&mut known, 0);
    known.settle((ONE, wish), &granted(6, 3, 100), Used::One, 1, 1);

    known.give_back(ONE, old);

    let left = std::iter::from_fn(|| matches!(known.take(ONE, 1), Outcome::Taken(_)).then_some(())).count();
    assert_eq!(left, 2);
}

#[test]
fn a_lease_that_runs_low_is_renewed_by_one_and_nobody_else_asks_meanwhile() {
    let (mut known, mut used) = (Known::new(quota(1000), 0), 0);
    for _ in 0..3 {
        lease(&mut known, &mut used, 0);
    }
    let lows = [0; 4].map(|now_us| take(&mut known, now_us).runs_low);
    assert_eq!(lows, [false, false, false, true], "one was left of the second, three of the third");

    let wish = known.renewal(0).expect("it runs low");

    assert_eq!((wish.count, wish.is_for_lease), (9, true), "eight beside the one that costs nothing");
    assert_eq!(known.renewal(0), None);
    assert_eq!(known.wish(ONE, 0).count, 1);
    known.settle((Price::part(0), wish), &granted(used + 8, 9, 1000), Used::None, 0, 0);
    assert!((0..5).all(|_| !take(&mut known, 0).runs_low));
    assert!(take(&mut known, 0).runs_low, "two of eight are left");
    assert_eq!(known.renewal(0).map(|wish| wish.count), Some(17));
}

#[test]
fn a_renewal_that_brings_nothing_is_not_tried_again() {
    let mut known = Known::new(quota(100), 0);
    let wish = Wish { count: 8, is_for_lease: true };
    known.settle((ONE, wish), &granted(8, 8, 100), Used::One, 0, 0);
    assert!((0..6).all(|_| take(&mut known, 0).verdict.allowed));
    let wish = known.renewal(0).expect("one of seven is left");
    known.settle((Price::part(0), wish), &granted(99, 1, 100), Used::None, 0, 0);

    assert!(!take(&mut known, 0).runs_low);
    assert_eq!((known.renewal(0), known.take(ONE, 0)), (None, Outcome::Unknown));
}
