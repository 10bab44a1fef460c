//! XAPI's schema, so that a test's world is held to it: a class, field, method or word that does not exist is told.

pub(super) use super::generated::RELATIONS;
use super::generated::{CLASSES, ENUMS};

/// A wire type.
#[derive(Debug, Clone, Copy)]
pub(super) enum Type {
    String,
    Int,
    Float,
    Bool,
    DateTime,
    Void,
    Enum(&'static str),
    Ref(&'static str),
    Record(&'static str),
    Set(&'static Type),
    Option(&'static Type),
    Map(&'static Type, &'static Type),
}

pub(super) struct Class {
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
    pub(super) methods: &'static [Method],
}

pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Type,
}

pub(super) struct Method {
    pub(super) name: &'static str,
    /// Without the session.
    pub(super) parameters: &'static [Type],
    /// How many of the last parameters may be left out.
    pub(super) optional: usize,
    pub(super) result: Type,
    pub(super) asynchronous: bool,
}

pub(super) struct Enum {
    pub(super) name: &'static str,
    pub(super) words: &'static [&'static str],
}

/// Two fields that tell of each other; the second is kept by XAPI.
pub(super) struct Relation {
    pub(super) class: &'static str,
    pub(super) field: &'static str,
    pub(super) other_class: &'static str,
    pub(super) other_field: &'static str,
}

/// A class by its name, or what is wrong with the name.
pub(super) fn class(name: &str) -> Result<&'static Class, String> {
    CLASSES.iter().find(|class| class.name == name).ok_or_else(|| {
        format!("XAPI has no class `{name}`{}", hint(name, CLASSES.iter().map(|class| class.name)))
    })
}

impl Class {
    pub(super) fn field(&self, name: &str) -> Result<&'static Field, String> {
        self.fields.iter().find(|field| field.name == name).ok_or_else(|| {
            let hint = hint(name, self.fields.iter().map(|field| field.name));
            format!("class {} has no field `{name}`{hint}", self.name)
        })
    }
}

/// A method by its full name, `VM.start`.
pub(super) fn method(name: &str) -> Result<&'static Method, String> {
    let Some((of, short)) = name.split_once('.') else {
        return Err(format!("`{name}` is no method: write CLASS.METHOD, such as VM.start"));
    };
    let class = class(of)?;
    class.methods.iter().find(|method| method.name == short).ok_or_else(|| {
        let hint = hint(short, class.methods.iter().map(|method| method.name));
        format!("XAPI has no method `{name}`{hint}")
    })
}

/// The words of an enumeration.
pub(super) fn words(name: &str) -> &'static [&'static str] {
    ENUMS.iter().find(|known| known.name == name).map_or(&[], |known| known.words)
}

/// `; did you mean NAME?` or nothing.
pub(super) fn hint<'n>(given: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let lower = given.to_ascii_lowercase();
    let meant = known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_ascii_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().max(given.len()) / 4)
        .min_by_key(|(distance, _)| *distance);
    meant.map_or_else(String::new, |(_, name)| format!("; did you mean `{name}`?"))
}
