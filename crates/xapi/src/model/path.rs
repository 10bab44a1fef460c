//! Ways from object to object along references: `VBDs.VDI.SR` leads from a VM to where its disks are kept.
//!
//! A [`Path`] is checked against the schema when it is made: every step is a reference, a set of them, or a map to them.
//! Walking asks a function for each object, so it works on a [`World`](super::World) as well as on what
//! [`Client::follow`](crate::Client::follow) fetched.

use std::collections::HashSet;
use std::sync::Arc;

use smol_str::SmolStr;

use super::collection::{Map, Set};
use super::field::FieldError;
use super::object::Ref;
use super::record::Record;
use super::schema::{self, Class, Field, Type};
use crate::suggestion;

/// Longest path. The object model is narrower: what goes on and on goes back and forth.
const STEPS_MAX: usize = 12;

/// A way from objects of one class to others.
#[derive(Debug, Clone)]
pub struct Path {
    steps: Vec<Step>,
}

/// One step of a path.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// The class that it begins at.
    pub from: &'static Class,
    /// The field that is followed.
    pub field: &'static Field,
    /// The class that it leads to.
    pub to: &'static Class,
}

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The class has no such field.
    #[error("{class} has no field {field:?}{}", suggestion::shown(.suggestion.as_deref()))]
    UnknownField {
        /// The class that the step begins at.
        class: &'static str,
        /// What was asked for.
        field: SmolStr,
        /// A field of a similar name that can be followed, or else any.
        suggestion: Option<SmolStr>,
    },
    /// The field leads nowhere.
    #[error("{class}.{field} is no reference, it cannot be followed")]
    NoReference {
        /// The class that the step begins at.
        class: &'static str,
        /// The field.
        field: &'static str,
    },
    /// There are too many steps.
    #[error("a path has at most {STEPS_MAX} steps")]
    TooLong,
}

/// One way that a path took from one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The objects on the way, one a step, without the one it began at. Fewer than steps where it came to an end.
    pub objects: Vec<Arc<Record>>,
    /// The reference at which it ended, to an object that is gone or out of sight. Nothing where the way was walked to its
    /// end, or led to nothing: a null reference or an empty set.
    pub broken_at: Option<SmolStr>,
}

impl Path {
    /// Reads field names with dots between them, the first a field of `class`.
    ///
    /// # Errors
    /// When a field is unknown or is no reference.
    ///
    /// ```
    /// use xapi::model::{Path, schema};
    ///
    /// let vm = schema::class("VM").unwrap();
    /// let path = Path::parse(vm, "VBDs.VDI.SR").unwrap();
    /// assert_eq!(path.end().map(|class| class.name), Some("SR"));
    /// let error = Path::parse(vm, "VBDs.VDIs").unwrap_err();
    /// assert_eq!(error.to_string(), r#"VBD has no field "VDIs", did you mean "VDI"?"#);
    /// ```
    pub fn parse(class: &'static Class, text: &str) -> Result<Self, PathError> {
        let mut from = class;
        let mut steps = Vec::new();
        for name in text.split('.') {
            if steps.len() == STEPS_MAX {
                return Err(PathError::TooLong);
            }
            let step = Step::along(from, name.trim())?;
            from = step.to;
            steps.push(step);
        }
        Ok(Path { steps })
    }

    /// The steps in their order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The class that it leads to. Every path has a step.
    #[must_use]
    pub fn end(&self) -> Option<&'static Class> {
        self.steps.last().map(|step| step.to)
    }

    /// All ways from one object, at least one. `object` gives the object of a class and reference.
    ///
    /// # Errors
    /// When a record lacks a field of the path, as on pools that are older than it.
    pub fn chains(
        &self,
        start: &Record,
        mut object: impl FnMut(&'static str, &str) -> Option<Arc<Record>>,
    ) -> Result<Vec<Chain>, FieldError> {
        let mut chains = Vec::new();
        walk(&self.steps, start, &mut Vec::new(), &mut object, &mut chains)?;
        Ok(chains)
    }

    /// The objects at the end of all ways from these objects, each once, in the order of the ways.
    ///
    /// # Errors
    /// When a record lacks a field of the path, as on pools that are older than it.
    pub fn reached<'s>(
        &self,
        starts: impl IntoIterator<Item = &'s Arc<Record>>,
        mut object: impl FnMut(&'static str, &str) -> Option<Arc<Record>>,
    ) -> Result<Vec<Arc<Record>>, FieldError> {
        let mut level: Vec<Arc<Record>> = starts.into_iter().cloned().collect();
        for step in &self.steps {
            let mut seen = HashSet::new();
            let mut next = Vec::new();
            for record in &level {
                for reference in step.references(record)? {
                    let fresh = seen.insert(reference.clone());
                    next.extend(fresh.then(|| object(step.to.name, reference.as_str())).flatten());
                }
            }
            level = next;
        }
        Ok(level)
    }
}

impl Step {
    fn along(from: &'static Class, name: &str) -> Result<Self, PathError> {
        let followed = |field: &Field| field.kind.target().and_then(schema::class);
        let Some(field) = from.field(name) else {
            let leading =
                from.fields.iter().filter(|field| followed(field).is_some()).map(|field| field.name);
            let suggestion = suggestion::for_name(name, leading)
                .or_else(|| suggestion::for_name(name, from.fields.iter().map(|field| field.name)));
            return Err(PathError::UnknownField { class: from.name, field: name.into(), suggestion });
        };
        match followed(field) {
            Some(to) => Ok(Step { from, field, to }),
            None => Err(PathError::NoReference { class: from.name, field: field.name }),
        }
    }

