//! The engine that all plugins of a process share, and the thread that keeps its time.
//!
//! A host knows no plugin and no delivery; it compiles, links, and hands out permits so that the pool of instance
//! slots never runs dry.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{
    Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use crate::contract;
use crate::sandbox::Sandbox;

/// How often the engine looks whether a running plugin has had its time. A spinning plugin gives its thread back this
/// often, and a limit is exceeded by no more than two of these.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Stack of a plugin, bytes. Rust guests use a stack of their own in linear memory besides.
const WASM_STACK: usize = 512 * 1024;

/// Stack for host functions, which run on the plugin's stack too, above its own part. Evaluating a filter recurses.
const HOST_STACK: usize = 2 * 1024 * 1024;

/// What one component may consist of. A Python component has about 20 core instances and tables.
const CORE_INSTANCES_A_COMPONENT: u32 = 40;
const TABLES_A_COMPONENT: u32 = 40;
const MEMORIES_A_COMPONENT: u32 = 4;
const TABLE_ELEMENTS: usize = 20_000;

/// Pages of a slot that stay with the process between two deliveries, bytes.
const KEEP_RESIDENT: usize = 1024 * 1024;

/// How to set up a host.
#[derive(Debug, Clone)]
pub struct Options {
    /// Deliveries that may run at the same time; more wait. Default 64.
    pub instances: u32,
    /// The most linear memory that any plugin's limit may allow, bytes. Default 512 MiB.
    pub memory_max: usize,
    /// The largest component that is looked at, bytes. Default 64 MiB.
    pub component_max: usize,
    /// Seeds the randomness that plugins see: the same key, plugin and event give the same bytes. Drawn from the
    /// operating system when `None`. Secret, since plugins may make secrets from it.
    pub key: Option<[u8; 32]>,
    /// Whether to keep instance slots ready. Without it each delivery maps its own memory. Default true.
    pub pooling: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            instances: 64,
            memory_max: 512 * 1024 * 1024,
            component_max: 64 * 1024 * 1024,
            key: None,
            pooling: true,
        }
    }
}

/// Why a host could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Wasmtime refuses the settings or the machine lacks what they need.
    #[error("could not set up the WebAssembly engine")]
    Engine(#[source] wasmtime::Error),
    /// The host interfaces do not fit together.
    #[error("could not link the host interfaces")]
    Link(#[source] wasmtime::Error),
    /// The operating system gave no thread.
    #[error("could not start the engine's clock thread")]
    Clock(#[source] std::io::Error),
}

/// Loads plugins and runs them. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Host {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<Sandbox>,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) key: [u8; 32],
    pub(crate) options: Options,
    clock: Arc<Clock>,
    pooled: bool,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Host").field("pooled", &self.inner.pooled).finish_non_exhaustive()
    }
}

impl Host {
    /// Sets up the engine, links the host interfaces and starts the clock thread.
    ///
    /// # Errors
    ///
    /// See [`HostError`]. A machine that cannot reserve the address space for instance slots is no error: each
    /// delivery then maps its own memory, and a warning says so.
    pub fn new(options: Options) -> Result<Self, HostError> {
        // With RUST_BACKTRACE set, each trap of a plugin would carry a backtrace of this process.
        wasmtime::error::disable_backtrace();
        let (engine, pooled) = engine(&options)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(HostError::Link)?;
        contract::Plugin::add_to_linker::<_, HasSelf<Sandbox>>(&mut linker, |sandbox| sandbox)
            .map_err(HostError::Link)?;
        let clock = Arc::new(Clock::default());
        start_clock(&engine, &clock).map_err(HostError::Clock)?;
        let key = options.key.unwrap_or_else(rand::random);
        let permits = Arc::new(Semaphore::new(options.instances as usize));
        Ok(Host { inner: Arc::new(Inner { engine, linker, permits, key, options, clock, pooled }) })
    }

    /// Whether instance slots are kept ready.
    #[must_use]
    pub fn pooled(&self) -> bool {
        self.inner.pooled
    }
}

impl Inner {
    /// Keeps the clock ticking for as long as the guard lives.
    pub(crate) fn running(&self) -> Running {
        Clock::enter(&self.clock)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.clock.close();
    }
}

fn engine(options: &Options) -> Result<(Engine, bool), HostError> {
    if options.pooling {
        // Scanning the page map makes it cheap to keep pages resident; it needs Linux 6.7.
        let attempt = |scan: bool| {
            let mut config = config();
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(options, scan)));
            Engine::new(&config)
        };
        match attempt(true).or_else(|_| attempt(false)) {
            Ok(engine) => return Ok((engine, true)),
            Err(error) => tracing::warn!(
                error = crate::stop::chain(&error),
                "no address space for instance slots, perhaps by a limit on virtual memory: each delivery maps its own"
            ),
        }
    }
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    if options.pooling {
        // Address space is scarce: reserve only what is used and let memories move when they grow.
        config.memory_reservation(0).memory_reservation_for_growth(1 << 20).memory_guard_size(1 << 16);
        config.memory_may_move(true);
    }
    Engine::new(&config).map(|engine| (engine, false)).map_err(HostError::Engine)
}

/// What decides about the machine code; how slots are kept ready does not.
pub(crate) fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(WASM_STACK + HOST_STACK)
        .memory_init_cow(true)
        // Details (file and line) cost milliseconds a trap.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

fn pool(options: &Options, scan: bool) -> PoolingAllocationConfig {
    let instances = options.instances;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_A_COMPONENT))
        .total_memories(instances.saturating_mul(MEMORIES_A_COMPONENT))
        .total_tables(instances.saturating_mul(TABLES_A_COMPONENT))
        .total_stacks(instances)
        .max_core_instances_per_component(CORE_INSTANCES_A_COMPONENT)
        .max_memories_per_component(MEMORIES_A_COMPONENT)
        .max_tables_per_component(TABLES_A_COMPONENT)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(options.memory_max)
        .linear_memory_keep_resident(if scan { KEEP_RESIDENT } else { 0 })
        .pagemap_scan(if scan { Enabled::Yes } else { Enabled::No });
    pool
}

/// Wakes the clock thread only while something runs, so that an idle daemon sleeps.
#[derive(Debug, Default)]
struct Clock {
    running: Mutex<Count>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Count {
    deliveries: usize,
    closed: bool,
}

pub(crate) struct Running(Weak<Clock>);

impl Clock {
    fn enter(this: &Arc<Clock>) -> Running {
        let mut count = this.running.lock().unwrap_or_else(PoisonError::into_inner);
        count.deliveries += 1;
        if count.deliveries == 1 {
            this.changed.notify_one();
        }
        Running(Arc::downgrade(this))
    }

    fn close(&self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_one();
    }

    /// Waits until something runs; false when the host is gone.
    fn wait(&self) -> bool {
        let count = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let count = self
            .changed
            .wait_while(count, |count| count.deliveries == 0 && !count.closed)
            .unwrap_or_else(PoisonError::into_inner);
        !count.closed
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(clock) = self.0.upgrade() {
            clock.running.lock().unwrap_or_else(PoisonError::into_inner).deliveries -= 1;
        }
    }
}

/// A thread of its own, since a task would not be polled while plugins keep all workers busy.
fn start_clock(engine: &Engine, clock: &Arc<Clock>) -> std::io::Result<()> {
    let (engine, clock): (EngineWeak, Arc<Clock>) = (engine.weak(), Arc::clone(clock));
    std::thread::Builder::new().name("plugin-clock".into()).spawn(move || {
        while clock.wait() {
            std::thread::sleep(TICK);
            match engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => break,
            }
        }
    })?;
    Ok(())
}
