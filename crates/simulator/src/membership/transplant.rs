//! Rows of one pool, put into another: under new references, and with none that leads to where they came from.

use std::collections::BTreeMap;

use smol_str::SmolStr;
use xapi::model::schema::Type;
use xapi::{NULL_REF, Struct, Value};

use crate::catalog::{self, End};
use crate::database::Database;
use crate::random::Random;

/// What is known of rows that are put somewhere else.
#[derive(Debug, Default)]
pub(super) struct Transplant {
    /// References over there by those here.
    names: BTreeMap<SmolStr, SmolStr>,
    /// What was put there, by its reference here.
    put: Vec<(&'static str, SmolStr)>,
}

impl Transplant {
    /// An object that is over there already.
    pub(super) fn know(&mut self, here: &str, there: SmolStr) {
        self.names.insert(here.into(), there);
    }

    /// The reference over there of an object here.
    pub(super) fn there(&self, here: &str) -> Option<&SmolStr> {
        self.names.get(here)
    }

    /// A row's fields as they are over there, as far as they do not follow from other rows.
    pub(super) fn fields(&self, from: &Database, class: &str, reference: &str) -> Vec<(&'static str, Value)> {
        let (Some(entry), Some(row)) = (catalog::entry(class), from.row(class, reference)) else {
            return Vec::new();
        };
        let fields = entry.class.fields.iter().zip(&entry.ends).zip(&row.values);
        fields
            .filter(|((_, end), _)| **end != End::Follows)
            .map(|((field, _), value)| (field.name, self.moved(&field.kind, value)))
            .collect()
    }

    /// Puts a row there, with some fields otherwise than they are here, and gives its reference there. One of the same
    /// uuid that is there already is not made again.
    pub(super) fn put(
        &mut self,
        from: &Database,
        into: &mut Database,
        random: &mut Random,
        (class, here): (&'static str, &str),
        otherwise: Vec<(&'static str, Value)>,
    ) -> SmolStr {
        if let Some(there) = self.names.get(here) {
            return there.clone();
        }
        if from.row(class, here).is_none() {
            return SmolStr::new_static(NULL_REF);
        }
        if let Some(there) = into.by_uuid(class, from.text(class, here, "uuid")) {
            self.know(here, there.clone());
            return there;
        }
        let there = random.reference();
        self.put_as(from, into, (class, here), &there, otherwise);
        there
    }

    /// Puts a row there under this reference, with some fields otherwise than they are here.
    pub(super) fn put_as(
        &mut self,
        from: &Database,
        into: &mut Database,
        (class, here): (&'static str, &str),
        there: &SmolStr,
        otherwise: Vec<(&'static str, Value)>,
    ) {
        self.know(here, there.clone());
        let mut fields = self.fields(from, class, here);
        fields.extend(otherwise);
        into.create(class, there, fields);
        self.put.push((class, here.into()));
    }

    /// Writes what rows that were put could not say yet, because what they refer to came after them.
    pub(super) fn settle(&mut self, from: &Database, into: &mut Database) {
        for (class, here) in std::mem::take(&mut self.put) {
            let Some(there) = self.names.get(&here).cloned() else { continue };
            for (field, value) in self.fields(from, class, &here) {
                let declared = catalog::entry(class).and_then(|entry| entry.field(field));
                if declared.is_some_and(|(_, declared)| refers(&declared.kind)) {
                    into.write(class, &there, field, value);
                }
            }
        }
    }

    fn moved(&self, kind: &Type, value: &Value) -> Value {
        let nowhere = || Value::String(SmolStr::new_static(NULL_REF));
        match (kind, value) {
            (Type::Ref(_), Value::String(here)) => {
                self.names.get(here).map_or_else(nowhere, |there| Value::String(there.clone()))
            }
            (Type::Set(inner), Value::Array(elements)) if refers(inner) => {
                let elements = elements.iter().map(|element| self.moved(inner, element));
                Value::Array(elements.filter(|element| *element != nowhere()).collect())
            }
            (Type::Map(key, inner), Value::Struct(members)) if refers(key) || refers(inner) => {
                let moved = members.iter().filter_map(|(name, value)| {
                    let name = if refers(key) { self.names.get(name)? } else { name };
                    let value = self.moved(inner, value);
                    (!refers(inner) || value != nowhere()).then(|| (name.clone(), value))
                });
                Value::Struct(moved.collect::<Struct>())
            }
            _ => value.clone(),
        }
    }
}

/// Whether a value of this type holds references.
fn refers(kind: &Type) -> bool {
    match kind {
        Type::Ref(_) => true,
        Type::Set(inner) | Type::Option(inner) => refers(inner),
        Type::Map(key, value) => refers(key) || refers(value),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &'static str) -> Value {
        Value::String(text.into())
    }

    #[test]
    fn rows_get_new_references_and_lead_to_nothing_that_stayed_behind() {
        let (mut from, mut into, mut random) = (Database::new(), Database::new(), Random::new(1));
        from.create("SR", &"sr".into(), vec![("uuid", text("1")), ("name_label", text("local"))]);
        from.create("SR", &"known".into(), vec![("uuid", text("2"))]);
        from.create("VDI", &"disk".into(), vec![("uuid", text("3")), ("SR", text("sr"))]);
        from.create(
            "VDI",
            &"snapshot".into(),
            vec![
                ("uuid", text("4")),
                ("SR", text("sr")),
                ("snapshot_of", text("disk")),
                ("parent", text("gone")),
            ],
        );
        into.create("SR", &"theirs".into(), vec![("uuid", text("2"))]);

        let mut rows = Transplant::default();
        assert_eq!(rows.put(&from, &mut into, &mut random, ("SR", "known"), vec![]), "theirs");
        let sr = rows.put(&from, &mut into, &mut random, ("SR", "sr"), vec![("name_label", text("moved"))]);
        let snapshot = rows.put(&from, &mut into, &mut random, ("VDI", "snapshot"), vec![]);
        let disk = rows.put(&from, &mut into, &mut random, ("VDI", "disk"), vec![]);
        assert_eq!(rows.put(&from, &mut into, &mut random, ("VDI", "disk"), vec![]), disk, "once");
        assert_eq!(into.text("VDI", &snapshot, "snapshot_of"), NULL_REF, "its disk comes after it");
        rows.settle(&from, &mut into);
        assert_eq!(into.text("VDI", &snapshot, "snapshot_of"), disk);
        assert_eq!(into.words("VDI", &disk, "snapshots"), [snapshot.as_str()]);
        assert_eq!(into.text("VDI", &snapshot, "parent"), NULL_REF);
        assert_eq!(into.text("SR", &sr, "name_label"), "moved");
        assert_eq!(into.words("SR", &sr, "VDIs").len(), 2);
        assert_eq!(into.table("SR").map(|table| table.rows.len()), Some(2));
    }
}
