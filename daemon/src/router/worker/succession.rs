//! A new version of the plugin or of its grant takes over while deliveries run and events wait.
//!
//! ```text
//!   hears the same       ─▶ it gets what is delivered next; the queue stays as it is
//!   hears something else ─▶ what runs comes to its end ─▶ the queue is made anew from what the journal holds
//! ```
//!
//! Either way a delivery is begun by one version and ended by it, and events of one object stay in their order: an event
//! that is told by another object than before could otherwise run beside an older one.

use journal::Error;

use super::{Doubts, Quarantine, Queue, Worker};
use crate::router::orders::Version;
use crate::router::terms;

impl Worker {
    /// Takes up the newest version, once it may be.
    pub(super) async fn succeed(&mut self) -> Result<(), Error> {
        let mut begins_to_wait = false;
        if self.versions.has_changed().unwrap_or_default() {
            begins_to_wait = self.successor.is_none();
            self.successor = Some(self.versions.borrow_and_update().clone());
        }
        let Some(successor) = &self.successor else { return Ok(()) };
        let plugin = &self.installed.name;
        let present = Version { installed: self.installed.clone(), pools: self.pools.clone() };
        let same = successor.hears_as(&present);
        if !same && !self.running.is_empty() {
            if begins_to_wait {
                tracing::info!(plugin, running = self.running.len(), "the new version waits for what runs");
            }
            return Ok(());
        }
        let successor = successor.clone();
        if !same && !self.requeue().await? {
            return Ok(());
        }
        match terms::take_up(&self.shared.journal, &successor.installed).await {
            Ok(()) => {}
            // The journal cannot say for now; nothing is changed.
            Err(error) if error.is_passing() => return Ok(()),
            Err(error) => return Err(error),
        }
        let Some(Version { installed, pools }) = self.successor.take() else { return Ok(()) };
        self.queue.set_bound(installed.concurrency);
        (self.installed, self.pools) = (installed, pools);
        // What the one before was told, and how it fared, says nothing of this one.
        self.doubts = Doubts::default();
        self.quarantine = Quarantine::default();
        let version = &self.installed.plugin.manifest().version;
        tracing::info!(plugin = self.installed.name, version, "the new version gets what is delivered next");
        if same { Ok(()) } else { self.left_below_the_cursor().await }
    }

    /// Makes the queue anew from what the journal holds, as at a start. False when the journal cannot say for now; nothing is
    /// changed then.
    pub(super) async fn requeue(&mut self) -> Result<bool, Error> {
        self.note_cursor().await?;
        let journal = &self.shared.journal;
        let progress = match journal.progress(&self.installed.name, journal.last()).await {
            Ok(progress) => progress,
            Err(error) if error.is_passing() => return Ok(false),
            Err(error) => return Err(error),
        };
        self.queue = Queue::new(progress.cursor, self.installed.concurrency);
        self.noted_cursor = progress.cursor;
        self.earlier = progress.open.into_iter().map(|open| (open.sequence, open)).collect();
        self.held.clear();
        self.cut_short.clear();
        Ok(true)
    }
}
