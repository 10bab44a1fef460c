//! JSON text to values, in one pass. Written for XAPI: bare `NaN` and `Infinity` are floats, integers are exact, and
//! every bound of [`Limits`] holds while reading. Knows no request and no response.

use std::borrow::Cow;

use smol_str::SmolStr;

use super::scan::{end_of_plain, whole_number};
use crate::codec::DecodeError;
use crate::codec::limits::{Limits, Meter};
use crate::codec::source::{Awaiting, Source};
use crate::codec::texts::Texts;
use crate::value::{Struct, Value};

pub(super) struct Reader<'i> {
    input: &'i str,
    position: usize,
    meter: Meter,
    texts: Texts,
    /// Elements of the lists that are not read to their end yet, the innermost last: what is in a list is moved into memory
    /// of just its size, once that is known.
    elements: Vec<Value>,
    /// The same for members of maps.
    members: Vec<(SmolStr, Value)>,
}

impl<'i> Reader<'i> {
    pub(super) fn new(body: &'i [u8], limits: &Limits) -> Result<Self, DecodeError> {
        let meter = Meter::new(limits);
        Ok(Reader {
            input: meter.message(body)?,
            position: 0,
            meter,
            texts: Texts::new(body.len()),
            elements: Vec::new(),
            members: Vec::new(),
        })
    }

    /// Nothing but white space may follow.
    pub(super) fn end(&mut self) -> Result<(), DecodeError> {
        match self.next_byte() {
            None => Ok(()),
            Some(_) => Err(self.error("something follows the end")),
        }
    }

    /// The members of the object that comes next: `member` is called at each value and must read it.
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Cow<'i, str>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.expect(b'{', "expected an object")?;
        if self.passed(b'}') {
            return Ok(());
        }
        loop {
            self.expect(b'"', "expected a member's name")?;
            let name = self.text()?;
            self.expect(b':', "expected a colon after a member's name")?;
            member(self, name)?;
            if self.passed(b'}') {
                return Ok(());
            }
            self.expect(b',', "expected a comma or the end of the object")?;
        }
    }

    /// The value that comes next, inside `depth` others; `None` for `null`.
    pub(super) fn optional(&mut self, depth: usize) -> Result<Option<Value>, DecodeError> {
        if self.next_byte() == Some(b'n') { self.word().map(|_| None) } else { self.value(depth).map(Some) }
    }

