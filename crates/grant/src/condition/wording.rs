//! Values as conditions see them.

use std::sync::Arc;

use cel::objects::{Key, Map, Value as Cel};
use xapi::Value;
use xapi::model::{Record, Type, World, schema};

use super::Paths;
use crate::is_null;
use crate::references::replaced;
use crate::time::to_rfc3339;

/// How references appear in conditions.
#[derive(Clone, Copy)]
pub struct Wording<'w> {
    /// Words a reference of a class; the class is empty where it is not known.
    pub reference: &'w dyn Fn(&str, &str) -> String,
    /// Where followed references lead; none where they are not followed.
    pub world: Option<&'w World>,
}

impl std::fmt::Debug for Wording<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Wording").field("follows", &self.world.is_some()).finish_non_exhaustive()
    }
}

/// A map as conditions see it.
pub(super) fn map<'n>(members: impl IntoIterator<Item = (&'n str, Cel)>) -> Cel {
    let members = members.into_iter().map(|(name, value)| (Key::String(Arc::new(name.to_owned())), value));
    Cel::Map(Map { map: Arc::new(members.collect()) })
}

/// The fields of a record that are read and visible.
pub(super) fn of_record(
    record: &Record,
    paths: &Paths,
    visible: &dyn Fn(&str) -> bool,
    wording: &Wording<'_>,
) -> Cel {
    let class = schema::class(&record.class);
    let fields = record.iter().filter(|(name, _)| paths.wants(name) && visible(name));
    map(fields.map(|(name, value)| {
        let kind = class.and_then(|class| class.field(name)).map(|field| &field.kind);
        (name, to_cel(kind, value, paths.below(name), wording))
    }))
}

/// A value. `paths` says what is read below it, so that a reference is followed.
pub(super) fn to_cel(kind: Option<&Type>, value: &Value, paths: &Paths, wording: &Wording<'_>) -> Cel {
    let untyped = |reference: &str| (wording.reference)("", reference);
    match (kind, value) {
        (Some(Type::Option(inner)), value) => to_cel(Some(inner), value, paths, wording),
        (Some(Type::Ref(class)), Value::String(text)) => match wording.world {
            Some(world) if paths.goes_on() => match world.get(class, text).filter(|_| !is_null(text)) {
                Some(record) => of_record(record, paths, &|_| true, wording),
                // It points nowhere, or at what the daemon does not know: nothing can be read of it.
                None => map([]),
            },
            _ => (wording.reference)(class, text).into(),
        },
        (_, Value::String(text)) => replaced(text, untyped).as_ref().into(),
        (_, Value::DateTime(text)) => to_rfc3339(text).into(),
        (_, Value::Int(number)) => Cel::Int(*number),
        (_, Value::Float(number)) => Cel::Float(*number),
        (_, Value::Bool(truth)) => Cel::Bool(*truth),
        (kind, Value::Array(elements)) => {
            let inner = if let Some(Type::Set(inner)) = kind { Some(*inner) } else { None };
            let elements = elements.iter().map(|element| to_cel(inner, element, Paths::none(), wording));
            Cel::List(Arc::new(elements.collect()))
        }
        (kind, Value::Struct(members)) => {
            let record = if let Some(Type::Record(class)) = kind { schema::class(class) } else { None };
            let (keys, values) = if let Some(Type::Map(keys, values)) = kind {
                (Some(*keys), Some(*values))
            } else {
                (None, None)
            };
            let map = members
                .iter()
                .map(|(name, value)| {
                    let key = match keys {
                        Some(Type::Ref(class)) => (wording.reference)(class, name),
                        _ => replaced(name, untyped).into_owned(),
                    };
                    let inner = values
                        .or_else(|| record.and_then(|class| class.field(name)).map(|field| &field.kind));
                    let value = to_cel(inner, value, paths.below(name), wording);
                    (Key::String(Arc::new(key)), value)
                })
                .collect();
            Cel::Map(Map { map: Arc::new(map) })
        }
    }
}

/// A value of a type, for trying a condition out.
pub(super) fn blank(kind: &Type, paths: &Paths) -> Cel {
    match kind {
        Type::Ref(class) if paths.goes_on() => {
            let fields = schema::class(class).map_or(&[][..], |class| class.fields);
            let read = fields.iter().filter(|field| paths.wants(field.name));
            map(read.map(|field| (field.name, blank(&field.kind, paths.below(field.name)))))
        }
        Type::String | Type::DateTime | Type::Void | Type::Ref(_) | Type::Enum(_) => "".into(),
        Type::Int => Cel::Int(0),
        Type::Float => Cel::Float(0.0),
        Type::Bool => Cel::Bool(false),
        Type::Set(_) => Cel::List(Arc::default()),
        Type::Map(..) | Type::Record(_) => map([]),
        Type::Option(inner) => blank(inner, paths),
    }
}
