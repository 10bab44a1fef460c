//! What comes to a plugin: events from the tail or the journal, offered to its queue in order, and those that come again.

use std::sync::Arc;

use jiff::Timestamp;
use journal::{OpenDelivery, OpenState, Outcome, StoredEvent};
use smol_str::SmolStr;

use super::{Lane, Worker};
use crate::event::{PoolEvent, StoredError, Told};
use crate::feed::Recent;
use crate::router::delivery::finish;
use crate::router::queue::{Next, Offer};
use crate::router::retry;
use crate::router::translate::{self, Heard};

/// Events of one plugin that may be in memory: waiting, running and resting.
const HELD_MAX: usize = 1024;
/// Events of one object that may be in memory; the others wait by their numbers and are read again when their turn
/// comes, so that an object that rests for long does not keep the others out.
const HELD_PER_LANE: usize = 16;
/// Events that may wait in all, by number.
const OPEN_MAX: usize = 100_000;
/// Events read at once.
const READ_MAX: usize = 256;

impl Worker {
    /// Goes on with dead letters that came again in an earlier run and that the cursor has passed.
    pub(super) async fn left_below_the_cursor(&mut self) -> Result<(), journal::Error> {
        let cursor = self.queue.cursor();
        let mut left: Vec<u64> =
            self.earlier.keys().copied().filter(|sequence| *sequence <= cursor).collect();
        left.sort_unstable();
        for sequence in left {
            if let Some(open) = self.earlier.remove(&sequence) {
                self.take_again(open).await?;
            }
        }
        Ok(())
    }

    /// A person made a dead letter come again.
    pub(super) async fn come_again(&mut self, sequence: u64) -> Result<(), journal::Error> {
        // What the journal says holds: it may have run meanwhile.
        match self.shared.journal.delivery(&self.installed.name, sequence).await? {
            Some(open) if sequence > self.queue.offered() => _ = self.earlier.insert(sequence, open),
            Some(open) if matches!(open.state, OpenState::Retry { .. }) => self.take_again(open).await?,
            _ => {}
        }
        Ok(())
    }

    async fn take_again(&mut self, open: OpenDelivery) -> Result<(), journal::Error> {
        let sequence = open.sequence;
        let (not_before, cut_short) = match open.state {
            OpenState::Settled => return Ok(()),
            OpenState::Started => (None, open.attempt),
            OpenState::Retry { not_before_micros, .. } => {
                (Some(retry::due(not_before_micros)), open.cut_short)
            }
        };
        let event = self.read_again(sequence).await?;
        let Some((event, heard)) = event.and_then(|event| Some((Arc::clone(&event), self.heard(&event)?)))
        else {
            let why = "the plugin does not subscribe to this event any more, or it cannot be read back";
            tracing::warn!(plugin = self.installed.name, sequence, why, "an open delivery is given up");
            let dead = Outcome::Dead { why: why.to_owned(), log: Vec::new(), cut_short: cut_short > 0 };
            let next = Next { sequence, attempt: open.attempt + 1 };
            finish(&self.shared.journal, &self.installed.name, next, dead, Vec::new()).await?;
            self.ended.dead += 1;
            return Ok(());
        };
        if cut_short > 0 {
            self.cut_short.insert(sequence, cut_short);
        }
        let passed = sequence <= self.noted_cursor;
        self.queue.again(sequence, lane_of(&event, &heard), open.attempt, not_before, passed);
        Ok(())
    }

    /// What the plugin is told of an event; none when it does not want it.
    pub(super) fn heard(&self, event: &PoolEvent) -> Option<Heard> {
        let pool = self.pools.get(&event.pool)?;
        let subscriptions = self.installed.subscriptions();
        translate::heard(event, &self.installed.name, subscriptions)
            .or_else(|| translate::joined(event, subscriptions, &pool.read()))
    }

