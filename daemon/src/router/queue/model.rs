//! The queue against a slow one that is plainly right, and a journal that outlives both: events arrive, deliveries begin, end, fail
//! and come again, time passes, the daemon is killed before and after a write is durable. Each seed makes another history.

use std::collections::{BTreeMap, BTreeSet};

use seeds::{RngExt as _, StdRng};

use super::*;

const SEEDS: u64 = 8_000;
const LANES: u8 = 4;

type Lane = u8;

/// What the plugin hears of an event.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    lane: Lane,
    folds: Option<u32>,
}

/// What is durable of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Started { attempt: u32 },
    Retry { attempt: u32, not_before: i64 },
    Settled { attempt: u32 },
}

impl Kept {
    fn attempt(self) -> u32 {
        match self {
            Kept::Started { attempt } | Kept::Retry { attempt, .. } | Kept::Settled { attempt } => attempt,
        }
    }
}

/// What outlives the daemon.
#[derive(Default)]
struct Journal {
    /// The first has the number 1.
    events: Vec<Option<Wanted>>,
    deliveries: BTreeMap<u64, Kept>,
    cursor: u64,
    /// Events that were given up and may come again.
    dead: Vec<u64>,
    /// Attempts that are on record.
    attempts: BTreeSet<(u64, u32)>,
    /// How often each event came to an end, and how often it was made to come again.
    ends: BTreeMap<u64, (u32, u32)>,
}

impl Journal {
    fn start(&mut self, Next { sequence, attempt }: Next) {
        self.deliveries.insert(sequence, Kept::Started { attempt });
        assert!(self.attempts.insert((sequence, attempt)), "attempt {attempt} of {sequence} is given twice");
    }

    fn settle(&mut self, sequence: u64) {
        let attempt = self.deliveries.get(&sequence).map_or(0, |kept| kept.attempt());
        self.deliveries.insert(sequence, Kept::Settled { attempt });
        self.ends.entry(sequence).or_default().0 += 1;
    }

    fn is_settled(&self, sequence: u64) -> bool {
        matches!(self.deliveries.get(&sequence), Some(Kept::Settled { .. }))
    }

    fn wanted(&self, sequence: u64) -> Option<Wanted> {
        self.events[usize::try_from(sequence).unwrap_or_default() - 1]
    }
}

/// An event as the slow queue has it.
#[derive(Debug, Clone, Copy)]
struct Open {
    sequence: u64,
    attempts: u32,
    not_before: Option<i64>,
    folds: Option<u32>,
    passed: bool,
}

/// One life of the daemon.
struct Life {
    queue: Queue<Lane>,
    bound: usize,
    /// The slow queue: for each lane what is not settled, in order.
    lanes: BTreeMap<Lane, Vec<Open>>,
    running: BTreeMap<Lane, Next>,
    offered: u64,
    /// For each lane that could begin, those that began before it meanwhile.
    passed_over: BTreeMap<Lane, BTreeSet<Lane>>,
    /// Attempts that were handed to the journal and not waited for.
    unwritten: Vec<Next>,
    /// Events of which a person said that they come again, and which were not taken in.
    words: Vec<u64>,
    earlier: BTreeMap<u64, Kept>,
}

impl Life {
    /// Goes on from what is durable.
    fn begin(journal: &Journal, bound: usize) -> Self {
        let open = |(sequence, kept): (&u64, &Kept)| {
            (*sequence > journal.cursor || !matches!(kept, Kept::Settled { .. }))
                .then_some((*sequence, *kept))
        };
        let mut life = Life {
            queue: Queue::new(journal.cursor, bound),
            bound,
            lanes: BTreeMap::new(),
            running: BTreeMap::new(),
            offered: journal.cursor,
            passed_over: BTreeMap::new(),
            unwritten: Vec::new(),
            words: Vec::new(),
            earlier: journal.deliveries.iter().filter_map(open).collect(),
        };
        let above = life.earlier.split_off(&(journal.cursor + 1));
        for (sequence, kept) in std::mem::replace(&mut life.earlier, above) {
            life.take_again(journal, sequence, kept);
        }
        life
    }

    /// Offers the next event that was not offered.
    fn offer(&mut self, journal: &Journal) {
        if usize::try_from(self.offered).is_ok_and(|offered| offered == journal.events.len()) {
            return;
        }
        self.offered += 1;
        let sequence = self.offered;
        let (attempts, not_before) = match self.earlier.remove(&sequence) {
            None => (0, None),
            Some(Kept::Settled { .. }) => return self.queue.offer(sequence, None),
            Some(Kept::Started { attempt }) => (attempt, None),
            Some(Kept::Retry { attempt, not_before }) => (attempt, Some(not_before)),
        };
        let Some(Wanted { lane, folds }) = journal.wanted(sequence) else {
            return self.queue.offer(sequence, None);
        };
        self.queue.offer(sequence, Some(Offer { lane, attempts, not_before, folds }));
        let open =
            Open { sequence, attempts, not_before, folds: folds.filter(|_| attempts == 0), passed: false };
        self.lanes.entry(lane).or_default().push(open);
    }

