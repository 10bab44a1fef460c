//! What one plugin is to be given, in which order, and how far it has come. Pure: no clock, no I/O, no plugin.
//!
//! Events of one object form a lane: one at a time, in the order of their numbers, a failing one holding back only
//! its own lane. Lanes run side by side up to a bound. The cursor is the number below which everything is settled.
//!
//! Events of one lane that fold are delivered as one, the newest, as far as they wait behind one another and none of them was
//! ever begun.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::Hash;

/// So many events at most are delivered as one: all of them are read for it.
const FOLD_MAX: usize = 1000;

/// The state of one plugin's deliveries. `K` names a lane.
#[derive(Debug)]
pub(crate) struct Queue<K> {
    /// Everything up to here was offered.
    offered: u64,
    /// Offered and not settled.
    open: BTreeMap<u64, Slot<K>>,
    /// Waiting events by lane; a lane that is busy or resting is not in `ready`.
    lanes: HashMap<K, VecDeque<u64>>,
    ready: VecDeque<K>,
    /// Lanes whose first event is to be tried again, by time and number.
    resting: BTreeSet<(i64, u64)>,
    running: usize,
    bound: usize,
}

#[derive(Debug)]
struct Slot<K> {
    lane: K,
    /// Attempts so far.
    attempts: u32,
    /// What it may be folded with: others of the same number.
    folds: Option<u32>,
    /// The cursor is noted beyond it: it came again later and holds nothing back.
    passed: bool,
}

/// An event that is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Offer<K> {
    /// Its lane.
    pub(crate) lane: K,
    /// Attempts that an earlier run of the daemon made.
    pub(crate) attempts: u32,
    /// When the next of them is due, in microseconds; none for at once.
    pub(crate) not_before: Option<i64>,
    /// Events of a lane with the same number here are delivered as one while they wait.
    pub(crate) folds: Option<u32>,
}

/// A delivery to begin now, with the events that it tells of too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Begun {
    /// The delivery.
    pub(crate) next: Next,
    /// Earlier events of its lane, in order, which are settled by its beginning.
    pub(crate) folded: Vec<u64>,
}

/// An attempt at a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    /// The event's number.
    pub(crate) sequence: u64,
    /// 1 for the first.
    pub(crate) attempt: u32,
}

impl<K: Clone + Eq + Hash> Queue<K> {
    /// A queue that goes on after `cursor`, running at most `bound` deliveries side by side.
    pub(crate) fn new(cursor: u64, bound: usize) -> Self {
        Queue {
            offered: cursor,
            open: BTreeMap::new(),
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            resting: BTreeSet::new(),
            running: 0,
            bound: bound.max(1),
        }
    }

    /// Lets at most so many deliveries run side by side from now on; those that run go on.
    pub(crate) fn set_bound(&mut self, bound: usize) {
        self.bound = bound.max(1);
    }

    /// The number of the last event that was offered.
    pub(crate) fn offered(&self) -> u64 {
        self.offered
    }

    /// How many offered events are not settled.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    /// How many deliveries run.
    pub(crate) fn running(&self) -> usize {
        self.running
    }

    /// How many lanes rest until their first event is tried again.
    pub(crate) fn resting(&self) -> usize {
        self.resting.len()
    }

    /// How many events of a lane are not settled.
    pub(crate) fn waiting(&self, lane: &K) -> usize {
        self.lanes.get(lane).map_or(0, VecDeque::len)
    }

    /// Offers the next event; none when no subscription wants it.
    pub(crate) fn offer(&mut self, sequence: u64, offer: Option<Offer<K>>) {
        debug_assert!(sequence > self.offered, "events are offered in order");
        self.offered = sequence;
        let Some(Offer { lane, attempts, not_before, folds }) = offer else { return };
        self.open.insert(sequence, Slot { lane: lane.clone(), attempts, folds, passed: false });
        let waiting = self.lanes.entry(lane.clone()).or_default();
        let first = waiting.is_empty();
        waiting.push_back(sequence);
        if first {
            match not_before {
                Some(at) => _ = self.resting.insert((at, sequence)),
                None => self.ready.push_back(lane),
            }
        }
    }

    /// Takes in an event that was settled before and is to be delivered again, unless it is open already. In its lane it
    /// comes by its number, but not before what is first there, which may run. `passed` says that the cursor was noted
    /// beyond it.
    pub(crate) fn again(
        &mut self,
        sequence: u64,
        lane: K,
        attempts: u32,
        not_before: Option<i64>,
        passed: bool,
    ) {
        if self.open.contains_key(&sequence) {
            return;
        }
        self.open.insert(sequence, Slot { lane: lane.clone(), attempts, folds: None, passed });
        let waiting = self.lanes.entry(lane.clone()).or_default();
        if waiting.is_empty() {
            waiting.push_back(sequence);
            match not_before {
                Some(at) => _ = self.resting.insert((at, sequence)),
                None => self.ready.push_back(lane),
            }
        } else {
            let before = waiting.iter().skip(1).take_while(|other| **other < sequence).count();
            waiting.insert(1 + before, sequence);
        }
    }

    /// Takes the next delivery, if one may begin at `now` (microseconds).
    pub(crate) fn next(&mut self, now: i64) -> Option<Begun> {
        while let Some(&(at, sequence)) = self.resting.first()
            && at <= now
        {
            self.resting.pop_first();
            if let Some(slot) = self.open.get(&sequence) {
                self.ready.push_back(slot.lane.clone());
            }
        }
        if self.running >= self.bound {
            return None;
        }
        let lane = self.ready.pop_front()?;
        let folding = self.folding(&lane);
        let waiting = self.lanes.get_mut(&lane)?;
        let folded: Vec<u64> = waiting.drain(..folding).collect();
        for sequence in &folded {
            self.open.remove(sequence);
        }
        let sequence = *waiting.front()?;
        let slot = self.open.get_mut(&sequence)?;
        slot.attempts += 1;
        self.running += 1;
        Some(Begun { next: Next { sequence, attempt: slot.attempts }, folded })
    }

