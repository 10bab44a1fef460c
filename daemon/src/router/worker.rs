//! One plugin's deliveries: reads the journal from the plugin's cursor on, keeps order per object, runs what may run.
//!
//! ```text
//!   tail or journal ─▶ offer ─▶ queue ─▶ started (durable before any effect) ─▶ delivery ─▶ outcome (durable) ─▶ settle
//! ```

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use journal::{Journal, OpenDelivery, OpenState, Outcome, StoredEvent};
use smol_str::SmolStr;
use tokio::sync::watch;
use tokio::task::{self, JoinSet};
use tokio::time::Instant;

use super::delivery::{self, After, Delivery, Doubts, finish};
use super::installed::Installed;
use super::orders::{Ended, Figures, Orders};
use super::queue::{Next, Queue};
use super::{retry, translate};
use crate::event::{PoolEvent, StoredError, Told};
use crate::feed::{LivePool, Recent, Tail};
use crate::latency::Latency;
use crate::pulse::Pulse;
use crate::story::{Moment, Story};

/// Events of one plugin that may be in memory: waiting, running and resting.
const HELD_MAX: usize = 1024;
/// Events of one object that may be in memory; the others wait by their numbers and are read again when their turn
/// comes, so that an object that rests for long does not keep the others out.
const HELD_PER_LANE: usize = 16;
/// Events that may wait in all, by number.
const OPEN_MAX: usize = 100_000;
/// Events read at once.
const READ_MAX: usize = 256;
/// So many deliveries in a row that caused one another are a loop, such as two plugins that undo each other's work.
const CHAIN_MAX: u32 = 16;
/// How often a worker with nothing to do shows that it is alive.
const PULSE_EVERY: Duration = Duration::from_secs(5);
/// How long the cursor in the journal may lag behind what is settled.
const CURSOR_LAG: Duration = Duration::from_secs(1);
/// How far it may lag.
const CURSOR_LAG_EVENTS: u64 = 512;

/// An event of one object in one pool.
type Lane = (SmolStr, SmolStr);

/// Why a worker ended before it was asked to.
#[derive(Debug, thiserror::Error)]
#[error("keeping the deliveries of plugin {plugin}")]
pub(crate) struct WorkerError {
    plugin: String,
    #[source]
    source: journal::Error,
}

/// What all workers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) journal: Journal,
    pub(crate) tail: Arc<Tail>,
    pub(crate) story: Story,
    pub(crate) latency: Arc<Latency>,
}

/// One plugin's worker.
pub(crate) struct Worker {
    installed: Arc<Installed>,
    pools: HashMap<SmolStr, LivePool>,
    shared: Shared,
    queue: Queue<Lane>,
    /// What an earlier run of the daemon left open.
    earlier: HashMap<u64, OpenDelivery>,
    /// The last attempt that was cut short, of the open deliveries that have one.
    cut_short: HashMap<u64, u32>,
    /// Which calls in doubt the plugin was told of.
    doubts: Doubts,
    /// The next events of the queue; others are read from the journal when they begin.
    held: HashMap<u64, Recent>,
    running: JoinSet<Result<After, journal::Error>>,
    /// What runs in which task.
    tasks: HashMap<task::Id, Next>,
    noted_cursor: u64,
    /// Deliveries by how they ended, since the start.
    ended: Ended,
    orders: Orders,
    pulse: Pulse,
    stop: watch::Receiver<bool>,
}

