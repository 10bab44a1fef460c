//! What people did to the journal and the daemon: who, when, what, and why. Rows of the audit.

use rusqlite::Connection;

use crate::audit::{self, AuditFilter, Audited, NewAudit};
use crate::error::Fault;

/// The kind of these rows.
const KIND: &str = "action";

/// Who does something, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct By {
    /// The person's name, as far as the system knows it.
    pub who: String,
    /// Why, in that person's words; may be empty.
    pub reason: String,
    /// When, in microseconds since 1970 UTC.
    pub at_micros: i64,
}

/// Something that a person did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Its number, rising.
    pub id: u64,
    /// Who did it, when and why.
    pub by: By,
    /// What was done.
    pub verb: String,
    /// To what.
    pub subject: String,
}

/// An action as a row of the audit. `plugin` is the one that it is about; may be empty.
pub(crate) fn entry(by: &By, plugin: &str, verb: &str, subject: &str) -> NewAudit {
    NewAudit {
        at_micros: by.at_micros,
        kind: KIND.to_owned(),
        plugin: plugin.to_owned(),
        who: by.who.clone(),
        what: verb.to_owned(),
        object: subject.to_owned(),
        of: None,
        details: by.reason.clone(),
    }
}

pub(crate) fn record(connection: &Connection, by: &By, verb: &str, subject: &str) -> Result<(), Fault> {
    record_about(connection, by, "", verb, subject)
}

/// As [`record`], about a plugin.
pub(crate) fn record_about(
    connection: &Connection,
    by: &By,
    plugin: &str,
    verb: &str,
    subject: &str,
) -> Result<(), Fault> {
    audit::append(connection, &entry(by, plugin, verb, subject))?;
    Ok(())
}

/// The newest actions, newest first.
pub(crate) fn newest(connection: &Connection, limit: usize) -> Result<Vec<Action>, Fault> {
    let filter = AuditFilter { kind: Some(KIND.to_owned()), ..AuditFilter::default() };
    let action = |Audited { id, entry, .. }| {
        let NewAudit { at_micros, who, what, object, details, .. } = entry;
        Action { id, by: By { who, reason: details, at_micros }, verb: what, subject: object }
    };
    Ok(audit::newest(connection, &filter, limit)?.into_iter().map(action).collect())
}
