//! The pool as one delivery uses it: what it writes is noted under its name, so that it is known again when it comes back
//! as events.

use std::sync::RwLock;
use std::time::{Duration, Instant};

use plugin_host::pool::{BoxFuture, CallError, Pool, TaskState};
use smol_str::SmolStr;
use xapi::Value;
use xapi::model::{World, schema};

use crate::cause::{Cause, WriteNumber};
use crate::feed::{EffectName, LivePool};

/// A pool on behalf of one attempt of a delivery.
pub(super) struct DeliveryPool {
    pool: LivePool,
    /// What its writes are put down to.
    cause: Cause,
    attempt: u32,
}

impl DeliveryPool {
    pub(super) fn new(pool: LivePool, cause: Cause, attempt: u32) -> Self {
        DeliveryPool { pool, cause, attempt }
    }

    /// Notes a call that may change something.
    fn sent(&self, method: &str, arguments: &[Value]) -> Option<WriteNumber> {
        let changes = schema::method(method).is_none_or(|(_, method)| method.changes());
        changes.then(|| self.pool.writes().sent(self.cause.clone(), method, arguments, Instant::now()))
    }

    fn answered(&self, write: Option<WriteNumber>, result: Option<&Value>) {
        if let Some(write) = write {
            self.pool.writes().answered(write, result, Instant::now());
        }
    }
}

impl Pool for DeliveryPool {
    fn name(&self) -> &str {
        self.pool.name()
    }

    fn world(&self) -> &RwLock<World> {
        self.pool.world()
    }

    fn call<'a>(&'a self, method: &'a str, arguments: Vec<Value>) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(async move {
            let write = self.sent(method, &arguments);
            let answer = self.pool.call(method, &arguments).await;
            self.answered(write, answer.as_ref().ok());
            answer
        })
    }

    fn start<'a>(
        &'a self,
        method: &'a str,
        arguments: Vec<Value>,
        effect: Option<u32>,
    ) -> BoxFuture<'a, Result<SmolStr, CallError>> {
        Box::pin(async move {
            let Cause { plugin, sequence, .. } = self.cause.clone();
            let effect = effect.map(|index| EffectName { plugin, sequence, attempt: self.attempt, index });
            let write = self.sent(method, &arguments);
            let answer = self.pool.start(method, &arguments, effect.as_ref()).await;
            match (&answer, write) {
                (Ok(task), Some(write)) => self.pool.writes().started(write, task),
                _ => self.answered(write, None),
            }
            answer
        })
    }

    fn wait_task<'a>(
        &'a self,
        task: &'a str,
        at_most: Duration,
    ) -> BoxFuture<'a, Result<TaskState, CallError>> {
        Box::pin(self.pool.wait_task(task, at_most))
    }

    fn cancel_task<'a>(&'a self, task: &'a str) -> BoxFuture<'a, Result<(), CallError>> {
        Box::pin(self.pool.cancel_task(task))
    }
}
