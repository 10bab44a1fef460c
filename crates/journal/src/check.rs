//! A look at the whole file: whether SQLite finds it whole, and whether it holds together as a journal.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use crate::events;
use crate::open::{self, OpenError};

/// What a look at the whole journal found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// The number of the last event.
    pub last: u64,
    /// What is wrong, in words; empty when the journal is whole.
    pub faults: Vec<String>,
}

/// What SQLite says at most.
const FAULTS_MAX: u32 = 100;

/// What must count nothing in a journal that holds together.
const RULES: [(&str, &str); 5] = [
    (
        "events are missing between the first and the last",
        "SELECT coalesce(max(sequence) - min(sequence) + 1 - count(*), 0) FROM event",
    ),
    (
        "events are numbered above the count",
        "SELECT count(*) FROM event WHERE sequence > (SELECT sequence FROM tail)",
    ),
    (
        "plugins have cursors above the last event",
        "SELECT count(*) FROM plugin WHERE cursor > (SELECT sequence FROM tail)",
    ),
    (
        "open deliveries have no event",
        "SELECT count(*) FROM delivery WHERE state <> 'settled'
         AND NOT EXISTS (SELECT 1 FROM event WHERE event.sequence = delivery.sequence)",
    ),
    (
        "dead letters have no event",
        "SELECT count(*) FROM dead
         WHERE NOT EXISTS (SELECT 1 FROM event WHERE event.sequence = dead.sequence)",
    ),
];

/// Looks at all of the journal in a folder, which may be open elsewhere; what is seen is one state of it. Blocks for as long
/// as reading the whole file takes.
///
/// # Errors
/// [`OpenError`] when it is not even far enough together to be looked at.
pub fn check(folder: &Path) -> Result<Checked, OpenError> {
    let file = open::existing(folder)?;
    let connection = open::reader(&file)?;
    open::of_this_format(&connection, &file)?;
    look(&connection).map_err(open::failure(&file, "checking it"))
}

fn look(connection: &Connection) -> rusqlite::Result<Checked> {
    let snapshot = connection.unchecked_transaction()?;
    let mut faults = Vec::new();
    let mut whole = snapshot.prepare(&format!("PRAGMA integrity_check({FAULTS_MAX})"))?;
    for said in whole.query_map([], |row| row.get::<_, String>(0))? {
        match said {
            Ok(said) if said == "ok" => {}
            Ok(said) => faults.push(said),
            // The damage may be such that SQLite cannot even go on looking.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
                faults.push(error.to_string());
                break;
            }
            Err(error) => return Err(error),
        }
    }
    if !faults.is_empty() {
        // Whether a file that is not whole holds together cannot be asked; and its last event may be what is damaged.
        return Ok(Checked { last: events::last(&snapshot).unwrap_or_default(), faults });
    }
    let mut loose = snapshot.prepare("SELECT DISTINCT \"table\", parent FROM pragma_foreign_key_check")?;
    for said in loose.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))? {
        let (table, parent) = said?;
        faults.push(format!("rows of {table} belong to no {parent}"));
    }
    for (what, sql) in RULES {
        let count: i64 = snapshot.query_row(sql, [], |row| row.get(0))?;
        if count != 0 {
            faults.push(format!("{what}: {count}"));
        }
    }
    Ok(Checked { last: events::last(&snapshot)?, faults })
}
