//! What a delivery has used so far.

use std::time::{Duration, Instant};

use wasmtime::ResourceLimiter;

use crate::engine::TICK;
use crate::stop::Stop;

/// Counts time and calls of one delivery.
#[derive(Debug)]
pub(crate) struct Meter {
    pub(crate) started: Instant,
    last: Instant,
    waited: Duration,
    pub(crate) cpu: Duration,
    pub(crate) host_calls: u64,
    pub(crate) pool_calls: u32,
    pub(crate) refused_calls: u32,
    /// The host call that the plugin is in.
    pub(crate) within: Option<&'static str>,
}

impl Meter {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Meter {
            started: now,
            last: now,
            waited: Duration::ZERO,
            cpu: Duration::ZERO,
            host_calls: 0,
            pool_calls: 0,
            refused_calls: 0,
            within: None,
        }
    }

    /// The plugin waited in a host call.
    pub(crate) fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    /// The host computed on the plugin's behalf, and the plugin stood still.
    pub(crate) fn worked(&mut self, time: Duration) {
        self.waited += time;
        self.cpu += time;
    }

    /// The engine's clock found the plugin running. What passed since the last time counts, without waiting and at
    /// most one tick: more than that the plugin was not running for.
    pub(crate) fn tick(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.last).saturating_sub(self.waited);
        self.cpu += passed.min(TICK);
        self.last = now;
        self.waited = Duration::ZERO;
    }
}

/// Bounds all linear memory of a delivery together, and its tables.
#[derive(Debug)]
pub(crate) struct Memory {
    allowed: usize,
    held: usize,
    pub(crate) peak: usize,
}

/// More than any sensible table; the pool's own bound is lower.
const TABLE_MAX: usize = 100_000;

impl Memory {
    pub(crate) fn new(allowed: usize) -> Self {
        Memory { allowed, held: 0, peak: 0 }
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self.held.saturating_add(desired.saturating_sub(current));
        if wanted > self.allowed {
            // A trap here names the cause; a refused growth would end in some abort of the guest's allocator.
            return Err(Stop::OutOfMemory { wanted, allowed: self.allowed }.into());
        }
        self.held = wanted;
        self.peak = self.peak.max(wanted);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_not_computing() {
        let mut meter = Meter::new();
        let start = meter.last;
        meter.tick(start + Duration::from_millis(10));
        assert_eq!(meter.cpu, Duration::from_millis(10));
        meter.waited(Duration::from_secs(5));
        meter.tick(start + Duration::from_millis(5_014));
        assert_eq!(meter.cpu, Duration::from_millis(14));
        meter.tick(start + Duration::from_secs(60));
        assert_eq!(meter.cpu, Duration::from_millis(24), "a stalled machine is not the plugin's fault");
    }

    #[test]
    fn memories_are_bounded_together() {
        let mut memory = Memory::new(100);
        assert!(memory.memory_growing(0, 60, None).unwrap());
        assert!(memory.memory_growing(0, 40, None).unwrap());
        let error = memory.memory_growing(60, 61, None).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Stop::OutOfMemory { wanted: 101, allowed: 100 }));
        assert_eq!(memory.peak, 100);
    }
}
