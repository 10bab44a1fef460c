//! The host's side of one delivery: everything that the plugin's calls can reach. Dropped with the delivery.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::component::{Resource, ResourceTable, ResourceTableError};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::delivery::{Delivery, Terms};
use crate::handles::Handles;
use crate::log_book::LogBook;
use crate::meter::{Memory, Meter};
use crate::pool::{Ledger, Pool, StateReader};
use crate::report::Reads;
use crate::stop::Stop;

pub(crate) struct Sandbox {
    table: ResourceTable,
    wasi: WasiCtx,
    pub(crate) memory: Memory,
    pub(crate) meter: Meter,
    pub(crate) log: Arc<Mutex<LogBook>>,
    pub(crate) handles: Handles,
    pub(crate) terms: Arc<Terms>,
    pub(crate) pool: Arc<dyn Pool>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) state: Arc<dyn StateReader>,
    /// Keys written so far, and their size in bytes.
    pub(crate) writes: BTreeMap<String, Option<Vec<u8>>>,
    pub(crate) written: usize,
    /// Calls so far that would change something.
    pub(crate) effects: u32,
    /// What the grant's rules allowed so far.
    pub(crate) run: grant::Run,
    /// What a plugin that runs dry has read or tried to.
    pub(crate) reads: Reads,
}

impl Sandbox {
    pub(crate) fn new(delivery: Delivery, log: Arc<Mutex<LogBook>>, wasi: WasiCtx) -> Self {
        let Delivery { event, pool, ledger, state, log: _, terms } = delivery;
        let mut table = ResourceTable::new();
        table.set_max_capacity(terms.limits.handles);
        Sandbox {
            table,
            wasi,
            memory: Memory::new(terms.limits.memory),
            meter: Meter::new(),
            log,
            handles: Handles::new(event.sequence, event.attempt),
            terms,
            pool,
            ledger,
            state,
            writes: BTreeMap::new(),
            written: 0,
            effects: 0,
            run: grant::Run::new(),
            reads: Reads::new(),
        }
    }

    /// Every host call passes here first.
    pub(crate) fn enter(&mut self, call: &'static str) -> wasmtime::Result<()> {
        self.meter.within = Some(call);
        self.meter.host_calls += 1;
        let allowed = self.terms.limits.host_calls;
        if self.meter.host_calls > allowed { Err(Stop::HostCalls { allowed }.into()) } else { Ok(()) }
    }

    /// Notes that a plugin that runs dry reads a field.
    pub(crate) fn reads(&mut self, class: &str, field: &str) {
        if self.terms.dry_run && !self.reads.get(class).is_some_and(|fields| fields.contains(field)) {
            self.reads.entry(class.to_owned()).or_default().insert(field.to_owned());
        }
    }

    /// Gives the plugin something to hold.
    pub(crate) fn hand_out<T: Send + 'static>(&mut self, thing: T) -> wasmtime::Result<Resource<T>> {
        self.table.push(thing).map_err(|error| match error {
            ResourceTableError::Full => Stop::Handles { allowed: self.terms.limits.handles }.into(),
            other => other.into(),
        })
    }

    pub(crate) fn held<T: 'static>(&self, thing: &Resource<T>) -> wasmtime::Result<&T> {
        Ok(self.table.get(thing)?)
    }

    pub(crate) fn take_back<T: 'static>(&mut self, thing: Resource<T>) -> wasmtime::Result<()> {
        self.table.delete(thing)?;
        Ok(())
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, LogBook> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

#[cfg(test)]
mod tests;
