//! Objects of one class mostly resemble each other: what is the same in two records, byte for byte, is read once.

use std::sync::Arc;

use super::fields::{Fields, bit};
use super::record::Record;
use super::schema::{self, Class};
use super::usual;
use crate::codec::Awaited;
use crate::value::Value;

/// Longer records are no pattern, so that patterns take little room whatever a peer sends.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// The record of one class that was read before, as text and as values.
#[derive(Default)]
pub(crate) struct Pattern {
    class: Option<&'static Class>,
    awaited: &'static [Awaited],
    /// The record; none where there is none yet.
    record: Option<Arc<Record>>,
    /// Its JSON text, from after the opening brace to the end.
    text: Vec<u8>,
    /// Its members in the order of the text.
    members: Vec<Member>,
    /// The members so far of the record that is being read.
    members_now: Vec<Member>,
    /// The values that are kept of the record that is being read, for as long as it is not known how many there will be.
    pub(super) values: Vec<Value>,
}

/// What one member adds to a record.
#[derive(Debug, Clone, Copy)]
struct Member {
    /// With the comma or brace after it.
    bytes: usize,
    /// Those within others too.
    values: usize,
    is_kept: bool,
    is_unknown: bool,
    /// The position in the class of the field after it, most likely.
    expected: usize,
}

/// How far a record has been read.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Mark {
    /// So many members.
    pub(super) members: usize,
    /// To this byte of its text, the comma or brace after the last member included.
    pub(super) bytes: usize,
    /// So many values, those within others too.
    pub(super) values: usize,
    /// So many values that are kept.
    pub(super) kept: usize,
    /// So many fields that the schema does not know.
    pub(super) others: usize,
    /// The position in the class of the field that comes next most likely.
    pub(super) expected: usize,
}

impl Mark {
    #[inline]
    fn after(self, member: &Member) -> Mark {
        Mark {
            members: self.members + 1,
            bytes: self.bytes + member.bytes,
            values: self.values + member.values,
            kept: self.kept + usize::from(member.is_kept),
            others: self.others + usize::from(member.is_unknown),
            expected: member.expected,
        }
    }
}

impl Pattern {
    /// For the class of that name; any case.
    pub(crate) fn new(class: &str) -> Self {
        Pattern::of(schema::class(class))
    }

    pub(super) fn of(class: Option<&'static Class>) -> Self {
        Pattern { class, awaited: usual::awaited(class), ..Pattern::default() }
    }

    pub(super) fn class(&self) -> Option<&'static Class> {
        self.class
    }

    /// What is awaited of each field.
    pub(super) fn awaited(&self) -> &'static [Awaited] {
        self.awaited
    }

    /// Another record begins.
    pub(super) fn begin(&mut self) {
        self.members_now.clear();
        self.values.clear();
    }

    /// The end of the members that follow `from` and are the same as the whole members at the start of `ahead`.
    pub(super) fn run(&mut self, from: Mark, ahead: &[u8]) -> Mark {
        let (Some(text), Some(members)) = (self.text.get(from.bytes..), self.members.get(from.members..))
        else {
            return from;
        };
        if self.record.is_none() {
            return from;
        }
        let same = from.bytes + common_prefix(text, ahead);
        let mut to = from;
        for member in members {
            let after = to.after(member);
            if after.bytes > same {
                break;
            }
            to = after;
        }
        self.members_now.extend_from_slice(members.get(..to.members - from.members).unwrap_or_default());
        to
    }

    /// Adds what the record holds from one mark to another to `fields`.
    pub(super) fn take_values(&mut self, from: Mark, to: Mark, fields: &mut Fields) {
        let Some(before) = self.record.as_deref().map(Record::fields) else { return };
        let bits = bit(to.expected).wrapping_sub(bit(from.expected));
        fields.usual |= before.usual & bits;
        fields.kept |= before.kept & bits;
        self.values.extend_from_slice(before.values.get(from.kept..to.kept).unwrap_or_default());
        for (name, value) in before.others.iter().take(to.others).skip(from.others) {
            fields.others.push(name.clone(), value.clone());
        }
    }

    /// Whether the record ends there.
    pub(super) fn is_end(&self, mark: Mark) -> bool {
        mark.members == self.members.len()
    }

    /// One more member of the record that is being read was read from `from` to `to`. Returns whether it can still be a pattern.
    pub(super) fn push(&mut self, from: Mark, to: Mark) -> bool {
        self.members_now.push(Member {
            bytes: to.bytes - from.bytes,
            values: to.values - from.values,
            is_kept: to.kept > from.kept,
            is_unknown: to.others > from.others,
            expected: to.expected,
        });
        to.bytes <= TEXT_BYTES_MAX
    }

    /// The place that most likely comes next after `cursor`, when a member was read that leads to the position `expected`. No
    /// member from there on is of a field before that position, so nothing is taken twice.
    pub(super) fn next(&self, mut cursor: Mark, expected: usize) -> Mark {
        while let Some(member) = self.members.get(cursor.members)
            && member.expected <= expected
        {
            cursor = cursor.after(member);
            if member.expected == expected {
                break;
            }
        }
        cursor
    }

    /// The record that was read becomes the pattern as soon as there is one.
    pub(super) fn replace(&mut self, text: &[u8]) {
        self.text.clear();
        self.text.extend_from_slice(text);
        std::mem::swap(&mut self.members, &mut self.members_now);
        self.record = None;
    }

    /// The record that was read, where it is to be the pattern.
    pub(crate) fn remember(&mut self, record: &Arc<Record>) {
        if self.record.is_none() && !self.members.is_empty() {
            self.record = Some(Arc::clone(record));
        }
    }

    /// The record that was read is no pattern.
    pub(super) fn forget(&mut self) {
        self.members.clear();
    }
}

/// How many bytes two texts begin with alike.
fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    let blocks = one.as_chunks::<32>().0.iter().zip(other.as_chunks::<32>().0);
    let mut same = 32 * blocks.take_while(|(one, other)| one == other).count();
    let rest = |same| (one.get(same..).unwrap_or_default(), other.get(same..).unwrap_or_default());
    let (one, other) = rest(same);
    for (one, other) in one.as_chunks::<8>().0.iter().zip(other.as_chunks::<8>().0) {
        let differing = u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other);
        if differing != 0 {
            return same + (differing.trailing_zeros() / 8) as usize;
        }
        same += 8;
    }
    let (one, other) = rest(same);
    same + one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_alike_up_to_the_first_byte_that_differs() {
        let text: Vec<u8> = (0..100).collect();
        for length in 0..text.len() {
            let mut other = text.clone();
            other[length] = 255;
            assert_eq!(common_prefix(&text, &other), length);
            assert_eq!(common_prefix(&text, &other[..length]), length);
            assert_eq!(common_prefix(&other[..length], &text), length);
        }
        assert_eq!(common_prefix(&text, &text), 100);
    }
}
