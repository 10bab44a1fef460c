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
    /// The place of the subscription, where it wants only the newest of several changes that wait.
    pub(super) latest: Option<u32>,
    /// The reference of the object that it is told of; empty where it is about none.
    pub(super) object: SmolStr,
    /// Whether it is about what belongs to the object; the object itself is then as it is now.
    joined: bool,
    /// How many earlier events it tells of too.
    folded: usize,
}

impl Heard {
    fn new(
        subject: Subject,
        (place, subscription): (usize, &Subscription),
        object: SmolStr,
        joined: bool,
    ) -> Heard {
        let latest = subscription.latest().then(|| u32::try_from(place).unwrap_or(u32::MAX));
        Heard { subject, subscription: subscription.name.clone(), latest, object, joined, folded: 0 }
    }
}

/// One change of an object that tells of several, given in order; none of none. From what the object was before the first to
/// what it is after the last; each field that changed in between has changed, also one that is what it was.
pub(super) fn fold(heard: Vec<Heard>) -> Option<Heard> {
    let folded = heard.len().saturating_sub(1);
    let told: Vec<(&Change, bool)> = heard
        .iter()
        .filter_map(|heard| match &heard.subject {
            Subject::Change(change) => Some((change, heard.joined)),
            _ => None,
        })
        .collect();
    let first = told.iter().find(|(_, joined)| !joined).or(told.first()).map(|(change, _)| *change);
    let (Some(first), Some((last, _))) = (first, told.last().copied()) else {
        return heard.into_iter().next_back();
    };
    let operation = match (first.operation, last.operation) {
        (_, Operation::Deleted) => Operation::Deleted,
        (Operation::Added, _) => Operation::Added,
        (Operation::Modified | Operation::Deleted, _) => Operation::Modified,
    };
    let mut changed: Vec<SmolStr> = Vec::new();
    if operation == Operation::Modified {
        for field in told.iter().flat_map(|(change, _)| &change.changed) {
            if !changed.contains(field) {
                changed.push(field.clone());
            }
        }
    }
    let old = match operation {
        Operation::Added => None,
        Operation::Modified | Operation::Deleted => first.old.clone().or_else(|| last.old.clone()),
    };
    let change = Change { operation, old, changed, ..last.clone() };
    let last = heard.into_iter().next_back()?;
    Some(Heard { subject: Subject::Change(change), folded, ..last })
}

/// What the first subscription of a plugin hears that wants the event. A schedule wakes nobody but its plugin.
pub(super) fn heard(event: &PoolEvent, plugin: &str, subscriptions: &[Subscription]) -> Option<Heard> {
    if matches!(&event.told, Told::Tick(tick) if tick.plugin != plugin) {
        return None;
    }
    let subject = subject(event);
    let mut numbered = subscriptions.iter().enumerate();
    let subscription = numbered.find(|(_, subscription)| subscription.wants(&subject))?;
    Some(Heard::new(subject, subscription, event.told.reference().into(), false))
}

/// What a subscription hears that wants to be told by the object that another one belongs to: a change of a VM's guest
/// metrics as a change of the VM. The object is as it is now.
pub(super) fn joined(event: &PoolEvent, subscriptions: &[Subscription], world: &World) -> Option<Heard> {
    let Told::Stream(events::Event::Change(change)) = &event.told else { return None };
    // That the object no longer has it is told by the object itself.
    let part = change.new.as_ref()?;
    subscriptions.iter().enumerate().find_map(|(place, subscription)| {
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
            let wanted = subscription.wants(&subject);
            wanted.then(|| Heard::new(subject, (place, subscription), object, true))
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

/// The event as a delivery carries it; `missed` marks it where the plugin lost what came before.
pub(super) fn event(event: &PoolEvent, attempt: u32, heard: Heard, missed: bool) -> Event {
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
        // There were others before it that are not told by themselves.
        gap: gap || missed || heard.folded > 0,
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

    fn heard(operation: Operation, old: Option<&str>, new: Option<&str>, changed: &[&str]) -> Heard {
        let named = |name: &str| record("VM", "a", &[("name_label", name.into())]);
        let subject = Subject::Change(Change {
            class: "VM".into(),
            reference: "a".into(),
            uuid: None,
            operation,
            old: old.map(named),
            new: new.map(named),
            changed: changed.iter().map(SmolStr::new).collect(),
            caused_by: None,
        });
        let latest = Some(0);
        Heard { subject, subscription: "s".into(), latest, object: "a".into(), joined: false, folded: 0 }
    }

    #[test]
    fn several_changes_are_told_as_one() {
        use Operation::{Added, Deleted, Modified};
        let modified = |old, new, changed: &[&str]| heard(Modified, Some(old), Some(new), changed);
        for (several, expected) in [
            (
                vec![modified("1", "2", &["x", "y"]), modified("2", "1", &["x", "z"])],
                (Modified, Some("1"), Some("1"), "x y z", 1),
            ),
            (
                vec![heard(Added, None, Some("1"), &[]), modified("1", "2", &["x"])],
                (Added, None, Some("2"), "", 1),
            ),
            (
                vec![
                    modified("1", "2", &["x"]),
                    modified("2", "3", &["x"]),
                    heard(Deleted, Some("3"), None, &[]),
                ],
                (Deleted, Some("1"), None, "", 2),
            ),
            (
                vec![heard(Added, None, Some("1"), &[]), heard(Deleted, Some("2"), None, &[])],
                (Deleted, Some("2"), None, "", 1),
            ),
            (
                vec![
                    Heard { joined: true, ..modified("9", "9", &["guest_metrics"]) },
                    modified("1", "2", &["x"]),
                    Heard { joined: true, ..modified("9", "9", &["guest_metrics"]) },
                ],
                (Modified, Some("1"), Some("9"), "guest_metrics x", 2),
            ),
            (vec![modified("1", "2", &["x"])], (Modified, Some("1"), Some("2"), "x", 0)),
        ] {
            let Heard { subject: Subject::Change(change), folded, .. } = fold(several).unwrap() else {
                panic!()
            };
            let name = |record: &Option<Arc<Record>>| {
                record.as_ref().map(|record| record.text("name_label").to_owned())
            };
            assert_eq!(
                (
                    change.operation,
                    name(&change.old).as_deref(),
                    name(&change.new).as_deref(),
                    &*change.changed.join(" "),
                    folded
                ),
                expected
            );
        }
        assert!(fold(Vec::new()).is_none());
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
