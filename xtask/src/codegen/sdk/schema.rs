//! The schema as the SDK's native tests need it: which classes, fields and methods there are, and of which types.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::codegen::types::Type;
use crate::codegen::{array, enums, text};

pub(super) fn generate(table: &Value) -> Result<String> {
    let mut out = String::from(
        "use super::schema::Type::*;\nuse super::schema::{Class, Enum, Field, Method, Relation};\n\npub(super) static CLASSES: &[Class] = &[\n",
    );
    for class in array(&table["classes"])? {
        writeln!(out, "Class {{ name: {:?}, fields: &[", text(&class["name"])?)?;
        for field in array(&class["fields"])? {
            let kind = text(&field[1])?;
            // `event` holds a record of whatever class it tells of.
            if kind.contains('<') {
                continue;
            }
            writeln!(out, "Field {{ name: {:?}, kind: {} }},", text(&field[0])?, Type::read(kind)?.row())?;
        }
        writeln!(out, "], methods: &[")?;
        for method in array(&class["messages"])? {
            let flags = &method[5];
            let mut kinds = Vec::new();
            for parameter in array(&method[1])?.iter().filter(|parameter| parameter[0] != "session_id") {
                kinds.push(Type::read(text(&parameter[1])?)?.row());
            }
            writeln!(
                out,
                "Method {{ name: {:?}, parameters: &[{}], optional: {}, result: {}, asynchronous: {} }},",
                text(&method[0])?,
                kinds.join(", "),
                flags["optional"].as_array().map_or(0, Vec::len),
                Type::read(text(&method[2])?)?.row(),
                !flags["async"].is_null()
            )?;
        }
        writeln!(out, "] }},")?;
    }
    out.push_str("];\n\npub(super) static ENUMS: &[Enum] = &[\n");
    for (name, words) in enums::words(table)? {
        writeln!(out, "Enum {{ name: {name:?}, words: &{words:?} }},")?;
    }
    out.push_str("];\n\npub(super) static RELATIONS: &[Relation] = &[\n");
    for relation in array(&table["relations"])? {
        let end =
            |index: usize| text(&relation[index])?.split_once('.').context("a relation's end has no field");
        let ((class, field), (other, other_field)) = (end(0)?, end(1)?);
        writeln!(
            out,
            "Relation {{ class: {class:?}, field: {field:?}, other_class: {other:?}, other_field: {other_field:?} }},"
        )?;
    }
    out.push_str("];\n");
    Ok(out)
}
