//! CPU time of this thread: what others do on the machine meanwhile disturbs it least.

use std::hint::black_box;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How often a thing is done; the quickest round counts, since everything that disturbs only adds to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rounds(pub(crate) u32);

impl Rounds {
    /// The quickest of many rounds of each of two things, done by turns, so that both meet the same machine.
    pub(crate) fn side_by_side<A, B>(
        self,
        mut one: impl FnMut() -> A,
        mut other: impl FnMut() -> B,
    ) -> (Duration, Duration) {
        let mut best = (Duration::MAX, Duration::MAX);
        for _ in 0..self.0 {
            best.0 = best.0.min(timed(&mut one));
            best.1 = best.1.min(timed(&mut other));
        }
        best
    }

    /// The quickest of many rounds; `prepare` makes what a round uses up and does not count.
    pub(crate) fn quickest<I, O>(
        self,
        mut prepare: impl FnMut() -> I,
        mut work: impl FnMut(I) -> O,
    ) -> Duration {
        let round = |_| {
            let input = prepare();
            let begun = cpu_time();
            let out = black_box(work(input));
            let took = cpu_time().saturating_sub(begun);
            drop(out);
            took
        };
        (0..self.0).map(round).min().unwrap_or(Duration::MAX)
    }

    /// A tenth as many, for what takes long.
    pub(crate) fn few(self) -> Self {
        Rounds((self.0 / 10).max(3))
    }
}

/// What is left of the work is dropped within the time: a decoder's user pays for that too.
fn timed<T>(work: &mut impl FnMut() -> T) -> Duration {
    let begun = cpu_time();
    black_box(work());
    cpu_time().saturating_sub(begun)
}

fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(now).unwrap_or_default()
}

/// The value at or below which `percent` of the values lie. None of an empty list.
pub(crate) fn percentile(values: &[Duration], percent: usize) -> Option<Duration> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

/// In thousandths of a second.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_of_the_list() {
        let values: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        let at = |percent| percentile(&values, percent).map(|value| value.as_millis());
        assert_eq!((at(50), at(99), at(100)), (Some(100), Some(198), Some(200)));
        assert_eq!(percentile(&[], 50), None);
    }
}