    /// A delivery that was settled comes again.
    fn take_again(&mut self, journal: &Journal, sequence: u64, kept: Kept) {
        let Some(Wanted { lane, .. }) = journal.wanted(sequence) else { return };
        let (attempts, not_before) = match kept {
            Kept::Settled { .. } => return,
            Kept::Started { attempt } => (attempt, None),
            Kept::Retry { attempt, not_before } => (attempt, Some(not_before)),
        };
        let passed = sequence <= journal.cursor;
        self.queue.again(sequence, lane, attempts, not_before, passed);
        let waiting = self.lanes.entry(lane).or_default();
        if waiting.iter().all(|open| open.sequence != sequence) {
            let behind = waiting.iter().skip(1).position(|open| open.sequence > sequence);
            let at = if waiting.is_empty() { 0 } else { behind.map_or(waiting.len(), |at| at + 1) };
            waiting.insert(at, Open { sequence, attempts, not_before, folds: None, passed });
        }
    }

    fn hear_word(&mut self, journal: &Journal) {
        let Some(sequence) = self.words.pop() else { return };
        match journal.deliveries.get(&sequence) {
            Some(kept) if sequence > self.offered => _ = self.earlier.insert(sequence, *kept),
            Some(kept @ Kept::Retry { .. }) => self.take_again(journal, sequence, *kept),
            _ => {}
        }
    }

    /// What could begin now, by lane: the delivery, and the events that it tells of too.
    fn able(&self, now: i64) -> BTreeMap<Lane, Begun> {
        let idle = self.lanes.iter().filter(|(lane, _)| !self.running.contains_key(lane));
        let due = idle.filter(|(_, open)| {
            open.first().is_some_and(|first| first.not_before.is_none_or(|at| at <= now))
        });
        due.map(|(lane, open)| {
            let alike = open.iter().take_while(|other| other.folds == open[0].folds).count();
            let last = if open[0].folds.is_some() { alike - 1 } else { 0 };
            let next = Next { sequence: open[last].sequence, attempt: open[last].attempts + 1 };
            (*lane, Begun { next, folded: open[..last].iter().map(|open| open.sequence).collect() })
        })
        .collect()
    }

    fn start(&mut self, journal: &mut Journal, now: i64) -> bool {
        let able = self.able(now);
        let Some(begun) = self.queue.next(now) else {
            assert!(
                self.running.len() >= self.bound || able.is_empty(),
                "nothing begins, and could: {able:?}"
            );
            if self.running.is_empty() {
                let due = self.lanes.values().filter_map(|open| open.first()?.not_before).min();
                assert_eq!(self.queue.due(), due, "it knows when to look again");
            }
            return false;
        };
        assert!(self.running.len() < self.bound, "the bound holds");
        let lane = able.iter().find(|(_, other)| **other == begun).map(|(lane, _)| *lane);
        let lane = lane.unwrap_or_else(|| panic!("{begun:?} begins, but this could: {able:?}"));
        self.passed_over.remove(&lane);
        for other in able.keys().filter(|other| **other != lane) {
            let first = self.passed_over.entry(*other).or_default().insert(lane);
            assert!(first, "{lane} goes before {other} a second time");
        }
        let Begun { next, folded } = begun;
        let open = self.lanes.entry(lane).or_default();
        open.drain(..folded.len());
        open[0] = Open { attempts: next.attempt, folds: None, ..open[0] };
        if folded.is_empty() {
            self.unwritten.push(next);
        } else {
            self.write(journal);
            for sequence in folded {
                journal.settle(sequence);
            }
            journal.start(next);
        }
        self.running.insert(lane, next);
        true
    }

    /// What was handed to the journal is durable.
    fn write(&mut self, journal: &mut Journal) {
        for next in self.unwritten.drain(..) {
            journal.start(next);
        }
    }

    /// A delivery that runs comes to its end; how, and whether the daemon lives to know.
    fn end(&mut self, journal: &mut Journal, random: &mut StdRng, now: i64, well: bool) -> bool {
        let Some((&lane, &next)) = self.running.iter().nth(random.random_range(0..=self.running.len()))
        else {
            return true;
        };
        let Next { sequence, attempt } = next;
        self.write(journal);
        let again = (!well && random.random_ratio(1, 3)).then(|| now + random.random_range(0..40));
        match again {
            Some(not_before) => _ = journal.deliveries.insert(sequence, Kept::Retry { attempt, not_before }),
            None => journal.settle(sequence),
        }
        if again.is_none() && !well && random.random_ratio(1, 4) {
            journal.dead.push(sequence);
        }
        if !well && random.random_ratio(1, 30) {
            return false;
        }
        self.running.remove(&lane);
        let open = self.lanes.entry(lane).or_default();
        match again {
            Some(at) => {
                open[0].not_before = Some(at);
                self.queue.retry(sequence, at);
            }
            None => {
                open.remove(0);
                if open.is_empty() {
                    self.lanes.remove(&lane);
                }
                let cursor = self.queue.settle(sequence);
                assert_eq!(cursor, self.queue.cursor());
            }
        }
        true
    }

