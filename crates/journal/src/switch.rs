//! Which plugins are switched off by a person. What they missed waits for them.

use rusqlite::{Connection, params};

use crate::actions::{self, By};
use crate::deliveries;
use crate::error::Fault;

/// A plugin that is switched off, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disabled {
    /// The plugin's name.
    pub plugin: String,
    /// Who switched it off, when and why.
    pub by: By,
}

/// Switches a plugin off. Of one that is off already it is noted who wants that now, and why.
pub(crate) fn disable(connection: &Connection, plugin: &str, by: &By) -> Result<(), Fault> {
    deliveries::known_plugin(connection, plugin)?;
    let By { who, reason, at_micros } = by;
    connection
        .prepare_cached(
            "INSERT INTO disabled (plugin, at_micros, who, reason) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (plugin) DO UPDATE SET at_micros = excluded.at_micros, who = excluded.who, reason = excluded.reason",
        )?
        .execute(params![plugin, at_micros, who, reason])?;
    actions::record_about(connection, by, plugin, "plugins disable", plugin)
}

/// Switches a plugin on again. One that is on stays on.
pub(crate) fn enable(connection: &Connection, plugin: &str, by: &By) -> Result<(), Fault> {
    deliveries::known_plugin(connection, plugin)?;
    let changed = connection.prepare_cached("DELETE FROM disabled WHERE plugin = ?1")?.execute([plugin])?;
    if changed > 0 { actions::record_about(connection, by, plugin, "plugins enable", plugin) } else { Ok(()) }
}

/// The plugins that are off, by name.
pub(crate) fn disabled(connection: &Connection) -> Result<Vec<Disabled>, Fault> {
    let mut select =
        connection.prepare_cached("SELECT plugin, at_micros, who, reason FROM disabled ORDER BY plugin")?;
    let disabled = select.query_map([], |row| {
        let by = By { at_micros: row.get(1)?, who: row.get(2)?, reason: row.get(3)? };
        Ok(Disabled { plugin: row.get(0)?, by })
    })?;
    Ok(disabled.collect::<rusqlite::Result<_>>()?)
}
