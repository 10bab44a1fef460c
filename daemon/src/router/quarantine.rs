//! When a plugin that keeps failing is left alone for a while. Pure.
//!
//! A plugin that traps or gives up on every event would turn all of its events into dead letters before anybody looks.
//! After some failures in a row nothing more is given to it; its events wait in the journal. Then one delivery at a time
//! is tried, and the first that ends well lets the others go on.

use std::time::Duration;

/// So many attempts in a row that trapped, met a limit or gave up.
const FAILURES: u32 = 20;
/// The first pause; it doubles each time that a trial fails.
const FIRST: Duration = Duration::from_secs(60);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(3600);

/// How an attempt counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fared {
    /// The plugin was done.
    Well,
    /// It asked for another time: neither good nor bad.
    Later,
    /// It was stopped, or gave up.
    Badly,
}

/// What an attempt changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing is given to the plugin for so long.
    Closed(Duration),
    /// It works again.
    Opened,
}

/// How a plugin has fared of late.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Quarantine {
    failures: u32,
    /// How often in a row it was closed.
    times: u32,
    /// Until when it is closed, by the steady clock; after that one delivery at a time is tried.
    until: Option<i64>,
}

impl Quarantine {
    /// Takes note of an attempt.
    pub(super) fn ended(&mut self, ended: Fared, now: i64) -> Option<Turn> {
        match ended {
            Fared::Later => None,
            Fared::Well => {
                let opened = self.until.is_some();
                *self = Quarantine::default();
                opened.then_some(Turn::Opened)
            }
            Fared::Badly => {
                self.failures = self.failures.saturating_add(1);
                // Those that were running already when it closed say nothing new.
                if self.failures < FAILURES || self.until.is_some_and(|until| now < until) {
                    return None;
                }
                let pause = FIRST.saturating_mul(1 << self.times.min(16)).min(LONGEST);
                self.times += 1;
                self.until = Some(now.saturating_add(i64::try_from(pause.as_micros()).unwrap_or(i64::MAX)));
                Some(Turn::Closed(pause))
            }
        }
    }

    /// Whether a delivery may begin while so many are running.
    pub(super) fn admits(&self, running: usize, now: i64) -> bool {
        self.until.is_none_or(|until| now >= until && running == 0)
    }

    /// When the next trial is due, by the steady clock; none when the plugin is not in quarantine.
    pub(super) fn due(&self) -> Option<i64> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn closed() -> Quarantine {
        let mut quarantine = Quarantine::default();
        for _ in 1..FAILURES {
            assert_eq!(quarantine.ended(Fared::Badly, 0), None);
        }
        assert_eq!(quarantine.ended(Fared::Badly, 0), Some(Turn::Closed(FIRST)));
        quarantine
    }

    #[test]
    fn failures_in_a_row_close_it_and_one_delivery_at_a_time_tries_it() {
        let mut quarantine = closed();
        assert!(!quarantine.admits(0, MINUTE - 1));
        assert!(quarantine.admits(0, MINUTE));
        assert!(!quarantine.admits(1, MINUTE));
        assert_eq!(quarantine.ended(Fared::Well, MINUTE), Some(Turn::Opened));
        assert!(quarantine.admits(7, MINUTE));
        assert_eq!(quarantine.due(), None);
    }

    #[test]
    fn a_trial_that_fails_closes_it_for_twice_as_long_up_to_an_hour() {
        let (mut quarantine, mut now) = (closed(), MINUTE);
        for minutes in [2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(
                quarantine.ended(Fared::Badly, now),
                Some(Turn::Closed(Duration::from_secs(60 * minutes)))
            );
            now = quarantine.due().unwrap();
        }
    }

    #[test]
    fn what_ends_late_or_wants_another_time_changes_nothing() {
        let mut quarantine = closed();
        let before = quarantine.clone();
        assert_eq!(quarantine.ended(Fared::Badly, MINUTE - 1), None);
        assert_eq!(quarantine.due(), before.due());
        assert_eq!(quarantine.ended(Fared::Later, MINUTE), None);
        assert_eq!(quarantine.due(), before.due());
    }

    #[test]
    fn one_that_ends_well_now_and_then_is_never_closed() {
        let mut quarantine = Quarantine::default();
        for attempt in 0..1000 {
            let ended = if attempt % 19 == 18 { Fared::Well } else { Fared::Badly };
            assert_eq!(quarantine.ended(ended, 0), None);
        }
    }
}
