//! One plugin's deliveries: reads the journal from the plugin's cursor on, keeps order per object, runs what may run.
//!
//! ```text
//!   tail or journal ─▶ offer ─▶ queue ─▶ started (durable before any effect) ─▶ delivery ─▶ outcome (durable) ─▶ settle
//! ```

mod folding;
mod gap;
mod intake;
mod succession;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use journal::{Gap, Journal, OpenDelivery, Outcome};
use smol_str::SmolStr;
use tokio::sync::watch;
use tokio::task::{self, JoinSet};
use tokio::time::Instant;

use super::delivery::{self, After, Delivery, Doubts, finish};
use super::installed::Installed;
use super::orders::{Ended, Figures, Order, Orders, Version, Waiting};
use super::quarantine::{Fared, Quarantine, Turn};
use super::queue::{Begun, Next, Queue};
use super::{retry, terms, translate};
use crate::feed::{LivePool, Recent, Tail};
use crate::latency::Latency;
use crate::pulse::Pulse;
use crate::steady;
use crate::story::{Moment, Story};
use gap::Marks;

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
    /// Turns when plugins have lost events, since the journal may not hold more.
    pub(crate) lost: watch::Receiver<()>,
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
    versions: watch::Receiver<Version>,
    /// A version that waits until the deliveries that run have ended.
    successor: Option<Version>,
    /// Whether the queue waits for what runs, to be made anew after a loss.
    lost: bool,
    /// The marks of what comes after a loss.
    gap: Option<Marks>,
    /// The loss that was taken in last.
    known_gap: Option<Gap>,
    quarantine: Quarantine,
    pulse: Pulse,
}

