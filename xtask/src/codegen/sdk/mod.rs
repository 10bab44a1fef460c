//! The typed part of the plugin SDK: types of classes, enumerations, a function for each method, and the schema that the
//! SDK's tests judge by.

mod calls;
mod classes;
mod schema;

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::Value;

use super::{enums, names};

/// Where the types and functions go.
pub(super) const TYPES: &str = "plugin-sdk/rust/src/xapi/generated";
/// Where the schema goes.
pub(super) const SCHEMA: &str = "plugin-sdk/rust/src/testing/generated";

/// Files with their text.
pub(super) fn generate(table: &Value) -> Result<Vec<(String, String)>> {
    // Only what some type or function names: the others would be noise.
    let mut used = BTreeSet::new();
    let classes = classes::generate(table, &mut used)?;
    let calls = calls::generate(table, &mut used)?;
    let mut enumerations = String::from("use crate::xapi::declare::enumeration;\n");
    for (name, words) in
        enums::words(table)?.into_iter().filter(|(name, _)| used.contains(&names::of_type(name)))
    {
        enumerations.push_str(&enums::declared(table, name, &words)?);
    }
    let mut files = vec![
        (
            format!("{TYPES}/mod.rs"),
            "pub(super) mod calls;\npub(super) mod enums;\npub(super) mod views;\n".to_owned(),
        ),
        (format!("{TYPES}/views.rs"), classes),
        (format!("{TYPES}/enums.rs"), enumerations),
        (format!("{SCHEMA}/mod.rs"), schema::generate(table)?),
    ];
    files.extend(calls.into_iter().map(|(name, text)| (format!("{TYPES}/calls/{name}.rs"), text)));
    Ok(files)
}
