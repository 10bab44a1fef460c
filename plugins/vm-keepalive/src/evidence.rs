//! Reads the records that the policy judges. Decides nothing.

use xapiary_sdk::{Change, Error, Event, Fault, Object, Origin, objects};

use crate::policy::{Evidence, HaltingTask, NotedShutdown, Now, Settings};
use crate::{asking, moment, policy};

/// Everything that is known about the stop that an event tells; `None` when the event tells no way from one record to
/// another.
pub(crate) fn gather(event: &Event, change: &Change, settings: &Settings) -> Result<Option<Evidence>, Error> {
    let (Some(old), Some(new)) = (&change.old, &change.new) else { return Ok(None) };
    let now = objects::by_reference(&change.reference)?;

    let mut operations = operations_of(old)?;
    operations.extend(operations_of(new)?);
    if let Some(now) = &now {
        operations.extend(operations_of(now)?);
    }
    let mut evidence = Evidence {
        name: new.text("name_label")?,
        was: old.text("power_state")?,
        became: new.text("power_state")?,
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
    Ok(Some(evidence))
}

fn as_it_is(vm: &Object, settings: &Settings) -> Result<Now, Error> {
    let blocked = or_default(vm.pairs("blocked_operations"))?;
    Ok(Now {
        power_state: vm.text("power_state")?,
        tagged: or_default(vm.texts("tags"))?.contains(&settings.tag),
        out_of_scope: vm.truth("is_a_template")?
            || or_default(vm.truth("is_a_snapshot"))?
            || vm.truth("is_control_domain")?,
        start_blocked: blocked.into_iter().find(|(operation, _)| operation == "start").map(|(_, why)| why),
    })
}

fn operations_of(vm: &Object) -> Result<Vec<String>, Error> {
    Ok(vm.pairs("current_operations")?.into_iter().map(|(_task, operation)| operation).collect())
}

/// Older pools note on the VM who stopped it last, and when. The note stays, so one that this event did not bring counts by
/// its time only.
fn noted_shutdown(old: &Object, new: &Object) -> Result<Option<NotedShutdown>, Error> {
    let (before, after) = (old.pairs("other_config")?, new.pairs("other_config")?);
    let Some(initiator) = value_of(&after, "last_shutdown_initiator") else { return Ok(None) };
    let time = value_of(&after, "last_shutdown_time");
    Ok(Some(NotedShutdown {
        external: initiator == "external",
        fresh: time != value_of(&before, "last_shutdown_time"),
        at: time.and_then(moment::seconds),
    }))
}

/// A task that has ended at no moment that can be read is left out: it cannot be said to be near.
fn halting_tasks() -> Result<Vec<HaltingTask>, Error> {
    let mut tasks = Vec::new();
    for task in objects::find("task", "self.name_label.contains('VM')") {
        let task = task?;
        let name = task.text("name_label")?;
        if !asking::halts(&name) {
            continue;
        }
        if task.text("status")? == "pending" {
            tasks.push(HaltingTask { name, finished: None });
        } else if let Some(finished) = moment::seconds(&task.moment("finished")?) {
            tasks.push(HaltingTask { name, finished: Some(finished) });
        }
    }
    Ok(tasks)
}

fn value_of<'a>(pairs: &'a [(String, String)], key: &str) -> Option<&'a str> {
    pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

/// Old pools do not have all of the fields. What is not there says nothing; what the grant hides is still an error.
fn or_default<T: Default>(read: Result<T, Error>) -> Result<T, Error> {
    match read {
        Err(error) if error.fault == Fault::Invalid && error.code != "FIELD_TYPE" => Ok(T::default()),
        read => read,
    }
}
