//! The fields of one object on their way in: typed, and put where they belong.

use std::collections::HashSet;

use super::fields::{Fields, bit, position_in};
use super::pattern::{Mark, Pattern};
use super::schema::Type;
use super::typed::typed;
use super::usual::is_usual;
use crate::codec::{Alike, Awaited, Awaiting};
use crate::value::{Struct, Value};

/// The fields of one object on their way in, in the order in which a peer sends them.
pub(crate) struct Filling<'p> {
    fields: Fields,
    /// The record before, and room to work in.
    pattern: &'p mut Pattern,
    /// The position of the field that comes next most likely, and its bit.
    expected: usize,
    expected_bit: u128,
    /// How far the object has come, its `members` left out.
    now: Mark,
    /// The place in the pattern that most likely comes next.
    cursor: Mark,
    /// No field came twice or before one that it stands after in the class. Otherwise values are not kept in the order in
    /// which they come, and nothing is compared with the record before.
    ordered: bool,
}

impl<'p> Filling<'p> {
    /// Of an object of the pattern's class.
    pub(crate) fn new(pattern: &'p mut Pattern) -> Self {
        pattern.begin();
        let fields = Fields { class: pattern.class(), ..Fields::default() };
        Filling {
            fields,
            pattern,
            expected: 0,
            expected_bit: 1,
            now: Mark::default(),
            cursor: Mark::default(),
            ordered: true,
        }
    }

    /// Takes one field in. Of a name that comes twice the first counts.
    pub(super) fn push(&mut self, name: &str, value: Value) {
        match self.fields.class.and_then(|class| position_in(class, name, self.expected)) {
            Some((position, kind)) => {
                if position != self.expected {
                    self.ordered &= position > self.expected;
                    self.expect(position);
                }
                self.put(kind, value);
            }
            None => self.fields.others.push(name.into(), value),
        }
    }

    /// Takes the expected field in, and expects the one after it.
    fn put(&mut self, kind: &Type, value: Value) {
        let (position, bit) = (self.expected, self.expected_bit);
        self.advance();
        let fields = &mut self.fields;
        if (fields.usual | fields.kept) & bit != 0 {
            return;
        }
        let mut value = if fits(kind, &value) { value } else { typed(kind, value) };
        if is_usual(kind, &value) {
            fields.usual |= bit;
            return;
        }
        value.shrink();
        let values = &mut self.pattern.values;
        // Nothing kept stands after it, mostly.
        if fields.kept < bit {
            values.push(value);
        } else {
            values.insert(fields.rank(position), value);
        }
        fields.kept |= bit;
    }

    fn expect(&mut self, position: usize) {
        (self.expected, self.expected_bit) = (position, bit(position));
    }

    fn advance(&mut self) {
        self.expected += 1;
        self.expected_bit <<= 1;
    }

    fn mark(&self, bytes: usize, values: usize) -> Mark {
        Mark {
            bytes,
            values,
            kept: self.pattern.values.len(),
            others: self.fields.others.len(),
            expected: self.expected,
            ..self.now
        }
    }

    /// The fields, once all have come.
    pub(crate) fn finish(self) -> Fields {
        let unknown = self.fields.others.len();
        let others = first_of_each(self.fields.others);
        if others.len() < unknown {
            // One that came twice is left out, and those after it would be taken for others.
            self.pattern.forget();
        }
        let mut values = Vec::with_capacity(self.pattern.values.len());
        values.append(&mut self.pattern.values);
        Fields { values: values.into_boxed_slice(), others, ..self.fields }
    }
}

impl Awaiting for Filling<'_> {
    fn take_alike(&mut self, ahead: &[u8]) -> Alike {
        if !self.ordered {
            return Alike::default();
        }
        let from = self.cursor;
        let to = self.pattern.run(from, ahead);
        if to.bytes == from.bytes {
            return Alike::default();
        }
        self.pattern.take_values(from, to, &mut self.fields);
        self.cursor = to;
        let alike = Alike {
            bytes: to.bytes - from.bytes,
            values: to.values - from.values,
            ended: self.pattern.is_end(to),
        };
        self.expect(to.expected);
        self.now = self.mark(self.now.bytes + alike.bytes, self.now.values + alike.values);
        alike
    }

    fn awaited(&self) -> Option<&'static Awaited> {
        self.pattern.awaited().get(self.expected)
    }

    fn take_usual(&mut self) {
        self.fields.usual |= self.expected_bit & !self.fields.kept;
        self.advance();
    }

    fn take_awaited(&mut self, value: Value) {
        if let Some(field) = self.fields.class.and_then(|class| class.fields.get(self.expected)) {
            self.put(&field.kind, value);
        }
    }

    fn take(&mut self, name: &str, value: Value) {
        self.push(name, value);
    }

    fn end_member(&mut self, bytes: usize, values: usize) {
        if self.ordered {
            let now = self.mark(bytes, values);
            self.ordered = self.pattern.push(self.now, now);
            self.now = now;
            self.cursor = self.pattern.next(self.cursor, self.expected);
        }
    }

    fn end(&mut self, text: &[u8]) {
        if self.ordered {
            self.pattern.replace(text);
        }
    }
}

/// Whether a value has its type already, as nearly all do.
fn fits(kind: &Type, value: &Value) -> bool {
    match (kind, value) {
        (Type::String | Type::Ref(_) | Type::Enum(_), Value::String(_))
        | (Type::Bool, Value::Bool(_))
        | (Type::Int, Value::Int(_))
        | (Type::Float, Value::Float(_)) => true,
        (Type::Set(kind), Value::Array(elements)) => elements.iter().all(|element| fits(kind, element)),
        (Type::Map(_, kind), Value::Struct(members)) => members.iter().all(|(_, member)| fits(kind, member)),
        _ => false,
    }
}

/// Members without those whose name was there before. There may be very many: a peer may send anything.
fn first_of_each(members: Struct) -> Struct {
    if members.len() < 2 {
        return members;
    }
    let mut seen = HashSet::with_capacity(members.len());
    members.into_iter().filter(|(name, _)| seen.insert(name.clone())).collect()
}
