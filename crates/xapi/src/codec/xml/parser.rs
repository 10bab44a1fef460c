//! XML text to values, in one pass over quick-xml's events. Knows no request and no response.

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use smol_str::{SmolStr, SmolStrBuilder};

use super::plain::{Plain, plain_element, plain_member};
use crate::codec::DecodeError;
use crate::codec::limits::{Limits, Meter};
use crate::codec::source::Source;
use crate::codec::texts::Texts;
use crate::value::{Struct, Value};

/// How much of the name of an unknown type is quoted in an error.
const TYPE_NAME_CHARS: usize = 32;

pub(super) enum Tag<'i> {
    Open(BytesStart<'i>),
    Close,
}

/// Stands somewhere in a message.
pub(super) struct Parser<'i> {
    reader: Reader<&'i [u8]>,
    input: &'i str,
    meter: Meter,
    texts: Texts,
}

impl<'i> Parser<'i> {
    pub(super) fn new(body: &'i [u8], limits: &Limits) -> Result<Self, DecodeError> {
        let meter = Meter::new(limits);
        let input = meter.message(body)?;
        let mut reader = Reader::from_str(input);
        reader.config_mut().expand_empty_elements = true;
        Ok(Parser { reader, input, meter, texts: Texts::new(body.len()) })
    }

    fn position(&self) -> usize {
        self.input.len().saturating_sub(self.reader.get_ref().len())
    }

    pub(super) fn error(&self, what: impl Into<String>) -> DecodeError {
        DecodeError::new(what, self.position())
    }

    fn event(&mut self) -> Result<Event<'i>, DecodeError> {
        self.reader.read_event().map_err(|error| DecodeError::new(error.to_string(), self.position()))
    }

    /// The next tag; white space, comments and declarations between tags are passed over.
    pub(super) fn tag(&mut self) -> Result<Tag<'i>, DecodeError> {
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

    pub(super) fn open(&mut self, name: &str) -> Result<(), DecodeError> {
        match self.tag()? {
            Tag::Open(tag) if tag.name().as_ref() == name => Ok(()),
            _ => Err(self.error(format!("expected <{name}>"))),
        }
    }

    /// The end of the element that is open; the reader checks that the names fit.
    pub(super) fn close(&mut self) -> Result<(), DecodeError> {
        match self.tag()? {
            Tag::Close => Ok(()),
            Tag::Open(_) => Err(self.error("an element too many")),
        }
    }

    /// Nothing but white space and comments may follow.
    pub(super) fn end(&mut self) -> Result<(), DecodeError> {
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
    pub(super) fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
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

    /// Whether values inside the element that was just opened may be read by [`plain`](super::plain): not where the depth is
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
    pub(super) fn text_until_close(&mut self) -> Result<SmolStr, DecodeError> {
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
