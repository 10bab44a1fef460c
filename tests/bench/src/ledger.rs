//! The daemon's journal, read from outside while the daemon writes it.

use std::path::Path;

use anyhow::{Context as _, Result};
use rusqlite::{Connection, OpenFlags, params};

/// A read-only view of a journal.
pub(crate) struct Ledger {
    connection: Connection,
}

impl Ledger {
    /// Opens the journal in a state folder.
    pub(crate) fn open(state: &Path) -> Result<Self> {
        let path = state.join("journal.db");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags)
            .with_context(|| format!("opening {}", path.display()))?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        Ok(Ledger { connection })
    }

    /// The number of the last event.
    pub(crate) fn last(&self) -> Result<u64> {
        let mut select = self.connection.prepare_cached("SELECT sequence FROM tail")?;
        Ok(select.query_row([], |row| row.get(0))?)
    }

    /// How many changes of VMs came after an event, and the number of the last of them (that event's, if there is
    /// none).
    pub(crate) fn vm_changes_after(&self, sequence: u64) -> Result<(u64, u64)> {
        let mut select = self.connection.prepare_cached(
            "SELECT count(*), ifnull(max(sequence), ?1) FROM event
             WHERE sequence > ?1 AND kind = 'change' AND class = 'VM'",
        )?;
        Ok(select.query_row([sequence], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    /// Whether the plugin has dealt with every change of a VM up to this event: its cursor is there, or all that is
    /// between is settled.
    pub(crate) fn settled(&self, plugin: &str, sequence: u64) -> Result<bool> {
        let cursor = "SELECT cursor FROM plugin WHERE name = ?1";
        let cursor: u64 = self.connection.prepare_cached(cursor)?.query_row([plugin], |row| row.get(0))?;
        if cursor >= sequence {
            return Ok(true);
        }
        // The newest of many is asked for first: it is cheap, and says no nearly always.
        let mut newest = self.connection.prepare_cached(
            "SELECT count(*) FROM delivery WHERE plugin = ?1 AND sequence = ?2 AND state = 'settled'",
        )?;
        if newest.query_row(params![plugin, sequence], |row| row.get::<_, u64>(0))? == 0 {
            return Ok(false);
        }
        let mut open = self.connection.prepare_cached(
            "SELECT count(*) FROM event WHERE sequence > ?2 AND sequence <= ?3 AND kind = 'change' AND class = 'VM'
             AND NOT EXISTS (SELECT 1 FROM delivery
                             WHERE plugin = ?1 AND delivery.sequence = event.sequence AND state = 'settled')",
        )?;
        Ok(open.query_row(params![plugin, cursor, sequence], |row| row.get::<_, u64>(0))? == 0)
    }

    /// How many bytes of the journal are in use, as they are once its log is in the main file.
    pub(crate) fn used_bytes(&self) -> Result<u64> {
        let number = |pragma: &str| -> Result<u64> {
            Ok(self.connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))?)
        };
        Ok((number("page_count")? - number("freelist_count")?) * number("page_size")?)
    }

    /// How many deliveries were given up.
    pub(crate) fn dead_letters(&self) -> Result<u64> {
        let mut select = self.connection.prepare_cached("SELECT count(*) FROM dead")?;
        Ok(select.query_row([], |row| row.get(0))?)
    }
}
