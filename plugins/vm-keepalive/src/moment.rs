//! Points in time as whole seconds.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Seconds since 1970 of an RFC 3339 text, or of XAPI's own way to write a date, `20260102T03:04:05Z`; `None` for anything
/// else. Parts of a second are cut off.
pub(crate) fn seconds(text: &str) -> Option<i64> {
    let with_hyphens;
    let text = match (text.get(..8), text.get(8..)) {
        (Some(date), Some(rest)) if date.bytes().all(|byte| byte.is_ascii_digit()) => {
            with_hyphens = format!("{}-{}-{}{rest}", &date[..4], &date[4..6], &date[6..]);
            &with_hyphens
        }
        _ => text,
    };
    OffsetDateTime::parse(text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_a_moment_are_read() {
        let moment = Some(1_767_323_045);
        for text in [
            "2026-01-02T03:04:05Z",
            "2026-01-02T03:04:05.999Z",
            "2026-01-02T04:04:05+01:00",
            "20260102T03:04:05Z",
        ] {
            assert_eq!(seconds(text), moment, "{text}");
        }
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in ["", "soon", "20260102", "2026010é2T03:04:05Z", "20261302T03:04:05Z", "2026-01-02"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,30}|[0-9]{0,9}[T:\\-Zé+.0-9]{0,20}") {
            let _ = seconds(&text);
        }
    }
}
