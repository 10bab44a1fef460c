//! The rows of `xapi::model::schema`.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::types::Type;
use super::{array, enums, string, strings, text};

pub(super) fn generate(table: &Value) -> Result<String> {
    let mut out = String::from(
        "use crate::model::schema::Type::*;\n\
         use crate::model::schema::{Access, Class, Enum, Field, Method, Parameter, Relation, Role, State};\n\n",
    );
    writeln!(out, "pub(crate) const API_VERSION: &str = {};", string(&table["api_version"])?)?;
    writeln!(out, "pub(crate) const DATABASE_SCHEMA: &str = {};", string(&table["database_schema"])?)?;
    begin(&mut out, "RELEASES", "(&str, &str)")?;
    for (code, product) in table["releases"].as_object().context("releases is no object")? {
        writeln!(out, "({code:?}, {}),", string(product)?)?;
    }
    begin(&mut out, "CLASSES", "Class")?;
    let queried = array(&table["answering_queries"])?;
    for class in array(&table["classes"])? {
        class_rows(&mut out, class, queried.contains(&class["name"]))?;
    }
    begin(&mut out, "CLASSES_BY_LOWER_CASE", "(&str, usize)")?;
    for (name, at) in by_lower_case(array(&table["classes"])?)? {
        writeln!(out, "({name:?}, {at}),")?;
    }
    begin(&mut out, "ENUMS", "Enum")?;
    for (name, words) in enums::words(table)? {
        writeln!(out, "Enum {{ name: {name:?}, words: &{words:?} }},")?;
    }
    begin(&mut out, "RELATIONS", "Relation")?;
    for relation in array(&table["relations"])? {
        let end =
            |index: usize| text(&relation[index])?.split_once('.').context("a relation's end has no field");
        let ((class, field), (other, other_field)) = (end(0)?, end(1)?);
        let many = relation[2] == "many-to-many";
        writeln!(
            out,
            "Relation {{ class: {class:?}, field: {field:?}, other_class: {other:?}, other_field: {other_field:?}, many_to_many: {many} }},"
        )?;
    }
    begin(&mut out, "ERRORS", "(&str, core::option::Option<&[&str]>)")?;
    for error in array(&table["errors"])? {
        let parameters = match error[1].as_array() {
            None => "None".to_owned(),
            Some(names) => format!("Some({})", strings(names)?),
        };
        writeln!(out, "({}, {parameters}),", string(&error[0])?)?;
    }
    begin(&mut out, "HIDDEN_METHODS", "(&str, &[&str])")?;
    for (class, names) in table["hidden_messages"].as_object().context("hidden_messages is no object")? {
        writeln!(out, "({class:?}, {}),", strings(array(names)?)?)?;
    }
    begin(&mut out, "ALERTS", "(&str, u8)")?;
    for alert in array(&table["alerts"])? {
        writeln!(out, "({}, {}),", string(&alert[0])?, alert[1])?;
    }
    writeln!(out, "];")?;
    // The first list closes none before it.
    Ok(out.replacen("];\n\npub", "\npub", 1))
}

fn begin(out: &mut String, name: &str, of: &str) -> Result<()> {
    Ok(writeln!(out, "];\n\npub(crate) static {name}: &[{of}] = &[")?)
}

/// Names as events carry them, with the places of the classes, in the order that a binary search needs.
fn by_lower_case(classes: &[Value]) -> Result<Vec<(String, usize)>> {
    let names = classes.iter().enumerate().map(|(at, class)| Ok((text(&class["name"])?.to_lowercase(), at)));
    let mut names: Vec<(String, usize)> = names.collect::<Result<_>>()?;
    names.sort();
    ensure!(names.windows(2).all(|pair| pair[0].0 != pair[1].0), "two classes differ in case only");
    Ok(names)
}

/// In the order that a binary search needs.
pub(super) fn ordered_methods(class: &Value) -> Result<Vec<&Value>> {
    let mut methods: Vec<&Value> = array(&class["messages"])?.iter().collect();
    methods.sort_by_key(|method| method[0].as_str());
    Ok(methods)
}

