//! The newest events, kept decoded so that plugins which keep up need not read them back from the journal.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use crate::event::PoolEvent;

/// How many events are kept. A plugin that falls further behind reads the journal.
const KEPT: usize = 1024;

/// An event and when its batch came in from the pool.
#[derive(Debug, Clone)]
pub(crate) struct Recent {
    /// The event.
    pub(crate) event: Arc<PoolEvent>,
    /// When the answer that told of it was complete; none for what was read from the journal.
    pub(crate) received: Option<Instant>,
}

/// The newest events of all pools, in the order of their numbers, without a hole.
#[derive(Debug)]
pub(crate) struct Tail {
    events: Mutex<VecDeque<Recent>>,
    last: watch::Sender<u64>,
}

impl Tail {
    /// An empty tail behind a journal whose last event is `last`.
    pub(crate) fn new(last: u64) -> Self {
        Tail { events: Mutex::default(), last: watch::Sender::new(last) }
    }

    /// The number of the last event that can be read, and what becomes of it.
    pub(crate) fn last(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    /// Takes in events that are durable. Batches of several pools may come out of order; what does not continue the
    /// sequence waits in the journal instead.
    pub(crate) fn push(&self, fresh: impl IntoIterator<Item = Recent>) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = 0;
        for recent in fresh {
            last = recent.event.sequence;
            let follows = events.back().is_none_or(|last| last.event.sequence + 1 == recent.event.sequence);
            if !follows {
                if events.back().is_some_and(|last| last.event.sequence >= recent.event.sequence) {
                    continue;
                }
                events.clear();
            }
            events.push_back(recent);
            if events.len() > KEPT {
                events.pop_front();
            }
        }
        drop(events);
        self.last.send_if_modified(|known| {
            let newer = last > *known;
            *known = last.max(*known);
            newer
        });
    }

    /// The events after `sequence`, at most `limit`; none when the next one is not kept here.
    pub(crate) fn after(&self, sequence: u64, limit: usize) -> Vec<Recent> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = events.front().map(|recent| recent.event.sequence) else { return Vec::new() };
        let Some(skip) = (sequence + 1).checked_sub(first) else { return Vec::new() };
        events.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX)).take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Connection, Told};

    fn recent(sequence: u64) -> Recent {
        let told = Told::Connection(Connection::Lost { why: String::new() });
        let event =
            PoolEvent { sequence, pool: "lab".into(), at: jiff::Timestamp::UNIX_EPOCH, told, cause: None };
        Recent { event: Arc::new(event), received: None }
    }

    const NONE: [u64; 0] = [];

    fn sequences(tail: &Tail, after: u64, limit: usize) -> Vec<u64> {
        tail.after(after, limit).iter().map(|recent| recent.event.sequence).collect()
    }

    #[test]
    fn what_is_kept_continues_without_a_hole() {
        let tail = Tail::new(4);
        assert_eq!(sequences(&tail, 0, 9), NONE);
        tail.push([5, 6, 7].map(recent));
        assert_eq!(sequences(&tail, 4, 9), [5, 6, 7]);
        assert_eq!(sequences(&tail, 5, 1), [6]);
        assert_eq!(sequences(&tail, 3, 9), NONE, "4 is only in the journal");
        assert_eq!(sequences(&tail, 7, 9), NONE);
        tail.push([10, 11].map(recent));
        assert_eq!(sequences(&tail, 7, 9), NONE, "8 is only in the journal");
        tail.push([8, 9].map(recent));
        assert_eq!(sequences(&tail, 9, 9), [10, 11]);
        assert_eq!(*tail.last().borrow(), 11);
    }
}
