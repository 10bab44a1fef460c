//! One module per class with a function for each method, and a twin for those that can be tasks.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::classes::LEFT_OUT;
use crate::codegen::classes::told;
use crate::codegen::types::Type;
use crate::codegen::{array, names, text};

/// Words that Rust keeps for itself and that XAPI has as names.
const KEPT: [&str; 9] = ["as", "async", "fn", "in", "match", "mod", "move", "ref", "type"];

/// Files with their text, without `.rs`.
pub(super) fn generate(table: &Value, used: &mut BTreeSet<String>) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    let mut list = String::new();
    for class in array(&table["classes"])? {
        let name = text(&class["name"])?;
        if LEFT_OUT.contains(&name) {
            continue;
        }
        let functions = functions(table, class, used).with_context(|| format!("the methods of {name}"))?;
        if !functions.is_empty() {
            let file = module(name);
            writeln!(list, "/// Methods of the class `{name}`.\npub mod {file};")?;
            files.push((file, format!("{}\n{functions}", imports(&functions))));
        }
    }
    files.push(("mod".to_owned(), list));
    Ok(files)
}

/// The name of a class's module.
fn module(class: &str) -> String {
    class.to_ascii_lowercase()
}

fn imports(functions: &str) -> String {
    let mut out = String::new();
    for (mark, line) in
        [("BTreeMap", "use std::collections::BTreeMap;\n\n"), ("Json", "use serde_json::Value as Json;\n\n")]
    {
        if functions.contains(mark) {
            out.push_str(line);
        }
    }
    out.push_str("use crate::calls;\n");
    for helper in ["numbers", "reference_pairs", "references", "text_pairs"] {
        if functions.contains(&format!("{helper}(")) {
            writeln!(out, "use crate::xapi::class::{helper};").ok();
        }
    }
    if functions.contains("ReferenceTo<") {
        out.push_str("use crate::xapi::class::ReferenceTo;\nuse crate::xapi::generated::views::*;\n");
    }
    if functions.contains("enums::") {
        out.push_str("use crate::xapi::generated::enums;\n");
    }
    out.push_str("use crate::Error;\n");
    for name in ["Moment", "Reference", "Value"] {
        let whole_word = |at: usize| {
            let letter = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
            !letter(functions[..at].chars().next_back())
                && !letter(functions[at + name.len()..].chars().next())
        };
        if functions.match_indices(name).any(|(at, _)| whole_word(at)) {
            writeln!(out, "use crate::{name};").ok();
        }
    }
    out
}

fn functions(table: &Value, class: &Value, used: &mut BTreeSet<String>) -> Result<String> {
    let class_name = text(&class["name"])?;
    let mut out = String::new();
    let mut seen = BTreeSet::new();
    for method in array(&class["messages"])? {
        let wire = text(&method[0])?;
        let flags = &method[5];
        let getter = wire.starts_with("get_") && !flags["implicit"].is_null();
        if getter || !flags["removed"].is_null() || method[2] == "an event batch" {
            continue;
        }
        let parameters: Vec<&Value> =
            array(&method[1])?.iter().filter(|parameter| parameter[0] != "session_id").collect();
        // A plugin has no session to give away.
        if parameters.iter().any(|parameter| parameter[1] == "session ref") {
            continue;
        }
        let function = rust_name(wire);
        ensure!(seen.insert(function.clone()), "two methods are named {function}");
        let optional = flags["optional"].as_array().map_or(0, Vec::len);
        let mut taken = Vec::new();
        for parameter in &parameters[..parameters.len() - optional] {
            let (name, kind) = (text(&parameter[0])?, text(&parameter[1])?);
            taken.push(
                Parameter::read(class_name, name, kind, used).with_context(|| format!("{wire}: {name}"))?,
            );
        }
        let result = result(text(&method[2])?, used).with_context(|| wire.to_owned())?;
        let list = taken
            .iter()
            .map(|given| format!("{}: {}", given.name, given.kind))
            .collect::<Vec<_>>()
            .join(", ");
        let values = taken.iter().map(|given| given.value.as_str()).collect::<Vec<_>>().join(", ");
        let full = format!("{class_name}.{wire}");
        let lint = if taken.len() > 7 {
            "#[expect(clippy::too_many_arguments, reason = \"as many as XAPI wants\")]\n"
        } else {
            ""
        };
        writeln!(
            out,
            "/// Calls `{full}`: {}, for role {}.",
            told(table, &method[4], flags)?,
            text(&method[3])?
        )?;
        if optional > 0 {
            let left: Vec<String> = parameters[parameters.len() - optional..]
                .iter()
                .map(|parameter| Ok(format!("`{}`", text(&parameter[0])?)))
                .collect::<Result<_>>()?;
            writeln!(out, "///\n/// Left out: {}.", left.join(", "))?;
        }
        writeln!(out, "///\n/// # Errors\n///\n/// {}", errors(flags)?)?;
        if function.trim_start_matches("r#") != wire {
            writeln!(out, "#[doc(alias = {wire:?})]")?;
        }
        writeln!(out, "{lint}pub fn {function}({list}) -> Result<{result}, Error> {{")?;
        writeln!(out, "    calls::answer({full:?}, vec![{values}])\n}}\n")?;
        if !flags["async"].is_null() {
            writeln!(out, "/// Starts `{full}` as a task; see [`{}()`].", function.trim_start_matches("r#"))?;
            writeln!(
                out,
                "///\n/// # Errors\n///\n/// What is known before the task ends.\n{lint}pub fn {}_async({list}) -> Result<calls::Task<{result}>, Error> {{",
                function.trim_start_matches("r#")
            )?;
            writeln!(out, "    calls::begin({full:?}, vec![{values}])\n}}\n")?;
        }
    }
    Ok(out.trim_end().to_owned() + if out.is_empty() { "" } else { "\n" })
}