    /// Where the step leads from one object; references to nothing are left out.
    ///
    /// # Errors
    /// When the record lacks the field or holds another type.
    pub fn references(&self, record: &Record) -> Result<Vec<Ref>, FieldError> {
        let mut references: Vec<Ref> = match self.field.kind {
            Type::Set(_) => record.field::<Set<'_, Ref>>(self.field.name)?.iter().collect(),
            Type::Map(..) => {
                record.field::<Map<'_, Ref>>(self.field.name)?.iter().map(|(_, value)| value).collect()
            }
            _ => vec![record.field(self.field.name)?],
        };
        references.retain(|reference| !reference.is_null());
        Ok(references)
    }
}

fn walk(
    steps: &[Step],
    from: &Record,
    so_far: &mut Vec<Arc<Record>>,
    object: &mut impl FnMut(&'static str, &str) -> Option<Arc<Record>>,
    chains: &mut Vec<Chain>,
) -> Result<(), FieldError> {
    let references = match steps.first() {
        Some(step) => step.references(from)?,
        None => Vec::new(),
    };
    let Some((step, rest)) = steps.split_first().filter(|_| !references.is_empty()) else {
        chains.push(Chain { objects: so_far.clone(), broken_at: None });
        return Ok(());
    };
    for reference in references {
        match object(step.to.name, reference.as_str()) {
            Some(next) => {
                so_far.push(Arc::clone(&next));
                walk(rest, &next, so_far, object, chains)?;
                so_far.pop();
            }
            None => {
                let broken_at = Some(reference.as_str().into());
                chains.push(Chain { objects: so_far.clone(), broken_at });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::World;
    use crate::value::{Struct, Value};

    fn record(class: &str, reference: &str, fields: &[(&'static str, Value)]) -> Arc<Record> {
        let fields: Struct = fields.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
        Arc::new(Record::new(class, reference, fields))
    }

    fn references(all: &[&str]) -> Value {
        Value::Array(all.iter().map(|reference| Value::from(*reference)).collect())
    }

    /// A VM with a disk, an empty drive, a disk whose VBD is out of sight, and a second disk on the same storage.
    fn world() -> (Arc<Record>, World) {
        let vm = record("VM", "vm", &[("VBDs", references(&["disk", "drive", "gone", "second"]))]);
        let mut world = World::new();
        for object in [
            record("VBD", "disk", &[("VDI", "vdi".into())]),
            record("VBD", "drive", &[("VDI", "OpaqueRef:NULL".into())]),
            record("VBD", "second", &[("VDI", "vdi2".into())]),
            record("VDI", "vdi", &[("SR", "sr".into())]),
            record("VDI", "vdi2", &[("SR", "sr".into())]),
            record("SR", "sr", &[]),
        ] {
            world.insert(object);
        }
        (vm, world)
    }

    #[test]
    fn every_way_is_told_also_those_that_end_early() {
        let (vm, world) = world();
        let path = Path::parse(schema::class("VM").unwrap(), "VBDs.VDI.SR").unwrap();
        let get = |class: &'static str, reference: &str| world.get(class, reference).cloned();
        let chains = path.chains(&vm, get).unwrap();
        let told: Vec<(Vec<&str>, Option<&str>)> = chains
            .iter()
            .map(|chain| {
                let objects = chain.objects.iter().map(|object| &*object.reference).collect();
                (objects, chain.broken_at.as_deref())
            })
            .collect();
        assert_eq!(
            told,
            [
                (vec!["disk", "vdi", "sr"], None),
                (vec!["drive"], None),
                (vec![], Some("gone")),
                (vec!["second", "vdi2", "sr"], None),
            ]
        );
        let reached = path.reached([&vm], get).unwrap();
        assert_eq!(reached.iter().map(|object| &*object.reference).collect::<Vec<_>>(), ["sr"]);
    }

    #[test]
    fn an_object_that_leads_nowhere_has_one_empty_way() {
        let vm = record("VM", "vm", &[("VBDs", references(&[]))]);
        let path = Path::parse(schema::class("VM").unwrap(), "VBDs.VDI").unwrap();
        assert_eq!(path.chains(&vm, |_, _| None), Ok(vec![Chain { objects: vec![], broken_at: None }]));
        let bare = record("VM", "vm", &[]);
        assert!(path.chains(&bare, |_, _| None).unwrap_err().is_missing());
    }

    #[test]
    fn wrong_paths_are_told_with_the_class_they_went_wrong_at() {
        let vm = schema::class("VM").unwrap();
        for (text, told) in [
            ("", r#"VM has no field """#),
            ("VBD.VDI", r#"VM has no field "VBD", did you mean "VBDs"?"#),
            ("VBDs.vdi", r#"VBD has no field "vdi", did you mean "VDI"?"#),
            ("VIFs.network.PIFs.hosts", r#"PIF has no field "hosts", did you mean "host"?"#),
            ("resident_on.hostname", "host.hostname is no reference, it cannot be followed"),
            ("VBDs.", r#"VBD has no field """#),
        ] {
            assert_eq!(Path::parse(vm, text).unwrap_err().to_string(), told, "{text}");
        }
        let long = ["children"; STEPS_MAX + 1].join(".");
        assert_eq!(Path::parse(vm, &long).unwrap_err(), PathError::TooLong);
        for text in ["VBDs.VDI.SR.PBDs.host", "VIFs.network.PIFs.host", "blobs", "resident_on.metrics"] {
            assert!(Path::parse(vm, text).is_ok(), "{text}");
        }
    }
}
