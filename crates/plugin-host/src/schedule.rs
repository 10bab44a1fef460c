//! When a plugin wants to be woken: a cron expression in a time zone. Pure; the clock is the caller's.

use cronexpr::{Crontab, MakeTimestamp};
use jiff::{Span, Timestamp};

/// The time zone of a schedule that names none.
const ZONE: &str = "UTC";
/// What is looked at first when the latest due time is wanted; doubled until there is one in it.
const LOOK_BACK_MINUTES: i64 = 2;

/// A schedule of a manifest.
#[derive(Debug, Clone)]
pub struct Schedule {
    cron: String,
    time_zone: String,
    table: Crontab,
}

/// The texts say it all.
impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        (&self.cron, &self.time_zone) == (&other.cron, &other.time_zone)
    }
}

impl Eq for Schedule {}

/// Why there is no such schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The expression is none.
    #[error("`{cron}` is no schedule: {what}")]
    Cron {
        /// The expression.
        cron: String,
        /// What is wrong with it.
        what: String,
    },
    /// The time zone is not known.
    #[error(
        "there is no time zone `{0}`: write a name such as `Europe/Berlin`, or leave the key out for UTC"
    )]
    Zone(String),
}

/// The latest time at which something was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When.
    pub at: Timestamp,
    /// Whether there were others before it that were not told.
    pub folded: bool,
}

impl Schedule {
    /// Reads a cron expression of five fields, for a time zone by its name in the IANA database, or UTC.
    ///
    /// # Errors
    /// When one of them is none, or when nothing would ever be due.
    pub fn parse(cron: &str, time_zone: Option<&str>) -> Result<Self, ScheduleError> {
        let zone = time_zone.unwrap_or(ZONE);
        let wrong = |what: String| ScheduleError::Cron { cron: cron.to_owned(), what };
        if zone.contains(char::is_whitespace)
            || cronexpr::parse_crontab(&format!("* * * * * {zone}")).is_err()
        {
            return Err(ScheduleError::Zone(zone.to_owned()));
        }
        let fields = cron.split_whitespace().count();
        if fields != 5 {
            let what = format!(
                "it has {fields} fields and not five: minute, hour, day of month, month, day of week"
            );
            return Err(wrong(what));
        }
        let table =
            cronexpr::parse_crontab(&format!("{cron} {zone}")).map_err(|error| wrong(reason(&error)))?;
        let schedule = Schedule { cron: cron.to_owned(), time_zone: zone.to_owned(), table };
        // 2028 is a leap year.
        let start = Timestamp::from_second(1_800_000_000).unwrap_or(Timestamp::UNIX_EPOCH);
        if schedule.next_after(start).is_none() {
            return Err(wrong("there is no such day".to_owned()));
        }
        Ok(schedule)
    }

    /// The expression as written.
    #[must_use]
    pub fn cron(&self) -> &str {
        &self.cron
    }

    /// The name of the time zone.
    #[must_use]
    pub fn time_zone(&self) -> &str {
        &self.time_zone
    }

    /// The first due time after a moment; none where the calendar has no more.
    #[must_use]
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        let moment = MakeTimestamp::from_second(moment.as_second()).ok()?;
        let next = self.table.find_next(moment).ok()?;
        Timestamp::from_second(next.timestamp().as_second()).ok()
    }

    /// The latest due time after `last` and not after `now`.
    #[must_use]
    pub fn due(&self, last: Timestamp, now: Timestamp) -> Option<Due> {
        let first = self.next_after(last).filter(|first| *first <= now)?;
        // Backwards in growing steps, so that a year of minutes is not counted through.
        let mut minutes = LOOK_BACK_MINUTES;
        let mut at = loop {
            let from = now.checked_sub(Span::new().minutes(minutes)).ok().filter(|from| *from > last);
            match self.next_after(from.unwrap_or(last)) {
                Some(found) if found <= now => break found,
                _ if from.is_none() => break first,
                _ => minutes = minutes.saturating_mul(2),
            }
        };
        while let Some(later) = self.next_after(at).filter(|later| *later <= now) {
            at = later;
        }
        Some(Due { at, folded: first < at })
    }
}

