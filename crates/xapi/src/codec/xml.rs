//! XML-RPC as XAPI speaks it (facts: sections 1.2 and 1.3 of the wire notes in `docs/xapi-wire.md`).
//!
//! Where XAPI leaves the standard: integers travel as untyped text, replies are always a `Status` struct and
//! never a `<fault>`, `system.listMethods` answers a bare array, and **member names are not escaped**, so a map key
//! that holds `&` or `<` makes a reply ill-formed. Names are therefore read up to their closing tag, as written.

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use smol_str::{SmolStr, SmolStrBuilder};

use super::limits::Meter;
use super::source::{Shape, Source};
use super::texts::Texts;
use super::{Call, DecodeError, Failure, Limits, Reply, failure_from};
use crate::value::{Struct, Value};

/// How much of the name of an unknown type is quoted in an error.
const TYPE_NAME_CHARS: usize = 32;

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
    let text = |text: &str| text.chars().all(is_carried);
    match value {
        Value::String(content) | Value::DateTime(content) => text(content),
        Value::Array(elements) => elements.iter().all(carries),
        Value::Struct(members) => members.iter().all(|(name, member)| text(name) && carries(member)),
        Value::Int(_) | Value::Float(_) | Value::Bool(_) => true,
    }
}

fn is_carried(character: char) -> bool {
    !matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// How members' names are written.
#[derive(Clone, Copy)]
enum Names {
    /// As XML wants them: xapi reads them so.
    Escaped,
    /// As they are: xapi writes them so, see the head of this file.
    Bare,
}

fn write_value(out: &mut String, value: &Value, names: Names) {
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

fn write_text(out: &mut String, text: &str) {
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
fn escape(out: &mut String, text: &str) {
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

enum Tag<'i> {
    Open(BytesStart<'i>),
    Close,
}

struct Parser<'i> {
    reader: Reader<&'i [u8]>,
    input: &'i str,
    meter: Meter,
    texts: Texts,
}

impl<'i> Parser<'i> {
    fn new(body: &'i [u8], limits: &Limits) -> Result<Self, DecodeError> {
        let meter = Meter::new(limits);
        let input = meter.message(body)?;
        let mut reader = Reader::from_str(input);
        reader.config_mut().expand_empty_elements = true;
        Ok(Parser { reader, input, meter, texts: Texts::new(body.len()) })
    }

    fn position(&self) -> usize {
        self.input.len().saturating_sub(self.reader.get_ref().len())
    }

    fn error(&self, what: impl Into<String>) -> DecodeError {
        DecodeError::new(what, self.position())
    }

    fn event(&mut self) -> Result<Event<'i>, DecodeError> {
        self.reader.read_event().map_err(|error| DecodeError::new(error.to_string(), self.position()))
    }

    /// The next tag; white space, comments and declarations between tags are passed over.
    fn tag(&mut self) -> Result<Tag<'i>, DecodeError> {
        loop {
            match self.event()? {
                Event::Start(start) => return Ok(Tag::Open(start)),
                Event::End(_) => return Ok(Tag::Close),
                Event::Text(text) if text.trim_ascii().is_empty() => {}
                Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
                Event::Eof => return Err(self.error("the document ends early")),
                _ => return Err(self.error("text where a tag was expected")),
            }
        }
    }

    fn open(&mut self, name: &str) -> Result<(), DecodeError> {
        match self.tag()? {
            Tag::Open(tag) if tag.name().as_ref() == name => Ok(()),
            _ => Err(self.error(format!("expected <{name}>"))),
        }
    }

    /// The end of the element that is open; the reader checks that the names fit.
    fn close(&mut self) -> Result<(), DecodeError> {
        match self.tag()? {
            Tag::Close => Ok(()),
            Tag::Open(_) => Err(self.error("an element too many")),
        }
    }

    /// Nothing but white space and comments may follow.
    fn end(&mut self) -> Result<(), DecodeError> {
        loop {
            match self.event()? {
                Event::Eof => return Ok(()),
                Event::End(_) | Event::Comment(_) | Event::PI(_) => {}
                Event::Text(text) if text.trim_ascii().is_empty() => {}
                _ => return Err(self.error("something follows the end")),
            }
        }
    }

    /// After `<value>`: its content, up to and with `</value>`.
    fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
        self.enter(depth)?;
        // Nearly every value is one run of plain text: take it without building anything.
        let first = match self.event()? {
            Event::Text(text) => match self.event()? {
                Event::End(_) => return self.short(&text).map(Value::String),
                Event::Start(start) if text.trim_ascii().is_empty() => start,
                next => return Ok(Value::String(self.text_from(Some(&text), next)?)),
            },
            Event::Start(start) => start,
            next => return Ok(Value::String(self.text_from(None, next)?)),
        };
        let name = first.name();
        let value = match name.as_ref() {
            "string" => Value::String(self.text_until_close()?),
            "int" | "i4" | "i8" => {
                let text = self.text_until_close()?;
                Value::Int(text.trim().parse().map_err(|_| self.error("not an integer"))?)
            }
            "double" => {
                let text = self.text_until_close()?;
                Value::Float(text.trim().parse().map_err(|_| self.error("not a float"))?)
            }
            "boolean" => Value::Bool(self.text_until_close()?.trim() == "1"),
            "dateTime.iso8601" => Value::DateTime(self.text_until_close()?),
            "nil" => {
                self.close()?;
                Value::VOID
            }
            "array" => self.array(depth)?,
            "struct" => self.map(depth)?,
            other => {
                let start: String = other.chars().take(TYPE_NAME_CHARS).collect();
                return Err(self.error(format!("unknown type <{}>", start.escape_debug())));
            }
        };
        self.close()?;
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Result<Value, DecodeError> {
        self.open("data")?;
        let mut elements = Vec::new();
        let plain = self.plain_ahead(depth);
        loop {
            while plain && let Some((element, rest)) = plain_element(self.rest()) {
                elements.push(self.plain(element)?);
                self.go_on_at(rest);
            }
            match self.tag()? {
                Tag::Open(tag) if tag.name().as_ref() == "value" => elements.push(self.value(depth + 1)?),
                Tag::Open(_) => return Err(self.error("expected <value> in an array")),
                Tag::Close => break,
            }
        }
        self.close()?;
        Ok(Value::Array(elements))
    }

    fn map(&mut self, depth: usize) -> Result<Value, DecodeError> {
        let mut members = Struct::new();
        self.each_member(depth, |parser, name, value| {
            let name = parser.texts.text(name);
            members.push(name, parser.value_unless(value, depth + 1)?);
            Ok(())
        })?;
        Ok(Value::Struct(members))
    }

    /// After `<struct>`: calls `member` for each member, with its value if it was plain; otherwise the message stands
    /// after `<value>`, and `member` must read the value.
    fn each_member(
        &mut self,
        depth: usize,
        mut member: impl FnMut(&mut Self, &str, Option<Value>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let plain = self.plain_ahead(depth);
        loop {
            while plain && let Some((name, value, rest)) = plain_member(self.rest()) {
                self.meter.text(name.len(), self.position())?;
                let value = self.plain(value)?;
                self.go_on_at(rest);
                member(self, name, Some(value))?;
            }
            match self.tag()? {
                Tag::Open(tag) if tag.name().as_ref() == "member" => {}
                Tag::Open(_) => return Err(self.error("expected <member> in a struct")),
                Tag::Close => return Ok(()),
            }
            self.open("name")?;
            let name = self.member_name()?;
            self.open("value")?;
            member(self, &name, None)?;
            self.close()?;
        }
    }

    fn value_unless(&mut self, read: Option<Value>, depth: usize) -> Result<Value, DecodeError> {
        read.map_or_else(|| self.value(depth), Ok)
    }

    /// Counts the value that comes next.
    fn enter(&mut self, depth: usize) -> Result<(), DecodeError> {
        self.meter.depth(depth, self.position())?;
        self.meter.value(self.position())
    }

    /// Whether values inside the element that was just opened may be read by [`plain_value`]: not where the depth is
    /// used up, and not after `<struct/>`, whose end is still to come although nothing is inside.
    fn plain_ahead(&self, depth: usize) -> bool {
        depth < self.meter.deepest()
            && !self.input.get(..self.position()).is_some_and(|before| before.ends_with("/>"))
    }

    fn plain(&mut self, plain: Plain<'_>) -> Result<Value, DecodeError> {
        self.meter.value(self.position())?;
        Ok(match plain {
            Plain::Text(text) => Value::String(self.short(text)?),
            Plain::Truth(truth) => Value::Bool(truth),
            Plain::NoElements => Value::Array(Vec::new()),
            Plain::NoMembers => Value::Struct(Struct::new()),
        })
    }

    /// A text that is all of its element.
    fn short(&mut self, text: &str) -> Result<SmolStr, DecodeError> {
        self.meter.text(text.len(), self.position())?;
        Ok(self.texts.text(text))
    }

    fn rest(&self) -> &'i str {
        self.input.get(self.position()..).unwrap_or_default()
    }

    /// Passes over what was read without the reader: whole elements, so that its open ones stay as they are.
    fn go_on_at(&mut self, rest: &'i str) {
        *self.reader.get_mut() = rest.as_bytes();
    }

    /// The text of a member's name. It is not escaped by xapi, so the raw text is the name, but for a name that
    /// another encoder escaped.
    fn member_name(&mut self) -> Result<SmolStr, DecodeError> {
        const CLOSE: &str = "</name>";
        let from = self.position();
        let rest = self.rest();
        // `<name/>` was expanded: its end is still to come and there is no text.
        if self.input.get(..from).is_some_and(|before| before.ends_with("/>")) {
            self.close()?;
            return Ok(SmolStr::default());
        }
        let length = rest.find(CLOSE).ok_or_else(|| self.error("a member's name does not end"))?;
        let raw = rest.get(..length).unwrap_or_default();
        self.meter.text(raw.len(), from)?;
        self.go_on_at(rest.get(length..).unwrap_or_default());
        self.close()?;
        if !raw.contains('&') || raw.contains('<') {
            return Ok(raw.into());
        }
        Ok(quick_xml::escape::unescape(raw).map_or_else(|_| raw.into(), |text| SmolStr::new(&text)))
    }

    /// The text up to the closing tag, entities resolved.
    fn text_until_close(&mut self) -> Result<SmolStr, DecodeError> {
        match self.event()? {
            Event::End(_) => Ok(SmolStr::default()),
            Event::Text(text) => match self.event()? {
                Event::End(_) => self.short(&text),
                next => self.text_from(Some(&text), next),
            },
            next => self.text_from(None, next),
        }
    }

    fn text_from(&mut self, start: Option<&str>, mut next: Event<'i>) -> Result<SmolStr, DecodeError> {
        let mut text = SmolStrBuilder::new();
        let mut length = 0;
        let mut add = |more: &str, meter: &Meter, position| {
            length += more.len();
            meter.text(length, position)?;
            text.push_str(more);
            Ok(())
        };
        add(start.unwrap_or_default(), &self.meter, self.position())?;
        loop {
            let position = self.position();
            match next {
                Event::End(_) => return Ok(text.finish()),
                Event::Text(more) => add(&more, &self.meter, position)?,
                Event::CData(more) => add(&more, &self.meter, position)?,
                Event::GeneralRef(reference) => {
                    let resolved =
                        reference.resolve_char_ref().map_err(|error| self.error(error.to_string()))?;
                    let meant = match (resolved, &*reference) {
                        (Some(character), _) => character,
                        (None, "amp") => '&',
                        (None, "lt") => '<',
                        (None, "gt") => '>',
                        (None, "quot") => '"',
                        (None, "apos") => '\'',
                        (None, _) => return Err(self.error("an unknown entity")),
                    };
                    add(meant.encode_utf8(&mut [0; 4]), &self.meter, position)?;
                }
                Event::Comment(_) => {}
                Event::Eof => return Err(self.error("the document ends early")),
                _ => return Err(self.error("an element inside text")),
            }
            next = self.event()?;
        }
    }
}

impl Source for Parser<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
        Parser::value(self, depth)
    }

    fn members(
        &mut self,
        depth: usize,
        member: impl FnMut(&mut Self, &str, Option<Value>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.enter(depth)?;
        self.open("struct")?;
        self.each_member(depth, member)?;
        self.close()
    }

    fn elements(
        &mut self,
        depth: usize,
        mut element: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.enter(depth)?;
        self.open("array")?;
        self.open("data")?;
        loop {
            match self.tag()? {
                Tag::Open(tag) if tag.name().as_ref() == "value" => element(self)?,
                Tag::Open(_) => return Err(self.error("expected <value> in an array")),
                Tag::Close => break,
            }
        }
        self.close()?;
        self.close()
    }
}

// Nearly all of a reply are members and elements that hold plain text or a truth value, written without a space between
// tags. They are read here in one go; whatever looks different in any way is left to the reader.

/// What a plain value holds.
#[derive(Clone, Copy)]
enum Plain<'i> {
    Text(&'i str),
    Truth(bool),
    NoElements,
    NoMembers,
}

/// A whole `<member>` and what follows it.
fn plain_member(text: &str) -> Option<(&str, Plain<'_>, &str)> {
    let (name, rest) = plain_text(text.strip_prefix("<member><name>")?)?;
    let (value, rest) = plain_value(rest.strip_prefix("</name><value>")?)?;
    Some((name, value, rest.strip_prefix("</member>")?))
}

/// A whole `<value>` and what follows it.
fn plain_element(text: &str) -> Option<(Plain<'_>, &str)> {
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
