//! One watched pool as the rest of the daemon sees it: its world, its calls, its tasks.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use plugin_host::pool::{BoxFuture, CallError, Pool, TaskState};
use smol_str::SmolStr;
use tokio::sync::watch;
use tokio::time::Instant;
use xapi::events::{Ending, ending};
use xapi::model::{Record, World};
use xapi::{Client, Error, Value};

/// A task that our view says nothing new of is asked about directly, so seldom.
const TASK_REREAD: Duration = Duration::from_secs(10);

/// How long a task may go on after the delivery that started it, for us to destroy it.
const TASK_RELEASE: Duration = Duration::from_secs(600);

/// A pool that is being watched. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct LivePool {
    name: SmolStr,
    client: Client,
    world: Arc<RwLock<World>>,
    /// Counts changes of the world.
    changed: watch::Sender<u64>,
    state: watch::Sender<PoolState>,
    /// When a change of our own came round last.
    heard: watch::Sender<Option<std::time::Instant>>,
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
            name,
            client,
            world: Arc::new(RwLock::new(world)),
            changed: watch::Sender::new(0),
            state: watch::Sender::new(PoolState::Connecting),
            heard: watch::Sender::new(None),
        }
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
        self.heard.borrow().map(|heard| heard.elapsed())
    }

    pub(super) fn set_heard(&self, at: std::time::Instant) {
        self.heard.send_replace(Some(at));
    }

    pub(super) fn set_state(&self, state: PoolState) {
        self.state.send_if_modified(|now| {
            let differs = *now != state;
            *now = state;
            differs
        });
    }

    /// Changes the world. Only the feed does that, after the change is durable.
    pub(super) fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.world.write().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_modify(|count| *count += 1);
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
        if let Err(error) = self.client.call("task.destroy", &[task.into()]).await
            && !error.is("HANDLE_INVALID")
        {
            tracing::debug!(pool = %self.name, error = error.chain(), "destroying an ended task");
        }
    }

    /// The task's end, if our view or, when `ask` is set, the pool itself knows it.
    async fn task_state(&self, task: &str, ask: bool) -> Result<TaskState, CallError> {
        let known = self.read().get("task", task).cloned();
        match known {
            Some(record) if !ask || ending(&record).is_some() => Ok(state_of(&record)),
            _ if ask => match self.client.call("task.get_record", &[task.into()]).await {
                Ok(Value::Struct(fields)) => Ok(state_of(&Record::new("task", task, fields))),
                Ok(_) => Ok(TaskState::Lost),
                Err(error) if error.is("HANDLE_INVALID") => Ok(TaskState::Lost),
                Err(error) => Err(call_error(&error)),
            },
            // Started a moment ago and not told yet.
            _ => Ok(TaskState::Pending(0.0)),
        }
    }
}

fn state_of(task: &Record) -> TaskState {
    match ending(task) {
        None => TaskState::Pending(task.get("progress").and_then(Value::as_float).unwrap_or_default()),
        Some(Ending::Succeeded(value)) => TaskState::Succeeded(value),
        Some(Ending::Failed(failure)) => TaskState::Failed(failure),
        Some(Ending::Cancelled) => TaskState::Cancelled,
        Some(Ending::Lost) => TaskState::Lost,
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

impl Pool for LivePool {
    fn name(&self) -> &str {
        &self.name
    }

    fn world(&self) -> &RwLock<World> {
        &self.world
    }

    fn call<'a>(&'a self, method: &'a str, arguments: Vec<Value>) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(
            async move { self.client.call(method, &arguments).await.map_err(|error| call_error(&error)) },
        )
    }

    fn start<'a>(
        &'a self,
        method: &'a str,
        arguments: Vec<Value>,
    ) -> BoxFuture<'a, Result<SmolStr, CallError>> {
        Box::pin(async move {
            let method = format!("Async.{method}");
            match self.client.call(&method, &arguments).await {
                Ok(Value::String(task)) => Ok(task),
                Ok(_) => Err(CallError::InDoubt(format!("{method} answered with something that is no task"))),
                Err(error) => Err(call_error(&error)),
            }
        })
    }

    /// Events wake the wait, the status itself decides; what is silent for long is asked about.
    fn wait_task<'a>(
        &'a self,
        task: &'a str,
        at_most: Duration,
    ) -> BoxFuture<'a, Result<TaskState, CallError>> {
        Box::pin(async move {
            let deadline = Instant::now() + at_most;
            let mut changed = self.changed.subscribe();
            let mut reread = Instant::now() + TASK_REREAD;
            loop {
                changed.borrow_and_update();
                let now = Instant::now();
                let ask = now >= reread || now >= deadline;
                if ask {
                    reread = now + TASK_REREAD;
                }
                let state = self.task_state(task, ask).await?;
                if !matches!(state, TaskState::Pending(_)) || now >= deadline {
                    return Ok(state);
                }
                // A closed channel cannot be: we hold the sender.
                _ = tokio::time::timeout_at(reread.min(deadline), changed.changed()).await;
            }
        })
    }

    fn cancel_task<'a>(&'a self, task: &'a str) -> BoxFuture<'a, Result<(), CallError>> {
        Box::pin(async move {
            let outcome = self.client.call("task.cancel", &[task.into()]).await;
            outcome.map(|_| ()).map_err(|error| call_error(&error))
        })
    }
}