    /// How many events at the head of a lane are told by the one behind them.
    fn folding(&self, lane: &K) -> usize {
        let folds = |sequence: &u64| self.open.get(sequence).filter(|slot| slot.attempts == 0)?.folds;
        let Some(waiting) = self.lanes.get(lane) else { return 0 };
        let Some(with) = waiting.front().and_then(folds) else { return 0 };
        let run = waiting.iter().take(FOLD_MAX).take_while(|sequence| folds(sequence) == Some(with));
        run.count() - 1
    }

    /// When the next resting lane is due, in microseconds.
    pub(crate) fn due(&self) -> Option<i64> {
        self.resting.first().map(|(at, _)| *at)
    }

    /// A running delivery is over for good, done or given up. Returns the cursor.
    pub(crate) fn settle(&mut self, sequence: u64) -> u64 {
        if let Some(slot) = self.open.remove(&sequence) {
            self.running -= 1;
            if let Some(waiting) = self.lanes.get_mut(&slot.lane) {
                waiting.pop_front();
                if waiting.is_empty() {
                    self.lanes.remove(&slot.lane);
                } else {
                    self.ready.push_back(slot.lane);
                }
            }
        }
        self.cursor()
    }

    /// A running delivery is to be tried again at `at` (microseconds); its lane rests until then.
    pub(crate) fn retry(&mut self, sequence: u64, at: i64) {
        self.running -= 1;
        self.resting.insert((at, sequence));
    }

    /// Everything at or below this is settled.
    pub(crate) fn cursor(&self) -> u64 {
        let first = self.open.iter().find(|(_, slot)| !slot.passed);
        first.map_or(self.offered, |(first, _)| first - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        assert_eq!(
            queue.next(0).map(|begun| begun.next.sequence),
            Some(3),
            "another lane is not folded with"
        );
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

    #[derive(Debug, Clone)]
    enum Turn {
        Offer { lane: usize, attempts: u32, folds: Option<u32> },
        Begin,
        Settle(usize),
        Retry(usize),
    }

    fn turn() -> impl Strategy<Value = Turn> {
        prop_oneof![
            4 => (0..3_usize, 0..2_u32, proptest::option::of(0..2_u32))
                .prop_map(|(lane, attempts, folds)| Turn::Offer { lane, attempts, folds }),
            3 => Just(Turn::Begin),
            3 => (0..4_usize).prop_map(Turn::Settle),
            1 => (0..4_usize).prop_map(Turn::Retry),
        ]
    }

    proptest! {
        /// The model: for each lane the events that are not settled, in order.
        #[test]
        fn each_event_is_told_once_in_its_lane_s_order_by_itself_or_by_a_later_one(
            turns in proptest::collection::vec(turn(), 1..200)
        ) {
            const LANES: [&str; 3] = ["a", "b", "c"];
            let mut queue = Queue::new(0, 2);
            let mut lanes: [Vec<(u64, Option<u32>)>; 3] = Default::default();
            let (mut running, mut last): (Vec<(u64, usize)>, u64) = (Vec::new(), 0);
            let ended = |running: &mut Vec<(u64, usize)>, at: usize| {
                (!running.is_empty()).then(|| running.remove(at % running.len()))
            };
            // Whatever is left over comes to its end too.
            let rest = std::iter::repeat_n([Turn::Begin, Turn::Settle(0)], 2 * turns.len()).flatten();
            for turn in turns.into_iter().chain(rest) {
                match turn {
                    Turn::Offer { lane, attempts, folds } => {
                        last += 1;
                        lanes[lane].push((last, folds.filter(|_| attempts == 0)));
                        queue.offer(last, folding(LANES[lane], attempts, folds));
                    }
                    Turn::Begin => {
                        let Some(Begun { next, folded }) = queue.next(i64::MAX) else { continue };
                        let lane = lanes.iter().position(|lane| lane.iter().any(|known| known.0 == next.sequence));
                        let lane = lane.expect("only what was offered and is not settled is begun");
                        prop_assert!(running.iter().all(|(_, other)| *other != lane), "one at a time");
                        let told: Vec<_> = lanes[lane].drain(..=folded.len()).collect();
                        let numbers: Vec<u64> = told.iter().map(|(sequence, _)| *sequence).collect();
                        prop_assert_eq!(&numbers, &[folded.clone(), vec![next.sequence]].concat());
                        let group = told[0].1;
                        prop_assert!(folded.is_empty() || group.is_some());
                        prop_assert!(told.iter().all(|(_, folds)| *folds == group));
                        if let (Some(_), Some((_, following))) = (group, lanes[lane].first()) {
                            prop_assert_ne!(*following, group, "all that can be are folded");
                        }
                        lanes[lane].insert(0, (next.sequence, None));
                        running.push((next.sequence, lane));
                    }
                    Turn::Settle(at) => {
                        let Some((sequence, lane)) = ended(&mut running, at) else { continue };
                        lanes[lane].remove(0);
                        queue.settle(sequence);
                    }
                    Turn::Retry(at) => {
                        let Some((sequence, _)) = ended(&mut running, at) else { continue };
                        queue.retry(sequence, 0);
                    }
                }
                let lowest = lanes.iter().flatten().map(|(sequence, _)| *sequence).min();
                prop_assert_eq!(queue.cursor(), lowest.map_or(last, |lowest| lowest - 1));
            }
            prop_assert_eq!(queue.open(), 0);
        }
    }
}