fn class_rows(out: &mut String, class: &Value, answers_queries: bool) -> Result<()> {
    let flag = |key: &str| class[key].as_bool().unwrap_or(false);
    let state = match text(&class["state"])? {
        state @ ("Published" | "Prototyped" | "Deprecated" | "Removed") => state,
        other => bail!("unknown state {other:?} of a class"),
    };
    writeln!(
        out,
        "Class {{ name: {}, since: {}, state: State::{state}, deprecated: {}, removed: {}, events: {}, in_database: {}, persistent: {}, answers_queries: {answers_queries}, fields: &[",
        string(&class["name"])?,
        string(&class["since"])?,
        release(&class["deprecated"])?,
        release(&class["removed"])?,
        flag("events"),
        flag("in_db"),
        flag("persist")
    )?;
    for field in array(&class["fields"])? {
        let access = match text(&field[2])? {
            "RW" => "ReadWrite",
            "RO_STATIC" => "Static",
            "RO" => "ReadOnly",
            other => bail!("unknown access {other:?}"),
        };
        writeln!(
            out,
            "    Field::new({}, {}, Access::{access}, {}, {}){},",
            string(&field[0])?,
            Type::read(text(&field[1])?)?.row(),
            release(&field[4]["db"])?,
            string(&field[3])?,
            ended(&field[4])?
        )?;
    }
    writeln!(out, "], methods: &[")?;
    for method in ordered_methods(class)? {
        method_row(out, method).with_context(|| format!("{}.{}", class["name"], method[0]))?;
    }
    writeln!(out, "] }},")?;
    Ok(())
}

fn method_row(out: &mut String, method: &Value) -> Result<()> {
    let flags = &method[5];
    let parameters = array(&method[1])?;
    write!(out, "    Method::new({}, &[", string(&method[0])?)?;
    for (at, parameter) in parameters.iter().enumerate() {
        let comma = if at > 0 { ", " } else { "" };
        let kind = Type::read(text(&parameter[1])?)?.row();
        write!(out, "{comma}Parameter::new({}, {kind})", string(&parameter[0])?)?;
    }
    let result = Type::read(text(&method[2])?)?.row();
    write!(out, "], {result}, Role::{}, {})", role(text(&method[3])?)?, string(&method[4])?)?;
    if let Some(optional) = flags["optional"].as_array() {
        let last = parameters.iter().rev().zip(optional.iter().rev());
        ensure!(
            optional.len() <= parameters.len()
                && last.into_iter().all(|(parameter, name)| parameter[0] == *name),
            "the optional parameters are not the last ones"
        );
        write!(out, ".optional({})", optional.len())?;
    }
    for (flag, word) in [
        ("async", "asynchronous"),
        ("implicit", "generated"),
        ("secret", "secret"),
        ("client_cert", "client_certificate"),
    ] {
        if !flags[flag].is_null() {
            write!(out, ".{word}()")?;
        }
    }
    if let Some(errors) = flags["errors"].as_array() {
        write!(out, ".errors({})", strings(errors)?)?;
    }
    writeln!(out, "{},", ended(flags)?)?;
    Ok(())
}

/// A release or column, where there is one.
fn release(value: &Value) -> Result<String> {
    Ok(if value.is_null() { "None".to_owned() } else { format!("Some({})", string(value)?) })
}

/// The calls that say until when.
fn ended(flags: &Value) -> Result<String> {
    let mut calls = String::new();
    for word in ["deprecated", "removed"] {
        if !flags[word].is_null() {
            write!(calls, ".{word}({})", string(&flags[word])?)?;
        }
    }
    Ok(calls)
}

fn role(name: &str) -> Result<&'static str> {
    Ok(match name {
        "read-only" => "ReadOnly",
        "vm-operator" => "VmOperator",
        "vm-admin" => "VmAdmin",
        "vm-power-admin" => "VmPowerAdmin",
        "pool-operator" => "PoolOperator",
        "pool-admin" => "PoolAdmin",
        "local-root-only" => "LocalRoot",
        other => bail!("unknown role {other:?}"),
    })
}
