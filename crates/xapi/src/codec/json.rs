//! JSON-RPC as XAPI speaks it on `/jsonrpc`, versions 1.0 and 2.0.
//!
//! Where XAPI leaves the standards: `NaN`, `Infinity` and `-Infinity` stand bare, an error raised before dispatch is
//! an array with id 0 whatever was sent, and 64-bit integers are numbers that must not pass through a float.

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use smol_str::SmolStr;

use super::{Call, DecodeError, Limits, Reply, failure_from};
use crate::value::{Struct, Value};

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
    let text = checked(text, limits)?;
    value_from(&text, limits)
}

/// Reads a request body of either version.
///
/// # Errors
/// When the bytes are not a request object within the limits.
pub fn decode_call(body: &[u8], limits: &Limits) -> Result<Call, DecodeError> {
    #[derive(serde::Deserialize)]
    struct Request<'a> {
        method: String,
        #[serde(borrow)]
        params: Option<&'a RawValue>,
    }
    let text = checked(body, limits)?;
    let request: Request<'_> = serde_json::from_str(&text).map_err(|error| at(&text, &error))?;
    let arguments = match request.params {
        None => Vec::new(),
        Some(params) => match value_from(params.get(), limits)? {
            Value::Array(arguments) => arguments,
            other => vec![other],
        },
    };
    Ok(Call { method: request.method, arguments })
}

/// Reads a response body of either version.
///
/// # Errors
/// When the bytes are not a response object within the limits.
pub fn decode_reply(body: &[u8], limits: &Limits) -> Result<Reply, DecodeError> {
    #[derive(serde::Deserialize)]
    struct Response<'a> {
        #[serde(borrow)]
        result: Option<&'a RawValue>,
        #[serde(borrow)]
        error: Option<&'a RawValue>,
    }
    let text = checked(body, limits)?;
    let response: Response<'_> = serde_json::from_str(&text).map_err(|error| at(&text, &error))?;
    if let Some(error) = response.error {
        return match value_from(error.get(), limits)? {
            Value::Struct(mut members) => {
                let code = members.remove("message").unwrap_or(Value::VOID);
                let mut words = vec![code];
                if let Some(Value::Array(parameters)) = members.remove("data") {
                    words.extend(parameters);
                }
                failure_from(&Value::Array(words), text.len()).map(Err)
            }
            list => failure_from(&list, text.len()).map(Err),
        };
    }
    match response.result {
        Some(result) => Ok(Ok(value_from(result.get(), limits)?)),
        None => Err(DecodeError::new("neither result nor error", text.len())),
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

fn checked<'b>(body: &'b [u8], limits: &Limits) -> Result<std::borrow::Cow<'b, str>, DecodeError> {
    if body.len() > limits.bytes {
        return Err(DecodeError::new(format!("longer than {} bytes", limits.bytes), limits.bytes));
    }
    let text =
        std::str::from_utf8(body).map_err(|error| DecodeError::new("not UTF-8", error.valid_up_to()))?;
    Ok(if text.contains("NaN") || text.contains("Infinity") { bare_floats(text).into() } else { text.into() })
}

/// The key of the object that stands for a bare float token until [`Seed`] turns it back; no XAPI map has it.
const BARE_FLOAT: &str = "\u{0}float";

/// Wraps the bare tokens `NaN`, `Infinity` and `-Infinity` outside texts, so that a JSON parser takes them.
fn bare_floats(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    let mut rest = text;
    let mut inside = false;
    while let Some(index) = rest.find(['"', '\\', 'N', 'I', '-']) {
        let (before, at) = rest.split_at(index);
        out.push_str(before);
        let token =
            if inside { None } else { ["NaN", "-Infinity", "Infinity"].iter().find(|t| at.starts_with(**t)) };
        let taken = match token {
            Some(token) => {
                out.push_str(&format!("{{\"\\u0000float\":\"{token}\"}}"));
                token.len()
            }
            None => {
                let taken =
                    if at.starts_with('\\') { 1 + at.chars().nth(1).map_or(0, char::len_utf8) } else { 1 };
                inside ^= at.starts_with('"');
                out.push_str(at.get(..taken).unwrap_or(at));
                taken
            }
        };
        rest = at.get(taken..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

fn at(text: &str, error: &serde_json::Error) -> DecodeError {
    let line_start: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let what = error.to_string();
    let what = what.split(" at line ").next().unwrap_or_default().to_owned();
    DecodeError::new(what, line_start + error.column())
}

fn value_from(text: &str, limits: &Limits) -> Result<Value, DecodeError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value =
        Seed { depth: limits.depth }.deserialize(&mut deserializer).map_err(|error| at(text, &error))?;
    deserializer.end().map_err(|error| at(text, &error))?;
    Ok(value)
}

struct Seed {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Seed {
    fn deeper<E: serde::de::Error>(&self) -> Result<Seed, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Seed { depth }),
            None => Err(E::custom("values nest too deep")),
        }
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Value;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Value, E> {
        i64::try_from(number).map(Value::Int).map_err(|_| E::custom("an integer beyond 64 bits"))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.into()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::VOID)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element_seed(self.deeper()?)? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Struct::new();
        while let Some(name) = map.next_key::<Name>()? {
            let member = map.next_value_seed(self.deeper()?)?;
            if name.0 == BARE_FLOAT {
                return Ok(Value::Float(match member.as_str() {
                    Some("Infinity") => f64::INFINITY,
                    Some("-Infinity") => f64::NEG_INFINITY,
                    _ => f64::NAN,
                }));
            }
            members.push(name.0, member);
        }
        Ok(Value::Struct(members))
    }
}

struct Name(SmolStr);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SmolStr::deserialize(deserializer).map(Name)
    }
}