    fn note_cursor(&self, journal: &mut Journal) {
        let cursor = self.queue.cursor();
        assert!(cursor >= journal.cursor, "it never goes back");
        let passed = journal.deliveries.range(..=cursor).filter(|(sequence, _)| **sequence > journal.cursor);
        let told = passed.filter(|(_, kept)| !matches!(kept, Kept::Settled { .. }));
        let told: Vec<u64> = told.map(|(sequence, _)| *sequence).collect();
        assert!(told.iter().all(|sequence| self.words.contains(sequence)), "the cursor passes {told:?}");
        if told.is_empty() {
            journal.cursor = cursor;
        }
    }

    fn check(&self, journal: &Journal) {
        assert_eq!(self.queue.offered(), self.offered);
        assert_eq!(self.queue.running(), self.running.len());
        let open: Vec<&Open> = self.lanes.values().flatten().collect();
        assert_eq!(self.queue.open(), open.len());
        let lowest = open.iter().filter(|open| !open.passed).map(|open| open.sequence).min();
        assert_eq!(self.queue.cursor(), lowest.map_or(self.offered, |lowest| lowest - 1));
        // In each lane what runs has nothing older behind it, but for what came again.
        for (lane, next) in &self.running {
            let older =
                (1..next.sequence).filter(|older| journal.wanted(*older).is_some_and(|it| it.lane == *lane));
            for older in older {
                let again = journal.ends.get(&older).is_some_and(|(_, again)| *again > 0);
                assert!(again || journal.is_settled(older), "{next:?} runs before {older}");
            }
        }
    }
}

fn check(random: &mut StdRng) {
    let mut journal = Journal::default();
    let mut life = Life::begin(&journal, 2);
    let mut now = 0;
    for _ in 0..random.random_range(0..200) {
        let mut lives = true;
        match random.random_range(0..40) {
            0..=8 => {
                let folds = if random.random() { Some(random.random_range(0..2)) } else { None };
                let wanted = Wanted { lane: random.random_range(0..LANES), folds };
                journal.events.push(random.random_ratio(4, 5).then_some(wanted));
            }
            9..=17 => life.offer(&journal),
            18..=25 => _ = life.start(&mut journal, now),
            26..=31 => lives = life.end(&mut journal, random, now, false),
            32 => now += random.random_range(0..30),
            33 => life.write(&mut journal),
            34..=35 => life.note_cursor(&mut journal),
            36 if !journal.dead.is_empty() => {
                let sequence = journal.dead.remove(random.random_range(0..journal.dead.len()));
                let attempt = journal.deliveries.get(&sequence).map_or(0, |kept| kept.attempt());
                journal.deliveries.insert(sequence, Kept::Retry { attempt, not_before: now });
                journal.ends.entry(sequence).or_default().1 += 1;
                life.words.push(sequence);
            }
            37 => life.hear_word(&journal),
            38 => {
                life.bound = random.random_range(1..4);
                life.queue.set_bound(life.bound);
            }
            39 => lives = random.random_ratio(2, 3),
            _ => {}
        }
        if !lives {
            // The writer works in order: what was handed to it last is lost first.
            life.unwritten.truncate(random.random_range(0..=life.unwritten.len()));
            life.write(&mut journal);
            life = Life::begin(&journal, random.random_range(1..4));
        }
        life.check(&journal);
    }
    // All that is left comes to its end too.
    while !life.words.is_empty() {
        life.hear_word(&journal);
    }
    let last = journal.events.len() as u64;
    while life.offered < last || !life.lanes.is_empty() {
        life.offer(&journal);
        now += 1;
        while life.start(&mut journal, now) {}
        life.end(&mut journal, random, now, true);
        life.check(&journal);
    }
    life.note_cursor(&mut journal);
    assert_eq!((journal.cursor, life.queue.open(), life.queue.resting()), (last, 0, 0));
    for sequence in (1..=last).filter(|sequence| journal.wanted(*sequence).is_some()) {
        let (ends, again) = journal.ends.get(&sequence).copied().unwrap_or_default();
        assert_eq!(ends, 1 + again, "event {sequence} came to its end so often");
    }
}

#[test]
fn whatever_happens_each_event_comes_to_one_end_in_the_order_of_its_object() {
    seeds::run(SEEDS, "-p xapiary queue::model", check);
}
