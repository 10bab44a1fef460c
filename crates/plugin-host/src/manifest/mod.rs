//! What a plugin says of itself: its manifest, a TOML text inside the component. Read without running or compiling it.
//!
//! A manifest asks, it never grants: what the plugin may do is decided by the administrator's [`Grant`](crate::Grant).

mod missing;
mod read;
mod secrets;
mod settings;
mod subscribe;
mod toml_reader;

pub use secrets::Secret;
pub(crate) use secrets::advice;
pub use settings::{Setting, SettingKind, SettingProblem};

use crate::subscription::Subscription;

/// The name of the custom section that holds the manifest.
pub const MANIFEST_SECTION: &str = "xapiary:manifest";

/// A plugin's manifest, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Lower-case letters, digits, dashes and underscores, a letter first, at most 64.
    pub name: String,
    /// The plugin's own version, as written.
    pub version: String,
    /// The contract that it was built for, such as `0.1.0`.
    pub contract: String,
    /// One line of what it does.
    pub description: String,
    /// What it wants to hear, in the order of the manifest.
    pub subscriptions: Vec<Subscription>,
    /// Which methods it wants to call, and why.
    pub requests: Vec<Request>,
    /// The settings that it knows.
    pub settings: Vec<Setting>,
    /// The secrets that it wants to be given.
    pub secrets: Vec<Secret>,
}

/// A method that a plugin wants to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `VM.start`, or a pattern with `*`.
    pub call: String,
    /// Why, for the administrator.
    pub reason: String,
}

/// One thing wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ManifestProblem {
    /// The line in the manifest, from 1.
    pub line: usize,
    /// What is wrong and what to write instead.
    pub what: String,
}

/// Why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is no UTF-8 text.
    #[error("the manifest is not UTF-8 text")]
    NotText,
    /// All that is wrong with it.
    #[error("the manifest has {} problem(s): {}", .0.len(), .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Problems(Vec<ManifestProblem>),
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    ///
    /// All problems at once, each with its line.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        read::read(text).map_err(ManifestError::Problems)
    }

    /// Reads a manifest from bytes.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), and for bytes that are no UTF-8.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        Self::parse(std::str::from_utf8(bytes).map_err(|_| ManifestError::NotText)?)
    }

    /// Checks what the administrator set against the settings that the plugin knows, and fills in defaults.
    ///
    /// # Errors
    ///
    /// All problems at once: unknown names, wrong types, missing settings that have no default.
    pub fn settle(
        &self,
        given: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<serde_json::Map<String, serde_json::Value>, Vec<SettingProblem>> {
        settings::settle(&self.settings, given)
    }

    /// What is wrong with a secret of that name in a grant: the plugin does not ask for it.
    #[must_use]
    pub fn unasked_secret(&self, name: &str) -> Option<String> {
        secrets::unasked(&self.secrets, name)
    }

    /// The lines of a grant for the secrets that the plugin asks for and is not given.
    #[must_use]
    pub(crate) fn missing_secrets<'g>(&self, given: impl IntoIterator<Item = &'g str>) -> Option<String> {
        secrets::missing(&self.secrets, given)
    }

    /// All that the plugin asks for and is not granted, secrets among it, as lines of a grant.
    #[must_use]
    pub fn lacking<'g>(
        &self,
        grant: &grant::Grant,
        secrets: impl IntoIterator<Item = &'g str>,
    ) -> Option<String> {
        match (self.missing(grant), self.missing_secrets(secrets)) {
            (Some(lines), Some(secrets)) => Some(lines + &secrets),
            (lines, secrets) => lines.or(secrets),
        }
    }
}