impl Worker {
    /// A worker that goes on where the plugin is. A plugin that was never seen begins after the last event.
    pub(crate) async fn new(
        installed: Arc<Installed>,
        pools: HashMap<SmolStr, LivePool>,
        shared: Shared,
        orders: Orders,
        pulse: Pulse,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, WorkerError> {
        let journal = &shared.journal;
        let progress = journal.progress(&installed.name, journal.last()).await;
        let progress = progress.map_err(|source| WorkerError { plugin: installed.name.clone(), source })?;
        Ok(Worker {
            queue: Queue::new(progress.cursor, installed.concurrency),
            noted_cursor: progress.cursor,
            earlier: progress.open.into_iter().map(|open| (open.sequence, open)).collect(),
            cut_short: HashMap::new(),
            doubts: Doubts::default(),
            held: HashMap::new(),
            running: JoinSet::new(),
            tasks: HashMap::new(),
            ended: Ended::default(),
            orders,
            pulse,
            installed,
            pools,
            shared,
            stop,
        })
    }

    /// Delivers until asked to stop, then lets what runs come to its end. Dropping the future then cuts it short; the
    /// deliveries come again.
    pub(crate) async fn run(mut self) -> Result<(), WorkerError> {
        let plugin = self.installed.name.clone();
        self.deliver_all().await.map_err(|source| WorkerError { plugin, source })
    }

    async fn deliver_all(&mut self) -> Result<(), journal::Error> {
        let mut last = self.shared.tail.last();
        let mut stop = self.stop.clone();
        let mut enabled = self.orders.enabled();
        let mut lag_began = None;
        self.left_below_the_cursor().await?;
        while !*stop.borrow() {
            self.pulse.beat();
            last.borrow_and_update();
            let more = self.fill().await?;
            // One that is switched off takes events in and begins nothing: its queue stays as it is.
            let on = *enabled.borrow_and_update();
            if on {
                self.begin().await?;
            }
            self.tell();
            let lag = self.queue.cursor() - self.noted_cursor;
            // Counted from when it began to lag, however often something else happens meanwhile.
            lag_began = (lag > 0).then(|| lag_began.unwrap_or_else(Instant::now));
            let note_due = lag_began.map(|began| began + CURSOR_LAG);
            if lag >= CURSOR_LAG_EVENTS || note_due.is_some_and(|due| due <= Instant::now()) {
                self.note_cursor().await?;
                // Whether or not it could be noted: the next time is a whole lag away.
                lag_began = Some(Instant::now());
            }
            if more {
                // Let others run; what has ended is taken in on the way.
                task::yield_now().await;
                while let Some(ended) = self.running.try_join_next_with_id() {
                    self.ended(ended).await?;
                }
                continue;
            }
            tokio::select! {
                // Either it says stop, or whoever could say so is gone.
                _ = stop.changed() => {}
                _ = last.changed() => {}
                Ok(()) = enabled.changed() => {}
                Some(sequence) = self.orders.next() => self.come_again(sequence).await?,
                Some(ended) = self.running.join_next_with_id() => self.ended(ended).await?,
                () = until(self.queue.due()), if on => {}
                () = reached(note_due) => {}
                () = tokio::time::sleep(PULSE_EVERY) => {}
            }
        }
        while let Some(ended) = self.running.join_next_with_id().await {
            self.pulse.beat();
            self.ended(ended).await?;
        }
        self.note_cursor().await
    }

    /// Shows how far it is.
    fn tell(&self) {
        let (running, resting) = (self.queue.running(), self.queue.resting());
        self.orders.tell(Figures {
            cursor: self.queue.cursor(),
            open: self.queue.open(),
            running,
            resting,
            ended: self.ended,
        });
    }

    /// Goes on with dead letters that came again in an earlier run and that the cursor has passed.
    async fn left_below_the_cursor(&mut self) -> Result<(), journal::Error> {
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
    async fn come_again(&mut self, sequence: u64) -> Result<(), journal::Error> {
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
            OpenState::Retry { not_before_micros, .. } => (Some(not_before_micros), open.cut_short),
        };
        let event = self.read_again(sequence).await?;
        let Some(event) = event.filter(|event| self.wants(event)) else {
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
        self.queue.again(sequence, lane_of(&event), open.attempt, not_before, passed);
        Ok(())
    }

    fn wants(&self, event: &PoolEvent) -> bool {
        self.pools.contains_key(&event.pool)
            && translate::subject(event)
                .is_some_and(|subject| translate::wanted(self.installed.subscriptions(), &subject).is_some())
    }

    /// Offers what comes next, and tells whether there may be more that there is room for.
    async fn fill(&mut self) -> Result<bool, journal::Error> {
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
        if !self.wants(event) {
            return self.pass_over(sequence, "the plugin does not subscribe to this event any more").await;
        }
        let lane = lane_of(event);
        let (attempts, not_before) = match self.earlier.remove(&sequence) {
            None => (0, None),
            Some(OpenDelivery { state: OpenState::Settled, .. }) => {
                self.queue.offer(sequence, None, 0, None);
                return Ok(());
            }
            Some(open) => {
                let not_before = match open.state {
                    OpenState::Retry { not_before_micros, .. } => Some(not_before_micros),
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
        self.queue.offer(sequence, Some(lane), attempts, not_before);
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
        self.queue.offer(sequence, None, 0, None);
        Ok(())
    }

    /// Begins what may begin now.
    async fn begin(&mut self) -> Result<(), journal::Error> {
        while let Some(next) = self.queue.next(Timestamp::now().as_microsecond()) {
            let recent = match self.held.get(&next.sequence) {
                Some(recent) => recent.clone(),
                None => match self.read_again(next.sequence).await? {
                    Some(event) => Recent { event, received: None },
                    None => {
                        let why = "the event cannot be read back from the journal".to_owned();
                        let dead = Outcome::Dead { why, log: Vec::new(), cut_short: false };
                        finish(&self.shared.journal, &self.installed.name, next, dead, Vec::new()).await?;
                        self.ended.dead += 1;
                        self.settled(next.sequence);
                        continue;
                    }
                },
            };
            self.deliver(next, recent).await?;
        }
        Ok(())
    }

    async fn read_again(&self, sequence: u64) -> Result<Option<Arc<PoolEvent>>, journal::Error> {
        let Some(stored) = self.shared.journal.event(sequence).await? else { return Ok(None) };
        match read_back(&stored) {
            Ok(event) => Ok(Some(Arc::new(event))),
            Err(error) => {
                tracing::error!(sequence, error = %error, "an event cannot be read back");
                Ok(None)
            }
        }
    }

    async fn deliver(&mut self, next: Next, recent: Recent) -> Result<(), journal::Error> {
        let Next { sequence, attempt } = next;
        let Recent { event, received } = recent;
        // What is in the queue was wanted when it was offered, and neither pools nor subscriptions change since.
        let told = translate::subject(&event).and_then(|subject| {
            let subscription = translate::wanted(self.installed.subscriptions(), &subject)?;
            Some((subject, subscription))
        });
        let (Some(pool), Some((subject, subscription))) = (self.pools.get(&event.pool), told) else {
            unreachable!("event {sequence} was offered although nothing wants it");
        };
        let host_event = translate::event(&event, attempt, &subscription.name, subject);
        // Not at later attempts: a person has looked at the letter and wants it delivered all the same.
        if let Some(cause) = event.cause.as_ref().filter(|cause| attempt == 1 && cause.chain >= CHAIN_MAX) {
            let plugin = &self.installed.name;
            let why = format!(
                "stopped as a loop: {} deliveries in a row caused one another, the last of them {cause}; \
                 see what {plugin} and {} do to this object",
                cause.chain, cause.plugin
            );
            tracing::error!(plugin, sequence, why, "the delivery is given up; it is kept as a dead letter");
            let dead = Outcome::Dead { why, log: Vec::new(), cut_short: false };
            finish(&self.shared.journal, plugin, next, dead, Vec::new()).await?;
            self.ended.dead += 1;
            self.settled(sequence);
            return Ok(());
        }
        // Written in order and not waited for: any effect of this attempt is written, and waited for, after it.
        self.shared.journal.post_start(&self.installed.name, sequence, attempt).await?;
        let waited = received.filter(|_| attempt == 1).map(|received| received.elapsed());
        if let Some(waited) = waited {
            self.shared.latency.record(waited);
        }
        self.shared.story.tell(|| Moment::Delivery {
            plugin: self.installed.name.clone(),
            event: Arc::clone(&event),
            attempt,
            waited,
        });
        let delivery = Delivery {
            installed: Arc::clone(&self.installed),
            journal: self.shared.journal.clone(),
            story: self.shared.story.clone(),
            pool: pool.clone(),
            event,
            attempt,
            cut_short: self.cut_short.get(&sequence).copied().unwrap_or_default(),
            doubts: Arc::clone(&self.doubts),
        };
        let task = self.running.spawn(delivery.run(host_event));
        self.tasks.insert(task.id(), next);
        Ok(())
    }

    async fn ended(
        &mut self,
        ended: Result<(task::Id, Result<After, journal::Error>), task::JoinError>,
    ) -> Result<(), journal::Error> {
        let (id, after) = match ended {
            Ok((id, after)) => (id, after?),
            Err(error) => {
                let id = error.id();
                let Some(next) = self.tasks.get(&id).copied() else { return Ok(()) };
                (id, self.broke_off(next, &error).await?)
            }
        };
        let Some(Next { sequence, attempt }) = self.tasks.remove(&id) else { return Ok(()) };
        match after {
            After::Done => {
                self.ended.done += 1;
                self.settled(sequence);
            }
            After::Dead => {
                self.ended.dead += 1;
                self.settled(sequence);
            }
            After::Retry { at, cut_short } => {
                self.ended.again += 1;
                if cut_short {
                    self.cut_short.insert(sequence, attempt);
                    // Whatever it was told is lost with it.
                    self.forget_doubts(sequence);
                }
                self.queue.retry(sequence, at);
            }
        }
        Ok(())
    }

    /// The daemon's own code failed in the middle of a delivery: a bug of ours, which must not park the object.
    async fn broke_off(&self, next: Next, error: &task::JoinError) -> Result<After, journal::Error> {
        let why = format!("the daemon's own code failed: {error}");
        tracing::error!(plugin = self.installed.name, sequence = next.sequence, why, "a delivery broke off");
        let (outcome, after) = match retry::pause(next.attempt, None, rand::random()) {
            Some(pause) => {
                let at = delivery::after(pause);
                (
                    Outcome::Retry { not_before_micros: at, why, cut_short: true },
                    After::Retry { at, cut_short: true },
                )
            }
            None => (Outcome::Dead { why, log: Vec::new(), cut_short: true }, After::Dead),
        };
        finish(&self.shared.journal, &self.installed.name, next, outcome, Vec::new()).await?;
        Ok(after)
    }

    fn settled(&mut self, sequence: u64) {
        self.held.remove(&sequence);
        self.cut_short.remove(&sequence);
        self.forget_doubts(sequence);
        self.queue.settle(sequence);
    }

    fn forget_doubts(&self, sequence: u64) {
        let mut told = self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|(of, _)| *of != sequence);
    }

    async fn note_cursor(&mut self) -> Result<(), journal::Error> {
        let cursor = self.queue.cursor();
        if cursor <= self.noted_cursor {
            return Ok(());
        }
        match self.shared.journal.advance(&self.installed.name, cursor).await {
            Ok(()) => self.noted_cursor = cursor,
            // What is settled is settled; only the reading after a restart takes longer.
            Err(error) if error.is_passing() => tracing::debug!(error = %error, "noting the cursor"),
            // A person made a dead letter come again, and the word of it has not come here yet.
            Err(error @ journal::Error::Unsettled { .. }) => {
                tracing::debug!(error = %error, "noting the cursor");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn lane_of(event: &PoolEvent) -> Lane {
    (event.pool.clone(), SmolStr::new(event.told.reference()))
}

async fn reached(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn until(due: Option<i64>) {
    match due {
        Some(due) => {
            let wait = due.saturating_sub(Timestamp::now().as_microsecond());
            tokio::time::sleep(Duration::from_micros(u64::try_from(wait).unwrap_or_default())).await;
        }
        None => std::future::pending().await,
    }
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
