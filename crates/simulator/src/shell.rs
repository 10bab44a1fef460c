//! The pool among many tasks: one lock, one driver that lets time pass, and waiters that look again when it stirs.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smol_str::SmolStr;
use tokio::sync::watch;
use tokio::time::Instant;
use xapi::codec::Reply;

use crate::clock::Moment;
use crate::dispatch::{Answer, Request};
use crate::events::Subscription;
use crate::pool::Pool;
use crate::trouble::Network;

/// xapi waits so long before it first looks for events, so that many writes come as one; none for tasks alone.
const FIRST_LOOK: f64 = 0.050;
/// Between two looks that found nothing it waits from here ...
const NEXT_LOOK_MIN: Duration = Duration::from_micros(3125);
/// ... to here, twice as long each time.
const NEXT_LOOK_MAX: Duration = Duration::from_millis(50);

/// `event.next` looks only so often.
const NEXT_PAUSE: Duration = Duration::from_millis(200);

/// What all doors and handles share.
pub(crate) struct Shared {
    pool: Mutex<Pool>,
    began: Instant,
    stirred: watch::Sender<u64>,
    held: watch::Sender<bool>,
    network: watch::Sender<Network>,
}

/// What a door answers with.
pub(crate) enum Answered {
    /// In the usual envelope.
    Reply(Reply),
    /// Without the envelope.
    Bare(xapi::Value),
    /// As an error raised before any dispatch.
    Early(xapi::codec::Failure),
    /// Not at all: what the call waited for is gone.
    Never,
}

impl Shared {
    pub(crate) fn new(pool: Pool) -> Self {
        Shared {
            pool: Mutex::new(pool),
            began: Instant::now(),
            stirred: watch::channel(0).0,
            held: watch::channel(false).0,
            network: watch::channel(Network::default()).0,
        }
    }

    /// Works on the pool at the present moment, after all that was due before, then wakes whoever waits, if anything
    /// changed.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Pool) -> R) -> R {
        let (result, stirred, network) = {
            let mut pool = self.lock();
            let before = mark(&pool);
            pool.advance(self.began.elapsed());
            let result = work(&mut pool);
            pool.follow_up();
            (result, before != mark(&pool), pool.trouble.network)
        };
        self.network.send_if_modified(|known| std::mem::replace(known, network) != network);
        if stirred {
            self.stirred.send_modify(|count| *count = count.wrapping_add(1));
        }
        result
    }

    /// Tells of every change of the pool that a waiter might care about.
    pub(crate) fn stirs(&self) -> watch::Receiver<u64> {
        self.stirred.subscribe()
    }

    /// Only looks.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&Pool) -> R) -> R {
        look(&self.lock())
    }

    /// Whether doors keep their answers to themselves.
    pub(crate) fn hold(&self, hold: bool) {
        self.held.send_replace(hold);
    }

    /// Returns once answers may go out.
    pub(crate) async fn unheld(&self) {
        let mut held = self.held.subscribe();
        // The sender lives as long as we do, so waiting cannot fail.
        _ = held.wait_for(|held| !held).await;
    }

    /// How the network behaves, now and later.
    pub(crate) fn network(&self) -> watch::Receiver<Network> {
        self.network.subscribe()
    }

    /// Lets time pass for ever: does what is due, then sleeps until the next thing is or something stirs.
    pub(crate) async fn drive(self: Arc<Self>) {
        let mut stirred = self.stirred.subscribe();
        loop {
            stirred.mark_unchanged();
            let next = self.with(|pool| pool.schedule.next_at());
            match next {
                Some(at) => tokio::select! {
                    () = tokio::time::sleep_until(self.instant(at)) => {}
                    _ = stirred.changed() => {}
                },
                None => _ = stirred.changed().await,
            }
        }
    }

    /// Takes a call and waits for its answer.
    pub(crate) async fn call(&self, request: &Request) -> Answered {
        match self.with(|pool| pool.call(request)) {
            Answer::Reply(reply) => Answered::Reply(reply),
            Answer::Bare(value) => Answered::Bare(value),
            Answer::Early(failure) => Answered::Early(failure),
            Answer::Later(after, reply) => {
                tokio::time::sleep(after).await;
                Answered::Reply(reply)
            }
            Answer::Task(task) => self.reply_of(&task).await.map_or(Answered::Never, Answered::Reply),
            Answer::Events(subscription) => Answered::Reply(self.events(&subscription).await),
            Answer::NextEvents(session) => Answered::Reply(self.next_events(&session).await),
        }
    }

    /// Waits until a condition holds, looking again whenever something changes; tells whether it did in time.
    pub(crate) async fn wait_until(&self, limit: Duration, condition: impl Fn() -> bool) -> bool {
        let mut stirred = self.stirred.subscribe();
        let deadline = Instant::now() + limit;
        loop {
            stirred.mark_unchanged();
            if condition() {
                return true;
            }
            tokio::select! {
                _ = stirred.changed() => {}
                () = tokio::time::sleep_until(deadline) => return condition(),
            }
        }
    }

    /// The reply of a synchronous call; none when the toolstack went down meanwhile.
    async fn reply_of(&self, task: &SmolStr) -> Option<Reply> {
        let mut stirred = self.stirred.subscribe();
        loop {
            stirred.mark_unchanged();
            if let Some(reply) = self.with(|pool| pool.take_reply(task)) {
                return Some(reply);
            }
            if !self.read(|pool| pool.has_job(task)) {
                return None;
            }
            _ = stirred.changed().await;
        }
    }

    async fn next_events(&self, session: &str) -> Reply {
        let mut stirred = self.stirred.subscribe();
        loop {
            tokio::time::sleep(NEXT_PAUSE).await;
            stirred.mark_unchanged();
            if let Some(reply) = self.with(|pool| pool.next_events(session)) {
                return reply;
            }
            _ = stirred.changed().await;
        }
    }

    async fn events(&self, subscription: &Subscription) -> Reply {
        let mut stirred = self.stirred.subscribe();
        let deadline = Instant::now() + subscription.timeout;
        let first = if subscription.tasks_only() {
            Duration::ZERO
        } else {
            self.read(|pool| pool.clock.lasting(FIRST_LOOK)).min(Duration::from_secs_f64(FIRST_LOOK))
        };
        tokio::time::sleep_until(deadline.min(Instant::now() + first)).await;
        let mut pause = NEXT_LOOK_MIN;
        loop {
            stirred.mark_unchanged();
            let time_is_up = Instant::now() >= deadline;
            if let Some(reply) = self.read(|pool| pool.look(subscription, time_is_up)) {
                return reply;
            }
            tokio::select! {
                _ = stirred.changed() => {}
                () = tokio::time::sleep_until(deadline) => {}
            }
            if !subscription.tasks_only() {
                tokio::time::sleep_until(deadline.min(Instant::now() + pause)).await;
                pause = (pause * 2).min(NEXT_LOOK_MAX);
            }
        }
    }

    fn instant(&self, moment: Moment) -> Instant {
        self.began + moment
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        // A panic under the lock is a bug that the panicking task reports; the rows themselves stay whole.
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows nothing of the pool, which holds sessions.
impl fmt::Debug for Shared {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// What changes whenever somebody who waits might care: rows, sessions, tasks' replies, what is due next.
fn mark(pool: &Pool) -> (i64, u64, usize, Option<Moment>) {
    (pool.database.generation(), pool.stirs, pool.sessions.len(), pool.schedule.next_at())
}
