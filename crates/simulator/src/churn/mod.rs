//! Load: so many changes a second, of the kinds and in the mixture that pools have, by a seed.
//!
//! What is next follows from the seed and from the rows that are there. What takes its time is done by the pool's own
//! methods, with tasks as a client's calls have them.

mod changes;

use std::time::Duration;

use crate::clock::Moment;
use crate::pool::{Pool, Step};
use crate::random::Random;

pub(crate) use changes::Kind;

/// The most changes a second that may be asked for: more than a processor makes, so that others still get their turn.
pub const CHURN_MAX: f64 = 2000.0;

/// Changes come in bunches where there are more of them than fit into single moments.
const TICK: Duration = Duration::from_millis(10);

/// A machine that is this late is too slow for the load: changes are left out, or it would do nothing else any more.
const LATE_MAX: Duration = Duration::from_secs(1);

/// What of a hundred changes is what. Most of what a pool tells are numbers that a host or a guest measured.
const MIXTURE: &[(usize, Kind)] = &[
    (75, Kind::Metrics),
    (10, Kind::Settings),
    (3, Kind::Boot),
    (3, Kind::Shutdown),
    (3, Kind::Snapshot),
    (3, Kind::DeleteSnapshot),
    (2, Kind::Migrate),
    (1, Kind::Alert),
];

/// One load.
#[derive(Debug)]
pub(crate) struct Churn {
    id: u64,
    /// Changes a second.
    rate: f64,
    begun: Moment,
    random: Random,
    /// Changes that had their moment.
    done: u64,
    /// Those of them that were left out.
    left_out: u64,
}

impl Pool {
    /// Begins a load and gives its number.
    pub(crate) fn begin_churn(&mut self, rate: f64) -> u64 {
        let id = self.churns.last().map_or(0, |last| last.id + 1);
        let random = Random::branch(self.options.seed, "churn", id);
        let churn = Churn { id, rate, begun: self.clock.now(), random, done: 0, left_out: 0 };
        self.schedule.add(churn.next(self.clock.now()), Step::Churn(id));
        self.churns.push(churn);
        id
    }

    /// Ends a load and tells how many changes it made, and how many it left out.
    pub(crate) fn end_churn(&mut self, id: u64) -> Option<(u64, u64)> {
        let index = self.churns.iter().position(|churn| churn.id == id)?;
        let churn = self.churns.remove(index);
        Some((churn.done.saturating_sub(churn.left_out), churn.left_out))
    }

    /// Makes the changes that are due.
    pub(crate) fn churn(&mut self, id: u64) {
        let now = self.clock.now();
        let Some(churn) = self.churns.iter_mut().find(|churn| churn.id == id) else { return };
        let due = churn.due(now);
        let missing = due.saturating_sub(churn.done);
        churn.done = due;
        let next = churn.next(now);
        if self.late > LATE_MAX {
            let first = churn.left_out == 0;
            churn.left_out += missing;
            self.schedule.add(next, Step::Churn(id));
            if first {
                self.note("this machine is too slow for the load: changes are left out".into(), false);
            }
            return;
        }
        let mut random = churn.random.clone();
        self.schedule.add(next, Step::Churn(id));
        for _ in 0..missing {
            let kind = drawn(&mut random);
            let done = self.make(kind, &mut random).or_else(|| self.make(Kind::Metrics, &mut random));
            if let Some(what) = done {
                self.note(what, true);
            }
            self.keep_allowed();
        }
        if let Some(churn) = self.churns.iter_mut().find(|churn| churn.id == id) {
            churn.random = random;
        }
    }
}

impl Churn {
    /// How many changes are to be made by then.
    fn due(&self, now: Moment) -> u64 {
        let passed = now.saturating_sub(self.begun) + Duration::from_nanos(1);
        // Positive, and far below where it would not fit.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of changes")]
        let due = (passed.as_secs_f64() * self.rate) as u64;
        due
    }

    /// When the next ones are due.
    fn next(&self, now: Moment) -> Moment {
        #[expect(clippy::cast_precision_loss, reason = "a count of changes")]
        let next = Duration::try_from_secs_f64((self.done + 1) as f64 / self.rate);
        next.map_or(Moment::MAX, |next| self.begun.saturating_add(next)).max(now + TICK)
    }
}

fn drawn(random: &mut Random) -> Kind {
    let mut left = random.below(100);
    for (share, kind) in MIXTURE {
        match left.checked_sub(*share) {
            Some(rest) => left = rest,
            None => return *kind,
        }
    }
    Kind::Metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_of_a_hundred() {
        assert_eq!(MIXTURE.iter().map(|(share, _)| share).sum::<usize>(), 100);
    }

    #[test]
    fn a_rate_is_kept_however_high_or_low() {
        for rate in [0.5, 7.0, 1000.0] {
            let mut churn =
                Churn { id: 0, rate, begun: Moment::ZERO, random: Random::new(1), done: 0, left_out: 0 };
            let (mut now, end) = (churn.next(Moment::ZERO), Duration::from_secs(20));
            while now <= end {
                churn.done = churn.due(now);
                now = churn.next(now);
            }
            #[expect(clippy::cast_precision_loss, reason = "a small count")]
            let done = churn.done as f64;
            assert!((done - rate * 20.0).abs() <= rate / 100.0 + 1.0, "{done} at {rate} a second");
        }
    }
}
