//! From a pool's events to the journal: one task a pool.
//!
//! ```text
//!   lease ─▶ request ─▶ answer ─▶ redact ─▶ step (pure) ─▶ append (durable) ─▶ world, tail, plugins
//!     ▲                                                        │ full
//!     └────────── back off ◀── lost                            └──▶ pause, the same step again
//! ```
//!
//! Nothing is asked of the pool, shown to a plugin or put into the world before what came last is durable. It knows
//! neither the router nor plugins.

mod kept;
mod live_pool;
mod position;
mod redact;
mod selection;
mod tail;
mod task_mark;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use journal::{Append, Journal, NewEvent, ObjectChange};
use smol_str::SmolStr;
use tokio::sync::watch;
use xapi::events::{Canary, Event, Input, Request, Round, Stream, WorldChange};
use xapi::find::FindError;
use xapi::{Client, Error, Lease, Value};

pub(crate) use kept::{kept, position, world};
pub(crate) use live_pool::{LivePool, OpenDeliveries, PoolState};
pub(crate) use position::Position;
pub(crate) use redact::is_secret_key;
pub(crate) use selection::followed;
pub(crate) use tail::{Recent, Tail};
pub(crate) use task_mark::EffectName;

use crate::cause::Cause;
use crate::event::{self, Connection, PoolEvent, Told};
use crate::pulse::Pulse;

/// How long xapi may hold back an answer when nothing happens: below the idle limits of firewalls.
const POLL: Duration = Duration::from_secs(30);
/// How long to wait before the same append is tried again while there is no room.
const ROOM_RETRY: Duration = Duration::from_secs(1);
/// How often a change of our own is sent through the pool, to see that it is told.
const CANARY: Duration = Duration::from_secs(30);
/// So many answers in a row that cannot be read, and the whole picture is read anew.
const UNREADABLE: u32 = 3;
/// The first and the longest pause after a poll that failed although the session may still be good.
const POLL_RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Follows one pool.
pub(crate) struct Feed {
    pool: LivePool,
    journal: Journal,
    tail: Arc<Tail>,
    stream: Stream,
    /// The session that the stream's token belongs to.
    lease: Option<u64>,
    /// The member that answered last, while it does.
    endpoint: Option<String>,
    /// The member that answered before that.
    last_endpoint: Option<String>,
    failures: u32,
    /// Sessions in a row that ended before they brought anything.
    barren: u32,
    /// Answers in a row that could not be read.
    unreadable: u32,
    canary: Canary,
    /// Whether tasks of an earlier run were looked for.
    tidied: bool,
    /// Deliveries of an earlier run that will ask for their tasks.
    open: OpenDeliveries,
    /// The classes to follow.
    wished: watch::Receiver<Vec<SmolStr>>,
    pulse: Pulse,
    stop: watch::Receiver<bool>,
}

/// Why a feed ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FeedError {
    /// The journal can take nothing any more.
    #[error("writing what happened in pool {pool} to the journal")]
    Journal {
        /// The pool.
        pool: String,
        /// Why.
        #[source]
        source: journal::Error,
    },
}

/// What an earlier run left of a feed.
pub(crate) struct Left {
    /// Where it was; none before a first picture.
    pub(crate) position: Option<Position>,
    /// Deliveries that will ask for their tasks.
    pub(crate) open: OpenDeliveries,
}

/// Why there is no answer to take in.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Call(#[from] Error),
    /// A listing that is none.
    #[error(transparent)]
    List(FindError),
    /// Polls are answered, and a change of ours is not in them.
    #[error("the pool answers, but does not tell a change that was made in it")]
    Silent,
}

impl From<FindError> for AskError {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Call { source, .. } => AskError::Call(source),
            other => AskError::List(other),
        }
    }
}

impl Feed {
    /// A feed of these classes, which may change, that goes on from where it was left, or begins with the first picture.
    pub(crate) fn new(
        pool: LivePool,
        mut wished: watch::Receiver<Vec<SmolStr>>,
        left: Left,
        journal: Journal,
        tail: Arc<Tail>,
        pulse: Pulse,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let classes = wished.borrow_and_update().clone();
        let stream = match left.position {
            Some(left) => Stream::going_on(classes, left.classes, left.alerts),
            None => Stream::new(classes),
        };
        Feed {
            pool,
            journal,
            tail,
            stream,
            lease: None,
            endpoint: None,
            last_endpoint: None,
            failures: 0,
            barren: 0,
            unreadable: 0,
            canary: Canary::new(CANARY, Instant::now()),
            tidied: false,
            open: left.open,
            wished,
            pulse,
            stop,
        }
    }

