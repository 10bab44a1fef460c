//! XAPI's references inside of texts: keys of maps, details of errors, results of tasks. The schema calls them texts,
//! and a plugin sees handles in their place all the same. Pure.

use std::borrow::Cow;

use crate::handles::Handles;

/// What each of XAPI's references begins with.
pub(crate) const PREFIX: &str = "OpaqueRef:";

/// The text with each reference in it replaced by what `by` gives for it.
pub(crate) fn replaced<'t>(text: &'t str, mut by: impl FnMut(&str) -> String) -> Cow<'t, str> {
    if !text.contains(PREFIX) {
        return Cow::Borrowed(text);
    }
    let mut veiled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(PREFIX) {
        let (before, reference) = rest.split_at(start);
        let name = &reference[PREFIX.len()..];
        let length = name.find(|letter: char| !belongs(letter)).unwrap_or(name.len());
        let (reference, after) = reference.split_at(PREFIX.len() + length);
        veiled.push_str(before);
        veiled.push_str(&by(reference));
        rest = after;
    }
    veiled.push_str(rest);
    Cow::Owned(veiled)
}

/// The text with each handle in it that this delivery has given replaced by its reference: what a plugin read and
/// writes back is what it was.
pub(crate) fn lifted<'t>(text: &'t str, handles: &Handles) -> Cow<'t, str> {
    let prefix = handles.prefix();
    if !text.contains(prefix) {
        return Cow::Borrowed(text);
    }
    let mut lifted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(prefix) {
        let (before, handle) = rest.split_at(start);
        let number = &handle[prefix.len()..];
        let length = number.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(number.len());
        let (handle, after) = handle.split_at(prefix.len() + length);
        lifted.push_str(before);
        lifted.push_str(handles.resolve(handle).map_or(handle, |known| &known.reference));
        rest = after;
    }
    lifted.push_str(rest);
    Cow::Owned(lifted)
}

/// Whether a letter can be part of a reference's name. XAPI's are UUIDs and `NULL`.
fn belongs(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '-' || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_wherever_they_stand() {
        for (text, expected) in [
            ("", ""),
            ("nothing of the kind", "nothing of the kind"),
            ("OpaqueRef:a-1", "<OpaqueRef:a-1>"),
            ("<value>OpaqueRef:a-1</value>", "<value><OpaqueRef:a-1></value>"),
            ("(\"VM\", \"OpaqueRef:a\");OpaqueRef:b", "(\"VM\", \"<OpaqueRef:a>\");<OpaqueRef:b>"),
            ("OpaqueRef:OpaqueRef:a\u{e4}", "<OpaqueRef:OpaqueRef>:a\u{e4}"),
            ("OpaqueRef:", "<OpaqueRef:>"),
        ] {
            assert_eq!(replaced(text, |reference| format!("<{reference}>")), expected, "{text}");
        }
    }

    #[test]
    fn only_handles_of_this_delivery_become_references_again() {
        let mut handles = Handles::new(7, 1);
        handles.issue("", "OpaqueRef:a");
        for (text, expected) in [
            ("plain", "plain"),
            ("ref:7.1.1", "OpaqueRef:a"),
            ("x ref:7.1.1, ref:7.1.2 ref:7.1.", "x OpaqueRef:a, ref:7.1.2 ref:7.1."),
            ("ref:6.1.1", "ref:6.1.1"),
        ] {
            assert_eq!(lifted(text, &handles), expected, "{text}");
        }
    }
}