    /// Offers what comes next, and tells whether there may be more that there is room for.
    pub(super) async fn fill(&mut self) -> Result<bool, journal::Error> {
        let room = HELD_MAX.saturating_sub(self.held.len()).min(READ_MAX);
        if room == 0 || self.queue.open() >= OPEN_MAX {
            return Ok(false);
        }
        let recent = self.shared.tail.after(self.queue.offered(), room);
        if !recent.is_empty() {
            for recent in recent {
                self.offer(recent).await?;
            }
            return Ok(true);
        }
        if *self.shared.tail.last().borrow() <= self.queue.offered() {
            return Ok(false);
        }
        let stored = self.shared.journal.read(self.queue.offered(), room).await?;
        let more = !stored.is_empty();
        for stored in stored {
            match read_back(&stored) {
                Ok(event) => self.offer(Recent { event: Arc::new(event), received: None }).await?,
                Err(error) => {
                    // It was written by us: the file was changed from outside. The others go on.
                    tracing::error!(sequence = stored.sequence, error = %error, "an event cannot be read back");
                    self.pass_over(stored.sequence, "the event cannot be read back from the journal").await?;
                }
            }
        }
        Ok(more)
    }

    async fn offer(&mut self, recent: Recent) -> Result<(), journal::Error> {
        let event = &recent.event;
        let sequence = event.sequence;
        let Some(heard) = self.heard(event) else {
            return self.pass_over(sequence, "the plugin does not subscribe to this event any more").await;
        };
        let lane = lane_of(event, &heard);
        let (attempts, not_before) = match self.earlier.remove(&sequence) {
            None => (0, None),
            Some(OpenDelivery { state: OpenState::Settled, .. }) => {
                self.queue.offer(sequence, None);
                return Ok(());
            }
            Some(open) => {
                let not_before = match open.state {
                    OpenState::Retry { not_before_micros, .. } => Some(retry::due(not_before_micros)),
                    OpenState::Started | OpenState::Settled => None,
                };
                let cut_short = if not_before.is_none() { open.attempt } else { open.cut_short };
                if cut_short > 0 {
                    self.cut_short.insert(sequence, cut_short);
                }
                (open.attempt, not_before)
            }
        };
        if self.queue.waiting(&lane) < HELD_PER_LANE {
            self.held.insert(sequence, recent);
        }
        self.queue.offer(sequence, Some(Offer { lane, attempts, not_before, folds: heard.latest }));
        Ok(())
    }

    /// Passes over an event that this plugin does not get. A delivery of it that an earlier run left open ends as a
    /// dead letter.
    async fn pass_over(&mut self, sequence: u64, why: &str) -> Result<(), journal::Error> {
        if let Some(open) = self.earlier.remove(&sequence)
            && open.state != OpenState::Settled
        {
            tracing::warn!(plugin = self.installed.name, sequence, why, "an open delivery is given up");
            let attempt = if open.state == OpenState::Started { open.attempt } else { open.attempt + 1 };
            let cut_short = open.state == OpenState::Started;
            let outcome = Outcome::Dead { why: why.to_owned(), log: Vec::new(), cut_short };
            finish(
                &self.shared.journal,
                &self.installed.name,
                Next { sequence, attempt },
                outcome,
                Vec::new(),
            )
            .await?;
            self.ended.dead += 1;
        }
        self.queue.offer(sequence, None);
        Ok(())
    }

    pub(super) async fn read_again(&self, sequence: u64) -> Result<Option<Arc<PoolEvent>>, journal::Error> {
        let Some(stored) = self.shared.journal.event(sequence).await? else { return Ok(None) };
        match read_back(&stored) {
            Ok(event) => Ok(Some(Arc::new(event))),
            Err(error) => {
                tracing::error!(sequence, error = %error, "an event cannot be read back");
                Ok(None)
            }
        }
    }
}

/// The order that an event is kept in: that of the object that the plugin is told of.
fn lane_of(event: &PoolEvent, heard: &Heard) -> Lane {
    (event.pool.clone(), heard.object.clone())
}

fn read_back(stored: &StoredEvent) -> Result<PoolEvent, StoredError> {
    let (told, cause) = Told::from_json(&stored.kind, &stored.class, &stored.reference, &stored.payload)?;
    Ok(PoolEvent {
        sequence: stored.sequence,
        pool: SmolStr::new(&stored.pool),
        at: Timestamp::from_microsecond(stored.at_micros).map_err(|_| StoredError::Lacks("time"))?,
        told,
        cause,
    })
}
