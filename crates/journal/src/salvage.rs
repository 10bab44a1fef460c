//! What can still be read of a damaged journal, put into a new one.
//!
//! Every table is read from its beginning as far as that goes, and then from its end towards the damage. What is left is
//! made to hold together: rows that belong to nothing go, and every such loss is told.

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, params, params_from_iter};

use crate::open::{self, OpenError, Options};

/// The tables with the order in which they lie, parents first.
const TABLES: [(&str, &[&str]); 14] = [
    ("pool", &["name"]),
    ("event", &["sequence"]),
    ("object", &["rowid"]),
    ("plugin", &["name"]),
    ("disabled", &["plugin"]),
    ("delivery", &["plugin", "sequence"]),
    ("folded", &["plugin", "sequence"]),
    ("dead", &["id"]),
    ("dead_log", &["dead", "number"]),
    ("state", &["rowid"]),
    ("effect", &["id"]),
    ("audit", &["id"]),
    ("gap", &["id"]),
    ("schedule", &["pool", "plugin", "name"]),
];

/// What became of a damaged journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// The number of the last event in the new journal.
    pub last: u64,
    /// Each table, how many rows of it were saved, and whether that is all of them.
    pub tables: Vec<(&'static str, u64, bool)>,
    /// What was lost or changed beyond that, in words.
    pub losses: Vec<String>,
}

/// Why nothing was salvaged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SalvageError {
    /// The damaged journal cannot be read at all, or it is in use.
    #[error("reading the damaged journal")]
    Source(#[source] OpenError),
    /// The new journal cannot be made.
    #[error("making a new journal")]
    Target(#[source] OpenError),
    /// There is a journal already.
    #[error("there is a journal in {} already; it was left as it is: name an empty folder", .folder.display())]
    Exists {
        /// The folder.
        folder: PathBuf,
    },
    /// Writing the new journal failed.
    #[error("writing the new journal in {}", .folder.display())]
    Write {
        /// The folder.
        folder: PathBuf,
        /// What the store said.
        source: rusqlite::Error,
    },
}

/// Reads what can be read of the journal in a folder, which nobody may have open, into a new journal in another folder, which
/// must be there. The damaged one is not changed. Blocks meanwhile.
///
/// # Errors
/// See [`SalvageError`].
pub fn salvage(folder: &Path, to: &Path) -> Result<Salvaged, SalvageError> {
    if open::existing(to).is_ok() {
        return Err(SalvageError::Exists { folder: to.to_owned() });
    }
    let file = open::existing(folder).map_err(SalvageError::Source)?;
    let _lock = open::lock(folder, &file).map_err(SalvageError::Source)?;
    let from = open::reader(&file).map_err(SalvageError::Source)?;
    open::of_this_format(&from, &file).map_err(SalvageError::Source)?;
    let new = open::open(to, &Options::default()).map_err(SalvageError::Target)?;
    let failed = |source| SalvageError::Write { folder: to.to_owned(), source };
    let salvaged = fill(&from, &new.writer).map_err(failed)?;
    new.writer.close().map_err(|(_, source)| failed(source))?;
    Ok(salvaged)
}

fn fill(from: &Connection, into: &Connection) -> rusqlite::Result<Salvaged> {
    // Rows come before their parents are known to be there; what belongs to nothing is dealt with at the end.
    into.pragma_update(None, "foreign_keys", false)?;
    let transaction = into.unchecked_transaction()?;
    let mut salvaged = Salvaged::default();
    for (table, keys) in TABLES {
        let (rows, whole) = copy(from, &transaction, table, keys)?;
        salvaged.tables.push((table, rows, whole));
    }
    let counted = from.query_row("SELECT sequence FROM tail", [], |row| row.get::<_, u64>(0)).ok();
    chain(from, &transaction)?;
    salvaged.last = hold_together(&transaction, counted, &mut salvaged.losses)?;
    transaction.commit()?;
    into.pragma_update(None, "foreign_keys", true)?;
    Ok(salvaged)
}

/// How many rows of a table were saved, and whether they are all.
fn copy(from: &Connection, into: &Connection, table: &str, keys: &[&str]) -> rusqlite::Result<(u64, bool)> {
    let mut columns = into.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let columns: Vec<String> =
        columns.query_map([table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let places = vec!["?"; columns.len()].join(", ");
    let columns = columns.join(", ");
    let mut insert = into.prepare(&format!("INSERT OR IGNORE INTO {table} ({columns}) VALUES ({places})"))?;
    let mut saved = 0;
    for direction in ["ASC", "DESC"] {
        let order: Vec<String> = keys.iter().map(|key| format!("{key} {direction}")).collect();
        let select = format!("SELECT {columns} FROM {table} ORDER BY {}", order.join(", "));
        let (rows, whole) = stream(from, &select, &mut insert)?;
        saved += rows;
        if whole {
            // From the other end only what the first pass could not reach is missing.
            return Ok((saved, direction == "ASC"));
        }
    }
    Ok((saved, false))
}

/// Saves rows until one cannot be read, and tells whether all could. The error is one of writing.
fn stream(
    from: &Connection,
    select: &str,
    insert: &mut rusqlite::Statement<'_>,
) -> rusqlite::Result<(u64, bool)> {
    let (mut saved, mut whole) = (0, true);
    let Ok(mut select) = from.prepare(select) else { return Ok((0, false)) };
    let width = select.column_count();
    let Ok(mut rows) = select.query([]) else { return Ok((0, false)) };
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => return Ok((saved, whole)),
            Err(_) => return Ok((saved, false)),
        };
        let values: Result<Vec<Value>, _> = (0..width).map(|column| row.get(column)).collect();
        let Ok(values) = values else {
            whole = false;
            continue;
        };
        match insert.execute(params_from_iter(values)) {
            Ok(rows) => saved += rows as u64,
            // What breaks the rules of its own table is damage too.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => whole = false,
            Err(error) => return Err(error),
        }
    }
}

/// The ends of the audit as they were, so that what was lost between them is missed when it is verified; the rows that are
/// left, where the ends themselves cannot be read.
fn chain(from: &Connection, into: &Connection) -> rusqlite::Result<()> {
    let set = "UPDATE audit_chain SET anchor_id = ?1, anchor_hash = ?2, head_id = ?3, head_hash = ?4";
    let read = |connection: &Connection, sql: &str| -> rusqlite::Result<[Value; 4]> {
        connection.query_row(sql, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))
    };
    let kept = "SELECT anchor_id, anchor_hash, head_id, head_hash FROM audit_chain";
    let left = "SELECT first.id, first.hash, last.id, last.hash FROM audit AS first, audit AS last
                WHERE first.id = (SELECT min(id) FROM audit) AND last.id = (SELECT max(id) FROM audit)";
    if let Ok(ends) = read(from, kept).or_else(|_| read(into, left)) {
        into.execute(set, params_from_iter(ends))?;
    }
    Ok(())
}

