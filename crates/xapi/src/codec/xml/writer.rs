//! Values to XML text.

use crate::value::Value;

/// How members' names are written.
#[derive(Clone, Copy)]
pub(super) enum Names {
    /// As XML wants them: xapi reads them so.
    Escaped,
    /// As they are: xapi writes them so, see the head of the module.
    Bare,
}

/// Writes a whole `<value>`.
pub(super) fn write_value(out: &mut String, value: &Value, names: Names) {
    use std::fmt::Write as _;
    match value {
        Value::String(text) => return write_text(out, text),
        // Writing to a string cannot fail.
        Value::Int(number) => _ = write!(out, "<value>{number}"),
        Value::Float(number) => _ = write!(out, "<value><double>{}</double>", float_text(*number)),
        Value::Bool(truth) => _ = write!(out, "<value><boolean>{}</boolean>", u8::from(*truth)),
        Value::DateTime(text) => {
            out.push_str("<value><dateTime.iso8601>");
            escape(out, text);
            out.push_str("</dateTime.iso8601>");
        }
        Value::Array(elements) => {
            out.push_str("<value><array><data>");
            for element in elements {
                write_value(out, element, names);
            }
            out.push_str("</data></array>");
        }
        Value::Struct(members) => {
            out.push_str("<value><struct>");
            for (name, member) in members.iter() {
                out.push_str("<member><name>");
                match names {
                    Names::Escaped => escape(out, name),
                    Names::Bare => out.push_str(name),
                }
                out.push_str("</name>");
                write_value(out, member, names);
                out.push_str("</member>");
            }
            out.push_str("</struct>");
        }
    }
    out.push_str("</value>");
}

/// Writes a whole `<value>` that is a text.
pub(super) fn write_text(out: &mut String, text: &str) {
    out.push_str("<value>");
    escape(out, text);
    out.push_str("</value>");
}

fn float_text(number: f64) -> String {
    if number.is_nan() {
        "nan".into()
    } else if number.is_infinite() {
        if number > 0.0 { "inf".into() } else { "-inf".into() }
    } else {
        // The shortest text that reads back as the same number.
        format!("{number}")
    }
}

/// Escapes markup and drops the characters that XML 1.0 cannot carry, as xapi does.
pub(super) fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#13;"),
            other if is_carried(other) => out.push(other),
            _ => {}
        }
    }
}

/// Whether XML 1.0 has this character.
pub(super) fn is_carried(character: char) -> bool {
    !matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}