impl Worker {
    /// A worker that goes on where the plugin is. A plugin that was never seen begins after the last event.
    pub(crate) async fn new(shared: Shared, orders: Orders, pulse: Pulse) -> Result<Self, WorkerError> {
        let journal = &shared.journal;
        let mut versions = orders.version();
        let Version { installed, pools } = versions.borrow_and_update().clone();
        let progress = journal.progress(&installed.name, journal.last()).await;
        let progress = progress.map_err(|source| WorkerError { plugin: installed.name.clone(), source })?;
        let taken_up = terms::take_up(journal, &installed).await;
        taken_up.map_err(|source| WorkerError { plugin: installed.name.clone(), source })?;
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
            versions,
            successor: None,
            lost: false,
            gap: None,
            known_gap: None,
            quarantine: Quarantine::default(),
            pulse,
            installed,
            pools,
            shared,
        })
    }

    /// Delivers until it is retired, then lets what runs come to its end. Dropping the future then cuts it short; the
    /// deliveries come again.
    pub(crate) async fn run(mut self) -> Result<(), WorkerError> {
        let plugin = self.installed.name.clone();
        self.deliver_all().await.map_err(|source| WorkerError { plugin, source })
    }

    async fn deliver_all(&mut self) -> Result<(), journal::Error> {
        let mut last = self.shared.tail.last();
        let mut retired = self.orders.retired();
        let mut enabled = self.orders.enabled();
        let mut versions = self.orders.version();
        let mut lost = self.shared.lost.clone();
        let mut lag_began = None;
        self.left_below_the_cursor().await?;
        self.mark_after_gap().await?;
        while !*retired.borrow() {
            self.pulse.beat();
            last.borrow_and_update();
            versions.borrow_and_update();
            if lost.has_changed().unwrap_or_default() {
                lost.borrow_and_update();
                self.lost |= self.has_lost().await?;
            }
            self.succeed().await?;
            self.recover().await?;
            let waits = self.successor.is_some() || self.lost;
            let filled = if waits { Ok(false) } else { self.fill().await };
            let more = self.unless_lost(filled)?.unwrap_or_default();
            // One that is switched off takes events in and begins nothing: its queue stays as it is.
            let on = *enabled.borrow_and_update() && !waits;
            if on {
                let begun = self.begin().await;
                self.unless_lost(begun)?;
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
                _ = retired.changed() => {}
                _ = last.changed() => {}
                Ok(()) = versions.changed() => {}
                Ok(()) = lost.changed() => lost.mark_changed(),
                Ok(()) = enabled.changed() => {}
                Some(order) = self.orders.next() => self.obey(order).await?,
                Some(ended) = self.running.join_next_with_id() => self.ended(ended).await?,
                () = until(self.queue.due()), if on && self.quarantine.due().is_none() => {}
                () = until(self.quarantine.due()), if on && self.running.is_empty() => {}
                () = reached(note_due) => {}
                () = tokio::time::sleep(PULSE_EVERY) => {}
            }
        }
        while !self.running.is_empty() {
            self.pulse.beat();
            self.tell();
            tokio::select! {
                Some(ended) = self.running.join_next_with_id() => self.ended(ended).await?,
                () = tokio::time::sleep(PULSE_EVERY) => {}
            }
        }
        self.note_cursor().await
    }

    async fn obey(&mut self, order: Order) -> Result<(), journal::Error> {
        match order {
            Order::ComeAgain(sequence) => {
                let taken = self.come_again(sequence).await;
                self.unless_lost(taken)?;
            }
            Order::Waiting(limit, answer) => {
                let runs = |sequence| self.tasks.values().any(|next| next.sequence == sequence);
                let open = self.queue.first_open(limit.saturating_add(self.tasks.len()));
                let waiting = open.filter(|(sequence, _)| !runs(*sequence)).take(limit);
                let waiting = waiting.map(|(sequence, attempts)| Waiting { sequence, attempts }).collect();
                // Who asked may have gone.
                _ = answer.send(waiting);
            }
        }
        Ok(())
    }

    /// Shows how far it is.
    fn tell(&self) {
        let (running, resting) = (self.queue.running(), self.queue.resting());
        self.orders.tell(Figures {
            cursor: self.queue.cursor(),
            open: self.queue.open(),
            running,
            resting,
            quarantined: self.quarantine.due().is_some(),
            succeeding: self.successor.is_some(),
            ended: self.ended,
        });
    }

    /// Begins what may begin now.
    async fn begin(&mut self) -> Result<(), journal::Error> {
        loop {
            let now = steady::now();
            if !self.quarantine.admits(self.running.len(), now) {
                return Ok(());
            }
            let Some(Begun { next, folded }) = self.queue.next(now) else { return Ok(()) };
            let recent = match self.held.get(&next.sequence) {
                Some(recent) => recent.clone(),
                None => match self.read_again(next.sequence).await? {
                    Some(event) => Recent { event, received: None },
                    None => {
                        // What cannot be read takes with it what it was to tell of.
                        self.fold(&folded, next).await?;
                        let why = "the event cannot be read back from the journal".to_owned();
                        let dead = Outcome::Dead { why, log: Vec::new(), cut_short: false };
                        finish(&self.shared.journal, &self.installed.name, next, dead, Vec::new()).await?;
                        self.ended.dead += 1;
                        self.settled(next.sequence);
                        continue;
                    }
                },
            };
            self.deliver(next, recent, folded).await?;
        }
    }

    async fn deliver(&mut self, next: Next, recent: Recent, folded: Vec<u64>) -> Result<(), journal::Error> {
        let Next { sequence, attempt } = next;
        let Recent { event, received } = recent;
        // Pools and subscriptions are those by which it was offered, but what an object belongs to may be gone.
        let heard = self.heard_with(&event, next, &folded).await?;
        let (Some(pool), Some(heard)) = (self.pools.get(&event.pool).cloned(), heard) else {
            return self.forsaken(next).await;
        };
        let begun = self.fold(&folded, next).await?;
        let gap = self.marked(&event.pool, &heard.object, sequence);
        let host_event = translate::event(&event, attempt, heard, gap);
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
        if !begun {
            self.shared.journal.post_start(&self.installed.name, sequence, attempt).await?;
        }
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
            pool,
            event,
            attempt,
            cut_short: self.cut_short.get(&sequence).copied().unwrap_or_default(),
            doubts: Arc::clone(&self.doubts),
        };
        let task = self.running.spawn(delivery.run(host_event));
        self.tasks.insert(task.id(), next);
        Ok(())
    }

    /// The object that an event was told of is gone before its turn came. Nothing is left to tell; a delivery that had
    /// begun ends as a dead letter.
    async fn forsaken(&mut self, next: Next) -> Result<(), journal::Error> {
        if next.attempt > 1 {
            let why = "the object that it belonged to is gone".to_owned();
            let dead = Outcome::Dead { why, log: Vec::new(), cut_short: false };
            finish(&self.shared.journal, &self.installed.name, next, dead, Vec::new()).await?;
            self.ended.dead += 1;
        }
        self.settled(next.sequence);
        Ok(())
    }

    async fn ended(
        &mut self,
        ended: Result<(task::Id, Result<After, journal::Error>), task::JoinError>,
    ) -> Result<(), journal::Error> {
        let (id, after) = match ended {
            Ok((id, after)) => (id, after),
            Err(error) => {
                let id = error.id();
                let Some(next) = self.tasks.get(&id).copied() else { return Ok(()) };
                (id, self.broke_off(next, &error).await)
            }
        };
        let Some(after) = self.unless_lost(after)? else {
            self.tasks.remove(&id);
            return Ok(());
        };
        let Some(Next { sequence, attempt }) = self.tasks.remove(&id) else { return Ok(()) };
        self.judge(&after);
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

    /// Leaves a plugin that keeps failing alone for a while, and takes it up again.
    fn judge(&mut self, after: &After) {
        let fared = match after {
            After::Done => Fared::Well,
            After::Dead | After::Retry { cut_short: true, .. } => Fared::Badly,
            After::Retry { cut_short: false, .. } => Fared::Later,
        };
        let plugin = &self.installed.name;
        match self.quarantine.ended(fared, steady::now()) {
            Some(Turn::Closed(pause)) => tracing::error!(
                plugin,
                again_in_s = pause.as_secs(),
                "the plugin keeps failing and gets no events for now; they wait, then one is tried"
            ),
            Some(Turn::Opened) => tracing::info!(plugin, "the plugin works again and gets its events"),
            None => {}
        }
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
                    After::Retry { at: retry::due(at), cut_short: true },
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

async fn reached(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn until(due: Option<i64>) {
    match due {
        Some(due) => {
            let wait = due.saturating_sub(steady::now());
            tokio::time::sleep(Duration::from_micros(u64::try_from(wait).unwrap_or_default())).await;
        }
        None => std::future::pending().await,
    }
}