/// The last line of the words of the reader, without the marks that point into a line above.
fn reason(error: &cronexpr::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches([' ', '^']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_latest_due_time_is_found_and_what_was_folded_into_it_is_said() {
        for (cron, zone, last, now, due) in [
            ("*/5 * * * *", None, "2026-11-24T10:00:00Z", "2026-11-24T10:04:59Z", None),
            ("*/5 * * * *", None, "2026-11-24T10:00:00Z", "2026-11-24T10:05:00Z", Some(("10:05", false))),
            ("*/5 * * * *", None, "2026-11-24T10:02:00.5Z", "2026-11-24T10:05:00.1Z", Some(("10:05", false))),
            ("* * * * *", None, "2024-11-24T10:00:00Z", "2026-11-24T10:04:59Z", Some(("10:04", true))),
            ("0 3 * * *", None, "2026-11-22T03:00:00Z", "2026-11-24T10:00:00Z", Some(("03:00", true))),
            ("0 3 * * *", None, "2026-11-23T03:00:00Z", "2026-11-24T10:00:00Z", Some(("03:00", false))),
            (
                "0 3 * * *",
                Some("Europe/Berlin"),
                "2026-11-23T10:00:00Z",
                "2026-11-24T10:00:00Z",
                Some(("02:00", false)),
            ),
            ("0 3 1 1 *", None, "2026-01-01T03:00:00Z", "2026-11-24T10:00:00Z", None),
            // Never before it was first looked at, and not while the clock was set back.
            ("* * * * *", None, "2026-11-24T10:00:00Z", "2026-11-24T09:00:00Z", None),
        ] {
            let schedule = Schedule::parse(cron, zone).unwrap();
            let expected =
                due.map(|(time, folded)| Due { at: at(&format!("2026-11-24T{time}:00Z")), folded });
            assert_eq!(schedule.due(at(last), at(now)), expected, "{cron} {zone:?} {last} {now}");
        }
    }

    #[test]
    fn where_clocks_are_changed_an_hour_that_comes_twice_is_due_twice() {
        let schedule = Schedule::parse("30 2 * * *", Some("Europe/Berlin")).unwrap();
        for (day, due) in [
            ("2026-10-24", &["2026-10-24T00:30:00Z"][..]),
            ("2026-10-25", &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]),
            ("2026-10-26", &["2026-10-26T01:30:00Z"]),
            ("2027-03-27", &["2027-03-27T01:30:00Z"]),
            ("2027-03-28", &[]),
            ("2027-03-29", &["2027-03-29T00:30:00Z"]),
        ] {
            let mut found = Vec::new();
            let (mut moment, end) = (at(&format!("{day}T00:00:00Z")), at(&format!("{day}T12:00:00Z")));
            while let Some(next) = schedule.next_after(moment).filter(|next| *next < end) {
                found.push(next.to_string());
                moment = next;
            }
            assert_eq!(found, due, "{day}");
        }
    }

    #[test]
    fn what_is_no_schedule_says_why() {
        for (cron, zone, words) in [
            ("*/5 * * *", None, "4 fields and not five"),
            ("* * * * * UTC", None, "6 fields and not five"),
            ("61 * * * *", None, "`61 * * * *` is no schedule: "),
            ("0 0 30 2 *", None, "no such day"),
            ("* * * * *", Some("Europa/Berlin"), "no time zone `Europa/Berlin`"),
            ("* * * * *", Some("UTC\nUTC"), "no time zone"),
        ] {
            let error = Schedule::parse(cron, zone).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert!(!error.trim_end().ends_with(':'), "{error}");
        }
    }
}
