//! Asynchronous calls: a method is started, xapi gives a task, the task is waited for, read and destroyed.
//!
//! - Waiting is by events, never by polling alone; all waiters of one client share one poll, which is led by whoever
//!   waits. See `waiting.rs` for what decides.
//! - A task that vanished is [`Ending::Lost`](crate::events::Ending::Lost), never a success: look at the object.
//! - xapi keeps ended tasks for an hour, and drops everybody's when there are many. So what we start we destroy.
//! - A [`Mark`] on a task lets it be found again, also by another process.

mod board;
mod feed;
mod mark;
mod poll;
mod start;
mod state;
mod waiting;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use smol_str::SmolStr;

pub use feed::TaskFeed;
pub use mark::{Mark, MarkError};
pub use state::TaskState;
pub(crate) use waiting::Waiting;

use crate::client::Client;
use crate::error::Error;
use crate::events::Ending;
use crate::failure::Failure;
use crate::value::Value;

/// A handle on one task.
///
/// A handle from [`Client::start`] owns its task: xapi's record of it is destroyed when its end has been read, and when
/// the handle is dropped or [released](Task::release) before. Dropping does not cancel: a task that is still going goes
/// on, and xapi takes its record away when it has ended. [`Task::keep`] gives the task up without destroying it.
///
/// A handle from [`Client::task`] or [`Client::marked`] merely looks on, until it is told to [own](Task::own) the task.
///
/// All methods take `&self`, so one handle can be shared: waited for here, cancelled there.
#[derive(Debug)]
pub struct Task {
    client: Client,
    reference: SmolStr,
    /// For errors: what was started, as far as we know.
    method: SmolStr,
    mark: Option<Mark>,
    /// Whether the record is ours to destroy and, as far as we know, still there.
    owned: AtomicBool,
    ended: OnceLock<Ending>,
}

impl Task {
    fn new(client: Client, reference: SmolStr, method: SmolStr, mark: Option<Mark>, owned: bool) -> Self {
        Task { client, reference, method, mark, owned: AtomicBool::new(owned), ended: OnceLock::new() }
    }

    /// The opaque reference.
    #[must_use]
    pub fn reference(&self) -> &SmolStr {
        &self.reference
    }

    /// What was started, `VM.start`; for a task that was not started here, what its label names.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The mark that it was started with or found by.
    #[must_use]
    pub fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    /// Waits until the task has ended, at most so long, and says where it stands then. The record of an owned task that
    /// has ended is destroyed before this returns.
    ///
    /// A pool that cannot be reached for a while is waited for as well; a restart of the toolstack ends all tasks, which
    /// shows as [`Ending::Lost`].
    ///
    /// # Errors
    /// [`Error::Watching`] when at the end of the time the pool could not be asked, or earlier when it refuses to let us
    /// in. The task may go on all the same.
    pub async fn wait(&self, at_most: Duration) -> Result<TaskState, Error> {
        self.wait_and_show(at_most, |_| ()).await
    }

    /// As [`Task::wait`], and calls `show` with the progress, 0.0 to 1.0, first when it is known and then whenever it
    /// changes.
    ///
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// use std::time::Duration;
    ///
    /// let lab = client.find_class("VM")?.by_name_label("lab").await?.remove(0);
    /// let arguments = [lab.as_str().into(), false.into(), false.into()];
    /// let task = client.start("VM.start", &arguments, &Default::default()).await?;
    /// let state = task.wait_and_show(Duration::from_secs(60), |progress| {
    ///     eprint!("\r{:3.0} %", progress * 100.0);
    /// });
    /// assert!(state.await?.ending().is_some());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As for [`Task::wait`].
    pub async fn wait_and_show(&self, at_most: Duration, show: impl FnMut(f64)) -> Result<TaskState, Error> {
        if self.ended.get().is_none() {
            let state = self.client.waiting().wait(&self.client, &self.reference, at_most, show).await;
            let state = state.map_err(|source| Error::Watching {
                method: self.method.to_string(),
                task: self.reference.clone(),
                source: Box::new(source),
            })?;
            let TaskState::Ended(ending) = state else { return Ok(state) };
            // Another waiter on the same handle may have been quicker, with the same ending.
            _ = self.ended.set(ending);
        }
        self.destroy_ended().await;
        Ok(TaskState::Ended(self.ended.get().cloned().unwrap_or(Ending::Lost)))
    }

