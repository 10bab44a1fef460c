//! The object model as the database needs it: positions by name, and for each field what follows from writing it.
//!
//! Knows the schema and nothing of rows.

use std::collections::HashMap;
use std::sync::LazyLock;

use xapi::model::schema::{self, Class, Field};

/// One class that has a table.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The schema's own words.
    pub(crate) class: &'static Class,
    /// The position among tables, which is the order of the datamodel.
    pub(crate) position: usize,
    fields: HashMap<&'static str, usize>,
    /// What each field means for other tables, by position.
    pub(crate) ends: Vec<End>,
}

/// What writing a field means for other tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing.
    Free,
    /// The field holds one reference or a set of them; a set over there lists us.
    Points(Place),
    /// The field lists whoever points here; nobody writes it by hand.
    Follows,
    /// Both ends are sets and either may be written.
    Shares(Place),
}

/// A field of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Position of the table.
    pub(crate) table: usize,
    /// Position of the field in its class.
    pub(crate) field: usize,
}

impl Entry {
    /// The position of a field by its wire name.
    pub(crate) fn position_of(&self, field: &str) -> Option<usize> {
        self.fields.get(field).copied()
    }

    /// A field by its wire name.
    pub(crate) fn field(&self, field: &str) -> Option<(usize, &'static Field)> {
        let position = self.position_of(field)?;
        self.class.fields.get(position).map(|field| (position, field))
    }
}

static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(build);
static BY_NAME: LazyLock<HashMap<&'static str, usize>> =
    LazyLock::new(|| ENTRIES.iter().map(|entry| (entry.class.name, entry.position)).collect());

/// All classes that have a table, in the order of the datamodel.
pub(crate) fn entries() -> &'static [Entry] {
    &ENTRIES
}

/// The class of that name, case and all.
pub(crate) fn entry(class: &str) -> Option<&'static Entry> {
    BY_NAME.get(class).and_then(|position| ENTRIES.get(*position))
}

fn build() -> Vec<Entry> {
    let mut entries: Vec<Entry> = schema::classes()
        .iter()
        .filter(|class| class.in_database)
        .enumerate()
        .map(|(position, class)| Entry {
            class,
            position,
            fields: class.fields.iter().enumerate().map(|(index, field)| (field.name, index)).collect(),
            ends: vec![End::Free; class.fields.len()],
        })
        .collect();
    let place = |entries: &[Entry], class: &str, field: &str| {
        let entry = entries.iter().find(|entry| entry.class.name == class)?;
        Some(Place { table: entry.position, field: entry.position_of(field)? })
    };
    for relation in schema::relations() {
        // Some relations have an end that is no field of the published model (a task's session).
        let (Some(one), Some(other)) = (
            place(&entries, relation.class, relation.field),
            place(&entries, relation.other_class, relation.other_field),
        ) else {
            continue;
        };
        // A field related to itself (a role's subroles) is declared so, but does not run both ways.
        if one == other {
            continue;
        }
        let (forth, back) = if relation.many_to_many {
            (End::Shares(other), End::Shares(one))
        } else {
            (End::Points(other), End::Follows)
        };
        set_end(&mut entries, one, forth);
        set_end(&mut entries, other, back);
    }
    entries
}

fn set_end(entries: &mut [Entry], place: Place, end: End) {
    if let Some(slot) = entries.get_mut(place.table).and_then(|entry| entry.ends.get_mut(place.field)) {
        *slot = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xapi::model::schema::Type;

    fn refers(kind: &Type) -> bool {
        matches!(kind, Type::Ref(_)) || matches!(kind, Type::Set(Type::Ref(_)))
    }

    #[test]
    fn relations_join_fields_that_hold_references() {
        let mut ends = 0;
        for entry in entries() {
            for (field, end) in entry.class.fields.iter().zip(&entry.ends) {
                if *end != End::Free {
                    ends += 1;
                    assert!(refers(&field.kind), "{}.{} is {:?}", entry.class.name, field.name, field.kind);
                }
            }
        }
        assert!(ends > 100, "only {ends} ends of relations");
    }

    #[test]
    fn names_carry_their_case() {
        assert!(entry("VM").is_some());
        assert!(entry("vm").is_none());
        assert!(entry("event").is_none(), "no table");
    }
}
