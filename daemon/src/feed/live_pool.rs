//! One watched pool as the rest of the daemon sees it: its world, its calls, its tasks.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::time::{Duration, Instant};

use plugin_host::pool::{CallError, TaskState};
use smol_str::SmolStr;
use tokio::sync::{mpsc, watch};
use xapi::events::{Ending, Event, WorldChange, ending};
use xapi::model::World;
use xapi::{CallOptions, Client, Error, TaskFeed, Value};

use super::task_mark::{self, EffectName, TaskMarks};
use crate::cause::{Cause, Writes};

/// How long a task may go on after the delivery that started it, for us to destroy it.
const TASK_RELEASE: Duration = Duration::from_secs(600);

/// Deliveries that have begun and not ended, by plugin and event.
pub(crate) type OpenDeliveries = HashSet<(SmolStr, u64)>;

/// A pool that is being watched. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct LivePool {
    name: SmolStr,
    client: Client,
    world: Arc<RwLock<World>>,
    /// Whoever waits for a task hears of it from our view: there is one poll for all.
    tasks: Arc<TaskFeed>,
    /// Of deliveries that call by a client of before, while there are any.
    earlier_tasks: Arc<[Weak<TaskFeed>]>,
    /// Held by whoever delivers: the pool is used until all of them are gone.
    _hold: Option<mpsc::Sender<Infallible>>,
    /// Counts changes of the world.
    changed: watch::Sender<u64>,
    state: watch::Sender<PoolState>,
    /// The last change of our own that came round.
    heard: watch::Sender<Option<Heard>>,
    /// Events told since the start.
    told: Arc<AtomicU64>,
    marks: TaskMarks,
    writes: Arc<Mutex<Writes>>,
}

/// A change of our own that came round.
#[derive(Debug, Clone, Copy)]
struct Heard {
    at: Instant,
    /// How long after it was made.
    after: Duration,
}

/// Where a pool stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PoolState {
    /// No session yet.
    Connecting,
    /// Connected, the whole picture is in, changes are followed.
    Following,
    /// Not reachable; why.
    Lost(String),
    /// A member shows a certificate that nobody vouches for; nothing is sent to it. An administrator must look.
    Untrusted(String),
    /// Reachable, but the journal has no room: intake pauses.
    Paused(String),
}

impl LivePool {
    pub(crate) fn new(name: SmolStr, client: Client, world: World) -> Self {
        LivePool {
            marks: TaskMarks::of_this_run(&name),
            writes: Arc::default(),
            name,
            tasks: Arc::new(client.task_feed()),
            earlier_tasks: Arc::default(),
            _hold: None,
            client,
            world: Arc::new(RwLock::new(world)),
            changed: watch::Sender::new(0),
            state: watch::Sender::new(PoolState::Connecting),
            heard: watch::Sender::new(None),
            told: Arc::default(),
        }
    }

    /// The same pool, called by another client from now on. What is known of it is shared: deliveries that go on with the
    /// client of before see and hear the same.
    pub(crate) fn through(&self, client: Client) -> Self {
        let earlier = self.earlier_tasks.iter().filter(|tasks| tasks.strong_count() > 0).cloned();
        LivePool {
            earlier_tasks: earlier.chain([Arc::downgrade(&self.tasks)]).collect(),
            tasks: Arc::new(client.task_feed()),
            client,
            _hold: None,
            ..self.clone()
        }
    }

    /// For whoever delivers: `hold` is held for as long as there is a clone of what comes out.
    pub(crate) fn held(&self, hold: &mpsc::Sender<Infallible>) -> Self {
        LivePool { _hold: Some(hold.clone()), ..self.clone() }
    }

    /// The name in the config.
    pub(crate) fn name(&self) -> &SmolStr {
        &self.name
    }

    /// Its client.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The records as last seen.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, World> {
        self.world.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it stands, and what becomes of that.
    pub(crate) fn state(&self) -> watch::Receiver<PoolState> {
        self.state.subscribe()
    }

    /// Counts changes of the world.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// How long ago a change that we made ourselves was told by the pool: as old as that, what we know may be.
    pub(crate) fn canary_age(&self) -> Option<Duration> {
        self.heard.borrow().map(|heard| heard.at.elapsed())
    }

