//! What is due. Pure: the clock is the caller's.

use std::time::Duration;

use jiff::Timestamp;
use journal::Scheduled;

use super::Wanted;
use crate::event::Tick;

/// One that is told so much later than planned was missed: the daemon did not run, or the machine slept.
const LATE: Duration = Duration::from_secs(60);
/// So far ahead of now may lie what was last due, when the clock was set back. Beyond that waiting for it makes no sense.
const AHEAD_MAX: Duration = Duration::from_secs(3600);

/// From when on a schedule is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// From when it was last due.
    From(Timestamp),
    /// From now on.
    Anew {
        /// Because what is known of it lies too far in the future.
        ahead: bool,
    },
}

/// Where a schedule goes on by what the journal knows.
pub(super) fn begin(wanted: &Wanted, known: &[Scheduled], now: Timestamp) -> Begin {
    let same = |known: &&Scheduled| {
        (known.pool.as_str(), known.plugin.as_str(), known.name.as_str(), known.pattern.as_str())
            == (wanted.pool.as_str(), wanted.plugin.as_str(), wanted.name.as_str(), wanted.pattern().as_str())
    };
    let last = known.iter().find(same);
    match last.and_then(|known| Timestamp::from_microsecond(known.due_micros).ok()) {
        None => Begin::Anew { ahead: false },
        Some(last) if Duration::try_from(last.duration_since(now)).is_ok_and(|ahead| ahead > AHEAD_MAX) => {
            Begin::Anew { ahead: true }
        }
        Some(last) => Begin::From(last),
    }
}

/// What is to be told now of a schedule that was last due then.
pub(super) fn tick(wanted: &Wanted, last: Timestamp, now: Timestamp) -> Option<Tick> {
    let due = wanted.schedule.due(last, now)?;
    let late = Duration::try_from(now.duration_since(due.at)).is_ok_and(|late| late > LATE);
    Some(Tick::new(&wanted.plugin, &wanted.name, due.at, late, due.folded))
}

#[cfg(test)]
mod tests {
    use plugin_host::Schedule;

    use super::*;

    fn wanted(cron: &str) -> Wanted {
        let schedule = Schedule::parse(cron, None).unwrap();
        Wanted { pool: "lab".into(), plugin: "p".into(), name: "night".into(), schedule }
    }

    fn at(text: &str) -> Timestamp {
        format!("2026-11-24T{text}Z").parse().unwrap()
    }

    fn known(plugin: &str, cron: &str, due: Timestamp) -> Scheduled {
        Scheduled {
            pool: "lab".into(),
            plugin: plugin.into(),
            name: "night".into(),
            pattern: format!("{cron} UTC"),
            due_micros: due.as_microsecond(),
        }
    }

    #[test]
    fn it_goes_on_from_the_last_time_and_begins_anew_when_it_is_another() {
        let now = at("10:00:30");
        let hourly = wanted("0 * * * *");
        for (known, expected) in [
            (known("p", "0 * * * *", at("09:00:00")), Begin::From(at("09:00:00"))),
            // The clock was set back a little: nothing is told twice.
            (known("p", "0 * * * *", at("10:30:00")), Begin::From(at("10:30:00"))),
            (known("p", "0 * * * *", at("23:00:00")), Begin::Anew { ahead: true }),
            (known("p", "5 * * * *", at("09:00:00")), Begin::Anew { ahead: false }),
            (known("q", "0 * * * *", at("09:00:00")), Begin::Anew { ahead: false }),
        ] {
            assert_eq!(begin(&hourly, std::slice::from_ref(&known), now), expected, "{known:?}");
        }
        assert_eq!(begin(&hourly, &[], now), Begin::Anew { ahead: false });
    }

    #[test]
    fn one_that_was_missed_is_marked() {
        let hourly = wanted("0 * * * *");
        for (last, now, due, late, folded) in [
            ("09:00:00", "10:00:00.2", "10:00:00", false, false),
            ("09:00:00", "10:05:00", "10:00:00", true, false),
            ("03:00:00", "10:00:01", "10:00:00", false, true),
            ("03:00:00", "10:30:00", "10:00:00", true, true),
        ] {
            let expected = Tick::new("p", "night", at(due), late, folded);
            assert_eq!(tick(&hourly, at(last), at(now)), Some(expected), "{last} {now}");
        }
        assert_eq!(tick(&hourly, at("10:00:00"), at("10:59:59")), None);
    }
}
