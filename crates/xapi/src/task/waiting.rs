//! How a task is waited for: events wake, a record decides.
//!
//! ```text
//!               ┌── told by an event: the record that came with it ──┐
//!   waiting ────┼── told to be gone, or not told at all ──▶ read ────┼──▶ going on / ended / lost
//!               └── silent for 10 s ──────────────────────▶ read ────┘
//! ```
//!
//! The record that comes with an event was read by xapi for that event, and the status is the last that xapi writes of
//! a task: a final status in it is final. A deletion is only a hint. A task whose record cannot be had any more,
//! `HANDLE_INVALID`, is lost, whatever it may have done.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use smol_str::SmolStr;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::board::{Board, Seat};
use super::poll::Poll;
use super::state::TaskState;
use crate::Client;
use crate::codec::DecodeError;
use crate::error::Error;
use crate::failure::Kind;
use crate::model::Record;
use crate::transport::TransportError;
use crate::value::Value;

/// A task that nothing is heard of is asked about, so seldom.
const SILENCE: Duration = Duration::from_secs(10);
/// What was heard so lately is not asked for again when the time is up.
const FRESH: Duration = Duration::from_secs(1);
/// How long the look at the end of a wait may take beyond its time.
const LAST_LOOK: Duration = Duration::from_secs(5);
/// After a read that failed, doubled with every further one.
const PAUSE: Duration = Duration::from_millis(250);
/// Stands for no end: tokio's clock does not go further.
const FOR_EVER: Duration = Duration::from_secs(86_400 * 365 * 30);
/// More dropped tasks than this are left to xapi, which collects finished ones after an hour.
const DROPPED_MAX: usize = 1_000;

/// Everything that waiting needs, one for each client.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(super) board: Board,
    poll: Poll,
    /// How many tell the board by themselves, so that no poll is needed.
    followers: watch::Sender<usize>,
    /// Tasks whose handles were dropped, to be destroyed.
    dropped: Mutex<Vec<SmolStr>>,
    /// Held while they are destroyed.
    sweeping: tokio::sync::Mutex<()>,
}

impl Default for Waiting {
    fn default() -> Self {
        Waiting {
            board: Board::default(),
            poll: Poll::default(),
            followers: watch::Sender::new(0),
            dropped: Mutex::default(),
            sweeping: tokio::sync::Mutex::default(),
        }
    }
}

impl Waiting {
    /// Waits for a task, at most so long, and shows how far it is whenever that changes.
    pub(super) async fn wait(
        &self,
        client: &Client,
        task: &SmolStr,
        at_most: Duration,
        show: impl FnMut(f64),
    ) -> Result<TaskState, Error> {
        let until = Instant::now() + at_most.min(FOR_EVER);
        let seat = self.board.sit(task);
        let lead = async {
            loop {
                let mut followers = self.followers.subscribe();
                // The sender is ours, so the channel is never closed.
                _ = followers.wait_for(|followers| *followers == 0).await;
                tokio::select! {
                    error = self.poll.lead(client, &self.board, until) => break error,
                    _ = followers.wait_for(|followers| *followers > 0) => {}
                }
            }
        };
        if at_most.is_zero() {
            return self.attend(client, task, seat, until, show).await;
        }
        tokio::select! {
            biased;
            state = self.attend(client, task, seat, until, show) => state,
            error = lead => error.map(|never| match never {}),
        }
    }

    /// Sits until the task has ended or the time is up, reading the record where events are not enough.
    async fn attend(
        &self,
        client: &Client,
        task: &SmolStr,
        mut seat: Seat<'_>,
        until: Instant,
        mut show: impl FnMut(f64),
    ) -> Result<TaskState, Error> {
        let mut shown = None;
        let mut asked = Instant::now();
        let mut failed: Option<(Error, u32)> = None;
        loop {
            let heard = seat.heard.borrow_and_update().clone();
            let TaskState::Going(progress) = heard.state else { return Ok(heard.state) };
            if heard.at.is_some() && shown != Some(progress) {
                show(progress);
                shown = Some(progress);
            }
            let now = Instant::now();
            if now >= until {
                let fresh = heard.at.is_some_and(|at| now.duration_since(at) < FRESH);
                return match failed {
                    _ if fresh && !heard.doubted => Ok(heard.state),
                    Some((error, _)) => Err(error),
                    None => self.last_look(client, task).await,
                };
            }
            let due = match &failed {
                Some((_, times)) => asked + PAUSE.saturating_mul(1 << times.min(&10)).min(SILENCE),
                None if heard.doubted => now,
                None => heard.at.map_or(asked, |at| at.max(asked)) + SILENCE,
            };
            if now < due {
                // Elapsed or changed: the next round looks which.
                _ = timeout_at(due.min(until), seat.heard.changed()).await;
                continue;
            }
            let Ok(outcome) = timeout_at(until, self.read(client, task)).await else { continue };
            asked = Instant::now();
            failed = match outcome {
                Ok(()) => None,
                Err(error) if passing(&error) => {
                    tracing::debug!(error = error.chain(), "reading the state of a task");
                    let times = failed.map_or(0, |(_, times)| times.saturating_add(1));
                    Some((error, times))
                }
                Err(error) => return Err(error),
            };
        }
    }

