//! Nearly all of a reply are members and elements that hold plain text or a truth value, written without a space between
//! tags. They are read here in one go; whatever looks different in any way is left to the parser.

/// What a plain value holds.
#[derive(Clone, Copy)]
pub(super) enum Plain<'i> {
    Text(&'i str),
    Truth(bool),
    NoElements,
    NoMembers,
}

/// A whole `<member>` and what follows it.
pub(super) fn plain_member(text: &str) -> Option<(&str, Plain<'_>, &str)> {
    let (name, rest) = plain_text(text.strip_prefix("<member><name>")?)?;
    let (value, rest) = plain_value(rest.strip_prefix("</name><value>")?)?;
    Some((name, value, rest.strip_prefix("</member>")?))
}

/// A whole `<value>` and what follows it.
pub(super) fn plain_element(text: &str) -> Option<(Plain<'_>, &str)> {
    plain_value(text.strip_prefix("<value>")?)
}

/// After `<value>`: its content, and what follows `</value>`.
fn plain_value(text: &str) -> Option<(Plain<'_>, &str)> {
    const OTHERS: [(&str, Plain<'static>); 4] = [
        ("<boolean>0</boolean></value>", Plain::Truth(false)),
        ("<boolean>1</boolean></value>", Plain::Truth(true)),
        ("<struct></struct></value>", Plain::NoMembers),
        ("<array><data></data></array></value>", Plain::NoElements),
    ];
    let (content, rest) = plain_text(text)?;
    if let Some(rest) = rest.strip_prefix("</value>") {
        return Some((Plain::Text(content), rest));
    }
    if !content.is_empty() {
        return None;
    }
    OTHERS.into_iter().find_map(|(written, value)| Some((value, rest.strip_prefix(written)?)))
}

/// Text up to the next markup or entity, and the rest from there.
fn plain_text(text: &str) -> Option<(&str, &str)> {
    text.split_at_checked(memchr::memchr2(b'<', b'&', text.as_bytes())?)
}