/// Makes what was saved a journal, and gives the number of its last event.
fn hold_together(into: &Connection, counted: Option<u64>, losses: &mut Vec<String>) -> rusqlite::Result<u64> {
    let newest: Option<u64> = into.query_row("SELECT max(sequence) FROM event", [], |row| row.get(0))?;
    let last = newest.or(counted).unwrap_or_default();
    into.execute("UPDATE tail SET sequence = ?1", [last])?;
    let mut lose = |what: &str, sql: &str| -> rusqlite::Result<()> {
        let rows = into.execute(sql, params![last])?;
        if rows > 0 {
            losses.push(format!("{what}: {rows}"));
        }
        Ok(())
    };
    lose(
        "pools whose position was lost, and which are compared anew",
        "INSERT OR IGNORE INTO pool (name, position)
         SELECT DISTINCT pool, '' FROM (SELECT pool FROM event UNION SELECT pool FROM object) WHERE ?1 >= 0",
    )?;
    lose(
        "plugins whose cursor was lost, and which go on after the last event",
        "INSERT OR IGNORE INTO plugin (name, cursor)
         SELECT DISTINCT plugin, ?1 FROM (SELECT plugin FROM delivery UNION SELECT plugin FROM dead
             UNION SELECT plugin FROM folded UNION SELECT plugin FROM state UNION SELECT plugin FROM effect UNION SELECT plugin FROM disabled
             UNION SELECT plugin FROM gap)",
    )?;
    lose(
        "plugins whose cursor was beyond the last event",
        "UPDATE plugin SET cursor = ?1 WHERE cursor > ?1",
    )?;
    lose(
        "deliveries whose event was lost",
        "DELETE FROM delivery WHERE sequence > ?1
         OR (state <> 'settled' AND NOT EXISTS (SELECT 1 FROM event WHERE event.sequence = delivery.sequence))",
    )?;
    lose(
        "dead letters whose event was lost",
        "DELETE FROM dead WHERE sequence > ?1
         OR NOT EXISTS (SELECT 1 FROM event WHERE event.sequence = dead.sequence)",
    )?;
    lose(
        "log lines of dead letters that were lost",
        "DELETE FROM dead_log WHERE ?1 >= 0 AND NOT EXISTS (SELECT 1 FROM dead WHERE dead.id = dead_log.dead)",
    )?;
    // Their numbers will be those of other events.
    lose("notes of folded events that were lost", "DELETE FROM folded WHERE into_sequence > ?1")?;
    lose("recorded calls whose event was lost", "DELETE FROM effect WHERE sequence > ?1")?;
    Ok(last)
}
