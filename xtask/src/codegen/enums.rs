//! The enumerations, each with the fields that hold it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use serde_json::Value;

use super::{array, names, string, text};

/// How many fields that hold an enumeration are named in its documentation.
const NAMED_FIELDS: usize = 4;

/// All enumerations with their words in the order of the datamodel. Where two classes declare the same, it has the words
/// of both.
pub(super) fn words(table: &Value) -> Result<BTreeMap<&str, Vec<&str>>> {
    let mut enums: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for class in array(&table["classes"])? {
        for declared in array(&class["enums"])? {
            let known = enums.entry(text(&declared[0])?).or_default();
            for word in array(&declared[1])? {
                let word = text(word)?;
                if !known.contains(&word) {
                    known.push(word);
                }
            }
        }
    }
    Ok(enums)
}

pub(super) fn generate(table: &Value) -> Result<String> {
    let mut out = String::from(
        "//! Enumerations of the object model. All keep words that they do not know.\n\n\
         use crate::model::declare::enumeration;\n",
    );
    for (name, words) in words(table)? {
        out.push_str(&declared(table, name, &words)?);
    }
    Ok(out)
}

/// One enumeration, as the macro `enumeration!` takes it.
pub(super) fn declared(table: &Value, name: &str, words: &[&str]) -> Result<String> {
    let mut out = String::from("\nenumeration! {\n");
    writeln!(out, "    /// The enumeration `{name}`{}.", held_by(table, name)?)?;
    writeln!(out, "    {} {{", names::of_type(name))?;
    for &word in words {
        writeln!(out, "        {} = {},", names::of_type(word), string(&word.into())?)?;
    }
    writeln!(out, "    }}\n}}")?;
    Ok(out)
}

fn held_by(table: &Value, name: &str) -> Result<String> {
    let wanted = format!("enum {name}");
    let mut fields = Vec::new();
    for class in array(&table["classes"])? {
        for field in array(&class["fields"])? {
            // The name must end there: `vm_operations` is no `vm_operations_old`.
            let holds = text(&field[1])?
                .split(&wanted)
                .skip(1)
                .any(|after| !after.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_'));
            if holds {
                fields.push(format!("`{}.{}`", text(&class["name"])?, text(&field[0])?));
            }
        }
    }
    let more = if fields.len() > NAMED_FIELDS { " and others" } else { "" };
    fields.truncate(NAMED_FIELDS);
    Ok(if fields.is_empty() { String::new() } else { format!(", of {}{more}", fields.join(", ")) })
}