fn rust_name(wire: &str) -> String {
    let name = wire.to_ascii_lowercase();
    if KEPT.contains(&name.as_str()) { format!("r#{name}") } else { name }
}

fn errors(flags: &Value) -> Result<String> {
    let Some(errors) = flags["errors"].as_array() else {
        return Ok("As of [`calls::call`](crate::calls::call).".to_owned());
    };
    let errors = errors.iter().map(|error| Ok(format!("`{}`", text(error)?))).collect::<Result<Vec<_>>>()?;
    Ok(format!("Those of [`calls::call`](crate::calls::call); XAPI names {}.", errors.join(", ")))
}

/// An argument of a function: its name, its type, and how a value is made of it.
struct Parameter {
    name: String,
    kind: String,
    value: String,
}

impl Parameter {
    fn read(class: &str, name: &str, kind: &str, used: &mut BTreeSet<String>) -> Result<Self> {
        // What XAPI calls `self` is an object of the class.
        let name = if name == "self" { module(class) } else { rust_name(name) };
        let plain = |kind: &str| (kind.to_owned(), format!("{name}.into()"));
        let (kind, value) = match &Type::read(kind)? {
            Type::Plain("String") => plain("&str"),
            Type::Plain("Int") => plain("i64"),
            Type::Plain("Float") => plain("f64"),
            Type::Plain("Bool") => plain("bool"),
            Type::Plain("DateTime") => plain("&Moment"),
            Type::Enum(of) => {
                let of = names::of_type(of);
                used.insert(of.clone());
                (format!("enums::{of}"), format!("{name}.into()"))
            }
            Type::Ref(class) => {
                (format!("&impl ReferenceTo<{}>", referred(class)?), format!("{name}.argument()"))
            }
            Type::Record(_) => plain("&Json"),
            Type::Set(inner) => match &**inner {
                Type::Plain("String") | Type::Enum(_) => plain("&[&str]"),
                Type::Plain("Int") => ("&[i64]".to_owned(), format!("numbers({name})")),
                Type::Ref(class) => {
                    (format!("&[&dyn ReferenceTo<{}>]", referred(class)?), format!("references({name})"))
                }
                other => bail!("no function takes a set of {}", other.row()),
            },
            Type::Map(key, value) => match (&**key, &**value) {
                (Type::Plain("String") | Type::Enum(_), Type::Plain("String") | Type::Enum(_)) => {
                    plain("&[(&str, &str)]")
                }
                (Type::Ref(key), Type::Plain("String")) => (
                    format!("&[(&dyn ReferenceTo<{}>, &str)]", referred(key)?),
                    format!("text_pairs({name})"),
                ),
                (Type::Ref(key), Type::Ref(value)) => (
                    format!(
                        "&[(&dyn ReferenceTo<{}>, &dyn ReferenceTo<{}>)]",
                        referred(key)?,
                        referred(value)?
                    ),
                    format!("reference_pairs({name})"),
                ),
                (key, value) => bail!("no function takes a map from {} to {}", key.row(), value.row()),
            },
            other => bail!("no function takes {}", other.row()),
        };
        Ok(Parameter { name, kind, value })
    }
}

/// The type of a class that a parameter refers to.
fn referred(class: &str) -> Result<String> {
    ensure!(!LEFT_OUT.contains(&class), "{class} has no type");
    Ok(names::of_type(class))
}

/// What a function gives.
fn result(kind: &str, used: &mut BTreeSet<String>) -> Result<String> {
    Ok(match &Type::read(kind)? {
        Type::Plain("Void") => "()".to_owned(),
        Type::Plain("String") => "String".to_owned(),
        Type::Plain("Int") => "i64".to_owned(),
        Type::Plain("Float") => "f64".to_owned(),
        Type::Plain("Bool") => "bool".to_owned(),
        Type::Plain("DateTime") => "Moment".to_owned(),
        Type::Enum(name) => {
            let name = names::of_type(name);
            used.insert(name.clone());
            format!("enums::{name}")
        }
        Type::Ref(_) => "Reference".to_owned(),
        Type::Set(inner) => match &**inner {
            Type::Plain("String") | Type::Enum(_) => "Vec<String>".to_owned(),
            Type::Ref(_) => "Vec<Reference>".to_owned(),
            _ => "Json".to_owned(),
        },
        Type::Map(key, value) => match (&**key, &**value) {
            (Type::Plain("String") | Type::Enum(_), Type::Plain("String") | Type::Enum(_)) => {
                "BTreeMap<String, String>".to_owned()
            }
            _ => "Json".to_owned(),
        },
        Type::Record(_) | Type::Option(_) | Type::Plain(_) => "Json".to_owned(),
    })
}
