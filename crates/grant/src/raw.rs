//! A grant as it is written, and what can be wrong with it.

use std::collections::BTreeMap;

/// A grant as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawGrant {
    /// The grant file, for the words of refusals.
    #[serde(skip)]
    pub file: String,
    /// `[[allow]]` rules, in order.
    #[serde(default)]
    pub allow: Vec<RawAllow>,
    /// `[[read]]` rules, in order.
    #[serde(default)]
    pub read: Vec<RawRead>,
}

/// One `[[allow]]` as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAllow {
    /// Where its head stands in the file, from 1; 0 when that is not known.
    #[serde(skip)]
    pub line: usize,
    /// Method names or patterns: `VM.start`, `VM.get_*`. `VM.start` covers its asynchronous form.
    pub call: Vec<String>,
    /// CEL over `self` (the record of the object that the call acts on) and `args` (by parameter name); any object
    /// when left out.
    #[serde(default)]
    pub on: Option<String>,
    /// CEL over `value`, by the name of the argument that it is about. A call that does not give the argument is not covered.
    #[serde(default)]
    pub args: BTreeMap<String, String>,
    /// At most so many calls in one run of the plugin for one event.
    #[serde(default)]
    pub per_event: Option<u32>,
    /// At most so many calls within any minute.
    #[serde(default)]
    pub per_minute: Option<u32>,
    /// At most so many different objects within any hour.
    #[serde(default)]
    pub objects_per_hour: Option<u32>,
}

/// One `[[read]]` as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRead {
    /// Class names.
    pub class: Vec<String>,
    /// Field names, or `["*"]` for all.
    pub fields: Vec<String>,
}

/// One thing wrong with a grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} {}, `{key}`: {what}", .index + 1)]
pub struct GrantProblem {
    /// `[[allow]]` or `[[read]]`.
    pub place: &'static str,
    /// Which one of its kind, from 0.
    pub index: usize,
    /// The key in it: `call`, `on`, `args.NAME`, `per_event`, `per_minute`, `objects_per_hour`, `class` or `fields`.
    pub key: String,
    /// Which element of a list, from 0.
    pub element: Option<usize>,
    /// What is wrong and what to write instead.
    pub what: String,
}
