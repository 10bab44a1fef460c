//! What was heard of the tasks that somebody waits for. Pure bookkeeping: knows no pool and no I/O.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use smol_str::SmolStr;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::state::TaskState;
use crate::events::Ending;
use crate::model::Record;

/// The tasks with waiters. Holds nothing else, so it is as large as the program's own waiting.
#[derive(Debug, Default)]
pub(super) struct Board {
    entries: Mutex<HashMap<SmolStr, Entry>>,
    /// Told when a task comes onto the board.
    arrivals: Notify,
}

#[derive(Debug)]
struct Entry {
    waiters: usize,
    heard: watch::Sender<Heard>,
}

/// What was heard of one task.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) state: TaskState,
    /// When; none before the first word.
    pub(super) at: Option<Instant>,
    /// It may be gone: its record is to be read.
    pub(super) doubted: bool,
}

/// One waiter's place on the board, left when dropped.
#[derive(Debug)]
pub(super) struct Seat<'b> {
    board: &'b Board,
    reference: SmolStr,
    pub(super) heard: watch::Receiver<Heard>,
}

impl Board {
    /// Takes a place for a task.
    pub(super) fn sit(&self, reference: &SmolStr) -> Seat<'_> {
        let mut entries = self.entries();
        let entry = entries.entry(reference.clone()).or_insert_with(|| {
            self.arrivals.notify_one();
            let nothing = Heard { state: TaskState::Going(0.0), at: None, doubted: false };
            Entry { waiters: 0, heard: watch::Sender::new(nothing) }
        });
        entry.waiters += 1;
        Seat { board: self, reference: reference.clone(), heard: entry.heard.subscribe() }
    }

    /// A record of a task as the pool has it now.
    pub(super) fn seen(&self, task: &Record) {
        self.tell(&task.reference, || TaskState::of(task));
    }

    /// A task of which the pool says that there is none.
    pub(super) fn lost(&self, reference: &str) {
        self.tell(reference, || TaskState::Ended(Ending::Lost));
    }

    /// A task that was told to be gone, or not told where it should be: whoever waits for it reads its record.
    pub(super) fn doubt(&self, reference: &str) {
        if let Some(entry) = self.entries().get(reference) {
            entry.heard.send_modify(|heard| heard.doubted = true);
        }
    }

    /// The tasks that are waited for and have not ended.
    pub(super) fn open(&self) -> BTreeSet<SmolStr> {
        let entries = self.entries();
        let open = entries.iter().filter(|(_, entry)| entry.heard.borrow().state.ending().is_none());
        open.map(|(reference, _)| reference.clone()).collect()
    }

    /// Returns once a task is waited for that is not among `these`.
    pub(super) async fn beyond(&self, these: &BTreeSet<SmolStr>) {
        loop {
            self.arrivals.notified().await;
            if self.open().iter().any(|reference| !these.contains(reference)) {
                return;
            }
        }
    }

    fn tell(&self, reference: &str, state: impl FnOnce() -> TaskState) {
        if let Some(entry) = self.entries().get(reference) {
            entry.heard.send_if_modified(|heard| {
                // The first ending stays: a task ends once.
                if heard.state.ending().is_some() {
                    return false;
                }
                *heard = Heard { state: state(), at: Some(Instant::now()), doubted: false };
                true
            });
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<SmolStr, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut entries = self.board.entries();
        if let Some(entry) = entries.get_mut(&self.reference) {
            entry.waiters -= 1;
            if entry.waiters == 0 {
                entries.remove(&self.reference);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::{Struct, Value};

    fn task(reference: &str, status: &str, progress: f64) -> Record {
        let fields: Struct = [("status".into(), status.into()), ("progress".into(), Value::Float(progress))]
            .into_iter()
            .collect();
        Record::new("task", reference, fields)
    }

    #[test]
    fn a_board_holds_only_what_is_waited_for() {
        let board = Board::default();
        board.seen(&task("OpaqueRef:a", "success", 1.0));
        assert!(board.entries().is_empty());
        let (one, other) = (board.sit(&"OpaqueRef:a".into()), board.sit(&"OpaqueRef:a".into()));
        board.seen(&task("OpaqueRef:a", "pending", 0.5));
        assert_eq!(one.heard.borrow().state, TaskState::Going(0.5));
        drop(one);
        assert_eq!(board.open().len(), 1);
        board.seen(&task("OpaqueRef:a", "cancelled", 1.0));
        assert!(board.open().is_empty(), "ended, and still somebody's");
        assert_eq!(other.heard.borrow().state, TaskState::Ended(Ending::Cancelled));
        drop(other);
        assert!(board.entries().is_empty());
    }

    #[test]
    fn the_first_ending_stays_and_a_doubt_is_settled_by_a_record() {
        let board = Board::default();
        let seat = board.sit(&"OpaqueRef:a".into());
        board.doubt("OpaqueRef:a");
        assert!(seat.heard.borrow().doubted);
        board.seen(&task("OpaqueRef:a", "pending", 0.1));
        assert!(!seat.heard.borrow().doubted);
        board.lost("OpaqueRef:a");
        board.seen(&task("OpaqueRef:a", "success", 1.0));
        assert_eq!(seat.heard.borrow().state, TaskState::Ended(Ending::Lost));
    }

    #[test]
    fn only_an_unknown_task_is_an_arrival() {
        let board = Board::default();
        let first = board.sit(&"OpaqueRef:a".into());
        let known = board.open();
        let mut beyond = Box::pin(board.beyond(&known));
        let mut told = || (&mut beyond).now_or_never().is_some();
        assert!(!told(), "it was known");
        let second = board.sit(&"OpaqueRef:a".into());
        assert!(!told(), "so is this");
        let third = board.sit(&"OpaqueRef:b".into());
        assert!(told());
        drop((first, second, third));
    }
}
