//! The promises, checked from the outside: from the journal by SQL, from what the pool was made to do, and from what the
//! daemon and the plugin `witness` said in all their lives.
//!
//! It must not know what the fault was.

mod attempts;
mod effects;
mod loss;
mod secrets;
mod sequence;
mod starts;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use e2e::{Line, Stored};
use rusqlite::{Connection, OpenFlags};
use simulator::PoolHandle;

use crate::scene::Scene;

pub(crate) use secrets::plant;

/// A promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invariant {
    /// No loss: every event has come to an end for every plugin, and what the pool saw of it is there.
    I1,
    /// No silent gap: numbers have no holes, events lead from the first picture to the last, which is the pool's own.
    I2,
    /// Redelivery is marked: the attempts of a delivery only rise.
    I3,
    /// Order: events of one object come in order and never two at a time.
    I4,
    /// Effects: nothing is done twice, and what may not have been done is told to the plugin.
    I5,
    /// No secret leaves.
    I8,
    /// It recovered alone, in time.
    I9,
    /// It starts: soon, and with a whole journal.
    I10,
}

use Invariant::{I1, I2, I3, I4, I5, I8, I9, I10};

/// Those that hold after every fault.
pub(crate) const ALL: [Invariant; 8] = [I1, I2, I3, I4, I5, I8, I9, I10];

/// What the checks look at.
struct Evidence<'s> {
    scene: &'s Scene,
    folder: &'s Path,
    journal: Connection,
    stored: Stored,
    pool: PoolHandle,
    said: Vec<Said>,
    /// How many networks the pool has for each event.
    networks: BTreeMap<u64, u64>,
}

/// A line of the plugin `witness`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    life: usize,
    sequence: u64,
    attempt: u64,
    what: Word,
    object: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Begins,
    Ends,
    Doubts,
}

/// Checks promises after everything has settled, the daemon still running or not; what was checked, in words.
///
/// # Panics
/// With all that does not hold.
pub(crate) fn check(scene: &Scene, invariants: &[Invariant]) -> String {
    check_in(scene, &scene.state(), invariants)
}

/// The same with the journal in a folder of its own.
///
/// # Panics
/// With all that does not hold.
pub(crate) fn check_in(scene: &Scene, folder: &Path, invariants: &[Invariant]) -> String {
    let evidence = Evidence::gather(scene, folder);
    let mut broken = Vec::new();
    let mut names = Vec::new();
    for invariant in invariants {
        let found = match invariant {
            I1 => loss::check(&evidence),
            I2 => sequence::check(&evidence),
            I3 => attempts::rise(&evidence),
            I4 => attempts::order(&evidence),
            I5 => effects::check(&evidence),
            I8 => secrets::check(&evidence),
            I9 => starts::recovered(&evidence),
            I10 => starts::starts(&evidence),
        };
        names.push(format!("{invariant:?}"));
        broken.extend(found.into_iter().map(|found| format!("{invariant:?}: {found}")));
    }
    assert!(broken.is_empty(), "{} promises are broken:\n{}", broken.len(), broken.join("\n"));
    let begun: BTreeSet<u64> = evidence.said.iter().map(|said| said.sequence).collect();
    let (_, _, events) = evidence.stored.span();
    format!("{}; {events} events, {} delivered", names.join(" "), begun.len())
}

impl<'s> Evidence<'s> {
    fn gather(scene: &'s Scene, folder: &'s Path) -> Evidence<'s> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let journal = Connection::open_with_flags(folder.join("journal.db"), flags);
        let journal = journal.expect("the journal can be opened");
        let mut said = Vec::new();
        for (life, lines) in scene.lines().iter().enumerate() {
            said.extend(lines.iter().filter_map(|line| Said::read(life, line)));
        }
        let objects = objects(&journal);
        for said in &mut said {
            // What is not in the journal is found by another check.
            said.object = objects.get(&said.sequence).cloned().unwrap_or_default();
        }
        let pool = scene.pool();
        let mut networks = BTreeMap::new();
        for network in pool.records("network") {
            if let Some(sequence) = network.text("name_label").strip_prefix("event ") {
                let sequence = sequence.parse().expect("the witness writes numbers");
                *networks.entry(sequence).or_default() += 1;
            }
        }
        Evidence { scene, folder, journal, stored: Stored::open(folder), pool, said, networks }
    }

    /// Rows of numbers and texts, each as text.
    fn rows(&self, sql: &str) -> Vec<String> {
        let mut select = self.journal.prepare(sql).expect("the journal has its tables");
        let rows = select.query_map([], |row| row.get::<_, String>(0)).expect("the journal can be read");
        rows.collect::<rusqlite::Result<_>>().expect("the journal can be read")
    }

    /// The events that the witness subscribed to: changes of a VM's description.
    fn described(&self) -> BTreeSet<u64> {
        let rows = self.rows(
            "SELECT cast(sequence AS text) FROM event, json_each(payload, '$.changed')
             WHERE kind = 'change' AND class = 'VM' AND payload ->> '$.operation' = 'modified'
             AND value = 'name_description'",
        );
        rows.iter().map(|row| row.parse().expect("a number is a number")).collect()
    }
}

/// Which object each event is about.
fn objects(journal: &Connection) -> BTreeMap<u64, String> {
    let mut select =
        journal.prepare("SELECT sequence, reference FROM event").expect("the journal has its tables");
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("the journal can be read");
    rows.collect::<rusqlite::Result<_>>().expect("the journal can be read")
}

impl Said {
    fn read(life: usize, line: &Line) -> Option<Said> {
        if line.text("plugin") != "witness" {
            return None;
        }
        let mut words = line.message().split(' ');
        let what = match words.next()? {
            "begins" => Word::Begins,
            "ends" => Word::Ends,
            "doubts" => Word::Doubts,
            _ => return None,
        };
        let attempt = words.next()?.parse().ok()?;
        Some(Said { life, sequence: line.number("sequence")?, attempt, what, object: String::new() })
    }
}
