//! One type per class: with an accessor per field for the classes that automation meets, bare for the others.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::Value;

use super::classes::{WITH_ACCESSORS, has_reference, told};
use super::types::Type;
use super::{array, names, string, text};

/// Files with their text, without `.rs`.
pub(super) fn generate(table: &Value) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    let mut list = String::from(
        "//! Records of one class, with an accessor per field for the classes that automation meets. All others are read by\n\
         //! name from their record.\n\n",
    );
    let mut bare = String::new();
    for class in array(&table["classes"])? {
        let name = text(&class["name"])?;
        if !has_reference(class)? {
            continue;
        }
        let about_class = told(table, &class["since"], class)?;
        let Some((_, about)) = WITH_ACCESSORS.iter().find(|(named, _)| *named == name) else {
            let about = format!("An object of class `{name}`, {about_class}.");
            writeln!(bare, "\nview! {{\n    /// {about}\n{}}}", head(name))?;
            continue;
        };
        let file = name.to_lowercase();
        writeln!(list, "mod {file};")?;
        let mut rows = format!("    /// {about}; class `{name}`, {about_class}.\n{}", head(name));
        for field in array(&class["fields"])? {
            let wire = text(&field[0])?;
            let accessor = names::of_field(wire);
            let kind = Type::read(text(&field[1])?)?.rust().with_context(|| format!("{name}.{wire}"))?;
            let told = told(table, &field[3], &field[4])?;
            let alias = if accessor == wire { String::new() } else { format!("#[doc(alias = {wire:?})] ") };
            writeln!(rows, "    {alias}{accessor}: {kind} = {}, {told:?};", string(&field[0])?)?;
        }
        files.push((file, format!("{}\nview! {{\n{rows}}}\n", imports(&rows))));
    }
    writeln!(list, "\nuse crate::model::declare::view;\n")?;
    for (name, _) in WITH_ACCESSORS {
        writeln!(list, "pub use {}::{};", name.to_lowercase(), names::of_type(name))?;
    }
    files.push(("mod".to_owned(), list + &bare));
    Ok(files)
}

/// The imports that these rows need.
fn imports(rows: &str) -> String {
    let named = [
        ("Date<", "Date"),
        ("Map<", "Map"),
        ("Ref<", "Ref"),
        ("Set<", "Set"),
        ("enums::", "enums"),
        ("views::", "views"),
    ];
    let used: Vec<&str> =
        named.iter().filter(|(mark, _)| rows.contains(mark)).map(|(_, name)| *name).collect();
    format!("use crate::model::declare::view;\nuse crate::model::{{{}}};\n", used.join(", "))
}

/// The row that names the type.
fn head(class: &str) -> String {
    let name = names::of_type(class);
    let alias = if name == class { String::new() } else { format!("    #[doc(alias = {class:?})]\n") };
    format!("{alias}    {name} = {class:?}, secret: {};\n", class == "session")
}
