//! The settings that a plugin knows, and what an administrator set.

use serde_json::{Map, Value};

use grant::nearest::hint;

/// One setting that a plugin knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The key in the grant file's `[settings]`.
    pub name: String,
    /// Its type.
    pub kind: SettingKind,
    /// What holds when the administrator says nothing; without one the setting must be given.
    pub default: Option<Value>,
    /// One line for the administrator.
    pub description: String,
}

/// The type of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingKind {
    /// Text.
    String,
    /// 64-bit integer.
    Integer,
    /// True or false.
    Boolean,
    /// A number, whole or not.
    Number,
    /// A list of texts.
    Strings,
}

/// One thing wrong with the settings that an administrator gave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("setting `{name}`: {what}")]
pub struct SettingProblem {
    /// The setting's name as written, or the one that is missing.
    pub name: String,
    /// What is wrong and what to write instead.
    pub what: String,
}

impl SettingKind {
    pub(super) const ALL: [SettingKind; 5] = [
        SettingKind::String,
        SettingKind::Integer,
        SettingKind::Boolean,
        SettingKind::Number,
        SettingKind::Strings,
    ];

    /// The word in the manifest.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            SettingKind::String => "string",
            SettingKind::Integer => "integer",
            SettingKind::Boolean => "boolean",
            SettingKind::Number => "number",
            SettingKind::Strings => "strings",
        }
    }

    /// Whether a value is of this type.
    #[must_use]
    pub fn accepts(self, value: &Value) -> bool {
        match self {
            SettingKind::String => value.is_string(),
            SettingKind::Integer => value.is_i64(),
            SettingKind::Boolean => value.is_boolean(),
            SettingKind::Number => value.is_number(),
            SettingKind::Strings => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
        }
    }
}

pub(super) fn settle(
    known: &[Setting],
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, Vec<SettingProblem>> {
    let mut problems = Vec::new();
    let mut settled = Map::new();
    for name in given.keys().filter(|name| !known.iter().any(|setting| setting.name == **name)) {
        let what = if known.is_empty() {
            "the plugin knows no settings".to_owned()
        } else {
            format!(
                "the plugin does not know it{}",
                hint(name, known.iter().map(|setting| setting.name.as_str()))
            )
        };
        problems.push(SettingProblem { name: name.clone(), what });
    }
    for setting in known {
        match given.get(&setting.name).or(setting.default.as_ref()) {
            Some(value) if setting.kind.accepts(value) => {
                settled.insert(setting.name.clone(), value.clone());
            }
            Some(_) => problems.push(SettingProblem {
                name: setting.name.clone(),
                what: format!("the plugin wants a value of type {}", setting.kind.word()),
            }),
            None => problems.push(SettingProblem {
                name: setting.name.clone(),
                what: format!("it must be set, type {}: {}", setting.kind.word(), setting.description),
            }),
        }
    }
    if problems.is_empty() { Ok(settled) } else { Err(problems) }
}
