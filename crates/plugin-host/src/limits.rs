//! Bounds on one delivery. Each has a default that suits a plugin which handles an event in milliseconds and may wait
//! for a slow task.

use std::time::Duration;

/// Bounds on one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// All linear memory together, bytes. Default 64 MiB.
    pub memory: usize,
    /// Wall time from start to end, waiting included. Default 10 minutes, since a VM may take long to start.
    pub deadline: Duration,
    /// Time that the plugin itself may run, without waiting. Default 2 s.
    pub cpu: Duration,
    /// Calls of host functions. Default 200,000, which is about a tenth of a second of them.
    pub host_calls: u64,
    /// Calls and starts that go to the pool. Default 100.
    pub pool_calls: u32,
    /// The longest that one call to the pool may take. Default 5 minutes.
    pub call_timeout: Duration,
    /// Log text, bytes; further lines are dropped and counted. Default 64 KiB.
    pub log: usize,
    /// Bytes written to the store, keys and values. Default 1 MiB.
    pub state: usize,
    /// Objects and tasks that the plugin may hold at once. Default 20,000.
    pub handles: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory: 64 * 1024 * 1024,
            deadline: Duration::from_secs(600),
            cpu: Duration::from_secs(2),
            host_calls: 200_000,
            pool_calls: 100,
            call_timeout: Duration::from_secs(300),
            log: 64 * 1024,
            state: 1024 * 1024,
            handles: 20_000,
        }
    }
}
