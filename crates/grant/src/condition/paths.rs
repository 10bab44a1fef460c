//! What a condition reads below a name: a tree of fields.

use std::collections::{BTreeMap, BTreeSet};

use xapi::model::{Class, Type, schema};

use crate::nearest::hint;

/// Fields by name, each with what is read below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths {
    below: BTreeMap<String, Paths>,
    /// Whether it is used as a whole, so that all of it is wanted.
    all: bool,
}

static NONE: Paths = Paths { below: BTreeMap::new(), all: false };

impl Paths {
    /// Nothing.
    pub(super) fn none() -> &'static Paths {
        &NONE
    }

    /// Adds the names of one chain of dots.
    pub(super) fn add(&mut self, path: &[&str]) {
        if let Some((first, rest)) = path.split_first() {
            self.below.entry((*first).to_owned()).or_default().add(rest);
        }
    }

    /// It is used as a whole.
    pub(super) fn take_all(&mut self) {
        self.all = true;
    }

    /// Whether it is used as a whole.
    pub(super) fn all(&self) -> bool {
        self.all
    }

    /// What is read below a field.
    #[must_use]
    pub fn below(&self, name: &str) -> &Paths {
        self.below.get(name).unwrap_or(&NONE)
    }

    /// Whether a field is read.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        self.all || self.below.contains_key(name)
    }

    /// Whether a dot comes after it: a reference here is followed.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        !self.below.is_empty()
    }

    /// The fields that are read.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        self.below.keys().cloned().collect()
    }

    /// The classes that references of this type are of, here and below.
    pub(crate) fn classes(&self, kind: &Type, into: &mut BTreeSet<&'static str>) {
        match kind {
            Type::Option(inner) | Type::Set(inner) => self.classes(inner, into),
            Type::Map(keys, values) => {
                self.classes(keys, into);
                self.classes(values, into);
            }
            Type::Ref(class) | Type::Record(class) => {
                if matches!(kind, Type::Ref(_)) {
                    into.insert(class);
                }
                if let Some(class) = schema::class(class) {
                    self.classes_of(class, into);
                }
            }
            _ => {}
        }
    }

    /// As [`classes`](Self::classes), of the fields of a class.
    pub(crate) fn classes_of(&self, class: &Class, into: &mut BTreeSet<&'static str>) {
        for (name, below) in &self.below {
            if let Some(field) = class.field(name) {
                below.classes(&field.kind, into);
            }
        }
    }
}

/// Whether what a path names can be there in a value of this type.
pub(super) fn exists(kind: &Type, path: &[&str], follows: bool) -> Result<(), String> {
    match kind {
        Type::Option(inner) => exists(inner, path, follows),
        Type::Record(class) => schema::class(class).map_or(Ok(()), |class| exists_in(class, path, follows)),
        Type::Ref(class) if follows => {
            schema::class(class).map_or(Ok(()), |class| exists_in(class, path, follows))
        }
        _ => Ok(()),
    }
}

/// As [`exists`], in a record of a class.
pub(super) fn exists_in(class: &Class, path: &[&str], follows: bool) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else { return Ok(()) };
    match class.field(first) {
        Some(field) => exists(&field.kind, rest, follows),
        None => {
            let hint = hint(first, class.fields.iter().map(|field| field.name));
            Err(format!("{} has no field `{first}`{hint}", class.name))
        }
    }
}
