//! When a delivery that did not end well is tried again, and when it is given up. Pure.

use std::time::Duration;

use crate::steady;

/// Attempts in all, unless the plugin asks for its own pause each time.
pub(crate) const ATTEMPTS_MAX: u32 = 8;
/// The first pause; it doubles with each attempt.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause that the daemon chooses.
const LONGEST: Duration = Duration::from_secs(300);
/// The longest pause that a plugin may ask for.
const ASKED_LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// When a delivery is due by the steady clock that is written down as resting until a time of the wall clock.
pub(super) fn due(not_before_micros: i64) -> i64 {
    steady::of_wall(not_before_micros, ASKED_LONGEST)
}

/// The pause after attempt number `attempt`, or none when it was the last. `asked` is the plugin's own wish;
/// `random` is in 0.0..1.0 and spreads the pause by a quarter to either side.
pub(crate) fn pause(attempt: u32, asked: Option<Duration>, random: f64) -> Option<Duration> {
    if attempt >= ATTEMPTS_MAX {
        return None;
    }
    Some(match asked {
        Some(asked) => asked.min(ASKED_LONGEST),
        None => FIRST
            .saturating_mul(1 << attempt.saturating_sub(1).min(16))
            .min(LONGEST)
            .mul_f64(0.75 + random.clamp(0.0, 1.0) / 2.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_end() {
        let seconds: Vec<Option<u64>> =
            (1..10).map(|attempt| pause(attempt, None, 0.5).map(|pause| pause.as_secs())).collect();
        let expected = [Some(1), Some(2), Some(4), Some(8), Some(16), Some(32), Some(64), None, None];
        assert_eq!(seconds, expected);
    }

    #[test]
    fn a_plugin_may_ask_for_its_own_pause_within_a_day() {
        assert_eq!(pause(1, Some(Duration::from_secs(90)), 0.0), Some(Duration::from_secs(90)));
        assert_eq!(pause(1, Some(Duration::MAX), 0.0), Some(ASKED_LONGEST));
        assert_eq!(pause(ATTEMPTS_MAX, Some(Duration::from_secs(1)), 0.0), None);
    }
}