    /// The time is up: whoever hears that a task goes on should hear it of the pool.
    async fn last_look(&self, client: &Client, task: &SmolStr) -> Result<TaskState, Error> {
        let seat = self.board.sit(task);
        tokio::time::timeout(LAST_LOOK, self.read(client, task)).await.unwrap_or_else(|_| {
            Err(Error::Transport {
                method: "task.get_record".to_owned(),
                source: TransportError::TimedOut {
                    endpoint: client.endpoint().to_string(),
                    after: LAST_LOOK,
                },
            })
        })?;
        Ok(seat.heard.borrow().state.clone())
    }

    /// Reads the record of a task and puts what it says onto the board.
    async fn read(&self, client: &Client, task: &SmolStr) -> Result<(), Error> {
        let method = "task.get_record";
        match client.call(method, &[Value::String(task.clone())]).await {
            Ok(Value::Struct(fields)) => self.board.seen(&Record::new("task", task.clone(), fields)),
            Ok(_) => return Err(no(method, "the answer is no record")),
            Err(error) if error.is("HANDLE_INVALID") => self.board.lost(task),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    pub(super) fn followers(&self) -> &watch::Sender<usize> {
        &self.followers
    }

    /// Remembers a task to destroy.
    pub(super) fn dropped(&self, task: SmolStr) {
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        if dropped.len() < DROPPED_MAX {
            dropped.push(task);
        }
    }

    /// Destroys the tasks whose handles were dropped. Never logs in for that: without a session they are left to xapi.
    pub(crate) async fn sweep(&self, client: &Client) {
        let _alone = self.sweeping.lock().await;
        while let Some(task) = self.next_dropped() {
            if !client.has_session().await {
                return self.dropped(task);
            }
            match destroy(client, &task).await {
                Err(error) if passing(&error) => {
                    tracing::debug!(error = error.chain(), "destroying a dropped task");
                    return self.dropped(task);
                }
                Err(error) => tracing::debug!(error = error.chain(), "a dropped task is left to xapi"),
                Ok(()) => {}
            }
        }
    }

    fn next_dropped(&self) -> Option<SmolStr> {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// Destroys a task's record. One that is gone is no error; one that is pending goes when it has ended.
pub(super) async fn destroy(client: &Client, task: &SmolStr) -> Result<(), Error> {
    match client.call("task.destroy", &[Value::String(task.clone())]).await {
        Err(error) if !error.is("HANDLE_INVALID") => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// An answer of another shape than the method's.
pub(super) fn no(method: &str, what: &str) -> Error {
    let source = DecodeError { what: what.to_owned(), position: 0 };
    Error::Decode { method: method.to_owned(), source }
}

/// Whether a restart or a failover of the pool may be all there is to it, so that waiting on makes sense.
pub(super) fn passing(error: &Error) -> bool {
    if error.untrusted() {
        return false;
    }
    match error.failure() {
        Some(failure) => {
            matches!(failure.kind(), Kind::SessionInvalid { .. } | Kind::HostIsSlave { .. } | Kind::NotReady)
        }
        None => match error {
            Error::Password { .. }
            | Error::NoAsync { .. }
            | Error::TaskLost { .. }
            | Error::Unwritable { .. }
            | Error::OtherPool { .. } => false,
            Error::Login { source, .. }
            | Error::Certificate { source, .. }
            | Error::Watching { source, .. } => passing(source),
            Error::Transport { .. } | Error::Decode { .. } | Error::Waiting { .. } | Error::Xapi { .. } => {
                true
            }
        },
    }
}