    /// The value that comes next, inside `depth` others. `null` is void.
    pub(super) fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
        let first = self.next_byte();
        self.enter(depth)?;
        // Most are texts; asked for first, a processor foresees them better than among the others.
        if first == Some(b'"') {
            self.position += 1;
            return self.kept_text().map(Value::String);
        }
        match first {
            Some(b'[') => self.array(depth),
            Some(b'{') => self.map(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(byte) if byte.is_ascii_alphabetic() => self.word(),
            Some(_) => Err(self.error("expected a value")),
            None => Err(self.error("the text ends early")),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, DecodeError> {
        let outer = self.elements.len();
        self.list(|reader| {
            let element = reader.value(depth + 1)?;
            reader.elements.push(element);
            Ok(())
        })?;
        Ok(Value::Array(taken_from(&mut self.elements, outer)))
    }

    fn map(&mut self, depth: usize) -> Result<Value, DecodeError> {
        let outer = self.members.len();
        self.object(|reader, name| {
            let name = reader.texts.text(&name);
            let value = reader.value(depth + 1)?;
            reader.members.push((name, value));
            Ok(())
        })?;
        Ok(Value::Struct(Struct::from(taken_from(&mut self.members, outer))))
    }

    /// The elements of the list that comes next: `element` is called at each and must read it.
    fn list(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.expect(b'[', "expected a list")?;
        if self.passed(b']') {
            return Ok(());
        }
        loop {
            element(self)?;
            if self.passed(b']') {
                return Ok(());
            }
            self.expect(b',', "expected a comma or the end of the list")?;
        }
    }

    /// A member that is awaited perhaps, its value inside `depth` others. The comma after it is left.
    fn field(&mut self, depth: usize, fields: &mut impl Awaiting) -> Result<(), DecodeError> {
        let rest = self.rest().as_bytes();
        if let Some(awaited) = fields.awaited()
            // What is counted together here is counted apart below.
            && self.meter.takes_text(awaited.opening.len() + awaited.usual.len())
            && let Some(value) = rest.strip_prefix(awaited.opening.as_bytes())
        {
            self.position += awaited.opening.len();
            let usual = awaited.usual.as_bytes();
            // What does not end there is another value that begins alike.
            if let Some([b',' | b'}', ..]) = value.strip_prefix(usual)
                && !usual.is_empty()
            {
                self.enter(depth)?;
                self.position += usual.len();
                fields.take_usual();
            } else {
                let value = self.value(depth)?;
                fields.take_awaited(value);
            }
            return Ok(());
        }
        self.expect(b'"', "expected a member's name")?;
        let name = self.text()?;
        self.expect(b':', "expected a colon after a member's name")?;
        let value = self.value(depth)?;
        fields.take(&name, value);
        Ok(())
    }

    /// Counts the value that comes next.
    #[inline]
    fn enter(&mut self, depth: usize) -> Result<(), DecodeError> {
        self.meter.depth(depth, self.position)?;
        self.meter.value(self.position)
    }

    fn word(&mut self) -> Result<Value, DecodeError> {
        let rest = self.rest();
        // The two that come all the time.
        for (word, value) in [("false", Value::Bool(false)), ("true", Value::Bool(true))] {
            if let Some(after) = rest.strip_prefix(word)
                && !after.starts_with(|next: char| next.is_ascii_alphabetic())
            {
                self.position += word.len();
                return Ok(value);
            }
        }
        let length = rest.bytes().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(rest.len());
        let value = match rest.get(..length) {
            Some("true") => Value::Bool(true),
            Some("false") => Value::Bool(false),
            Some("null") => Value::VOID,
            Some("NaN") => Value::Float(f64::NAN),
            Some("Infinity") => Value::Float(f64::INFINITY),
            _ => return Err(self.error("an unknown word")),
        };
        self.position += length;
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, DecodeError> {
        let rest = self.rest();
        if let Some((number, length)) = whole_number(rest.as_bytes()) {
            self.position += length;
            return Ok(Value::Int(number));
        }
        if let Some(after) = rest.strip_prefix("-Infinity") {
            self.position = self.input.len() - after.len();
            return Ok(Value::Float(f64::NEG_INFINITY));
        }
        let part = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.bytes().position(|byte| !part(byte)).unwrap_or(rest.len());
        let text = rest.get(..length).unwrap_or_default();
        let digits = text.strip_prefix('-').unwrap_or(text);
        let led_by_zero = digits.len() > 1 && digits.starts_with('0');
        let value = if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            if led_by_zero || digits.is_empty() {
                return Err(self.error("not a number"));
            }
            Value::Int(text.parse().map_err(|_| self.error("an integer beyond 64 bits"))?)
        } else {
            let number: f64 = text.parse().map_err(|_| self.error("not a number"))?;
            if !number.is_finite() {
                return Err(self.error("a number beyond what a float can be"));
            }
            Value::Float(number)
        };
        self.position += length;
        Ok(value)
    }

    /// After the opening quote: the text, up to and with the closing one. What is not escaped is borrowed.
    #[inline]
    pub(super) fn text(&mut self) -> Result<Cow<'i, str>, DecodeError> {
        let plain = self.plain()?;
        if self.input.as_bytes().get(self.position) == Some(&b'"') {
            self.position += 1;
            self.meter.text(plain.len(), self.position)?;
            return Ok(Cow::Borrowed(plain));
        }
        self.text_after(plain).map(Cow::Owned)
    }

    /// The same, as it is kept.
    #[inline]
    fn kept_text(&mut self) -> Result<SmolStr, DecodeError> {
        let text = self.text()?;
        Ok(self.texts.text(&text))
    }

    /// The text that begins with `plain` and goes on with a backslash.
    #[cold]
    fn text_after(&mut self, plain: &str) -> Result<String, DecodeError> {
        let mut text = String::from(plain);
        self.position += 1;
        loop {
            text.push(self.escaped()?);
            text.push_str(self.plain()?);
            self.meter.text(text.len(), self.position)?;
            if self.take() == Some(b'"') {
                return Ok(text);
            }
        }
    }

    /// What stands before the next quote or backslash.
    #[inline]
    fn plain(&mut self) -> Result<&'i str, DecodeError> {
        let rest = self.rest();
        let end = end_of_plain(rest.as_bytes());
        let Some(plain) = end.and_then(|at| rest.get(..at)) else {
            return Err(self.error("a text does not end"));
        };
        self.position += plain.len();
        Ok(plain)
    }

