//! One type per class: with an accessor per field for the classes that automation meets, bare for the others.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::codegen::classes::{WITH_ACCESSORS, has_reference, told};
use crate::codegen::types::Type;
use crate::codegen::{array, names, string, text};

/// Of no use to a plugin: it has no session of its own, and events come to it by themselves.
pub(super) const LEFT_OUT: [&str; 2] = ["event", "session"];

pub(super) fn generate(table: &Value, used: &mut BTreeSet<String>) -> Result<String> {
    let mut out = String::from(
        "use std::collections::BTreeMap;\n\n\
         use super::enums::*;\n\
         use crate::xapi::declare::class;\n\
         use crate::{Moment, Reference};\n",
    );
    for class in array(&table["classes"])? {
        let name = text(&class["name"])?;
        if LEFT_OUT.contains(&name) || !has_reference(class)? {
            continue;
        }
        let since = told(table, &class["since"], class)?;
        let accessors = WITH_ACCESSORS.iter().find(|(named, _)| *named == name);
        let about = accessors.map_or("An object", |(_, about)| about);
        let alias = |wire: &str, rust: &str| {
            if rust == wire { String::new() } else { format!("#[doc(alias = {wire:?})] ") }
        };
        let rust = names::of_type(name);
        writeln!(out, "\nclass! {{\n    /// {about}; class `{name}`, {since}.")?;
        writeln!(out, "    {}{rust} = {name:?};", alias(name, &rust))?;
        for field in accessors.map_or(Ok(&Vec::new()), |_| array(&class["fields"]))? {
            let wire = text(&field[0])?;
            let accessor = names::of_field(wire);
            let kind = Type::read(text(&field[1])?)?;
            let kind = if wire == "uuid" {
                "uuid".to_owned()
            } else {
                kind_of(&kind, used).with_context(|| format!("{name}.{wire}"))?
            };
            let told = told(table, &field[3], &field[4])?;
            writeln!(
                out,
                "    {}{accessor}: [{kind}] = {}, {told:?};",
                alias(wire, &accessor),
                string(&field[0])?
            )?;
        }
        out.push_str("}\n");
    }
    Ok(out)
}

/// How an accessor reads a field, in the words of the macro `class!`.
fn kind_of(kind: &Type<'_>, used: &mut BTreeSet<String>) -> Result<String> {
    let mut word = |name: &str| {
        let name = names::of_type(name);
        used.insert(name.clone());
        name
    };
    Ok(match kind {
        Type::Plain(_) => json_type(kind)?,
        Type::Enum(name) => word(name),
        Type::Ref(class) => format!("one {}", names::of_type(class)),
        Type::Option(inner) => format!("Option<{}>", json_type(inner)?),
        Type::Set(inner) => match &**inner {
            Type::Ref(class) => format!("many {}", names::of_type(class)),
            Type::Enum(name) => format!("words {}", word(name)),
            Type::Plain("String") => "Vec<String>".to_owned(),
            _ => format!("json {}", json_type(kind)?),
        },
        Type::Map(key, value) => match (&**key, &**value) {
            (Type::Plain("String") | Type::Enum(_), Type::Plain("String")) => {
                "BTreeMap<String, String>".to_owned()
            }
            (Type::Plain("String"), Type::Enum(name)) => format!("word_map {}", word(name)),
            _ => format!("json {}", json_type(kind)?),
        },
        Type::Record(_) => bail!("no accessor gives a record"),
    })
}

/// A type as it comes out of JSON.
fn json_type(kind: &Type<'_>) -> Result<String> {
    Ok(match kind {
        Type::Plain("String") | Type::Enum(_) => "String".to_owned(),
        Type::Plain("Int") => "i64".to_owned(),
        Type::Plain("Float") => "f64".to_owned(),
        Type::Plain("Bool") => "bool".to_owned(),
        Type::Plain("DateTime") => "Moment".to_owned(),
        Type::Ref(_) => "Reference".to_owned(),
        Type::Set(inner) => format!("Vec<{}>", json_type(inner)?),
        Type::Map(key, value) => format!("BTreeMap<{}, {}>", json_type(key)?, json_type(value)?),
        other => bail!("no accessor gives {}", other.row()),
    })
}
