//! One type per class: with an accessor per field for the classes that automation meets, bare for the others.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::Value;

use super::types::Type;
use super::{array, names, string, text};

/// The classes with accessors, and what their objects are.
const WITH_ACCESSORS: &[(&str, &str)] = &[
    ("Certificate", "An X.509 certificate that the pool knows: of a host, or of an authority"),
    ("PBD", "How one host reaches one storage repository"),
    ("PIF", "A network interface of a host: a card, a VLAN, a bond or a tunnel"),
    ("SM", "A storage driver"),
    ("SR", "A storage repository: where disks are kept"),
    ("VBD", "The place of a disk in a virtual machine"),
    ("VDI", "A virtual disk, or a snapshot of one (`is_a_snapshot`)"),
    ("VIF", "A network interface of a virtual machine"),
    ("VM", "A virtual machine, a template, a snapshot of one or a host's control domain"),
    ("VM_appliance", "Virtual machines that are started and stopped together"),
    ("VM_guest_metrics", "What the guest says of itself"),
    ("VM_metrics", "What a host measures of a virtual machine"),
    ("host", "A member of the pool"),
    ("host_metrics", "What is measured of a host"),
    ("message", "An alert"),
    ("network", "A network that interfaces of virtual machines and of hosts are on"),
    ("pool", "The pool; there is one"),
    ("session", "A session of somebody. Its reference is a secret"),
    ("task", "An operation that runs or has run"),
];

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
        // What is neither kept in the database nor has a reference of its own comes as a value only.
        if !array(&class["messages"])?.iter().any(|method| method[0] == "get_record") {
            continue;
        }
        let told = format!("since {}", release(table, &class["since"])?) + &ended(table, class)?;
        let Some((_, about)) = WITH_ACCESSORS.iter().find(|(named, _)| *named == name) else {
            let about = format!("An object of class `{name}`, {told}.");
            writeln!(bare, "\nview! {{\n    /// {about}\n{}}}", head(name))?;
            continue;
        };
        let file = name.to_lowercase();
        writeln!(list, "mod {file};")?;
        let mut rows = format!("    /// {about}; class `{name}`, {told}.\n{}", head(name));
        for field in array(&class["fields"])? {
            let wire = text(&field[0])?;
            let accessor = names::of_field(wire);
            let kind = Type::read(text(&field[1])?)?.rust().with_context(|| format!("{name}.{wire}"))?;
            let told = format!("since {}", release(table, &field[3])?) + &ended(table, &field[4])?;
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

/// A release for people.
fn release(table: &Value, code: &Value) -> Result<String> {
    let code = text(code)?;
    Ok(match table["releases"][code].as_str() {
        Some(product) => product.to_owned(),
        None if code.starts_with(|letter: char| letter.is_ascii_digit()) => format!("xapi {code}"),
        None => format!("the release {code}"),
    })
}

fn ended(table: &Value, flags: &Value) -> Result<String> {
    let mut told = String::new();
    for word in ["deprecated", "removed"] {
        if flags[word].is_string() {
            write!(told, ", {word} in {}", release(table, &flags[word])?)?;
        }
    }
    Ok(told)
}
