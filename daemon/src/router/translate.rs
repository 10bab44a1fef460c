//! From the daemon's events to what a plugin is told, and which subscription wants it. Pure.

use std::sync::Arc;

use plugin_host::event::{
    Alert, Change, Connection, Ending, Event, Operation, Origin, Subject, TaskOutcome, Tick,
};
use plugin_host::{Interest, Subscription};
use smol_str::SmolStr;
use xapi::Value;
use xapi::events;
use xapi::model::{Record, World};

use crate::event::{self, PoolEvent, Told};

/// What a plugin is told of an event.
fn subject(event: &PoolEvent) -> Subject {
    let cause = event.cause.as_ref().map(ToString::to_string);
    match &event.told {
        Told::Stream(events::Event::Change(change)) => Subject::Change(Change {
            class: change.class.clone(),
            reference: change.reference.clone(),
            uuid: change.uuid().map(Into::into),
            operation: match change.operation {
                events::Operation::Added => Operation::Added,
                events::Operation::Modified => Operation::Modified,
                events::Operation::Deleted => Operation::Deleted,
            },
            old: change.old.clone(),
            new: change.new.clone(),
            changed: change.changed.clone(),
            caused_by: cause,
        }),
        Told::Stream(events::Event::Task(task)) => Subject::Task(TaskOutcome {
            reference: task.reference.clone(),
            name: task.name.to_string(),
            ending: match &task.ending {
                events::Ending::Succeeded(value) => Ending::Succeeded(value.clone()),
                events::Ending::Failed(failure) => Ending::Failed(failure.clone()),
                events::Ending::Cancelled => Ending::Cancelled,
                events::Ending::Lost => Ending::Lost,
            },
            started_by: cause,
        }),
        Told::Stream(events::Event::Alert(alert)) => Subject::Alert(Alert {
            name: alert.name.to_string(),
            priority: alert.priority,
            class: alert.class.to_string(),
            uuid: alert.object.to_string(),
            body: alert.body.text.to_string(),
        }),
        Told::Stream(events::Event::Resync(_)) => Subject::Connection(Connection::Resynced),
        Told::Tick(tick) => {
            Subject::Tick(Tick { schedule: tick.schedule.to_string(), due: tick.due.to_string() })
        }
        Told::Connection(connection) => Subject::Connection(match connection {
            event::Connection::Connected { .. } => Connection::Connected,
            // Where and as whom we log in is not the plugin's affair.
            event::Connection::Lost { .. } => Connection::Lost("no answer from the pool".to_owned()),
            event::Connection::Moved { endpoint } => Connection::Moved(endpoint.clone()),
        }),
    }
}

/// What a plugin hears of an event.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    subject: Subject,
    /// The name of the subscription.
    subscription: String,
    /// The reference of the object that it is told of; empty where it is about none.
    pub(super) object: SmolStr,
}

/// What the first subscription of a plugin hears that wants the event. A schedule wakes nobody but its plugin.
pub(super) fn heard(event: &PoolEvent, plugin: &str, subscriptions: &[Subscription]) -> Option<Heard> {
    if matches!(&event.told, Told::Tick(tick) if tick.plugin != plugin) {
        return None;
    }
    let subject = subject(event);
    let subscription = subscriptions.iter().find(|subscription| subscription.wants(&subject))?;
    let object = event.told.reference().into();
    Some(Heard { subject, subscription: subscription.name.clone(), object })
}

/// What a subscription hears that wants to be told by the object that another one belongs to: a change of a VM's guest
/// metrics as a change of the VM. The object is as it is now.
pub(super) fn joined(event: &PoolEvent, subscriptions: &[Subscription], world: &World) -> Option<Heard> {
    let Told::Stream(events::Event::Change(change)) = &event.told else { return None };
    // That the object no longer has it is told by the object itself.
    let part = change.new.as_ref()?;
    subscriptions.iter().find_map(|subscription| {
        let Interest::Objects(interest) = &subscription.interest else { return None };
        interest.joined(&change.class).find_map(|field| {
            let owner = owner(world, &interest.class, field.name, part)?;
            let subject = Subject::Change(Change {
                class: owner.class.clone(),
                reference: owner.reference.clone(),
                uuid: owner.uuid().map(Into::into),
                operation: Operation::Modified,
                old: Some(Arc::clone(owner)),
                new: Some(Arc::clone(owner)),
                changed: vec![SmolStr::new_static(field.name)],
                caused_by: event.cause.as_ref().map(ToString::to_string),
            });
            let object = owner.reference.clone();
            let subscription = subscription.wants(&subject).then(|| subscription.name.clone())?;
            Some(Heard { subject, subscription, object })
        })
    })
}

/// The object of a class whose field leads to `part`. Where `part` leads back, that is the way.
fn owner<'w>(world: &'w World, class: &str, field: &str, part: &Record) -> Option<&'w Arc<Record>> {
    let leads = |owner: &Record| match owner.get(field) {
        Some(Value::String(reference)) => *reference == part.reference,
        Some(Value::Array(references)) => {
            references.iter().any(|reference| reference.as_str() == Some(part.reference.as_str()))
        }
        _ => false,
    };
    let back = part.iter().filter_map(|(_, value)| world.get(class, value.as_str()?));
    let mut back = back.filter(|owner| leads(owner));
    back.next().or_else(|| world.of(class).find(|owner| leads(owner)))
}

/// The event as a delivery carries it.
pub(super) fn event(event: &PoolEvent, attempt: u32, heard: Heard) -> Event {
    let (origin, gap) = match &event.told {
        Told::Stream(events::Event::Change(change)) => (change.origin, change.gap),
        Told::Stream(events::Event::Task(task)) => (task.origin, task.gap),
        Told::Stream(events::Event::Alert(alert)) => (alert.origin, false),
        Told::Stream(events::Event::Resync(_)) => (events::Origin::Resync, true),
        Told::Tick(tick) if tick.late => (events::Origin::Resync, tick.folded),
        Told::Tick(tick) => (events::Origin::Live, tick.folded),
        Told::Connection(_) => (events::Origin::Live, false),
    };
    Event {
        sequence: event.sequence,
        pool: event.pool.to_string(),
        at: event.at.to_string(),
        origin: match origin {
            events::Origin::Live => Origin::Live,
            events::Origin::Resync => Origin::Resync,
        },
        gap,
        attempt,
        subscription: heard.subscription,
        subject: heard.subject,
    }
}

#[cfg(test)]
mod tests {
    use xapi::Struct;

    use super::*;

    fn record(class: &str, reference: &str, fields: &[(&str, Value)]) -> Arc<Record> {
        let fields: Struct = fields.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
        Arc::new(Record::new(class, reference, fields))
    }

    #[test]
    fn an_owner_is_found_by_the_way_back_or_by_looking() {
        let mut world = World::new();
        for vm in [
            record("VM", "a", &[("guest_metrics", "OpaqueRef:1".into())]),
            record("VM", "b", &[("guest_metrics", "m".into()), ("VIFs", vec!["v".into()].into())]),
        ] {
            events::WorldChange::Put(vm).apply(&mut world);
        }
        let of = |field, part: &Record| owner(&world, "VM", field, part).map(|vm| vm.reference.as_str());
        assert_eq!(of("guest_metrics", &record("VM_guest_metrics", "m", &[])), Some("b"));
        assert_eq!(of("VIFs", &record("VIF", "v", &[("VM", "b".into())])), Some("b"));
        // What says that it belongs there and is not there is not its.
        assert_eq!(of("VIFs", &record("VIF", "w", &[("VM", "b".into())])), None);
    }
}
