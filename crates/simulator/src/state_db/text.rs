//! The text form in which the database keeps values: what where-queries compare and what `state.db` holds.

use std::fmt::Write as _;

use smol_str::SmolStr;
use xapi::Value;

/// A value as the database writes it: integers in decimal, sets and maps as S-expressions.
pub(crate) fn stored(value: &Value) -> String {
    match value {
        Value::String(text) | Value::DateTime(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => float(*number),
        Value::Bool(truth) => truth.to_string(),
        Value::Array(elements) => {
            let quoted: Vec<String> = elements.iter().map(|element| quoted(&stored(element))).collect();
            format!("({})", quoted.join(" "))
        }
        Value::Struct(members) => {
            let pair =
                |(key, value): (&SmolStr, &Value)| format!("({} {})", quoted(key), quoted(&stored(value)));
            format!("({})", members.iter().map(pair).collect::<Vec<_>>().join(" "))
        }
    }
}

/// Escapes what an attribute must not hold as it is: spaces `%.`, tabs `%t`, line ends `%n` and `%r`, and `%` itself.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            ' ' => out.push_str("%."),
            '\t' => out.push_str("%t"),
            '\n' => out.push_str("%n"),
            '\r' => out.push_str("%r"),
            '%' => out.push_str("%%"),
            other => out.push(other),
        }
    }
    out
}

/// Undoes [`escape`]; `%_` is two spaces in old files.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let mut characters = after.chars();
        match characters.next() {
            Some('.') => out.push(' '),
            Some('_') => out.push_str("  "),
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('%') => out.push('%'),
            // Old files do not escape at all.
            Some(other) => {
                out.push('%');
                out.push(other);
            }
            None => out.push('%'),
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
    out
}

/// As OCaml writes what is no number; digits enough to read the same number back.
fn float(number: f64) -> String {
    if number.is_nan() {
        "nan".to_owned()
    } else {
        let mut text = String::new();
        // Writing to a String cannot fail.
        _ = write!(text, "{number}");
        text
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn escaping_is_undone(text in "[ -~\t\n\r%_.äé]{0,40}") {
            prop_assert_eq!(unescape(&escape(&text)), text);
        }
    }
}
