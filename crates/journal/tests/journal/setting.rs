//! A journal in a folder of its own, and short ways to say what goes in.

use journal::{Append, Finish, Journal, NewEvent, Options, Outcome};
use tempfile::TempDir;

/// A new journal; the folder goes when it is dropped.
pub(crate) fn journal() -> (TempDir, Journal) {
    let folder = tempfile::tempdir().expect("a folder for a test");
    let journal = Journal::open(folder.path(), &Options::default()).expect("a new journal");
    (folder, journal)
}

/// A folder in memory where there is one, for tests that are about what is written and not about when it is on disk.
pub(crate) fn quick_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder for a test")
}

/// So many events of a pool, and nothing else.
pub(crate) fn events(pool: &str, count: usize) -> Append {
    let event = NewEvent {
        kind: "change".into(),
        class: "VM".into(),
        reference: "OpaqueRef:1".into(),
        at_micros: 1,
        payload: "{}".into(),
    };
    Append { pool: pool.into(), position: "p".into(), events: vec![event; count], objects: vec![] }
}

/// The end of an attempt, without state and cursor.
pub(crate) fn finish(plugin: &str, sequence: u64, attempt: u32, outcome: Outcome) -> Finish {
    Finish { plugin: plugin.into(), sequence, attempt, at_micros: 1, outcome, state: vec![], cursor: None }
}
