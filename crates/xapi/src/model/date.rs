//! Dates as XAPI writes them.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::field::FromValue;
use crate::value::Value;

/// A date as XAPI writes it.
///
/// ```
/// use xapi::model::Date;
///
/// let date = Date::new("20260821T02:00:23Z");
/// assert_eq!(date.timestamp().unwrap().to_string(), "2026-08-21T02:00:23Z");
/// assert_eq!(Date::new("yesterday").timestamp(), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date<'r>(&'r str);

impl<'r> Date<'r> {
    /// A date from its text.
    #[must_use]
    pub fn new(text: &'r str) -> Self {
        Date(text)
    }

    /// The text as it came.
    #[must_use]
    pub fn text(self) -> &'r str {
        self.0
    }

    /// The moment, where the text is in XAPI's compact form. Without a zone it is taken as UTC, as xapi does. The epoch
    /// itself stands for "never" in most fields.
    #[must_use]
    pub fn timestamp(self) -> Option<Timestamp> {
        let (civil, offset) = match self.0.split_at_checked(17)? {
            (civil, "" | "Z") => (civil, Offset::UTC),
            (civil, offset) => (civil, jiff::fmt::strtime::parse("%:z", offset).ok()?.offset()?),
        };
        let civil = DateTime::strptime("%Y%m%dT%H:%M:%S", civil).ok()?;
        offset.to_timestamp(civil).ok()
    }
}

impl fmt::Display for Date<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

impl<'r> FromValue<'r> for Date<'r> {
    const WANTED: &'static str = "a date";

    fn from_value(value: &'r Value) -> Option<Self> {
        value.as_str().map(Date)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compact_form_is_a_moment_and_all_else_stays_text() {
        for (text, moment) in [
            ("20260821T02:00:23Z", Some("2026-08-21T02:00:23Z")),
            ("20260821T02:00:23", Some("2026-08-21T02:00:23Z")),
            ("20260821T02:00:23+02:00", Some("2026-08-21T00:00:23Z")),
            ("19700101T00:00:00Z", Some("1970-01-01T00:00:00Z")),
            ("2026-08-21T02:00:23Z", None),
            ("20261321T02:00:23Z", None),
            ("20260821T02:00:23X", None),
            ("20260821T02:00:2\u{e9}Z", None),
            ("", None),
        ] {
            let read = Date::new(text).timestamp().map(|moment| moment.to_string());
            assert_eq!(read.as_deref(), moment, "{text:?}");
            assert_eq!(Date::new(text).to_string(), text);
        }
    }
}
