//! One plugin's deliveries: reads the journal from the plugin's cursor on, keeps order per object, runs what may run.
//!
//! ```text
//!   tail or journal ─▶ offer ─▶ queue ─▶ started (durable before any effect) ─▶ delivery ─▶ outcome (durable) ─▶ settle
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use journal::{Journal, OpenDelivery, OpenState, StoredEvent};
use smol_str::SmolStr;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::delivery::{After, Delivery};
use super::installed::Installed;
use super::queue::{Next, Queue};
use super::translate;
use crate::event::{PoolEvent, StoredError, Told};
use crate::feed::{LivePool, Recent, Tail};
use crate::latency::Latency;
use crate::story::{Moment, Story};

/// Events that may be in memory for one plugin: waiting, running and resting.
const OPEN_MAX: usize = 1024;
/// Events read at once.
const READ_MAX: usize = 256;
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

/// One plugin's worker.
pub(crate) struct Worker {
    installed: Arc<Installed>,
    pools: HashMap<SmolStr, LivePool>,
    journal: Journal,
    tail: Arc<Tail>,
    story: Story,
    latency: Arc<Latency>,
    queue: Queue<Lane>,
    /// What an earlier run of the daemon left open.
    earlier: HashMap<u64, OpenDelivery>,
    /// Deliveries whose last attempt was cut short by the end of the daemon.
    cut_short: HashSet<u64>,
    /// The events of the queue.
    held: HashMap<u64, Recent>,
    running: JoinSet<(u64, Result<After, journal::Error>)>,
    noted_cursor: u64,
    stop: watch::Receiver<bool>,
}

