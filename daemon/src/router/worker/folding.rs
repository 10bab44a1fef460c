//! Events that are told with a later one of the same object, since they waited behind one another.

use std::sync::Arc;

use journal::Error;

use super::Worker;
use crate::event::PoolEvent;
use crate::router::delivery::ROOM_RETRY;
use crate::router::queue::Next;
use crate::router::translate::{self, Heard};

impl Worker {
    /// What the plugin is told of an event and of those that are folded into it now, or were at an earlier attempt; none when it
    /// wants none of them.
    pub(super) async fn heard_with(
        &mut self,
        event: &PoolEvent,
        next: Next,
        folded: &[u64],
    ) -> Result<Option<Heard>, Error> {
        let newest = self.heard(event);
        let latest = newest.as_ref().is_none_or(|heard| heard.latest.is_some());
        let earlier = if folded.is_empty() && next.attempt > 1 && latest {
            self.shared.journal.folded_into(&self.installed.name, next.sequence).await?
        } else {
            folded.to_vec()
        };
        if earlier.is_empty() {
            return Ok(newest);
        }
        let mut heard = Vec::with_capacity(earlier.len() + 1);
        for sequence in earlier {
            let event = match self.held.remove(&sequence) {
                Some(recent) => Some(recent.event),
                None => self.read_again(sequence).await?,
            };
            heard.extend(event.and_then(|event: Arc<PoolEvent>| self.heard(&event)));
        }
        heard.extend(newest);
        Ok(translate::fold(heard))
    }

    /// Settles events by folding them into one whose first attempt begins with that, and waits until that is durable: after a
    /// crash none of them may come after it. False when there are none. Waits while there is no room.
    pub(super) async fn fold(&mut self, folded: &[u64], into: Next) -> Result<bool, Error> {
        if folded.is_empty() {
            return Ok(false);
        }
        let (plugin, sequence) = (&self.installed.name, into.sequence);
        let mut told = false;
        loop {
            match self.shared.journal.fold(plugin, folded.to_vec(), sequence).await {
                Ok(()) => break,
                Err(error) if error.is_passing() => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(plugin, sequence, error = %error, "a delivery waits until there is room");
                    }
                    self.pulse.beat();
                    tokio::time::sleep(ROOM_RETRY).await;
                }
                Err(error) => return Err(error),
            }
        }
        tracing::info!(
            plugin,
            sequence,
            folded = folded.len(),
            "earlier events of the object are told with this one"
        );
        self.ended.folded += folded.len() as u64;
        for sequence in folded {
            self.held.remove(sequence);
        }
        Ok(true)
    }
}
