//! What a delivery reaches: a pool that never answers, a ledger that costs nothing, no state, a log that nobody reads.

use std::sync::RwLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use plugin_host::pool::{
    Allowed, BoxFuture, CallError, EffectOutcome, Intent, Ledger, LogSink, Pool, Recalled, Refusal,
    StateReader, TaskState,
};
use plugin_host::report::LogLine;
use smol_str::SmolStr;
use xapi::Value;
use xapi::model::World;

use crate::stage::POOL;

/// A pool whose calls are never answered.
#[derive(Default)]
pub(super) struct Silence {
    pub(super) world: RwLock<World>,
    asked: AtomicUsize,
}

impl Silence {
    /// How many calls wait for an answer.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Pool for Silence {
    fn name(&self) -> &str {
        POOL
    }

    fn world(&self) -> &RwLock<World> {
        &self.world
    }

    fn call<'a>(&'a self, _: &'a str, _: Vec<Value>) -> BoxFuture<'a, Result<Value, CallError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::pending())
    }

    fn start<'a>(
        &'a self,
        _: &'a str,
        _: Vec<Value>,
        _: Option<u32>,
    ) -> BoxFuture<'a, Result<SmolStr, CallError>> {
        Box::pin(std::future::pending())
    }

    fn wait_task<'a>(&'a self, _: &'a str, _: Duration) -> BoxFuture<'a, Result<TaskState, CallError>> {
        Box::pin(std::future::pending())
    }

    fn cancel_task<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), CallError>> {
        Box::pin(std::future::pending())
    }
}

/// Remembers nothing.
pub(super) struct Nothing;

impl Ledger for Nothing {
    fn recall<'a>(&'a self, _: &'a Intent) -> BoxFuture<'a, Result<Option<Recalled>, String>> {
        Box::pin(async { Ok(None) })
    }

    fn intend<'a>(&'a self, _: Intent, _: Allowed<'a>) -> BoxFuture<'a, Result<u64, String>> {
        Box::pin(async { Ok(1) })
    }

    fn refused<'a>(&'a self, _: Refusal<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }

    fn conclude<'a>(&'a self, _: u64, _: EffectOutcome) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }
}

impl StateReader for Nothing {
    fn get<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, String>> {
        Box::pin(async { Ok(None) })
    }

    fn keys<'a>(
        &'a self,
        _: &'a str,
        _: Option<&'a str>,
        _: u32,
    ) -> BoxFuture<'a, Result<Vec<String>, String>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

impl LogSink for Nothing {
    fn line(&self, _: &LogLine) {}
}
