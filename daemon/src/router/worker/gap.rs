//! What a plugin lost, since the journal may not hold more, and how it is told: what comes next of each object bears the mark
//! that something may have been missed.
//!
//! What runs of what was lost is let run: it can change nothing any more, since each call is recorded first, and there is nothing
//! to record it with. Then the queue is made anew from the journal.

use std::collections::HashMap;

use journal::Error;
use smol_str::SmolStr;

use super::{Lane, Worker};

/// So many objects are told apart; all others are marked each time.
const OBJECTS_MAX: usize = 100_000;

/// For each object the first event after the loss, which bears the mark.
#[derive(Debug, Default)]
pub(super) struct Marks {
    first: HashMap<Lane, u64>,
}

impl Marks {
    /// Whether this event of an object bears the mark; the same at each attempt.
    fn bears(&mut self, lane: Lane, sequence: u64) -> bool {
        if self.first.len() >= OBJECTS_MAX && !self.first.contains_key(&lane) {
            return true;
        }
        *self.first.entry(lane).or_insert(sequence) == sequence
    }
}

impl Worker {
    /// Begins to mark when the plugin lost something and has not come by what there was then.
    pub(super) async fn mark_after_gap(&mut self) -> Result<(), Error> {
        self.known_gap = self.shared.journal.gap(&self.installed.name).await?;
        let newest = self.known_gap.as_ref().map(|gap| gap.newest);
        self.gap = newest.filter(|newest| *newest >= self.queue.cursor()).map(|_| Marks::default());
        Ok(())
    }

    /// Whether it lost something since that was last asked.
    pub(super) async fn has_lost(&self) -> Result<bool, Error> {
        Ok(self.shared.journal.gap(&self.installed.name).await? != self.known_gap)
    }

    /// Whether an event is told with the mark that something may have been missed.
    pub(super) fn marked(&mut self, pool: &SmolStr, object: &SmolStr, sequence: u64) -> bool {
        let lane = (pool.clone(), object.clone());
        self.gap.as_mut().is_some_and(|gap| gap.bears(lane, sequence))
    }

    /// Takes an error for what it is when the event is gone, and goes on anew after it; none then.
    pub(super) fn unless_lost<T>(&mut self, outcome: Result<T, Error>) -> Result<Option<T>, Error> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(Error::Settled { plugin, sequence }) => {
                tracing::warn!(
                    plugin,
                    sequence,
                    "the event of a delivery was removed, since the journal may not hold more"
                );
                self.lost = true;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the queue anew after a loss, once nothing runs.
    pub(super) async fn recover(&mut self) -> Result<(), Error> {
        if !self.lost || !self.running.is_empty() || !self.requeue().await? {
            return Ok(());
        }
        self.lost = false;
        self.left_below_the_cursor().await?;
        self.mark_after_gap().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_object_bears_the_mark_at_each_attempt() {
        let mut marks = Marks::default();
        let lane = |object: &str| (SmolStr::new("lab"), SmolStr::new(object));
        assert!(marks.bears(lane("a"), 7) && marks.bears(lane("b"), 8) && marks.bears(lane("a"), 7));
        assert!(!marks.bears(lane("a"), 9) && !marks.bears(lane("b"), 9));
    }
}
