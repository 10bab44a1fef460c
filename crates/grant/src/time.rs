//! XAPI's compact dates and RFC 3339, both ways.

/// A date as XAPI writes it, as RFC 3339 in UTC. What is no date stays as it came.
pub fn to_rfc3339(text: &str) -> String {
    let bytes = text.as_bytes();
    let compact =
        bytes.len() >= 17 && bytes[..8].iter().all(u8::is_ascii_digit) && bytes[8] == b'T' && text.is_ascii();
    if !compact {
        return text.to_owned();
    }
    let zone = if text.ends_with('Z') || text[9..].contains(['+', '-']) { "" } else { "Z" };
    format!("{}-{}-{}T{}{zone}", &text[..4], &text[4..6], &text[6..8], &text[9..])
}

/// An RFC 3339 moment as XAPI writes dates: compact, UTC, whole seconds.
pub fn from_rfc3339(text: &str) -> Result<String, jiff::Error> {
    let moment: jiff::Timestamp = text.parse()?;
    Ok(moment.strftime("%Y%m%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_dates_become_rfc_3339() {
        for (from, to) in [
            ("20260821T02:00:23Z", "2026-08-21T02:00:23Z"),
            ("20260821T02:00:23", "2026-08-21T02:00:23Z"),
            ("20260821T02:00:23+02:00", "2026-08-21T02:00:23+02:00"),
            ("2026-08-21T02:00:23Z", "2026-08-21T02:00:23Z"),
            ("", ""),
            ("2026082éT02:00:23Z", "2026082éT02:00:23Z"),
        ] {
            assert_eq!(to_rfc3339(from), to);
        }
    }

    #[test]
    fn rfc_3339_becomes_compact() {
        assert_eq!(from_rfc3339("2026-08-21T04:00:23.9+02:00").unwrap(), "20260821T02:00:23Z");
        assert!(from_rfc3339("yesterday").is_err());
    }
}