    /// How long the last change of our own took to be told: so far behind the pool we are.
    pub(crate) fn lag(&self) -> Option<Duration> {
        self.heard.borrow().map(|heard| heard.after)
    }

    pub(super) fn set_heard(&self, at: Instant, after: Duration) {
        self.heard.send_replace(Some(Heard { at, after }));
    }

    /// How many events of this pool were written to the journal since the start.
    pub(crate) fn told(&self) -> u64 {
        self.told.load(Ordering::Relaxed)
    }

    pub(super) fn add_told(&self, events: u64) {
        self.told.fetch_add(events, Ordering::Relaxed);
    }

    pub(crate) fn set_state(&self, state: PoolState) {
        self.state.send_if_modified(|now| {
            let differs = *now != state;
            *now = state;
            differs
        });
    }

    /// Changes the world. Only the feed does that, after the change is durable.
    pub(super) fn change(&self, changes: Vec<WorldChange>) {
        let tasks: Vec<WorldChange> =
            changes.iter().filter(|change| change.class() == "task").cloned().collect();
        {
            let mut world = self.world.write().unwrap_or_else(PoisonError::into_inner);
            for change in changes {
                change.apply(&mut world);
            }
        }
        self.changed.send_modify(|count| *count += 1);
        let earlier = self.earlier_tasks.iter().filter_map(Weak::upgrade);
        let waiters: Vec<Arc<TaskFeed>> = earlier.chain([Arc::clone(&self.tasks)]).collect();
        for task in tasks {
            match task {
                WorldChange::Put(record) => waiters.iter().for_each(|tasks| tasks.seen(&record)),
                WorldChange::Remove { reference, .. } => {
                    waiters.iter().for_each(|tasks| tasks.vanished(&reference));
                }
            }
        }
    }

    /// Destroys tasks that nobody asks for any more: xapi keeps finished ones for an hour, and drops everybody's when
    /// there are many. Not before our view shows their end, or it would be told as lost; one that goes on for longer
    /// than that is left to xapi.
    pub(crate) fn release_tasks(&self, tasks: Vec<SmolStr>) {
        for task in tasks {
            let pool = self.clone();
            tokio::spawn(async move { pool.release_task(&task).await });
        }
    }

    /// Destroys the tasks that an earlier run of this daemon started and did not live to destroy, but for those of open
    /// deliveries, which will ask for them.
    pub(super) async fn release_left_tasks(&self, open: &OpenDeliveries) {
        match self.client.marked(task_mark::KEY).await {
            Ok(tasks) => {
                let left = tasks.iter().filter(|task| {
                    task.mark().is_some_and(|mark| {
                        let effect = self.marks.effect(mark.value());
                        let wanted =
                            effect.is_some_and(|effect| open.contains(&(effect.plugin, effect.sequence)));
                        self.marks.is_left(mark) && !wanted
                    })
                });
                self.release_tasks(left.map(|task| task.reference().clone()).collect());
            }
            Err(error) => {
                tracing::debug!(pool = %self.name, error = error.chain(), "looking for tasks of an earlier run");
            }
        }
    }

    async fn release_task(&self, task: &str) {
        let mut changed = self.changed.subscribe();
        let shown = async {
            loop {
                changed.borrow_and_update();
                if self.read().get("task", task).is_some_and(|record| ending(record).is_some()) {
                    return;
                }
                // A closed channel cannot be: we hold the sender.
                _ = changed.changed().await;
            }
        };
        if tokio::time::timeout(TASK_RELEASE, shown).await.is_err() {
            return;
        }
        if let Err(error) = self.client.task(task).release().await {
            tracing::debug!(pool = %self.name, error = error.chain(), "destroying an ended task");
        }
    }
}

fn told(state: xapi::TaskState) -> TaskState {
    match state {
        xapi::TaskState::Going(progress) => TaskState::Pending(progress),
        xapi::TaskState::Ended(Ending::Succeeded(value)) => TaskState::Succeeded(value),
        xapi::TaskState::Ended(Ending::Failed(failure)) => TaskState::Failed(failure),
        xapi::TaskState::Ended(Ending::Cancelled) => TaskState::Cancelled,
        xapi::TaskState::Ended(Ending::Lost) => TaskState::Lost,
    }
}

