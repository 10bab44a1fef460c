//! Waiters are told by somebody who follows the pool's tasks anyway.

use crate::Client;
use crate::model::Record;

/// Tells the waiters of a client what happens to tasks. As long as one exists, the client makes no poll of its own for
/// them; they still read the record of a task that is silent for ten seconds.
///
/// For whoever follows `event.from` for the class `task` already.
#[derive(Debug)]
pub struct TaskFeed {
    client: Client,
}

impl TaskFeed {
    pub(super) fn new(client: Client) -> Self {
        client.waiting().followers().send_modify(|followers| *followers += 1);
        TaskFeed { client }
    }

    /// The pool has this record of a task. Cheap when nobody waits for it.
    pub fn seen(&self, task: &Record) {
        self.client.waiting().board.seen(task);
    }

    /// The pool tells that this task is gone, or does not tell it any more. Whoever waits for it asks the pool before
    /// calling it lost.
    pub fn vanished(&self, reference: &str) {
        self.client.waiting().board.doubt(reference);
    }
}

impl Drop for TaskFeed {
    fn drop(&mut self) {
        self.client.waiting().followers().send_modify(|followers| *followers -= 1);
    }
}
