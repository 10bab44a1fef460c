//! What the host needs from outside: a pool to call, a ledger to write effects into, a plugin's stored state, and
//! somewhere for log lines to go. The daemon implements these; the host knows neither transport nor journal.

use std::future::Future;
use std::pin::Pin;
use std::sync::RwLock;
use std::time::Duration;

use smol_str::SmolStr;
use xapi::model::World;
use xapi::{Failure, Value};

use crate::report::LogLine;

/// A boxed future, so that the traits here are object safe.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a call to the pool gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// XAPI answered with an error: nothing was done, or what it says.
    #[error("the pool refused the call")]
    Xapi(#[source] Failure),
    /// The pool could not be reached and the call was certainly not made.
    #[error("the pool could not be reached: {0}")]
    Transport(String),
    /// The call was sent and its answer is not known.
    #[error("the call was sent and its outcome is not known: {0}")]
    InDoubt(String),
}

/// How far a task is.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskState {
    /// Still running; 0.0 to 1.0.
    Pending(f64),
    /// Done, with the decoded result.
    Succeeded(Value),
    /// Ended with an error.
    Failed(Failure),
    /// Ended by a cancel.
    Cancelled,
    /// It vanished before its outcome was seen.
    Lost,
}

/// One pool, as a delivery may use it. The session is the pool's own and never an argument here.
pub trait Pool: Send + Sync {
    /// The name in the daemon's config.
    fn name(&self) -> &str;

    /// The records as last seen. The host only reads, and holds the lock for a few microseconds at a time.
    fn world(&self) -> &RwLock<World>;

    /// Calls a method and waits for its result. Arguments are raw XAPI values without the session.
    fn call<'a>(&'a self, method: &'a str, arguments: Vec<Value>) -> BoxFuture<'a, Result<Value, CallError>>;

    /// Starts a method as a task (`method` without `Async.`) and gives the task's raw reference. `effect` is the index of
    /// the recorded [`Intent`] that it stands for, so that the task can be found again; none where it changes nothing.
    fn start<'a>(
        &'a self,
        method: &'a str,
        arguments: Vec<Value>,
        effect: Option<u32>,
    ) -> BoxFuture<'a, Result<SmolStr, CallError>>;

    /// Waits for a task to end, at most so long, and says how far it is then.
    fn wait_task<'a>(
        &'a self,
        task: &'a str,
        at_most: Duration,
    ) -> BoxFuture<'a, Result<TaskState, CallError>>;

    /// Asks for a task to be cancelled. That it ends is seen by waiting.
    fn cancel_task<'a>(&'a self, task: &'a str) -> BoxFuture<'a, Result<(), CallError>>;
}

/// A call that is about to change something.
#[derive(Debug, Clone, PartialEq)]
pub struct Intent {
    /// Its place among the calls of this delivery that would change something, refused ones included, from 0. The same delivery
    /// run again counts the same way.
    pub index: u32,
    /// `VM.start`.
    pub method: String,
    /// Raw XAPI arguments without the session; secret ones are replaced by a word.
    pub arguments: Vec<Value>,
    /// Whether it is started as a task.
    pub asynchronous: bool,
    /// The object that it acts on, by its uuid, else by its raw reference; none where it acts on none.
    pub object: Option<String>,
}

/// The rule that allowed a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed<'r> {
    /// Its file and line.
    pub place: &'r str,
    /// What it covers, as [`Rule::text`](grant::Rule::text) gives it.
    pub text: &'r str,
}

/// A call that the grant refused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Refusal<'r> {
    /// `VM.start`.
    pub method: &'r str,
    /// Raw XAPI arguments without the session; secret ones are replaced by a word.
    pub arguments: &'r [Value],
    /// As in an [`Intent`].
    pub object: Option<&'r str>,
    /// Why, as a word.
    pub reason: &'static str,
    /// Why, for a person, with the lines that would allow it.
    pub advice: &'r str,
}

/// What earlier attempts of a delivery have on record at a place.
#[derive(Debug, Clone, PartialEq)]
pub enum Recalled {
    /// An earlier attempt of this delivery did it, and this came of it: it must not be sent again.
    Concluded(EffectOutcome),
    /// An earlier attempt may have done it and its outcome cannot be found out: it must not be sent.
    InDoubt(String),
}

/// What came of an effect.
#[derive(Debug, Clone, PartialEq)]
pub enum EffectOutcome {
    /// The call returned this.
    Succeeded(Value),
    /// The call was started; the task's raw reference.
    Started(SmolStr),
    /// XAPI said no.
    Failed(Failure),
    /// It was certainly not sent; a later attempt may send it.
    NotSent(String),
    /// It may or may not have been done.
    InDoubt(String),
    /// It was not sent, since the plugin runs dry.
    DryRun,
}

/// Records effects of one delivery, so that a redelivery does not act twice.
pub trait Ledger: Send + Sync {
    /// What an earlier attempt of this delivery did at this place, if that answers the call; none when it is to be made. An
    /// error text means that nothing may be sent.
    fn recall<'a>(&'a self, intent: &'a Intent) -> BoxFuture<'a, Result<Option<Recalled>, String>>;

    /// Makes an intent durable before the call is sent, and gives its number. An error text means that nothing may be sent.
    fn intend<'a>(&'a self, intent: Intent, allowed: Allowed<'a>) -> BoxFuture<'a, Result<u64, String>>;

    /// Hears of a call that was refused. May return before it is durable.
    fn refused<'a>(&'a self, refusal: Refusal<'a>) -> BoxFuture<'a, ()>;

    /// Records what came of an effect. May return before it is durable.
    fn conclude<'a>(&'a self, effect: u64, outcome: EffectOutcome) -> BoxFuture<'a, Result<(), String>>;
}

/// A plugin's stored keys, as committed by its finished deliveries.
pub trait StateReader: Send + Sync {
    /// The value of a key.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, String>>;

    /// Keys that begin with `prefix` and come after `after`, in byte order, at most `limit`.
    fn keys<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<String>, String>>;
}

/// Hears log lines while the plugin runs. Must not block.
pub trait LogSink: Send + Sync {
    /// One line, already bounded.
    fn line(&self, line: &LogLine);
}
