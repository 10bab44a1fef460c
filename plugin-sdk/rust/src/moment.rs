//! Points in time.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time, as RFC 3339 text in UTC.
///
/// The text is kept as it came and only read when somebody asks for a number.
///
/// ```
/// use xapiary_sdk::Moment;
/// let noted: Moment = "20260102T03:04:05Z".parse()?;
/// assert_eq!(noted.unix_seconds(), Some(1_767_323_045));
/// assert_eq!(noted.to_string(), "2026-01-02T03:04:05Z");
/// # Ok::<(), xapiary_sdk::NoMoment>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Moment(String);

impl Moment {
    /// The text, such as `2026-01-02T03:04:05Z`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whole seconds since the beginning of 1970; `None` for what the daemon could not read as a point in time.
    ///
    /// Inside of a plugin `std::time` stands still at [`Event::at`](crate::Event::at).
    pub fn unix_seconds(&self) -> Option<i64> {
        OffsetDateTime::parse(&self.0, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp)
    }

    /// A text that the daemon has written.
    pub(crate) fn from_wire(text: String) -> Moment {
        Moment(text)
    }

    #[cfg(target_family = "wasm")]
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A text that is no point in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoMoment(String);

impl fmt::Display for NoMoment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no point in time: write it as 2026-01-02T03:04:05Z", self.0)
    }
}

impl std::error::Error for NoMoment {}

impl FromStr for Moment {
    type Err = NoMoment;

    /// Reads RFC 3339, and XAPI's own way to write a date, which notes in `other_config` hold: `20260102T03:04:05Z`.
    fn from_str(text: &str) -> Result<Moment, NoMoment> {
        let moment = match (text.get(..8), text.get(8..)) {
            (Some(date), Some(rest)) if date.bytes().all(|byte| byte.is_ascii_digit()) => {
                Moment(format!("{}-{}-{}{rest}", &date[..4], &date[4..6], &date[6..]))
            }
            _ => Moment(text.to_owned()),
        };
        if moment.unix_seconds().is_some() { Ok(moment) } else { Err(NoMoment(text.to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<i64> {
        text.parse::<Moment>().ok()?.unix_seconds()
    }

    #[test]
    fn both_ways_to_write_a_moment_are_read() {
        for text in [
            "2026-01-02T03:04:05Z",
            "2026-01-02T03:04:05.999Z",
            "2026-01-02T04:04:05+01:00",
            "20260102T03:04:05Z",
        ] {
            assert_eq!(seconds(text), Some(1_767_323_045), "{text}");
        }
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
    }

    #[test]
    fn what_is_no_moment_is_told() {
        for text in ["", "soon", "20260102", "2026010é2T03:04:05Z", "20261302T03:04:05Z", "2026-01-02"] {
            assert_eq!(seconds(text), None, "{text}");
        }
        assert!(
            "soon".parse::<Moment>().unwrap_err().to_string().starts_with("\"soon\" is no point in time")
        );
    }
}