    /// After a backslash: the character that is meant.
    fn escaped(&mut self) -> Result<char, DecodeError> {
        Ok(match self.take() {
            Some(plain @ (b'"' | b'\\' | b'/')) => char::from(plain),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.four_digits()?;
                let code = if (0xd800..0xdc00).contains(&first) && self.rest().starts_with("\\u") {
                    self.position += 2;
                    let second = self.four_digits()?;
                    let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400);
                    low.map(|low| 0x10000 + ((first - 0xd800) << 10) + low)
                } else {
                    Some(first)
                };
                code.and_then(char::from_u32).ok_or_else(|| self.error("half a character"))?
            }
            _ => return Err(self.error("an unknown escape")),
        })
    }

    fn four_digits(&mut self) -> Result<u32, DecodeError> {
        let digits =
            self.rest().get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        self.position += 4;
        code.ok_or_else(|| DecodeError::new("not four hexadecimal digits", self.position - 4))
    }

    #[inline]
    fn rest(&self) -> &'i str {
        self.input.get(self.position..).unwrap_or_default()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.input.as_bytes().get(self.position).copied();
        self.position += 1;
        byte
    }

    /// The next byte that is no white space; it stays where it is.
    #[inline]
    fn next_byte(&mut self) -> Option<u8> {
        let bytes = self.input.as_bytes();
        while let Some(byte) = bytes.get(self.position) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.position += 1;
        }
        None
    }

    /// Whether `byte` comes next; it is passed over then.
    #[inline]
    fn passed(&mut self, byte: u8) -> bool {
        // Mostly there is no white space.
        if self.input.as_bytes().get(self.position) == Some(&byte) {
            self.position += 1;
            return true;
        }
        let there = self.next_byte() == Some(byte);
        self.position += usize::from(there);
        there
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8, what: &str) -> Result<(), DecodeError> {
        if self.passed(byte) { Ok(()) } else { Err(self.error(what)) }
    }

    #[cold]
    pub(super) fn error(&self, what: impl Into<String>) -> DecodeError {
        DecodeError::new(what, self.position.min(self.input.len()))
    }
}

/// What a stack holds from there on, in memory of just its size.
fn taken_from<T>(stack: &mut Vec<T>, outer: usize) -> Vec<T> {
    if outer > 0 {
        return stack.split_off(outer);
    }
    let mut all = Vec::with_capacity(stack.len());
    all.append(stack);
    all
}

impl Source for Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
        Reader::value(self, depth)
    }

    fn members(
        &mut self,
        depth: usize,
        mut member: impl FnMut(&mut Self, &str, Option<Value>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.enter(depth)?;
        self.object(|reader, name| member(reader, &name, None))
    }

    fn fields(&mut self, depth: usize, fields: &mut impl Awaiting) -> Result<(), DecodeError> {
        self.enter(depth)?;
        self.expect(b'{', "expected an object")?;
        if self.passed(b'}') {
            return Ok(());
        }
        let (begin, counted) = (self.position, self.meter.values());
        loop {
            let alike = fields.take_alike(self.rest().as_bytes());
            self.meter.more(alike.values, self.position)?;
            self.position += alike.bytes;
            if alike.ended {
                break;
            }
            self.field(depth + 1, fields)?;
            let ended = self.passed(b'}');
            if !ended {
                self.expect(b',', "expected a comma or the end of the object")?;
            }
            fields.end_member(self.position - begin, self.meter.values() - counted);
            if ended {
                break;
            }
        }
        fields.end(self.input.as_bytes().get(begin..self.position).unwrap_or_default());
        Ok(())
    }

    fn elements(
        &mut self,
        depth: usize,
        element: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.enter(depth)?;
        self.list(element)
    }

    fn ahead(&mut self) -> Option<&[u8]> {
        self.next_byte()?;
        Some(self.rest().as_bytes())
    }

    fn behind(&self, bytes: usize) -> &[u8] {
        let from = self.position.saturating_sub(bytes);
        self.input.as_bytes().get(from..self.position).unwrap_or_default()
    }

    fn pass(&mut self, bytes: usize) {
        self.position += bytes;
    }
}