    /// Follows the pool until asked to stop.
    pub(crate) async fn run(mut self) -> Result<(), FeedError> {
        let mut stop = self.stop.clone();
        loop {
            self.pulse.beat();
            self.follow_wished();
            // Only waiting is cut short by a stop; what has come in is always written.
            let asked = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                asked = self.ask() => asked,
            };
            match asked {
                Ok((lease, answer)) => {
                    self.opened(&lease).await?;
                    if let Some((input, received)) = answer {
                        self.failures = 0;
                        self.barren = 0;
                        self.unreadable = 0;
                        self.take(input, received).await?;
                    }
                }
                Err(error) => {
                    let pause = self.failed(&error).await?;
                    tokio::select! {
                        _ = stop.wait_for(|stop| *stop) => return Ok(()),
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    /// Begins anew with other classes when others are wished for. Nothing is missed: of those that were followed the picture is
    /// compared.
    fn follow_wished(&mut self) {
        let wished = self.wished.borrow_and_update().clone();
        if wished != self.stream.classes() {
            tracing::info!(pool = %self.pool.name(), classes = wished.len(), "other classes are followed from now on");
            self.stream = Stream::going_on(wished, self.stream.known(), self.stream.alerts().clone());
        }
    }

    /// A session, and with one that is not new the answer to what the stream wants to know; none when other classes are
    /// wished for meanwhile. Dropping the future
    /// loses nothing: a poll that is not answered is asked again with the same token.
    async fn ask(&mut self) -> Result<(Lease, Option<(Input, Instant)>), AskError> {
        let client = self.pool.client().clone();
        let lease = client.lease().await?;
        if self.lease != Some(lease.number()) {
            return Ok((lease, None));
        }
        self.send_canary(&client).await?;
        let (input, received) = match self.stream.request() {
            Request::Poll { token, at_once } => {
                let classes: Vec<Value> =
                    self.stream.classes().iter().map(|class| class.to_lowercase().as_str().into()).collect();
                let wait = if at_once { Duration::ZERO } else { POLL };
                let polled = client.poll(&lease, &classes, &token, wait);
                let (mut batch, received) = tokio::select! {
                    polled = polled => polled?,
                    Ok(()) = self.wished.changed() => return Ok((lease, None)),
                };
                redact::redact(&mut batch);
                match self.canary.polled(&batch.token, received) {
                    Round::Back(after) => self.pool.set_heard(received, after),
                    Round::Lost => return Err(AskError::Silent),
                    Round::Idle | Round::Awaited => {}
                }
                (Input::Batch(batch), received)
            }
            Request::List { class } => {
                let listed = client.find_class(&class)?.all().await?;
                let references = listed.iter().map(|reference| reference.as_str().into()).collect();
                (Input::Listing { class, references }, Instant::now())
            }
        };
        Ok((lease, Some((input, received))))
    }

    /// Touches the pool object when it is time to: the poll that follows must tell of it.
    async fn send_canary(&mut self, client: &Client) -> Result<(), AskError> {
        if !self.stream.live() || !self.canary.is_due(Instant::now()) {
            return Ok(());
        }
        let object = self.pool.read().of("pool").next().map(|pool| Value::String(pool.reference.clone()));
        let Some(object) = object else { return Ok(()) };
        match client.call("event.inject", &["pool".into(), object]).await {
            Ok(Value::String(token)) if self.stream.is_ahead_of(&token) => {
                tracing::warn!(
                    pool = %self.pool.name(),
                    "the pool's database went back to an earlier state, comparing the whole pool"
                );
                self.stream = self.stream.after_new_session();
            }
            Ok(Value::String(token)) => self.canary.sent(token, Instant::now()),
            Ok(_) => self.canary.skipped(Instant::now()),
            Err(error) if error.is("SESSION_INVALID") || error.failure().is_none() => {
                return Err(error.into());
            }
            Err(error) => {
                tracing::debug!(pool = %self.pool.name(), error = error.chain(), "sending a change through the pool");
                self.canary.skipped(Instant::now());
            }
        }
        Ok(())
    }

    /// Tells of a session when it is a new one, or the first answer after a silence.
    async fn opened(&mut self, lease: &Lease) -> Result<(), FeedError> {
        if self.lease != Some(lease.number()) {
            self.lease = Some(lease.number());
            self.stream = self.stream.after_new_session();
            self.canary.forget(Instant::now());
        }
        let endpoint = self.pool.client().endpoint().to_string();
        if self.endpoint.as_ref() == Some(&endpoint) {
            return Ok(());
        }
        tracing::info!(pool = %self.pool.name(), %endpoint, "connected");
        let mut told = vec![Told::Connection(Connection::Connected { endpoint: endpoint.clone() })];
        if self.last_endpoint.as_ref().is_some_and(|last| *last != endpoint) {
            told.push(Told::Connection(Connection::Moved { endpoint: endpoint.clone() }));
        }
        self.endpoint = Some(endpoint.clone());
        self.last_endpoint = Some(endpoint);
        self.append(told, Vec::new(), Instant::now()).await
    }

    /// Takes an answer in: events, world and position in one transaction, then the world and the plugins.
    async fn take(&mut self, input: Input, received: Instant) -> Result<(), FeedError> {
        let step = self.stream.step(&self.pool.read(), input);
        let following = !self.stream.live() && step.next.live();
        for event in &step.events {
            if let Event::Resync(resync) = event {
                tracing::info!(
                    pool = %self.pool.name(),
                    objects = resync.objects,
                    differences = resync.differences,
                    first = resync.first,
                    "compared the whole pool"
                );
            }
        }
        let told: Vec<Told> = step.events.into_iter().map(Told::Stream).collect();
        self.stream = step.next;
        self.append(told, step.changes, received).await?;
        if following || *self.pool.state().borrow() != PoolState::Following {
            self.pool.set_state(PoolState::Following);
        }
        if following && !std::mem::replace(&mut self.tidied, true) {
            let pool = self.pool.clone();
            let open = std::mem::take(&mut self.open);
            tokio::spawn(async move { pool.release_left_tasks(&open).await });
        }
        Ok(())
    }

    /// Notes a failure, tells it once, and says how long to wait.
    async fn failed(&mut self, error: &AskError) -> Result<Duration, FeedError> {
        if let AskError::Call(error) = error {
            // While logging in the same codes mean something else.
            let answered = matches!(error, Error::Xapi { .. });
            if answered && (error.is("SESSION_INVALID") || error.is("HOST_IS_SLAVE")) {
                tracing::info!(pool = %self.pool.name(), "the session has ended, logging in again");
                // Once it is normal: a restart, a failover. A pool that ends every session at once is not hammered.
                self.barren += 1;
                return Ok(if self.barren <= 1 { Duration::ZERO } else { poll_pause(self.barren) });
            }
            if error.is("EVENT_FROM_TOKEN_PARSE_FAILURE") {
                self.stream = self.stream.after_new_session();
            }
            if let Error::Decode { .. } = error {
                self.unreadable += 1;
                if self.unreadable >= UNREADABLE {
                    // Never skipped in silence: the whole picture shows what was in it.
                    self.unreadable = 0;
                    self.stream = self.stream.after_new_session();
                }
            }
        }
        self.failures += 1;
        if matches!(error, AskError::Silent) {
            // There is nothing to wait for on such a session.
            self.failures = self.failures.max(2);
        }
        // Once may be a hiccup; then the session is worth keeping, for its token spares a whole picture.
        if self.failures >= 2
            && let Some(lease) = self.lease
        {
            self.pool.client().abandon(lease).await;
        }
        let why = match error {
            AskError::Call(error) => error.chain(),
            AskError::List(_) | AskError::Silent => error.to_string(),
        };
        let due = self.pool.client().login_due().await;
        let pause = if due.is_zero() { poll_pause(self.failures) } else { due };
        let untrusted = matches!(error, AskError::Call(error) if error.untrusted());
        let state = if untrusted { PoolState::Untrusted } else { PoolState::Lost };
        if matches!(error, AskError::Call(Error::Waiting { .. })) {
            // Somebody else's login failed, such as that of a plugin's call; it was told there.
            if matches!(*self.pool.state().borrow(), PoolState::Connecting | PoolState::Following) {
                self.pool.set_state(state(why.clone()));
            }
        } else {
            tracing::warn!(pool = %self.pool.name(), error = why, again_in_s = pause.as_secs(), "the pool cannot be followed for now");
            self.pool.set_state(state(why.clone()));
        }
        if self.endpoint.take().is_some() {
            self.append(vec![Told::Connection(Connection::Lost { why })], Vec::new(), Instant::now()).await?;
        }
        Ok(pause)
    }

    /// Makes durable, then visible. While there is no room the intake waits here, so nothing more is asked of the
    /// pool; it goes on by itself.
    async fn append(
        &mut self,
        told: Vec<Told>,
        changes: Vec<WorldChange>,
        received: Instant,
    ) -> Result<(), FeedError> {
        if told.is_empty() && changes.is_empty() {
            return Ok(());
        }
        let at = Timestamp::now();
        let told: Vec<(Told, Option<Cause>)> = told
            .into_iter()
            .map(|told| {
                let cause = match &told {
                    Told::Stream(event) => self.pool.cause_of(event, received),
                    Told::Tick(_) | Told::Connection(_) => None,
                };
                (told, cause)
            })
            .collect();
        let append = Append {
            pool: self.pool.name().to_string(),
            position: Position::of(&self.stream).to_string(),
            events: told.iter().map(|(told, cause)| new_event(told, cause.as_ref(), at)).collect(),
            objects: changes.iter().map(object_change).collect(),
        };
        let mut paused = false;
        let numbers = loop {
            match self.journal.append(append.clone()).await {
                Ok(numbers) => break numbers,
                Err(error) if error.is_passing() => {
                    if !paused {
                        paused = true;
                        let why = error.to_string();
                        tracing::error!(
                            pool = %self.pool.name(),
                            error = why,
                            "the intake waits until there is room; nothing is lost"
                        );
                        self.pool.set_state(PoolState::Paused(why));
                    }
                    self.pulse.beat();
                    if *self.stop.borrow() {
                        // Not taken in: the kept picture still differs, so the next start tells it.
                        return Ok(());
                    }
                    tokio::time::sleep(ROOM_RETRY).await;
                }
                Err(source) => {
                    return Err(FeedError::Journal { pool: self.pool.name().to_string(), source });
                }
            }
        };
        if paused {
            tracing::info!(pool = %self.pool.name(), "there is room again, the intake goes on");
        }
        self.pool.add_told(numbers.end - numbers.start);
        let acquainted = changes.iter().any(|change| matches!(change.class(), "host" | "Certificate"));
        self.pool.change(changes);
        if acquainted {
            let world = self.pool.read();
            let records = |class| world.of(class).map(|record| &**record);
            self.pool.client().learn_hosts(records("host"));
            self.pool.client().learn_certificates(records("Certificate"));
        }
        let pool = self.pool.name();
        self.tail.push(numbers.zip(told).map(|(sequence, (told, cause))| {
            let event = Arc::new(PoolEvent { sequence, pool: pool.clone(), at, told, cause });
            Recent { event, received: Some(received) }
        }));
        Ok(())
    }
}

/// The pause after so many failures in a row, spread by a quarter to either side.
fn poll_pause(failures: u32) -> Duration {
    let (first, longest) = POLL_RETRY;
    first.saturating_mul(1 << failures.min(10)).min(longest).mul_f64(0.75 + rand::random::<f64>() / 2.0)
}

fn new_event(told: &Told, cause: Option<&Cause>, at: Timestamp) -> NewEvent {
    NewEvent {
        kind: told.kind().to_owned(),
        class: told.class().to_owned(),
        reference: told.reference().to_owned(),
        at_micros: at.as_microsecond(),
        payload: told.to_json(cause),
    }
}

fn object_change(change: &WorldChange) -> ObjectChange {
    match change {
        WorldChange::Put(record) => ObjectChange::Put {
            class: record.class.to_string(),
            reference: record.reference.to_string(),
            payload: event::record_to_json(record),
        },
        WorldChange::Remove { class, reference } => {
            ObjectChange::Delete { class: class.to_string(), reference: reference.to_string() }
        }
    }
}
