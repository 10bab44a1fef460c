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
    /// First events of lanes that are to wait for their time, by it and by number.
    resting: BTreeSet<(i64, u64)>,
    running: usize,
    bound: usize,
}

#[derive(Debug)]
struct Slot<K> {
    lane: K,
    /// Attempts so far.
    attempts: u32,
    /// When the next of them is due, in microseconds; none for at once.
    not_before: Option<i64>,
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

    /// The first events that are not settled, by number, with the attempts so far.
    pub(crate) fn first_open(&self, limit: usize) -> impl Iterator<Item = (u64, u32)> {
        self.open.iter().take(limit).map(|(sequence, slot)| (*sequence, slot.attempts))
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
        let slot = Slot { lane: lane.clone(), attempts, not_before, folds, passed: false };
        self.open.insert(sequence, slot);
        let waiting = self.lanes.entry(lane.clone()).or_default();
        waiting.push_back(sequence);
        if waiting.len() == 1 {
            self.stand(lane);
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
        let slot = Slot { lane: lane.clone(), attempts, not_before, folds: None, passed };
        self.open.insert(sequence, slot);
        let waiting = self.lanes.entry(lane.clone()).or_default();
        let before = waiting.iter().skip(1).take_while(|other| **other < sequence).count();
        if waiting.is_empty() {
            waiting.push_back(sequence);
            self.stand(lane);
        } else {
            waiting.insert(1 + before, sequence);
        }
    }

    /// Lets a lane that does not run wait for its turn, or for the time of its first event.
    fn stand(&mut self, lane: K) {
        let Some(&first) = self.lanes.get(&lane).and_then(VecDeque::front) else { return };
        match self.open.get(&first).and_then(|slot| slot.not_before) {
            Some(at) => _ = self.resting.insert((at, first)),
            None => self.ready.push_back(lane),
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
                    self.stand(slot.lane);
                }
            }
        }
        self.cursor()
    }

    /// A running delivery is to be tried again at `at` (microseconds); its lane rests until then.
    pub(crate) fn retry(&mut self, sequence: u64, at: i64) {
        let Some(slot) = self.open.get_mut(&sequence) else { return };
        slot.not_before = Some(at);
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
mod examples;
#[cfg(test)]
mod model;
