//! Starts a VM again that stopped without being asked to, a few times, and then gives up loudly.
//!
//! - `settings`: what the administrator set; the plugin's struct.
//! - `policy`: what to do, decided from plain data; knows no host.
//! - `asking`: which operations and tasks mean that somebody asked for the stop; pure too.
//! - `evidence`: reads the records that the policy judges.
//! - `start`: calls `VM.start` and makes sense of its answer.
//!
//! What the plugin remembers is when it started which VM, one key for each VM.

mod asking;
mod evidence;
mod policy;
mod settings;
mod start;

use policy::{Decision, Reason};
use settings::VmKeepalive;
use xapiary_sdk::xapi::Vm;
use xapiary_sdk::{Deleted, Error, Event, Failure, Modified, Outcome, error, info, plugin, store, warn};

#[plugin]
impl VmKeepalive {
    #[on("stopped")]
    fn stopped(&self, event: &Event, change: &Modified<Vm>) -> Outcome {
        let at = event.at.unix_seconds().ok_or_else(|| {
            Failure::give_up(format!("the event's time {:?} is not a point in time", event.at.as_str()))
        })?;
        let evidence = evidence::gather(event, change, self)?;
        let uuid = change.new.uuid()?;
        let key = key(&uuid);
        let starts: Vec<i64> = store::get_json(&key)?.unwrap_or_default();

        let name = &evidence.name;
        match policy::decide(&evidence, self, &starts, at) {
            Decision::Start => {
                let count = policy::within_window(&starts, self, at).count() + 1;
                info!(
                    vm = uuid,
                    count = count,
                    most = self.max_starts,
                    "{name} stopped by itself and is to be started"
                );
                start::start(event, &change.new, name)?;
                self.remember(&key, &starts, at)?;
            }
            Decision::LeaveAlone(reason) => {
                match &reason {
                    // Nobody expects us to act on these, so they are not worth a line in every log.
                    Reason::NotStopped | Reason::NoTag | Reason::NoOrdinaryVm => {}
                    Reason::TaskNearby { .. } => warn!(vm = uuid, "{name} is left alone: {reason}"),
                    _ => info!(vm = uuid, "{name} is left alone: {reason}"),
                }
                // It may be our own earlier attempt that started it, and that one could not remember it.
                if reason == Reason::RunsAgain && event.attempt > 1 {
                    self.remember(&key, &starts, at)?;
                }
            }
            Decision::GiveUp { starts } => {
                let why = format!(
                    "{name} stopped again although it was started {starts} times within {} minutes; it needs a person",
                    self.window_minutes
                );
                error!(vm = uuid, starts = starts, "{why}");
                return Err(Failure::give_up(why));
            }
        }
        Ok(())
    }

    #[on("gone")]
    fn gone(vm: &Deleted<Vm>) -> Result<(), Error> {
        store::delete(&key(&vm.old.uuid()?))
    }

    /// Adds a start, and forgets those that no decision will ask for again.
    fn remember(&self, key: &str, starts: &[i64], at: i64) -> Result<(), Error> {
        let mut kept: Vec<i64> = policy::within_window(starts, self, at).collect();
        kept.push(at);
        store::set_json(key, &kept)
    }
}

/// Where the starts of a VM are kept.
fn key(uuid: &str) -> String {
    format!("starts/{uuid}")
}

#[cfg(test)]
mod tests;
