//! Single values: times, sizes, words that were probably meant.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

/// Reads `20s`, `5m`, `1h 30m`.
pub(super) fn duration(text: &str, bounds: &RangeInclusive<Duration>) -> Result<Duration, String> {
    if text.trim().parse::<f64>().is_ok_and(|number| number != 0.0) {
        return Err(format!("{text:?} has no unit"));
    }
    let duration =
        humantime::parse_duration(text.trim()).map_err(|_| format!("{text:?} is no span of time"))?;
    if bounds.contains(&duration) {
        return Ok(duration);
    }
    let shown = |duration: &Duration| humantime::format_duration(*duration).to_string();
    Err(format!("{text} is not between {} and {}", shown(bounds.start()), shown(bounds.end())))
}

/// Reads `64KiB`, `1.5 MB`.
pub(super) fn size(text: &str, bounds: &RangeInclusive<u64>) -> Result<u64, String> {
    if text.trim().parse::<f64>().is_ok() {
        return Err(format!("{text:?} has no unit"));
    }
    let size: bytesize::ByteSize = text.trim().parse().map_err(|_| format!("{text:?} is no size"))?;
    if bounds.contains(&size.as_u64()) {
        return Ok(size.as_u64());
    }
    let shown = |bytes: &u64| bytesize::ByteSize(*bytes).to_string();
    Err(format!("{text} is not between {} and {}", shown(bounds.start()), shown(bounds.end())))
}

/// The known word most like `given`, when it is like enough to be a slip of the hand.
pub(super) fn nearest<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let given = given.to_lowercase();
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&given, &word.to_lowercase()), word))
        .filter(|(distance, word)| *distance <= 1 + word.chars().count().max(given.chars().count()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// What a value is, in words.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_need_a_unit_and_keep_their_bounds() {
        let bounds = Duration::ZERO..=Duration::from_secs(600);
        for (text, expected) in [
            ("20s", Ok(Duration::from_secs(20))),
            ("1m 30s", Ok(Duration::from_secs(90))),
            ("250ms", Ok(Duration::from_millis(250))),
            ("20", Err("\"20\" has no unit".to_owned())),
            ("soon", Err("\"soon\" is no span of time".to_owned())),
            ("", Err("\"\" is no span of time".to_owned())),
            ("11m", Err("11m is not between 0s and 10m".to_owned())),
            ("99999999999999999999y", Err("\"99999999999999999999y\" is no span of time".to_owned())),
        ] {
            assert_eq!(duration(text, &bounds), expected, "{text}");
        }
    }

    #[test]
    fn sizes_need_a_unit_and_keep_their_bounds() {
        let bounds = 1024..=1024 * 1024 * 1024;
        for (text, expected) in [
            ("64KiB", Ok(65536)),
            ("1.5 MB", Ok(1_500_000)),
            ("64", Err("\"64\" has no unit".to_owned())),
            ("lots", Err("\"lots\" is no size".to_owned())),
            ("1B", Err("1B is not between 1.0 KiB and 1.0 GiB".to_owned())),
            ("-1KiB", Err("\"-1KiB\" is no size".to_owned())),
        ] {
            assert_eq!(size(text, &bounds), expected, "{text}");
        }
    }

    #[test]
    fn slips_of_the_hand_are_known() {
        let known = ["password", "url", "user"];
        for (given, expected) in
            [("pasword", Some("password")), ("URL", Some("url")), ("usr", Some("user")), ("wire", None)]
        {
            assert_eq!(nearest(given, known), expected, "{given}");
        }
    }
}
