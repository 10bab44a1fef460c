//! The secrets that a plugin asks for, and the lines of a grant that give them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use toml::de::DeTable;

use super::toml_reader::Reader;
use grant::nearest::hint;

/// One secret that a plugin wants to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The key in the grant file's `[secrets]`.
    pub name: String,
    /// What it is for, for the administrator.
    pub description: String,
}

/// Reads `[secrets.NAME]`.
pub(super) fn secrets(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Vec<Secret> {
    let Some(value) = table.get("secrets") else { return Vec::new() };
    let Some(inner) = value.get_ref().as_table() else {
        reader.problem(value.span().start, "`secrets` is no table: write `[secrets.NAME]`");
        return Vec::new();
    };
    let mut secrets = Vec::new();
    for (name, value) in inner {
        let at = name.span().start;
        let name = name.get_ref().to_string();
        let place = format!("[secrets.{name}]");
        if !super::read::is_name(&name) {
            reader.problem(at, format!("{place}: use lower-case letters, digits, `-` and `_`, at most 64"));
        }
        let Some(table) = value.get_ref().as_table() else {
            reader.problem(at, format!("`{name}` is no table: write `{place}`"));
            continue;
        };
        reader.only(table, &place, &["description"]);
        if let Some(description) = reader.required_text(table, "description", &place, at) {
            secrets.push(Secret { name, description });
        }
    }
    secrets
}

pub(super) fn unasked(known: &[Secret], name: &str) -> Option<String> {
    let names = || known.iter().map(|secret| secret.name.as_str());
    if names().any(|known| known == name) {
        None
    } else if known.is_empty() {
        Some("the plugin asks for no secrets".to_owned())
    } else {
        Some(format!("the plugin does not ask for it{}", hint(name, names())))
    }
}

pub(super) fn missing<'g>(known: &[Secret], given: impl IntoIterator<Item = &'g str>) -> Option<String> {
    let given: BTreeSet<&str> = given.into_iter().collect();
    let missing: Vec<&Secret> = known.iter().filter(|secret| !given.contains(&*secret.name)).collect();
    if missing.is_empty() {
        return None;
    }
    let mut lines = String::new();
    for secret in &missing {
        let _ = writeln!(lines, "# {}: {}", secret.name, secret.description.replace(['\n', '\r'], " "));
    }
    lines.push_str(&advice(&missing.iter().map(|secret| secret.name.as_str()).collect::<Vec<_>>()));
    Some(lines)
}

/// The lines of a grant that give secrets of these names.
pub(crate) fn advice(names: &[&str]) -> String {
    let mut lines = "[secrets]\n".to_owned();
    for name in names {
        let _ = writeln!(lines, "{name} = {{ credential = \"{name}\" }}");
    }
    lines
}
