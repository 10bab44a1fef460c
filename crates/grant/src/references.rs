//! XAPI's references inside of texts: keys of maps, details of errors, results of tasks. The schema calls them texts.

use std::borrow::Cow;

/// What each of XAPI's references begins with.
pub const PREFIX: &str = "OpaqueRef:";

/// The text with each reference in it replaced by what `by` gives for it.
pub fn replaced(text: &str, mut by: impl FnMut(&str) -> String) -> Cow<'_, str> {
    if !text.contains(PREFIX) {
        return Cow::Borrowed(text);
    }
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(PREFIX) {
        let (before, reference) = rest.split_at(start);
        let name = &reference[PREFIX.len()..];
        let length = name.find(|letter: char| !belongs(letter)).unwrap_or(name.len());
        let (reference, after) = reference.split_at(PREFIX.len() + length);
        replaced.push_str(before);
        replaced.push_str(&by(reference));
        rest = after;
    }
    replaced.push_str(rest);
    Cow::Owned(replaced)
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
}
