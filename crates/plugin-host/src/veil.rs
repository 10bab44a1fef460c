//! Handles inside of texts that a plugin gives back: what it read with handles in the place of references is what it was when
//! it is written again. Pure.

use std::borrow::Cow;

use crate::handles::Handles;

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

#[cfg(test)]
mod tests {
    use super::*;

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
