//! What the records of a large pool weigh in memory.

use anyhow::{Result, ensure};
use xapi::model::World;

use crate::memory::Memory;
use crate::picture;
use crate::row::{Goal, Row};

/// Records that are read at once; the whole would be more than one reply may hold.
const PART: usize = 10_000;

/// Fills a world with `parts` times ten thousand records, decoded as they come from a pool.
pub(crate) fn measure(parts: usize) -> Result<Vec<Row>> {
    let before = Memory::of(std::process::id())?.now;
    let mut world = World::new();
    for part in 0..parts {
        let body = picture::body(part * PART..(part + 1) * PART)?;
        let batch = picture::read(&body)?;
        for event in batch.events {
            if let Some(record) = event.snapshot {
                world.insert(record);
            }
        }
    }
    let records = parts * PART;
    ensure!(world.len() == records, "the world has {} records", world.len());
    let grown = Memory::of(std::process::id())?.now - before;
    let row = Row::new(format!("a world of {records} records"), grown, "MB");
    Ok(vec![if records == 100_000 { row.goal(Goal::AtMost(150.0)) } else { row }])
}
