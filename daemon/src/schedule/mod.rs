//! Wakes plugins by their schedules: one task that writes an event when a schedule is due, for each pool that the plugin
//! serves. From the journal on it is an event as others are.
//!
//! When a schedule was last due is written together with the event. So after a restart none is told twice, and one that was
//! missed is told once, for the latest of the times that have passed.

mod plan;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use journal::{Journal, NewEvent, Scheduled};
use plugin_host::Schedule;
use smol_str::SmolStr;
use tokio::sync::watch;

use crate::event::{PoolEvent, Tick, Told};
use crate::feed::{Recent, Tail};
use crate::pulse::Pulse;
use plan::{Begin, begin, tick};

/// The longest time until the clock is looked at again: it may have been set.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How long to wait before the same is written again while there is no room.
const ROOM_RETRY: Duration = Duration::from_secs(1);

/// A schedule of a plugin for one pool.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The pool.
    pub(crate) pool: SmolStr,
    /// The plugin.
    pub(crate) plugin: SmolStr,
    /// The manifest's name for the subscription.
    pub(crate) name: SmolStr,
    /// When.
    pub(crate) schedule: Schedule,
}

/// Follows the clock.
pub(crate) struct Clock {
    wanted: watch::Receiver<Vec<Wanted>>,
    planned: Vec<(Wanted, Timestamp)>,
    journal: Journal,
    tail: Arc<Tail>,
    pulse: Pulse,
    stop: watch::Receiver<bool>,
}

/// Why schedules cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClockError {
    /// When they were last due cannot be read.
    #[error("reading from the journal when schedules were last due")]
    Read(#[source] journal::Error),
    /// The journal can take nothing any more.
    #[error("writing to the journal that schedule {name} of plugin {plugin} is due for pool {pool}")]
    Write {
        /// The pool.
        pool: SmolStr,
        /// The plugin.
        plugin: SmolStr,
        /// The schedule.
        name: SmolStr,
        /// Why.
        #[source]
        source: journal::Error,
    },
}

impl Clock {
    /// A clock of these schedules, which may change.
    pub(crate) async fn new(
        wanted: watch::Receiver<Vec<Wanted>>,
        journal: Journal,
        tail: Arc<Tail>,
        pulse: Pulse,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, ClockError> {
        let mut clock = Clock { wanted, planned: Vec::new(), journal, tail, pulse, stop };
        clock.plan().await?;
        Ok(clock)
    }

    /// Takes up the schedules that are wanted, and goes on from what the journal knows of them. One that is new or another
    /// than before begins now.
    async fn plan(&mut self) -> Result<(), ClockError> {
        let wanted = self.wanted.borrow_and_update().clone();
        let known = self.journal.schedules().await.map_err(ClockError::Read)?;
        self.planned.clear();
        let now = Timestamp::now();
        for wanted in wanted {
            let begin = begin(&wanted, &known, now);
            if let Begin::Anew { ahead: true } = begin {
                tracing::warn!(
                    pool = %wanted.pool,
                    plugin = %wanted.plugin,
                    schedule = %wanted.name,
                    "the schedule was last due in the future: the clock was wrong, or is; it begins anew"
                );
            }
            let last = match begin {
                Begin::From(last) => last,
                Begin::Anew { .. } => {
                    self.note(&wanted, now, None).await?;
                    now
                }
            };
            self.planned.push((wanted, last));
        }
        Ok(())
    }

    /// Tells what is due until asked to stop.
    pub(crate) async fn run(mut self) -> Result<(), ClockError> {
        let mut stop = self.stop.clone();
        while !*stop.borrow() {
            self.pulse.beat();
            let now = Timestamp::now();
            let mut planned = std::mem::take(&mut self.planned);
            for (wanted, last) in &mut planned {
                if let Some(due) = tick(wanted, *last, now) {
                    *last = due.due;
                    self.tell(wanted, due, now).await?;
                }
            }
            let next = planned.iter().filter_map(|(wanted, last)| wanted.schedule.next_after(*last)).min();
            self.planned = planned;
            let pause = next.map_or(LOOK_AGAIN, |next| {
                Duration::try_from(next.duration_since(Timestamp::now())).unwrap_or_default().min(LOOK_AGAIN)
            });
            let others = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => false,
                Ok(()) = self.wanted.changed() => true,
                () = tokio::time::sleep(pause) => false,
            };
            if others {
                self.plan().await?;
            }
        }
        Ok(())
    }

    /// Writes an event, then shows it to the plugins.
    async fn tell(&self, wanted: &Wanted, tick: Tick, at: Timestamp) -> Result<(), ClockError> {
        let due = tick.due;
        let told = Told::Tick(tick);
        let event = NewEvent {
            kind: told.kind().to_owned(),
            class: told.class().to_owned(),
            reference: told.reference().to_owned(),
            at_micros: at.as_microsecond(),
            payload: told.to_json(None),
        };
        let Some(sequence) = self.note(wanted, due, Some(event)).await? else { return Ok(()) };
        tracing::debug!(pool = %wanted.pool, plugin = %wanted.plugin, schedule = %wanted.name, %due, sequence, "a schedule is due");
        let event = Arc::new(PoolEvent { sequence, pool: wanted.pool.clone(), at, told, cause: None });
        self.tail.push([Recent { event, received: None }]);
        Ok(())
    }

    /// Makes durable when a schedule was last due. Waits while there is no room; none when it is to stop meanwhile, and the
    /// next start tells it.
    async fn note(
        &self,
        wanted: &Wanted,
        due: Timestamp,
        event: Option<NewEvent>,
    ) -> Result<Option<u64>, ClockError> {
        let scheduled = Scheduled {
            pool: wanted.pool.to_string(),
            plugin: wanted.plugin.to_string(),
            name: wanted.name.to_string(),
            pattern: wanted.pattern(),
            due_micros: due.as_microsecond(),
        };
        let mut waited = false;
        loop {
            match self.journal.schedule(scheduled.clone(), event.clone()).await {
                Ok(sequence) => return Ok(sequence),
                Err(error) if error.is_passing() => {
                    if !std::mem::replace(&mut waited, true) {
                        tracing::error!(
                            pool = %wanted.pool,
                            plugin = %wanted.plugin,
                            schedule = %wanted.name,
                            error = error.to_string(),
                            "a schedule waits until there is room; nothing is lost"
                        );
                    }
                    self.pulse.beat();
                    if *self.stop.borrow() {
                        return Ok(None);
                    }
                    tokio::time::sleep(ROOM_RETRY).await;
                }
                Err(source) => {
                    let Wanted { pool, plugin, name, .. } = wanted.clone();
                    return Err(ClockError::Write { pool, plugin, name, source });
                }
            }
        }
    }
}

impl Wanted {
    /// What the schedule is, as the journal keeps it.
    fn pattern(&self) -> String {
        format!("{} {}", self.schedule.cron(), self.schedule.time_zone())
    }
}
