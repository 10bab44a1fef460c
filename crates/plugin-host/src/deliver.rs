//! One delivery: a fresh sandbox, the plugin's `handle` within its limits, and a report. Whatever the plugin does,
//! this returns.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::time::timeout;
use wasmtime::{Store, UpdateDeadline};

use crate::contract::xapiary::plugin::events::{Failure, Pause};
use crate::delivery::{Delivery, Terms};
use crate::discretion::without_secrets;
use crate::event::Event;
use crate::load::Plugin;
use crate::log_book::LogBook;
use crate::report::{Outcome, Report, StateWrite, Usage};
use crate::sandbox::Sandbox;
use crate::stop::{Stop, classify};
use crate::wasi;

/// Longest reason that a plugin may give for a retry or for giving up, bytes.
const WHY_MAX: usize = 4 * 1024;
/// Most data that one host call may bring from the plugin, bytes.
const HOST_CALL_DATA: usize = 8 * 1024 * 1024;

impl Plugin {
    /// Gives the plugin one event and waits for it to end, by itself or at a limit.
    ///
    /// Runs in a sandbox of its own: nothing stays behind, and a plugin that loops, traps or eats memory harms no
    /// other. Dropping the future stops the plugin at once; effects on their way then have no recorded outcome.
    pub async fn deliver(&self, delivery: Delivery) -> Report {
        // Waiting for a slot is not the plugin's time. The semaphore is never closed, so there is always a permit.
        let _permit = Arc::clone(&self.host.permits).acquire_owned().await.ok();
        let _running = self.host.running();
        let limits = delivery.terms.limits.clone();
        let log = Arc::new(Mutex::new(
            LogBook::new(Arc::clone(&delivery.log), limits.log).keeping(Arc::clone(&delivery.terms)),
        ));
        let wasi = wasi::closed(&log, moment(&delivery.event.at), self.seed(&delivery.event));
        let event = delivery.event.clone();
        let mut store = Store::new(&self.host.engine, Sandbox::new(delivery, Arc::clone(&log), wasi));
        store.limiter(|sandbox| &mut sandbox.memory);
        store.set_hostcall_fuel(HOST_CALL_DATA);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |mut running| {
            let meter = &mut running.data_mut().meter;
            meter.tick(Instant::now());
            if meter.cpu > limits.cpu {
                return Err(Stop::CpuTime { allowed: limits.cpu }.into());
            }
            // Others get a turn each tick.
            Ok(UpdateDeadline::Yield(1))
        });

        let mut started = false;
        let ended = timeout(limits.deadline, async {
            let plugin = self.ready.instantiate_async(&mut store).await?;
            started = true;
            let event = store.data_mut().event(event)?;
            plugin.call_handle(&mut store, &event).await
        })
        .await;

        let sandbox = store.data_mut();
        let lines = log.lock().unwrap_or_else(PoisonError::into_inner).close();
        let outcome = match ended {
            Ok(Ok(Ok(()))) => Outcome::Done,
            Ok(Ok(Err(Failure::Retry(Pause { after, why })))) => {
                Outcome::Retry { after: Duration::from_millis(after), why: reason(why, &sandbox.terms) }
            }
            Ok(Ok(Err(Failure::GiveUp(why)))) => Outcome::GiveUp { why: reason(why, &sandbox.terms) },
            Ok(Err(error)) => Outcome::Stopped(classify(&error, started, &lines)),
            Err(_) => Outcome::Stopped(Stop::Deadline {
                allowed: limits.deadline,
                waiting_in: sandbox.meter.within.map(str::to_owned),
            }),
        };
        let state = if outcome == Outcome::Done {
            let writes = std::mem::take(&mut sandbox.writes);
            writes.into_iter().map(|(key, value)| StateWrite { key, value }).collect()
        } else {
            Vec::new()
        };
        let usage = Usage {
            wall: sandbox.meter.started.elapsed(),
            cpu: sandbox.meter.cpu,
            memory_peak: sandbox.memory.peak,
            host_calls: sandbox.meter.host_calls,
            pool_calls: sandbox.meter.pool_calls,
            refused_calls: sandbox.meter.refused_calls,
            log_dropped: log.lock().unwrap_or_else(PoisonError::into_inner).dropped,
        };
        let reads = std::mem::take(&mut sandbox.reads);
        Report { outcome, state, log: lines, usage, reads }
    }

    /// What feeds the delivery's randomness: the same for each attempt, secret to whoever has not the host's key.
    fn seed(&self, event: &Event) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.host.key)
            .chain_update(&self.inspection().digest)
            .chain_update(event.sequence.to_le_bytes())
            .chain_update(&event.pool)
            .finalize()
            .into()
    }
}

/// The event's time since 1970; the start of 1970 when it has none.
fn moment(at: &str) -> Duration {
    at.parse::<jiff::Timestamp>()
        .ok()
        .and_then(|at| Duration::try_from(at.duration_since(jiff::Timestamp::UNIX_EPOCH)).ok())
        .unwrap_or_default()
}

/// A plugin's reason as it is kept: without secrets, and not too long.
fn reason(mut why: String, terms: &Terms) -> String {
    without_secrets(&mut why, &terms.secrets);
    if why.len() > WHY_MAX {
        let end = (0..=WHY_MAX).rev().find(|at| why.is_char_boundary(*at)).unwrap_or(0);
        why.truncate(end);
        why.push('…');
    }
    why
}
