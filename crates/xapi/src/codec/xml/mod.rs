//! XML-RPC as XAPI speaks it (facts: sections 1.2 and 1.3 of the wire notes in `docs/xapi-wire.md`).
//!
//! Where XAPI leaves the standard: integers travel as untyped text, replies are always a `Status` struct and
//! never a `<fault>`, `system.listMethods` answers a bare array, and **member names are not escaped**, so a map key
//! that holds `&` or `<` makes a reply ill-formed. Names are therefore read up to their closing tag, as written.

mod parser;
mod plain;
mod writer;

use self::parser::{Parser, Tag};
use self::writer::{Names, escape, write_text, write_value};
use super::{Call, DecodeError, Failure, Limits, Reply, Shape, Source as _, failure_from};
use crate::value::Value;

/// A request body. What XML cannot carry (see [`carries`]) is left out of texts; ask first.
#[must_use]
pub fn encode_call(method: &str, arguments: &[Value]) -> String {
    let mut out = String::with_capacity(256);
    out.push_str("<?xml version=\"1.0\"?><methodCall><methodName>");
    escape(&mut out, method);
    out.push_str("</methodName><params>");
    for argument in arguments {
        out.push_str("<param>");
        write_value(&mut out, argument, Names::Escaped);
        out.push_str("</param>");
    }
    out.push_str("</params></methodCall>");
    out
}

/// A response body in XAPI's envelope.
#[must_use]
pub fn encode_reply(reply: &Reply) -> String {
    let mut out = String::with_capacity(512);
    out.push_str(
        "<?xml version=\"1.0\"?><methodResponse><params><param><value><struct><member><name>Status</name>",
    );
    match reply {
        Ok(value) => {
            out.push_str("<value>Success</value></member><member><name>Value</name>");
            write_value(&mut out, value, Names::Bare);
        }
        Err(failure) => {
            out.push_str(
                "<value>Failure</value></member><member><name>ErrorDescription</name><value><array><data>",
            );
            for word in std::iter::once(&failure.code).chain(&failure.parameters) {
                write_text(&mut out, word);
            }
            out.push_str("</data></array></value>");
        }
    }
    out.push_str("</member></struct></value></param></params></methodResponse>");
    out
}

/// A response body without XAPI's envelope, as `system.listMethods` gives.
#[must_use]
pub fn encode_bare_reply(value: &Value) -> String {
    let mut out = String::from("<?xml version=\"1.0\"?><methodResponse><params><param>");
    write_value(&mut out, value, Names::Bare);
    out.push_str("</param></params></methodResponse>");
    out
}

/// One value, as `task.result` holds it.
#[must_use]
pub fn encode_value(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value, Names::Bare);
    out
}

/// Reads a request body.
///
/// # Errors
/// When the bytes are not a `methodCall` within the limits.
pub fn decode_call(body: &[u8], limits: &Limits) -> Result<Call, DecodeError> {
    let mut parser = Parser::new(body, limits)?;
    parser.open("methodCall")?;
    parser.open("methodName")?;
    let method = parser.text_until_close()?.to_string();
    let mut arguments = Vec::new();
    match parser.tag()? {
        Tag::Close => {}
        Tag::Open(name) if name.name().as_ref() == "params" => {
            while let Tag::Open(_) = parser.tag()? {
                parser.open("value")?;
                arguments.push(parser.value(0)?);
                parser.close()?;
            }
            parser.close()?;
        }
        Tag::Open(_) => return Err(parser.error("expected <params>")),
    }
    parser.end()?;
    Ok(Call { method, arguments })
}

/// Reads a response body.
///
/// # Errors
/// When the bytes are not a `methodResponse` in XAPI's envelope, within the limits.
pub fn decode_reply(body: &[u8], limits: &Limits) -> Result<Reply, DecodeError> {
    let mut parser = Parser::new(body, limits)?;
    parser.open("methodResponse")?;
    let opened = match parser.tag()? {
        Tag::Open(tag) => tag,
        Tag::Close => return Err(parser.error("an empty methodResponse")),
    };
    if opened.name().as_ref() == "fault" {
        parser.open("value")?;
        let fault = parser.value(0)?;
        let text =
            |name| fault.as_struct().and_then(|members| members.get(name)).map(|value| format!("{value:?}"));
        let parameters = [text("faultCode"), text("faultString")].into_iter().flatten();
        return Ok(Err(Failure::new("Fault", parameters)));
    }
    parser.open("param")?;
    parser.open("value")?;
    let value = parser.value(0)?;
    for _ in ["param", "params", "methodResponse"] {
        parser.close()?;
    }
    parser.end()?;
    let Value::Struct(mut envelope) = value else {
        return Ok(Ok(value));
    };
    let position = body.len();
    match envelope.get("Status").and_then(Value::as_str) {
        Some("Success") => envelope
            .remove("Value")
            .map(Ok)
            .ok_or_else(|| DecodeError::new("the reply says Success and has no Value", position)),
        Some("Failure") => {
            let description = envelope.get("ErrorDescription").ok_or_else(|| {
                DecodeError::new("the reply says Failure and has no ErrorDescription", position)
            })?;
            failure_from(description, position).map(Err)
        }
        _ => Err(DecodeError::new("the reply has no Status", position)),
    }
}

/// Reads what a call came back with as `shape` wants it. An error says no more than that it is not that, a refusal
/// perhaps: then [`decode_reply`] tells.
pub(crate) fn decode_success<S: Shape>(
    body: &[u8],
    limits: &Limits,
    shape: S,
) -> Result<S::Content, DecodeError> {
    let mut parser = Parser::new(body, limits)?;
    for name in ["methodResponse", "params", "param", "value"] {
        parser.open(name)?;
    }
    let (mut success, mut shape, mut content) = (false, Some(shape), None);
    parser.members(0, |parser, name, value| {
        match (name, value) {
            ("Status", Some(status)) => success = status.as_str() == Some("Success"),
            ("Value", None) => {
                let shape = shape.take().ok_or_else(|| parser.error("a second Value"))?;
                content = Some(shape.read(parser, 1)?);
            }
            _ => return Err(parser.error("an unusual reply")),
        }
        Ok(())
    })?;
    for _ in ["param", "params", "methodResponse"] {
        parser.close()?;
    }
    parser.end()?;
    content.filter(|_| success).ok_or_else(|| parser.error("no success"))
}

/// Reads one value, as `task.result` holds it. Empty text is void.
///
/// # Errors
/// When the text is not one `<value>` element within the limits.
pub fn decode_value(text: &str, limits: &Limits) -> Result<Value, DecodeError> {
    if text.is_empty() {
        return Ok(Value::VOID);
    }
    let mut parser = Parser::new(text.as_bytes(), limits)?;
    parser.open("value")?;
    let value = parser.value(0)?;
    parser.end()?;
    Ok(value)
}

/// Whether every text and name in `value` gets through an XML request as it is. XML 1.0 has no control characters but
/// tab and line ends, and neither U+FFFE nor U+FFFF; xapi refuses them on its other wire too.
#[must_use]
pub fn carries(value: &Value) -> bool {
    let text = |text: &str| text.chars().all(writer::is_carried);
    match value {
        Value::String(content) | Value::DateTime(content) => text(content),
        Value::Array(elements) => elements.iter().all(carries),
        Value::Struct(members) => members.iter().all(|(name, member)| text(name) && carries(member)),
        Value::Int(_) | Value::Float(_) | Value::Bool(_) => true,
    }
}