    /// Waits for the end, however long it takes, and gives the result as [`Client::call`] would: typed by the schema
    /// where the method is known.
    ///
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// let lab = client.find_class("VM")?.by_name_label("lab").await?.remove(0);
    /// let arguments = [lab.as_str().into(), "copy of lab".into()];
    /// let copy = client.start("VM.clone", &arguments, &Default::default()).await?.result().await?;
    /// assert_eq!(client.call("VM.get_name_label", &[copy]).await?, "copy of lab".into());
    ///
    /// let web = client.find_class("VM")?.by_name_label("web-1").await?.remove(0);
    /// let arguments = [web.as_str().into(), false.into(), false.into()];
    /// let refused = client.start("VM.start", &arguments, &Default::default()).await?.result().await;
    /// assert!(refused.unwrap_err().is("VM_BAD_POWER_STATE"), "it runs already");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`Error::Xapi`] with the task's own code and parameters, `TASK_CANCELLED` for a cancelled one;
    /// [`Error::TaskLost`] when it vanished; otherwise as for [`Task::wait`].
    pub async fn result(&self) -> Result<Value, Error> {
        let failed = |failure| Error::Xapi { method: self.method.to_string(), failure };
        loop {
            return match self.wait(Duration::MAX).await? {
                TaskState::Going(_) => continue,
                TaskState::Ended(Ending::Succeeded(value)) => Ok(value),
                TaskState::Ended(Ending::Failed(failure)) => Err(failed(failure)),
                TaskState::Ended(Ending::Cancelled) => {
                    Err(failed(Failure::new("TASK_CANCELLED", [self.reference.clone()])))
                }
                TaskState::Ended(Ending::Lost) => {
                    Err(Error::TaskLost { method: self.method.to_string(), task: self.reference.clone() })
                }
            };
        }
    }

    /// Asks the pool once where the task stands.
    ///
    /// # Errors
    /// When the pool cannot be asked.
    pub async fn state(&self) -> Result<TaskState, Error> {
        self.wait(Duration::ZERO).await
    }

    /// Asks the pool once how far the task is, 0.0 to 1.0; 1.0 for one that has ended, however it did. To follow it, use
    /// [`Task::wait_and_show`], which asks nothing.
    ///
    /// # Errors
    /// When the pool cannot be asked.
    pub async fn progress(&self) -> Result<f64, Error> {
        Ok(match self.state().await? {
            TaskState::Going(progress) => progress,
            TaskState::Ended(_) => 1.0,
        })
    }

    /// Asks for the task to be cancelled. That is a wish: xapi answers before anything happens, and a task that cannot
    /// be cancelled, or is nearly done, finishes all the same. [`Task::wait`] tells which. A task that is gone already
    /// is no error.
    ///
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// use std::time::Duration;
    /// use xapi::{TaskState, events::Ending};
    ///
    /// let lab = client.find_class("VM")?.by_name_label("lab").await?.remove(0);
    /// let arguments = [lab.as_str().into(), false.into(), false.into()];
    /// let task = client.start("VM.start", &arguments, &Default::default()).await?;
    /// task.cancel().await?;
    /// match task.wait(Duration::from_secs(60)).await? {
    ///     TaskState::Ended(Ending::Cancelled) => println!("cancelled"),
    ///     TaskState::Ended(Ending::Succeeded(_)) => println!("too late, it runs"),
    ///     other => println!("{other:?}"),
    /// }
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// When the pool refuses (another's task needs the role pool-operator) or cannot be reached.
    pub async fn cancel(&self) -> Result<(), Error> {
        match self.client.call("task.cancel", &[Value::String(self.reference.clone())]).await {
            Err(error) if !error.is("HANDLE_INVALID") => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Makes the record ours to destroy, as if the task had been started by this handle.
    #[must_use]
    pub fn own(self) -> Self {
        self.owned.store(true, Ordering::Release);
        self
    }

    /// Gives the task up without destroying its record, and says which it was.
    #[must_use = "the reference is all that is left of the task"]
    pub fn keep(self) -> SmolStr {
        self.owned.store(false, Ordering::Release);
        self.reference.clone()
    }

    /// Destroys the record now, owned or not. A task that is still going goes on; xapi takes its record away when it
    /// has ended.
    ///
    /// # Errors
    /// When the pool refuses or cannot be reached; xapi then collects the record itself, an hour after the end.
    pub async fn release(self) -> Result<(), Error> {
        waiting::destroy(&self.client, &self.reference).await?;
        self.owned.store(false, Ordering::Release);
        Ok(())
    }

    /// Destroys the record of an owned task that has ended. What fails is tried again when the handle is dropped.
    async fn destroy_ended(&self) {
        if !self.owned.load(Ordering::Acquire) {
            return;
        }
        if self.ended.get() != Some(&Ending::Lost)
            && let Err(error) = waiting::destroy(&self.client, &self.reference).await
        {
            tracing::debug!(error = error.chain(), "destroying an ended task");
            return;
        }
        self.owned.store(false, Ordering::Release);
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if !*self.owned.get_mut() {
            return;
        }
        self.client.waiting().dropped(self.reference.clone());
        // Without a runtime it stays remembered: the next start or the logout destroys it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let client = self.client.clone();
            runtime.spawn(async move { client.waiting().sweep(&client).await });
        }
    }
}
