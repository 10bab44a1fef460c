//! What the queue does, one thing at a time.

use super::*;

const NONE: [(u64, u32); 0] = [];

fn wanted(lane: &'static str, attempts: u32, not_before: Option<i64>) -> Option<Offer<&'static str>> {
    Some(Offer { lane, attempts, not_before, folds: None })
}

fn folding(lane: &'static str, attempts: u32, folds: Option<u32>) -> Option<Offer<&'static str>> {
    Some(Offer { lane, attempts, not_before: None, folds })
}

fn begun(queue: &mut Queue<&'static str>, now: i64) -> Vec<(u64, u32)> {
    let begun = std::iter::from_fn(|| queue.next(now));
    begun.map(|Begun { next, .. }| (next.sequence, next.attempt)).collect()
}

#[test]
fn one_object_is_served_in_order_and_objects_side_by_side() {
    let mut queue = Queue::new(0, 10);
    for (sequence, lane) in [(1, "a"), (2, "b"), (3, "a"), (4, "c")] {
        queue.offer(sequence, wanted(lane, 0, None));
    }
    assert_eq!(begun(&mut queue, 0), [(1, 1), (2, 1), (4, 1)]);
    assert_eq!(queue.settle(2), 0);
    assert_eq!(begun(&mut queue, 0), NONE);
    assert_eq!(queue.settle(1), 2);
    assert_eq!(begun(&mut queue, 0), [(3, 1)]);
    assert_eq!(queue.settle(4), 2);
    assert_eq!(queue.settle(3), 4);
}

#[test]
fn the_bound_holds() {
    let mut queue = Queue::new(0, 2);
    for (sequence, lane) in [(1, "a"), (2, "b"), (3, "c")] {
        queue.offer(sequence, wanted(lane, 0, None));
    }
    assert_eq!(begun(&mut queue, 0), [(1, 1), (2, 1)]);
    queue.settle(2);
    assert_eq!(begun(&mut queue, 0), [(3, 1)]);
}

#[test]
fn a_failing_object_rests_alone_and_keeps_its_order() {
    let mut queue = Queue::new(0, 4);
    for (sequence, lane) in [(1, "bad"), (2, "good"), (3, "bad")] {
        queue.offer(sequence, wanted(lane, 0, None));
    }
    assert_eq!(begun(&mut queue, 0), [(1, 1), (2, 1)]);
    queue.retry(1, 100);
    queue.settle(2);
    assert_eq!(begun(&mut queue, 99), NONE);
    assert_eq!(queue.due(), Some(100));
    assert_eq!(begun(&mut queue, 100), [(1, 2)]);
    assert_eq!(queue.cursor(), 0);
    queue.settle(1);
    assert_eq!(begun(&mut queue, 100), [(3, 1)]);
    assert_eq!(queue.cursor(), 2);
}

#[test]
fn events_that_nobody_wants_move_the_cursor() {
    let mut queue = Queue::new(7, 4);
    queue.offer(8, None);
    assert_eq!(queue.cursor(), 8);
    queue.offer(9, wanted("a", 0, None));
    queue.offer(10, None);
    assert_eq!(queue.cursor(), 8);
    assert_eq!(begun(&mut queue, 0), [(9, 1)]);
    assert_eq!(queue.settle(9), 10);
}

#[test]
fn what_comes_again_takes_its_place_and_lets_the_cursor_go_on() {
    let mut queue = Queue::new(4, 4);
    queue.offer(5, wanted("a", 0, None));
    queue.offer(6, wanted("a", 0, None));
    assert_eq!(begun(&mut queue, 0), [(5, 1)]);
    queue.again(3, "a", 8, None, true);
    queue.again(3, "a", 8, None, true);
    queue.again(2, "b", 8, Some(50), true);
    assert_eq!(queue.open(), 4, "twice is once");
    assert_eq!(begun(&mut queue, 0), NONE, "one at a time, and b rests");
    assert_eq!(queue.settle(5), 5, "what comes again from behind the cursor does not hold it back");
    assert_eq!(begun(&mut queue, 50), [(3, 9), (2, 9)]);
    queue.settle(3);
    assert_eq!(begun(&mut queue, 50), [(6, 1)]);
    assert_eq!(queue.settle(6), 6);
    queue.again(6, "c", 1, None, false);
    assert_eq!(queue.cursor(), 5, "but one that is above it does");
}

#[test]
fn attempts_of_an_earlier_run_are_counted_on() {
    let mut queue = Queue::new(0, 4);
    queue.offer(1, wanted("a", 2, None));
    queue.offer(2, wanted("b", 1, Some(50)));
    assert_eq!(begun(&mut queue, 0), [(1, 3)]);
    assert_eq!(begun(&mut queue, 50), [(2, 2)]);
}

#[test]
fn what_waits_is_folded_into_the_newest_and_what_was_begun_is_not() {
    let mut queue = Queue::new(0, 4);
    queue.offer(1, folding("a", 0, Some(0)));
    assert_eq!(queue.next(0), Some(Begun { next: Next { sequence: 1, attempt: 1 }, folded: vec![] }));
    for (sequence, lane, folds) in [
        (2, "a", Some(0)),
        (3, "b", Some(0)),
        (4, "a", Some(0)),
        (5, "a", Some(1)),
        (6, "a", None),
        (7, "a", Some(1)),
    ] {
        queue.offer(sequence, folding(lane, 0, folds));
    }
    assert_eq!(queue.next(0).map(|begun| begun.next.sequence), Some(3), "another lane is not folded with");
    queue.retry(1, 10);
    assert_eq!(queue.next(10).map(|begun| (begun.next.sequence, begun.folded)), Some((1, vec![])));
    assert_eq!(queue.settle(1), 1);
    let next = |queue: &mut Queue<_>| queue.next(10).map(|begun| (begun.next.sequence, begun.folded));
    assert_eq!(next(&mut queue), Some((4, vec![2])));
    assert_eq!(queue.settle(3), 3, "what is folded holds nothing back");
    assert_eq!(queue.settle(4), 4);
    for alone in [5, 6, 7] {
        assert_eq!(
            next(&mut queue),
            Some((alone, vec![])),
            "neither with another subscription nor over another event"
        );
        queue.settle(alone);
    }
    assert_eq!(queue.cursor(), 7);
}
