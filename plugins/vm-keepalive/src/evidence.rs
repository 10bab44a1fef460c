//! Reads the records that the policy judges. Decides nothing.

use xapiary_sdk::xapi::{Class as _, Task, TaskStatusType, Vm, VmOperations};
use xapiary_sdk::{Error, Event, IfThere as _, Modified, Moment, Origin};

use crate::policy::{Evidence, HaltingTask, NotedShutdown, Now};
use crate::settings::VmKeepalive;
use crate::{asking, policy};

/// Everything that is known about the stop that an event tells.
pub(crate) fn gather(
    event: &Event,
    change: &Modified<Vm>,
    settings: &VmKeepalive,
) -> Result<Evidence, Error> {
    let Modified { old, new, .. } = change;
    let now = Vm::by_reference(&new.reference())?;

    let mut operations = Vec::new();
    for record in [old, new].into_iter().chain(&now) {
        operations.extend(record.current_operations()?.into_values());
    }
    let mut evidence = Evidence {
        name: new.name_label()?,
        was: old.power_state()?,
        became: new.power_state()?,
        now: now.as_ref().map(|now| as_it_is(now, settings)).transpose()?,
        operations,
        caused_by: change.caused_by.clone(),
        gap: event.gap || event.origin == Origin::Resync,
        noted: noted_shutdown(old, new)?,
        tasks: Vec::new(),
    };
    // Most changes of a power state are not ours, and the search is the one thing here that costs something.
    if policy::not_ours(&evidence).is_none() {
        evidence.tasks = halting_tasks()?;
    }
    Ok(evidence)
}

/// Old pools do not have all of these fields. What is not there says nothing.
fn as_it_is(vm: &Vm, settings: &VmKeepalive) -> Result<Now, Error> {
    let mut blocked = vm.blocked_operations().if_there()?.unwrap_or_default();
    Ok(Now {
        power_state: vm.power_state()?,
        tagged: vm.tags().if_there()?.unwrap_or_default().contains(&settings.tag),
        out_of_scope: vm.is_a_template()?
            || vm.is_a_snapshot().if_there()?.unwrap_or_default()
            || vm.is_control_domain()?,
        start_blocked: blocked.remove(VmOperations::Start.as_str()),
    })
}

/// Older pools note on the VM who stopped it last, and when. The note stays, so one that this event did not bring counts by
/// its time only.
fn noted_shutdown(old: &Vm, new: &Vm) -> Result<Option<NotedShutdown>, Error> {
    const WHEN: &str = "last_shutdown_time";
    let (before, after) = (old.other_config()?, new.other_config()?);
    Ok(after.get("last_shutdown_initiator").map(|initiator| NotedShutdown {
        external: initiator == "external",
        fresh: after.get(WHEN) != before.get(WHEN),
        at: after.get(WHEN).and_then(|at| at.parse::<Moment>().ok()?.unix_seconds()),
    }))
}

/// A task that has ended at no moment that can be read is left out: it cannot be said to be near.
fn halting_tasks() -> Result<Vec<HaltingTask>, Error> {
    let mut tasks = Vec::new();
    for task in Task::find("self.name_label.contains('VM')") {
        let task = task?;
        let name = task.name_label()?;
        if !asking::halts(&name) {
            continue;
        }
        if task.status()? == TaskStatusType::Pending {
            tasks.push(HaltingTask { name, finished: None });
        } else if let Some(finished) = task.finished()?.unix_seconds() {
            tasks.push(HaltingTask { name, finished: Some(finished) });
        }
    }
    Ok(tasks)
}
