//! JSON-RPC as XAPI speaks it on `/jsonrpc`, versions 1.0 and 2.0.
//!
//! Where XAPI leaves the standards: `NaN`, `Infinity` and `-Infinity` stand bare, an error raised before dispatch is
//! an array with id 0 whatever was sent, and 64-bit integers are numbers that must not pass through a float.

mod reader;
mod scan;

use self::reader::Reader;
use super::{Call, DecodeError, Limits, Reply, Shape, failure_from};
use crate::value::Value;

/// A request body, version 2.0.
#[must_use]
pub fn encode_call(method: &str, arguments: &[Value], id: i64) -> String {
    let mut out = String::from("{\"jsonrpc\":\"2.0\",\"method\":");
    write_text(&mut out, method);
    out.push_str(",\"params\":");
    write_array(&mut out, arguments);
    out.push_str(&format!(",\"id\":{id}}}"));
    out
}

/// A response body, version 2.0.
#[must_use]
pub fn encode_reply(reply: &Reply, id: i64) -> String {
    let mut out = String::from("{\"jsonrpc\":\"2.0\",");
    match reply {
        Ok(value) => {
            out.push_str("\"result\":");
            write_value(&mut out, value);
        }
        Err(failure) => {
            out.push_str("\"error\":{\"code\":1,\"message\":");
            write_text(&mut out, &failure.code);
            out.push_str(",\"data\":[");
            for (index, parameter) in failure.parameters.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(&mut out, parameter);
            }
            out.push_str("]}");
        }
    }
    out.push_str(&format!(",\"id\":{id}}}"));
    out
}

/// One value as JSON text, with XAPI's bare tokens for floats that JSON does not have.
#[must_use]
pub fn encode_value(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

/// Reads one value, the reverse of [`encode_value`].
///
/// # Errors
/// When the text is not one JSON value within the limits.
pub fn decode_value(text: &[u8], limits: &Limits) -> Result<Value, DecodeError> {
    let mut reader = Reader::new(text, limits)?;
    let value = reader.value(0)?;
    reader.end()?;
    Ok(value)
}

/// Reads a request body of either version.
///
/// # Errors
/// When the bytes are not a request object within the limits.
pub fn decode_call(body: &[u8], limits: &Limits) -> Result<Call, DecodeError> {
    let mut reader = Reader::new(body, limits)?;
    let (mut method, mut parameters) = (None, None);
    reader.object(|reader, name| match &*name {
        "method" => {
            reader.expect(b'"', "the method is no text")?;
            once(&mut method, reader.text()?.into_owned(), reader)
        }
        "params" => match reader.optional(0)? {
            Some(value) => once(&mut parameters, value, reader),
            None => Ok(()),
        },
        _ => reader.value(0).map(drop),
    })?;
    reader.end()?;
    let method = method.ok_or_else(|| DecodeError::new("no method", body.len()))?;
    let arguments = match parameters {
        None => Vec::new(),
        Some(Value::Array(arguments)) => arguments,
        Some(other) => vec![other],
    };
    Ok(Call { method, arguments })
}

/// Reads a response body of either version.
///
/// # Errors
/// When the bytes are not a response object within the limits.
pub fn decode_reply(body: &[u8], limits: &Limits) -> Result<Reply, DecodeError> {
    let mut reader = Reader::new(body, limits)?;
    let (mut result, mut error) = (None, None);
    reader.object(|reader, name| {
        let place = match &*name {
            "result" => &mut result,
            "error" => &mut error,
            _ => return reader.value(0).map(drop),
        };
        match reader.optional(0)? {
            Some(value) => once(place, value, reader),
            None => Ok(()),
        }
    })?;
    reader.end()?;
    match (error, result) {
        (Some(Value::Struct(mut members)), _) => {
            let code = members.remove("message").unwrap_or(Value::VOID);
            let mut words = vec![code];
            if let Some(Value::Array(parameters)) = members.remove("data") {
                words.extend(parameters);
            }
            failure_from(&Value::Array(words), body.len()).map(Err)
        }
        (Some(list), _) => failure_from(&list, body.len()).map(Err),
        (None, Some(result)) => Ok(Ok(result)),
        (None, None) => Err(DecodeError::new("neither result nor error", body.len())),
    }
}

/// Reads what a call came back with as `shape` wants it. An error says no more than that it is not that, a refusal
/// perhaps: then [`decode_reply`] tells.
pub(crate) fn decode_success<S: Shape>(
    body: &[u8],
    limits: &Limits,
    shape: S,
) -> Result<S::Content, DecodeError> {
    let mut reader = Reader::new(body, limits)?;
    let (mut shape, mut content) = (Some(shape), None);
    reader.object(|reader, name| match (&*name, shape.take()) {
        ("result", Some(shape)) => {
            content = Some(shape.read(reader, 0)?);
            Ok(())
        }
        ("jsonrpc" | "id", unread) => {
            shape = unread;
            reader.value(0).map(drop)
        }
        _ => Err(reader.error("an unusual reply")),
    })?;
    reader.end()?;
    content.ok_or_else(|| reader.error("no result"))
}

/// Fills a place that must be empty still.
fn once<T>(place: &mut Option<T>, value: T, reader: &Reader<'_>) -> Result<(), DecodeError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(reader.error("a member that is there twice")),
    }
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::String(text) | Value::DateTime(text) => write_text(out, text),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Float(number) if number.is_nan() => out.push_str("NaN"),
        Value::Float(number) if number.is_infinite() => {
            out.push_str(if *number > 0.0 { "Infinity" } else { "-Infinity" });
        }
        // Debug keeps the decimal point, so that it reads back as a float.
        Value::Float(number) => out.push_str(&format!("{number:?}")),
        Value::Array(elements) => write_array(out, elements),
        Value::Struct(members) => {
            out.push('{');
            for (index, (name, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(out, name);
                out.push(':');
                write_value(out, member);
            }
            out.push('}');
        }
    }
}

fn write_array(out: &mut String, elements: &[Value]) {
    out.push('[');
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_value(out, element);
    }
    out.push(']');
}

fn write_text(out: &mut String, text: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        // Serialising a str cannot fail.
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
    }
}
