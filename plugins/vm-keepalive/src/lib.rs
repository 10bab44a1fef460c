//! Starts a VM again that stopped without being asked to, a few times, and then gives up loudly.
//!
//! - `policy`: what to do, decided from plain data; knows no host.
//! - `asking`: which operations and tasks mean that somebody asked for the stop; pure too.
//! - `evidence`: reads the records that the policy judges.
//! - `start`: calls `VM.start` and makes sense of its answer.
//!
//! What the plugin remembers is when it started which VM, one key for each VM.

mod asking;
mod evidence;
mod moment;
mod policy;
mod start;

use policy::{Decision, Reason, Settings};
use xapiary_sdk::{Change, Event, Failure, Operation, Outcome, Plugin, error, info, settings, store, warn};

/// Keeps the VMs alive that carry the tag.
#[derive(Debug, Default)]
pub struct VmKeepalive;

xapiary_sdk::plugin!(VmKeepalive);

impl Plugin for VmKeepalive {
    fn changed(&self, event: &Event, change: &Change) -> Outcome {
        // The key outlives the reference, which is only good for this delivery.
        let uuid = change.uuid.as_deref().ok_or_else(|| Failure::give_up("a VM without a uuid"))?;
        let key = format!("starts/{uuid}");
        if change.operation == Operation::Deleted {
            return Ok(store::delete(&key)?);
        }

        let settings: Settings = settings::all()?;
        let at = moment::seconds(&event.at).ok_or_else(|| {
            Failure::give_up(format!("the event's time {:?} is not a point in time", event.at))
        })?;
        let Some(evidence) = evidence::gather(event, change, &settings)? else { return Ok(()) };
        let starts: Vec<i64> = store::get_json(&key)?.unwrap_or_default();

        let name = &evidence.name;
        match policy::decide(&evidence, &settings, &starts, at) {
            Decision::Start => {
                let count = policy::within_window(&starts, &settings, at).count() + 1;
                info!(
                    vm = uuid,
                    count = count,
                    most = settings.max_starts,
                    "{name} stopped by itself and is to be started"
                );
                start::start(event, change, name, uuid)?;
                remember(&key, &starts, &settings, at)
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
                    remember(&key, &starts, &settings, at)?;
                }
                Ok(())
            }
            Decision::GiveUp { starts } => {
                let why = format!(
                    "{name} stopped again although it was started {starts} times within {} minutes; it needs a person",
                    settings.window_minutes
                );
                error!(vm = uuid, starts = starts, "{why}");
                Err(Failure::give_up(why))
            }
        }
    }
}

/// Adds a start, and forgets those that no decision will ask for again.
fn remember(key: &str, starts: &[i64], settings: &Settings, at: i64) -> Outcome {
    let mut kept: Vec<i64> = policy::within_window(starts, settings, at).collect();
    kept.push(at);
    Ok(store::set_json(key, &kept)?)
}
