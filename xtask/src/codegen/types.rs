//! Wire types such as `(string -> VM ref) map`, as rows of the schema table and as Rust types.

use anyhow::{Context, Result, bail};

use super::names;

/// A wire type, taken apart.
pub(super) enum Type<'t> {
    Plain(&'t str),
    Enum(&'t str),
    Ref(&'t str),
    Record(&'t str),
    Set(Box<Type<'t>>),
    Option(Box<Type<'t>>),
    Map(Box<Type<'t>>, Box<Type<'t>>),
}

impl<'t> Type<'t> {
    pub(super) fn read(text: &'t str) -> Result<Self> {
        let boxed = |text| Ok::<_, anyhow::Error>(Box::new(Type::read(text)?));
        if let Some(inner) = text.strip_suffix(" set") {
            return Ok(Type::Set(boxed(inner)?));
        }
        if let Some(inner) = text.strip_suffix(" option") {
            return Ok(Type::Option(boxed(inner)?));
        }
        if let Some(inner) = text.strip_suffix(" map") {
            let inner = inner.strip_prefix('(').and_then(|inner| inner.strip_suffix(')'));
            let (key, value) =
                inner.and_then(|inner| inner.split_once(" -> ")).context("a map without (key -> value)")?;
            return Ok(Type::Map(boxed(key)?, boxed(value)?));
        }
        if let Some(class) = text.strip_suffix(" ref") {
            return Ok(Type::Ref(class));
        }
        if let Some(class) = text.strip_suffix(" record") {
            return Ok(Type::Record(class));
        }
        if let Some(name) = text.strip_prefix("enum ") {
            return Ok(Type::Enum(name));
        }
        Ok(match text {
            "string" => Type::Plain("String"),
            "int" => Type::Plain("Int"),
            "float" => Type::Plain("Float"),
            "bool" => Type::Plain("Bool"),
            "datetime" => Type::Plain("DateTime"),
            "void" => Type::Plain("Void"),
            "an event batch" => Type::Record("event_batch"),
            other => bail!("unknown type {other:?}"),
        })
    }

    /// The expression that the schema's rows have for it.
    pub(super) fn row(&self) -> String {
        match self {
            Type::Plain(name) => (*name).to_owned(),
            Type::Enum(name) => format!("Enum({name:?})"),
            Type::Ref(class) => format!("Ref({class:?})"),
            Type::Record(class) => format!("Record({class:?})"),
            Type::Set(element) => format!("Set(&{})", element.row()),
            Type::Option(inner) => format!("Option(&{})", inner.row()),
            Type::Map(key, value) => format!("Map(&{}, &{})", key.row(), value.row()),
        }
    }

    /// The type that an accessor gives, borrowed from the record.
    pub(super) fn rust(&self) -> Result<String> {
        Ok(match self {
            Type::Plain("String") => "&str".to_owned(),
            Type::Plain("Int") => "i64".to_owned(),
            Type::Plain("Float") => "f64".to_owned(),
            Type::Plain("Bool") => "bool".to_owned(),
            Type::Plain("DateTime") => "Date<'_>".to_owned(),
            Type::Enum(name) => format!("enums::{}", names::of_type(name)),
            Type::Ref(class) => format!("Ref<views::{}>", names::of_type(class)),
            Type::Set(element) => format!("Set<'_, {}>", element.rust()?),
            Type::Map(_, value) => format!("Map<'_, {}>", value.rust()?),
            Type::Plain(_) | Type::Record(_) | Type::Option(_) => bail!("no accessor gives {}", self.row()),
        })
    }
}
