//! The fields of one object, kept small: no names, and nothing for what a field holds most of the time.
//!
//! A pool's records are mostly empty maps, empty lists, zeros and references to nothing. Such a value is one bit here;
//! only others take a place in the slice. What a record says and how it compares does not depend on that.

use smol_str::SmolStr;

use super::filling::Filling;
use super::pattern::Pattern;
use super::schema::{Class, Field, Type};
use super::typed::typed;
use super::usual::{is_usual, usual};
use crate::value::{Struct, Value};

/// Values by field. The same fields with the same values are always kept the same way, so they compare as they are.
#[derive(Clone, Default)]
pub(crate) struct Fields {
    /// The class, where the schema knows it.
    pub(super) class: Option<&'static Class>,
    /// Fields whose value is the usual one of their type, by position in the class.
    pub(super) usual: u128,
    /// Fields whose value is in `values`, by position in the class.
    pub(super) kept: u128,
    /// The values of the fields in `kept`, in the order of the class.
    pub(super) values: Box<[Value]>,
    /// Fields that the schema does not know.
    pub(super) others: Struct,
}

pub(super) fn bit(position: usize) -> u128 {
    u32::try_from(position).ok().and_then(|position| 1_u128.checked_shl(position)).unwrap_or(0)
}

impl Fields {
    /// Takes the members of a decoded record in, typed by the schema.
    pub(super) fn new(class: Option<&'static Class>, members: Struct) -> Self {
        let mut pattern = Pattern::of(class);
        let mut filling = Filling::new(&mut pattern);
        for (name, value) in members {
            filling.push(&name, value);
        }
        filling.finish()
    }

    /// Where a field stands in the class; none for one that the schema does not know.
    fn position(&self, name: &str) -> Option<(usize, &'static Type)> {
        position_in(self.class?, name, 0)
    }

    /// How many of the kept values come before this position.
    pub(super) fn rank(&self, position: usize) -> usize {
        (self.kept & (bit(position).wrapping_sub(1))).count_ones() as usize
    }

    fn at(&self, position: usize, kind: &Type) -> Option<&Value> {
        if self.usual & bit(position) != 0 {
            usual(kind)
        } else if self.kept & bit(position) != 0 {
            self.values.get(self.rank(position))
        } else {
            None
        }
    }

    pub(super) fn class(&self) -> Option<&'static Class> {
        self.class
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        match self.position(name) {
            Some((position, kind)) => self.at(position, kind),
            None => self.others.get(name),
        }
    }

    pub(super) fn len(&self) -> usize {
        (self.usual | self.kept).count_ones() as usize + self.others.len()
    }

    /// All fields: those that the schema knows in its order, then the others as they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        let mut values = self.values.iter();
        let known = self.class.map_or(&[][..], |class| class.fields).iter().enumerate();
        let known = known.filter_map(move |(position, field)| {
            let value = if self.usual & bit(position) != 0 {
                usual(&field.kind)
            } else if self.kept & bit(position) != 0 {
                values.next()
            } else {
                None
            };
            value.map(|value| (field.name, value))
        });
        known.chain(self.others.iter().map(|(name, value)| (name.as_str(), value)))
    }

    /// Sets one field, typed by the schema, and returns what was there.
    pub(super) fn set(&mut self, name: &str, value: Value) -> Option<Value> {
        let Some((position, kind)) = self.position(name) else { return self.others.insert(name, value) };
        let before = self.take(position, kind);
        let value = typed(kind, value);
        if is_usual(kind, &value) {
            self.usual |= bit(position);
        } else {
            let mut values = std::mem::take(&mut self.values).into_vec();
            values.insert(self.rank(position), value);
            self.values = values.into_boxed_slice();
            self.kept |= bit(position);
        }
        before
    }

    /// Takes one field out.
    pub(super) fn remove(&mut self, name: &str) -> Option<Value> {
        match self.position(name) {
            Some((position, kind)) => self.take(position, kind),
            None => self.others.remove(name),
        }
    }

    fn take(&mut self, position: usize, kind: &Type) -> Option<Value> {
        if self.usual & bit(position) != 0 {
            self.usual &= !bit(position);
            usual(kind).cloned()
        } else if self.kept & bit(position) != 0 {
            let mut values = std::mem::take(&mut self.values).into_vec();
            let value = values.remove(self.rank(position));
            self.values = values.into_boxed_slice();
            self.kept &= !bit(position);
            Some(value)
        } else {
            None
        }
    }

    /// Names of the fields in which the two differ, in the order of `self`, then those that only `older` has.
    pub(super) fn changed_since(&self, older: &Fields) -> Vec<SmolStr> {
        let (Some(class), true) = (self.class, same_class(self.class, older.class)) else {
            return self.changed_by_name(older);
        };
        let mut names = Vec::new();
        let mut gone = Vec::new();
        // Fields that are the usual value in both, or in neither record at all, need no look.
        let mut left = (self.usual | self.kept | older.usual | older.kept) & !(self.usual & older.usual);
        while left != 0 {
            let position = left.trailing_zeros() as usize;
            left &= left - 1;
            let Some(field) = class.fields.get(position) else { break };
            let (now, before) = (self.at(position, &field.kind), older.at(position, &field.kind));
            if now.is_none() {
                gone.push(SmolStr::new_static(field.name));
            } else if now != before {
                names.push(SmolStr::new_static(field.name));
            }
        }
        names.extend(changed_members(&self.others, &older.others));
        names.append(&mut gone);
        names.extend(gone_members(&self.others, &older.others));
        names
    }

    fn changed_by_name(&self, older: &Fields) -> Vec<SmolStr> {
        let changed = self.iter().filter(|(name, value)| older.get(name) != Some(*value));
        let gone = older.iter().filter(|(name, _)| self.get(name).is_none());
        changed.chain(gone).map(|(name, _)| name.into()).collect()
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        same_class(self.class, other.class)
            && (self.usual, self.kept) == (other.usual, other.kept)
            && self.values == other.values
            && self.others == other.others
    }
}

impl Eq for Fields {}

impl std::fmt::Debug for Fields {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_map().entries(self.iter()).finish()
    }
}

fn same_class(one: Option<&'static Class>, other: Option<&'static Class>) -> bool {
    one.map(|class| class.name) == other.map(|class| class.name)
}

fn changed_members(now: &Struct, before: &Struct) -> impl Iterator<Item = SmolStr> {
    now.iter().filter(|(name, value)| before.get(name) != Some(*value)).map(|(name, _)| name.clone())
}

fn gone_members(now: &Struct, before: &Struct) -> impl Iterator<Item = SmolStr> {
    before.iter().filter(|(name, _)| now.get(name).is_none()).map(|(name, _)| name.clone())
}

/// Records come in the order of the datamodel, so a field is usually the one that was expected. A position that has
/// no bit counts as unknown.
pub(super) fn position_in(
    class: &'static Class,
    name: &str,
    expected: usize,
) -> Option<(usize, &'static Type)> {
    let found = match class.fields.get(expected) {
        Some(field) if field.name == name => Some(expected),
        // A pool that is older or newer leaves some out.
        _ => {
            let (before, after) = class.fields.split_at(expected.min(class.fields.len()));
            let named = |field: &Field| field.name == name;
            let later = after.iter().position(named).map(|at| before.len() + at);
            later.or_else(|| before.iter().position(named))
        }
    };
    let position = found.filter(|position| bit(*position) != 0)?;
    Some((position, &class.fields.get(position)?.kind))
}
