//! Whether the rows are those that were written.

use rusqlite::Connection;

use super::{Head, NewAudit, PRUNED, anchor, audited, hash, head};
use crate::error::Fault;

/// Most faults that are told in words; the others are counted.
const FAULTS_MAX: usize = 20;

/// What a look at the whole chain found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// How many rows there are.
    pub rows: u64,
    /// The last row that was removed for its age; its number is 0 where none was.
    pub anchor: Head,
    /// The head, as it is kept.
    pub head: Head,
    /// What is wrong, in words, each with the number of the row; empty when every row follows from the one before it.
    pub faults: Vec<String>,
}

/// Looks at every row. `noted` is a head that was noted earlier: the rows up to it must be the same still.
pub(crate) fn verify(connection: &Connection, noted: Option<Head>) -> Result<Verified, Fault> {
    let (anchor, head) = (anchor(connection)?, head(connection)?);
    let mut walk = Walk { before: anchor, faults: Vec::new(), further: 0, rows: 0, told: anchor.id == 0 };
    let mut noted_seen = noted.is_none_or(|noted| noted.id == 0);
    let mut select = connection.prepare_cached(
        "SELECT id, at_micros, kind, plugin, who, what, object, of, details, hash FROM audit ORDER BY id",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let row = audited(row)?;
        walk.step(row.id, &row.entry, row.hash, anchor);
        if let Some(noted) = noted.filter(|noted| noted.id == row.id) {
            noted_seen = true;
            if noted.hash != row.hash {
                walk.fault(format!(
                    "row {} is not the one that was noted: it, or a row before it, was changed and the hashes written anew",
                    row.id
                ));
            }
        }
    }
    let Walk { before: last, told, .. } = walk;
    if last.id < head.id {
        walk.fault(format!("rows are missing at the end: {} to {}", last.id + 1, head.id));
    } else if last.id > head.id {
        walk.fault(format!(
            "rows stand behind the head, {} to {}: they were put there",
            head.id + 1,
            last.id
        ));
    } else if last.hash != head.hash {
        walk.fault(format!("the head is not that of row {}: one of the two was changed", last.id));
    }
    if !told {
        walk.fault(format!(
            "the rows up to {} are gone, and no row tells that they were removed for their age",
            anchor.id
        ));
    }
    if let Some(noted) = noted.filter(|_| !noted_seen) {
        if noted.id > last.id {
            walk.fault(format!("row {} was noted and is not there: the end was cut off", noted.id));
        } else if noted.id == anchor.id && noted.hash != anchor.hash {
            walk.fault(format!("row {} was noted with another hash before it was removed", noted.id));
        }
    }
    let Walk { mut faults, further, rows, .. } = walk;
    if further > 0 {
        faults.push(format!("and {further} more"));
    }
    Ok(Verified { rows, anchor, head, faults })
}

struct Walk {
    before: Head,
    faults: Vec<String>,
    further: u64,
    rows: u64,
    /// Whether a row tells of the removed ones.
    told: bool,
}

impl Walk {
    fn step(&mut self, id: u64, entry: &NewAudit, kept: [u8; 32], anchor: Head) {
        self.rows += 1;
        self.told |= entry.kind == "action" && entry.what == PRUNED && entry.object == anchor.to_string();
        let follows = id == self.before.id + 1;
        if id <= self.before.id {
            self.fault(format!("row {id} was removed for its age and is there again: it was put there"));
        } else if !follows {
            self.fault(format!("rows are missing: {} to {}", self.before.id + 1, id - 1));
        } else if hash(&self.before.hash, id, entry) != kept {
            self.fault(format!(
                "row {id} was changed, or put there: it does not follow from the one before it"
            ));
        }
        self.before = Head { id, hash: kept };
    }

    fn fault(&mut self, what: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(what);
        } else {
            self.further += 1;
        }
    }
}
