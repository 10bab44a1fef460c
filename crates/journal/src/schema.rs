//! The tables, and how an older file is brought to them.
//!
//! One step a version, never changed once shipped: the file of every version stays readable. `user_version` in the
//! file's head says how many steps were taken.

use rusqlite::Connection;

use crate::actions::{self, By};
use crate::audit;

/// Marks the file as a journal of this program in SQLite's head: the letters `XAPJ`.
pub(crate) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"XAPJ");

/// The version of the tables that this program writes.
pub(crate) const VERSION: i32 = STEPS.len() as i32;

const STEPS: &[Step] = &[
    Step { tables: FIRST, then: None },
    Step { tables: OPERATED, then: None },
    Step { tables: SCHEDULED, then: None },
    Step { tables: FOLDED, then: None },
    Step { tables: LIMITED, then: None },
    Step { tables: AUDITED, then: Some(adopt_actions) },
];

/// From one version to the next.
struct Step {
    tables: &'static str,
    /// What SQL alone cannot do.
    then: Option<fn(&Connection) -> rusqlite::Result<()>>,
}

const FIRST: &str = "
    -- The number of the last event. Kept apart from the events, so that numbers are not used again when old events
    -- are removed.
    CREATE TABLE tail (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        sequence INTEGER NOT NULL CHECK (sequence >= 0)
    ) STRICT;
    INSERT INTO tail VALUES (1, 0);

    CREATE TABLE pool (
        name TEXT PRIMARY KEY NOT NULL,
        position TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE event (
        sequence INTEGER PRIMARY KEY,
        pool TEXT NOT NULL REFERENCES pool (name),
        kind TEXT NOT NULL,
        class TEXT NOT NULL,
        reference TEXT NOT NULL,
        at_micros INTEGER NOT NULL,
        payload TEXT NOT NULL
    ) STRICT;

    CREATE TABLE object (
        pool TEXT NOT NULL REFERENCES pool (name),
        class TEXT NOT NULL,
        reference TEXT NOT NULL,
        payload TEXT NOT NULL,
        PRIMARY KEY (pool, class, reference)
    ) STRICT;

    -- Every event at or below the cursor is settled for the plugin.
    CREATE TABLE plugin (
        name TEXT PRIMARY KEY NOT NULL,
        cursor INTEGER NOT NULL CHECK (cursor >= 0)
    ) STRICT, WITHOUT ROWID;

    -- Only what is above the cursor: an event without a row has not been started.
    CREATE TABLE delivery (
        plugin TEXT NOT NULL REFERENCES plugin (name),
        sequence INTEGER NOT NULL,
        attempt INTEGER NOT NULL CHECK (attempt >= 1),
        cut_short INTEGER NOT NULL DEFAULT 0 CHECK (cut_short BETWEEN 0 AND attempt),
        state TEXT NOT NULL CHECK (state IN ('started', 'retry', 'settled')),
        not_before_micros INTEGER CHECK ((not_before_micros IS NULL) = (state <> 'retry')),
        why TEXT CHECK ((why IS NULL) = (state <> 'retry')),
        PRIMARY KEY (plugin, sequence)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE dead (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        plugin TEXT NOT NULL REFERENCES plugin (name),
        sequence INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        at_micros INTEGER NOT NULL,
        why TEXT NOT NULL,
        UNIQUE (plugin, sequence)
    ) STRICT;

    CREATE TABLE dead_log (
        dead INTEGER NOT NULL REFERENCES dead (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        line TEXT NOT NULL,
        PRIMARY KEY (dead, number)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE state (
        plugin TEXT NOT NULL REFERENCES plugin (name),
        key TEXT NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (plugin, key)
    ) STRICT;

    CREATE TABLE effect (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        plugin TEXT NOT NULL REFERENCES plugin (name),
        sequence INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        call_index INTEGER NOT NULL,
        method TEXT NOT NULL,
        arguments TEXT NOT NULL,
        intended_at_micros INTEGER NOT NULL,
        outcome TEXT,
        concluded_at_micros INTEGER CHECK ((concluded_at_micros IS NULL) = (outcome IS NULL)),
        UNIQUE (plugin, sequence, attempt, call_index)
    ) STRICT;
";

/// What operators do: dead letters that come again, plugins that are switched off, and who did what.
const OPERATED: &str = "
    ALTER TABLE dead ADD COLUMN cut_short INTEGER NOT NULL DEFAULT 0 CHECK (cut_short >= 0);

    -- A plugin that is not named here is on.
    CREATE TABLE disabled (
        plugin TEXT PRIMARY KEY NOT NULL REFERENCES plugin (name),
        at_micros INTEGER NOT NULL,
        who TEXT NOT NULL,
        reason TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE action (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at_micros INTEGER NOT NULL,
        who TEXT NOT NULL,
        verb TEXT NOT NULL,
        subject TEXT NOT NULL,
        reason TEXT NOT NULL
    ) STRICT;
";

/// When the schedules of plugins were last due. Plugins are named here before they are known by a cursor.
const SCHEDULED: &str = "
    CREATE TABLE schedule (
        pool TEXT NOT NULL,
        plugin TEXT NOT NULL,
        name TEXT NOT NULL,
        pattern TEXT NOT NULL,
        due_micros INTEGER NOT NULL,
        PRIMARY KEY (pool, plugin, name)
    ) STRICT, WITHOUT ROWID;
";

/// Events that were not told for themselves, since a later one of the same object told of them too. Rows go with their events.
const FOLDED: &str = "
    CREATE TABLE folded (
        plugin TEXT NOT NULL REFERENCES plugin (name),
        sequence INTEGER NOT NULL,
        into_sequence INTEGER NOT NULL CHECK (into_sequence > sequence),
        PRIMARY KEY (plugin, sequence)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX folded_into ON folded (plugin, into_sequence);
";

/// What plugins lost because the journal may not hold more. Kept for good.
const LIMITED: &str = "
    CREATE TABLE gap (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        plugin TEXT NOT NULL REFERENCES plugin (name),
        first INTEGER NOT NULL,
        last INTEGER NOT NULL CHECK (last >= first),
        events INTEGER NOT NULL,
        dead INTEGER NOT NULL,
        newest INTEGER NOT NULL CHECK (newest >= last),
        at_micros INTEGER NOT NULL,
        why TEXT NOT NULL
    ) STRICT;
";

/// Who did what, in rows that are chained by their hashes.
const AUDITED: &str = "
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY CHECK (id >= 1),
        at_micros INTEGER NOT NULL,
        kind TEXT NOT NULL,
        plugin TEXT NOT NULL,
        who TEXT NOT NULL,
        what TEXT NOT NULL,
        object TEXT NOT NULL,
        of INTEGER,
        details TEXT NOT NULL,
        hash BLOB NOT NULL CHECK (length(hash) = 32)
    ) STRICT;
    CREATE INDEX audit_of ON audit (of) WHERE of IS NOT NULL;

    -- The last row that was removed for its age, and the last row.
    CREATE TABLE audit_chain (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        anchor_id INTEGER NOT NULL CHECK (anchor_id >= 0),
        anchor_hash BLOB NOT NULL CHECK (length(anchor_hash) = 32),
        head_id INTEGER NOT NULL CHECK (head_id >= anchor_id),
        head_hash BLOB NOT NULL CHECK (length(head_hash) = 32)
    ) STRICT;
    INSERT INTO audit_chain VALUES (1, 0, zeroblob(32), 0, zeroblob(32));

    -- What a call acted on, the rule that allowed it, and its row of the audit.
    ALTER TABLE effect ADD COLUMN object TEXT NOT NULL DEFAULT '';
    ALTER TABLE effect ADD COLUMN rule TEXT NOT NULL DEFAULT '';
    ALTER TABLE effect ADD COLUMN audit INTEGER;
";

/// What people did becomes part of the audit.
fn adopt_actions(connection: &Connection) -> rusqlite::Result<()> {
    let mut select =
        connection.prepare("SELECT at_micros, who, verb, subject, reason FROM action ORDER BY id")?;
    let actions = select.query_map([], |row| {
        let by = By { at_micros: row.get(0)?, who: row.get(1)?, reason: row.get(4)? };
        Ok(actions::entry(&by, "", &row.get::<_, String>(2)?, &row.get::<_, String>(3)?))
    })?;
    for action in actions {
        audit::append(connection, &action?)?;
    }
    drop(select);
    connection.execute_batch("DROP TABLE action")
}

/// Takes the steps that the file has not seen, all in the transaction that the caller has open.
pub(crate) fn bring_up(connection: &Connection, version: i32) -> rusqlite::Result<()> {
    let taken = usize::try_from(version).unwrap_or(0);
    for step in STEPS.iter().skip(taken) {
        connection.execute_batch(step.tables)?;
        step.then.map_or(Ok(()), |then| then(connection))?;
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", VERSION)
}
