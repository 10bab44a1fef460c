//! A clock for pauses and ages that nobody can set: microseconds since 1970 UTC as this process found them when it first
//! asked, and from then on by the system's steady clock. So when the wall clock is set, nothing rests for years, and nothing
//! becomes old at once.
//!
//! What is written down is written by the wall clock, which later runs and people understand too.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use jiff::Timestamp;

static BEGAN: LazyLock<(i64, Instant)> =
    LazyLock::new(|| (Timestamp::now().as_microsecond(), Instant::now()));

/// Now.
pub(crate) fn now() -> i64 {
    let (at, began) = *BEGAN;
    at.saturating_add(micros(began.elapsed()))
}

/// A time that was written by the wall clock, by this one: as far from now as it is by that, and at most `longest`, since
/// the clock may have been ahead when it was written.
pub(crate) fn of_wall(written: i64, longest: Duration) -> i64 {
    let left = written.saturating_sub(Timestamp::now().as_microsecond());
    now().saturating_add(left.clamp(0, micros(longest)))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn from_now(written_from_now: i64) -> i64 {
        let written = Timestamp::now().as_microsecond() + written_from_now;
        let before = now();
        of_wall(written, HOUR) - before
    }

    #[test]
    fn what_was_written_is_as_far_away_as_it_was_and_no_further_than_the_longest_pause() {
        const SECOND: i64 = 1_000_000;
        for (written, expected) in [
            (0, 0),
            (-20 * 365 * 24 * 3600 * SECOND, 0),
            (100 * SECOND, 100 * SECOND),
            (10 * 365 * 24 * 3600 * SECOND, 3600 * SECOND),
        ] {
            let found = from_now(written);
            // The two clocks are read one after the other.
            assert!((found - expected).abs() < 10 * SECOND, "{written}: {found}");
        }
    }
}