impl Worker {
    /// A worker that goes on where the plugin is. A plugin that was never seen begins after the last event.
    pub(crate) async fn new(
        installed: Arc<Installed>,
        pools: HashMap<SmolStr, LivePool>,
        journal: Journal,
        tail: Arc<Tail>,
        story: Story,
        latency: Arc<Latency>,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, WorkerError> {
        let progress = journal.progress(&installed.name, journal.last()).await;
        let progress = progress.map_err(|source| WorkerError { plugin: installed.name.clone(), source })?;
        Ok(Worker {
            queue: Queue::new(progress.cursor, installed.concurrency),
            noted_cursor: progress.cursor,
            earlier: progress.open.into_iter().map(|open| (open.sequence, open)).collect(),
            cut_short: HashSet::new(),
            held: HashMap::new(),
            running: JoinSet::new(),
            installed,
            pools,
            journal,
            tail,
            story,
            latency,
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
        let mut last = self.tail.last();
        let mut stop = self.stop.clone();
        let mut lag_began = None;
        while !*stop.borrow() {
            last.borrow_and_update();
            let more = self.fill().await?;
            self.begin().await?;
            if self.queue.cursor() >= self.noted_cursor + CURSOR_LAG_EVENTS {
                self.note_cursor().await?;
            }
            if more && self.queue.open() < OPEN_MAX {
                // Let others run; what has ended is taken in on the way.
                tokio::task::yield_now().await;
                while let Some(ended) = self.running.try_join_next() {
                    self.ended(ended)?;
                }
                continue;
            }
            let lagging = self.queue.cursor() > self.noted_cursor;
            // Counted from when it began to lag, however often something else happens meanwhile.
            lag_began = lagging.then(|| lag_began.unwrap_or_else(Instant::now));
            tokio::select! {
                // Either it says stop, or whoever could say so is gone.
                _ = stop.changed() => {}
                _ = last.changed() => {}
                Some(ended) = self.running.join_next() => self.ended(ended)?,
                () = until(self.queue.due()) => {}
                () = lag_over(lag_began) => self.note_cursor().await?,
            }
        }
        while let Some(ended) = self.running.join_next().await {
            self.ended(ended)?;
        }
        self.note_cursor().await
    }

    /// Offers what comes next, and tells whether there may be more.
    async fn fill(&mut self) -> Result<bool, journal::Error> {
        let room = OPEN_MAX.saturating_sub(self.queue.open()).min(READ_MAX);
        if room == 0 {
            return Ok(true);
        }
        let recent = self.tail.after(self.queue.offered(), room);
        if !recent.is_empty() {
            for recent in recent {
                self.offer(recent);
            }
            return Ok(true);
        }
        if *self.tail.last().borrow() <= self.queue.offered() {
            return Ok(false);
        }
        let stored = self.journal.read(self.queue.offered(), room).await?;
        let more = !stored.is_empty();
        for stored in stored {
            match read_back(&stored) {
                Ok(event) => self.offer(Recent { event: Arc::new(event), received: None }),
                Err(error) => {
                    // It was written by us: the file was changed from outside. The others go on.
                    tracing::error!(sequence = stored.sequence, error = %error, "an event cannot be read back");
                    self.queue.offer(stored.sequence, None, 0, None);
                }
            }
        }
        Ok(more)
    }

    fn offer(&mut self, recent: Recent) {
        let event = &recent.event;
        let sequence = event.sequence;
        let earlier = self.earlier.remove(&sequence);
        let (attempts, not_before) = match earlier.as_ref().map(|open| (open.attempt, &open.state)) {
            None => (0, None),
            Some((_, OpenState::Settled)) => return self.queue.offer(sequence, None, 0, None),
            Some((attempt, OpenState::Started)) => {
                self.cut_short.insert(sequence);
                (attempt, None)
            }
            Some((attempt, OpenState::Retry { not_before_micros, .. })) => {
                (attempt, Some(*not_before_micros))
            }
        };
        let wanted = self.pools.contains_key(&event.pool)
            && translate::wanted(self.installed.subscriptions(), &translate::subject(&event.told)).is_some();
        if !wanted {
            return self.queue.offer(sequence, None, 0, None);
        }
        let lane = (event.pool.clone(), SmolStr::new(event.told.reference()));
        self.queue.offer(sequence, Some(lane), attempts, not_before);
        self.held.insert(sequence, recent);
    }

    /// Begins what may begin now.
    async fn begin(&mut self) -> Result<(), journal::Error> {
        while let Some(Next { sequence, attempt }) = self.queue.next(Timestamp::now().as_microsecond()) {
            // The queue holds only what is held here, of pools that are here.
            let Some(recent) = self.held.get(&sequence) else { continue };
            let event = Arc::clone(&recent.event);
            let Some(pool) = self.pools.get(&event.pool) else { continue };
            let subject = translate::subject(&event.told);
            let Some(subscription) = translate::wanted(self.installed.subscriptions(), &subject) else {
                continue;
            };
            let host_event = translate::event(&event, attempt, &subscription.name, subject);
            // Written in order and not waited for: any effect of this attempt is written, and waited for, after it.
            self.journal.post_start(&self.installed.name, sequence, attempt).await?;
            let waited = recent.received.filter(|_| attempt == 1).map(|received| received.elapsed());
            if let Some(waited) = waited {
                self.latency.record(waited);
            }
            self.story.tell(|| Moment::Delivery {
                plugin: self.installed.name.clone(),
                event: Arc::clone(&event),
                attempt,
                waited,
            });
            let delivery = Delivery {
                installed: Arc::clone(&self.installed),
                journal: self.journal.clone(),
                story: self.story.clone(),
                pool: pool.clone(),
                event,
                attempt,
                resumes: self.cut_short.remove(&sequence),
            };
            self.running.spawn(async move { (sequence, delivery.run(host_event).await) });
        }
        Ok(())
    }

    fn ended(
        &mut self,
        ended: Result<(u64, Result<After, journal::Error>), tokio::task::JoinError>,
    ) -> Result<(), journal::Error> {
        // A delivery's task does not panic and is not aborted while its worker lives; were it so, the delivery stays
        // open and comes again with the next start.
        let (sequence, after) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(plugin = self.installed.name, error = %error, "a delivery was cut off");
                return Ok(());
            }
        };
        match after? {
            After::Settled => {
                self.held.remove(&sequence);
                self.queue.settle(sequence);
            }
            After::Retry(at) => self.queue.retry(sequence, at),
        }
        Ok(())
    }

    async fn note_cursor(&mut self) -> Result<(), journal::Error> {
        let cursor = self.queue.cursor();
        if cursor <= self.noted_cursor {
            return Ok(());
        }
        match self.journal.advance(&self.installed.name, cursor).await {
            Ok(()) => self.noted_cursor = cursor,
            // What is settled is settled; only the reading after a restart takes longer.
            Err(error) if error.is_passing() => tracing::debug!(error = %error, "noting the cursor"),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

async fn lag_over(began: Option<Instant>) {
    match began {
        Some(began) => tokio::time::sleep_until(began + CURSOR_LAG).await,
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
    Ok(PoolEvent {
        sequence: stored.sequence,
        pool: SmolStr::new(&stored.pool),
        at: Timestamp::from_microsecond(stored.at_micros).map_err(|_| StoredError::Lacks("time"))?,
        told: Told::from_json(&stored.kind, &stored.class, &stored.reference, &stored.payload)?,
    })
}
