//! Which of XAPI's two wires a member is spoken to on. JSON-RPC is the better one: a third shorter, and it has no trouble
//! with map keys. Hosts before XenServer 7.1 have XML-RPC alone.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::transport::{Address, Answer, TransportError};

/// So many members are remembered; a pool has at most 64.
const REMEMBERED_MAX: usize = 256;

/// Which wire to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wire {
    /// Whichever the member speaks: JSON-RPC is tried at each login, and XML-RPC after an answer that shows that the
    /// member does not know it. Only a login is ever asked on both.
    #[default]
    Auto,
    /// XML-RPC on `/`, which every XAPI speaks.
    Xml,
    /// JSON-RPC 2.0 on `/jsonrpc`.
    Json,
}

/// A wire once it is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Xml,
    Json,
}

/// What to speak for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// This.
    Settled(Format),
    /// It is to be found out.
    Open,
}

/// The members that were asked, by address, and what they speak. Each login asks anew, so that a host that was upgraded
/// is seen.
#[derive(Debug, Default)]
pub(super) struct Spoken(Mutex<HashMap<Address, Format>>);

impl Spoken {
    pub(super) fn choose(&self, wire: Wire, address: &Address, is_login: bool) -> Choice {
        match wire {
            Wire::Xml => Choice::Settled(Format::Xml),
            Wire::Json => Choice::Settled(Format::Json),
            Wire::Auto if is_login => Choice::Open,
            Wire::Auto => {
                let members = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                Choice::Settled(members.get(address).copied().unwrap_or(Format::Xml))
            }
        }
    }

    pub(super) fn remember(&self, address: &Address, format: Format) {
        let mut members = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if members.len() >= REMEMBERED_MAX {
            members.clear();
        }
        members.insert(address.clone(), format);
    }
}

/// What an answer to a JSON-RPC request says about its sender; `None` when it says nothing either way.
pub(super) fn spoken(answer: &Result<Answer, TransportError>) -> Option<Format> {
    match answer {
        Ok(Answer { content_type, body }) => in_answer(content_type, body),
        Err(TransportError::Status { status, .. }) => in_status(*status),
        Err(_) => None,
    }
}

/// Old hosts take any path for XML-RPC, so they answer in XML.
fn in_answer(content_type: &str, body: &[u8]) -> Option<Format> {
    let body = body.trim_ascii_start();
    let is_xml = body.starts_with(b"<?xml") || body.starts_with(b"<methodResponse");
    match content_type {
        _ if body.starts_with(b"{") => Some(Format::Json),
        _ if is_xml => Some(Format::Xml),
        "text/xml" | "application/xml" => Some(Format::Xml),
        // A page for people, say.
        _ => None,
    }
}

/// Old hosts say 500 to JSON, since it is no XML; others may not know the path, the method or the kind of content. What
/// comes from something in between (502, 503) or asks for something else says nothing.
fn in_status(status: u16) -> Option<Format> {
    matches!(status, 400 | 404 | 405 | 406 | 415 | 500 | 501).then_some(Format::Xml)
}

/// Whether bytes that were read as JSON are XML.
pub(super) fn looks_like_xml(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"<")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(content_type: &str, body: &str) -> Result<Answer, TransportError> {
        Ok(Answer { content_type: content_type.into(), body: body.to_owned().into() })
    }

    fn status(status: u16) -> Result<Answer, TransportError> {
        Err(TransportError::Status { endpoint: "a".into(), status, excerpt: String::new() })
    }

    #[test]
    fn what_is_answered_to_json_tells_the_wire() {
        for (answered, format) in [
            (answer("application/json", "{\"result\":\"\"}"), Some(Format::Json)),
            // The error of a host without its pool, in the form of version 1.0.
            (
                answer("text/plain", " {\"result\":null,\"error\":[\"HOST_STILL_BOOTING\"],\"id\":0}"),
                Some(Format::Json),
            ),
            (answer("text/xml", "<?xml version=\"1.0\"?><methodResponse>"), Some(Format::Xml)),
            (answer("", "\n<methodResponse>"), Some(Format::Xml)),
            (answer("text/xml", ""), Some(Format::Xml)),
            (answer("text/html", "<html>sign in</html>"), None),
            (answer("", ""), None),
            (status(500), Some(Format::Xml)),
            (status(404), Some(Format::Xml)),
            (status(405), Some(Format::Xml)),
            (status(401), None),
            (status(302), None),
            (status(502), None),
            (status(503), None),
            (Err(TransportError::RequestTooLong { bytes: 1 }), None),
        ] {
            assert_eq!(spoken(&answered), format, "{answered:?}");
        }
    }

    #[test]
    fn only_a_login_asks_and_what_is_set_goes_before_what_was_seen() {
        let seen = Spoken::default();
        let (one, other) = ("http://127.0.0.1:1".parse().unwrap(), "http://127.0.0.1:2".parse().unwrap());
        assert_eq!(seen.choose(Wire::Auto, &one, true), Choice::Open);
        assert_eq!(seen.choose(Wire::Auto, &one, false), Choice::Settled(Format::Xml), "what all speak");
        seen.remember(&one, Format::Json);
        assert_eq!(seen.choose(Wire::Auto, &one, false), Choice::Settled(Format::Json));
        assert_eq!(seen.choose(Wire::Auto, &other, false), Choice::Settled(Format::Xml));
        assert_eq!(seen.choose(Wire::Auto, &one, true), Choice::Open, "each login asks anew");
        assert_eq!(seen.choose(Wire::Xml, &one, true), Choice::Settled(Format::Xml));
        assert_eq!(seen.choose(Wire::Json, &other, false), Choice::Settled(Format::Json));
    }
}