/// What a plugin is told: xapi's own words, or no more than that the pool could not be reached. Where and as whom we
/// log in is for the log.
fn call_error(error: &Error) -> CallError {
    if let Error::Xapi { failure, .. } = error {
        return CallError::Xapi(failure.clone());
    }
    tracing::warn!(error = error.chain(), "a call did not get an answer");
    if error.nothing_done() {
        CallError::Transport("no answer from the pool, nothing was sent".to_owned())
    } else {
        CallError::InDoubt("the answer of the pool did not come or could not be read".to_owned())
    }
}

impl LivePool {
    /// The records as last seen, to be locked for a moment.
    pub(crate) fn world(&self) -> &RwLock<World> {
        &self.world
    }

    /// What plugins wrote to it of late.
    pub(crate) fn writes(&self) -> MutexGuard<'_, Writes> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The delivery that an event of this pool goes back to, where it is one of ours.
    pub(super) fn cause_of(&self, event: &Event, now: Instant) -> Option<Cause> {
        match event {
            Event::Change(change) => self.writes().cause_of_change(change, now),
            Event::Task(task) => {
                let by_table = self.writes().task_ended(&task.reference, now);
                by_table.or_else(|| {
                    let effect = self.marks.effect_of(&task.other_config)?;
                    Some(Cause { plugin: effect.plugin, sequence: effect.sequence, chain: 1 })
                })
            }
            Event::Alert(_) | Event::Resync(_) => None,
        }
    }

    /// Calls a method and waits for its result.
    pub(crate) async fn call(&self, method: &str, arguments: &[Value]) -> Result<Value, CallError> {
        self.client.call(method, arguments).await.map_err(|error| call_error(&error))
    }

    /// Starts a method as a task, marked with the effect that it stands for. Where the answer did not come the task is
    /// looked for once.
    pub(crate) async fn start(
        &self,
        method: &str,
        arguments: &[Value],
        effect: Option<&EffectName>,
    ) -> Result<SmolStr, CallError> {
        let options = self.marks.mark(effect).map(CallOptions::marked).unwrap_or_default();
        // Its record stays: the delivery's tasks are destroyed when nobody will ask for them again.
        let started = self.client.start(method, arguments, &options).await.map(xapi::Task::keep);
        let error = match started {
            Ok(task) => return Ok(task),
            Err(error) => call_error(&error),
        };
        if let (CallError::InDoubt(_), Some(effect)) = (&error, effect)
            && let Ok(Some(task)) = self.started_for(effect).await
        {
            return Ok(task);
        }
        Err(error)
    }

    /// The task that was started for an effect, while the pool still has it.
    ///
    /// # Errors
    /// When the pool cannot say.
    pub(crate) async fn started_for(&self, effect: &EffectName) -> Result<Option<SmolStr>, CallError> {
        let marked = self.client.marked(task_mark::KEY).await.map_err(|error| call_error(&error))?;
        let found = marked.iter().find(|task| {
            task.mark().and_then(|mark| self.marks.effect(mark.value())).as_ref() == Some(effect)
        });
        Ok(found.map(|task| task.reference().clone()))
    }

    /// Waits for a task to end, at most so long.
    pub(crate) async fn wait_task(&self, task: &str, at_most: Duration) -> Result<TaskState, CallError> {
        let known = || self.read().get("task", task).cloned();
        if let Some(record) = known()
            && ending(&record).is_some()
        {
            return Ok(told(xapi::TaskState::of(&record)));
        }
        let task = self.client.task(task);
        // What came in before the waiting began is told again.
        let (state, ()) = tokio::join!(biased; task.wait(at_most), async {
            if let Some(record) = known() {
                self.tasks.seen(&record);
            }
        });
        state.map(told).map_err(|error| call_error(&error))
    }

    /// Asks for a task to be cancelled.
    pub(crate) async fn cancel_task(&self, task: &str) -> Result<(), CallError> {
        self.client.task(task).cancel().await.map_err(|error| call_error(&error))
    }
}
