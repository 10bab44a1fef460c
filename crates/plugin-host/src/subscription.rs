//! What a plugin wants to hear, and whether an event is that. Pure: the router asks it for every event and plugin.

use std::collections::BTreeSet;

use smol_str::SmolStr;
use xapi::model::schema::{self, Field, Type};

use crate::event::{Alert, Change, Operation, Subject};
use crate::schedule::Schedule;

/// One subscription of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The manifest's name for it; the plugin is told which one matched.
    pub name: String,
    /// What it hears.
    pub interest: Interest,
}

/// What a subscription hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interest {
    /// Changes of objects of one class.
    Objects(ObjectInterest),
    /// Outcomes of tasks.
    Tasks,
    /// Alerts.
    Alerts(AlertInterest),
    /// To be woken.
    Schedule(Schedule),
    /// Changes of the connection to the pool.
    Connection,
}

/// Which changes of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInterest {
    /// The class with its case on the wire.
    pub class: SmolStr,
    /// Which operations.
    pub on: BTreeSet<Operation>,
    /// Modifications only when one of these fields changed; any field when empty. Additions and deletions are heard
    /// whatever the fields.
    pub fields: BTreeSet<SmolStr>,
    /// Fields that lead to objects which belong to this one, such as a VM's `guest_metrics`: a change of such an object is
    /// heard as a modification of this field.
    pub with: BTreeSet<SmolStr>,
    /// Whether of several changes of one object that wait only the newest is wanted, which then tells of them all.
    pub latest: bool,
}

/// Which alerts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertInterest {
    /// Only alerts of these names, such as `HA_HOST_FAILED`; of any name when empty.
    pub names: BTreeSet<SmolStr>,
    /// Only alerts that are at least as pressing as this: from 1, most pressing, to 5.
    pub priority_at_most: Option<u8>,
}

impl Subscription {
    /// Whether of several changes of one object that wait only the newest is wanted.
    #[must_use]
    pub fn latest(&self) -> bool {
        matches!(&self.interest, Interest::Objects(interest) if interest.latest)
    }

    /// Whether the event is wanted.
    #[must_use]
    pub fn wants(&self, subject: &Subject) -> bool {
        match (&self.interest, subject) {
            (Interest::Objects(interest), Subject::Change(change)) => interest.wants(change),
            (Interest::Alerts(interest), Subject::Alert(alert)) => interest.wants(alert),
            (Interest::Schedule(_), Subject::Tick(tick)) => tick.schedule == self.name,
            (Interest::Tasks, Subject::Task(_)) | (Interest::Connection, Subject::Connection(_)) => true,
            (
                Interest::Objects(_)
                | Interest::Tasks
                | Interest::Alerts(_)
                | Interest::Schedule(_)
                | Interest::Connection,
                _,
            ) => false,
        }
    }
}

impl AlertInterest {
    /// One whose priority is unknown is not known to be pressing.
    fn wants(&self, alert: &Alert) -> bool {
        (self.names.is_empty() || self.names.contains(alert.name.as_str()))
            && self.priority_at_most.is_none_or(|most| (1..=most).contains(&alert.priority))
    }
}

impl ObjectInterest {
    fn wants(&self, change: &Change) -> bool {
        self.class == change.class
            && self.on.contains(&change.operation)
            && (change.operation != Operation::Modified
                || self.fields.is_empty()
                || change
                    .changed
                    .iter()
                    .any(|field| self.fields.contains(field) || self.with.contains(field)))
    }

    /// The fields of `with` that lead to objects of this class.
    pub fn joined(&self, class: &str) -> impl Iterator<Item = &'static Field> {
        let fields = schema::class(&self.class).map_or(&[][..], |class| class.fields);
        fields.iter().filter(move |field| {
            self.with.contains(field.name) && target(field).is_some_and(|target| target == class)
        })
    }

    /// The classes that `with` leads to.
    pub fn joined_classes(&self) -> impl Iterator<Item = &'static str> {
        let fields = schema::class(&self.class).map_or(&[][..], |class| class.fields);
        fields.iter().filter(|field| self.with.contains(field.name)).filter_map(target)
    }
}

/// The class that a field leads to, by one reference or by several.
pub(crate) fn target(field: &Field) -> Option<&'static str> {
    match &field.kind {
        Type::Ref(class) => Some(class),
        Type::Set(Type::Ref(class)) => Some(class),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Connection, Ending, TaskOutcome};

    fn interest(on: &[Operation], fields: &[&str], with: &[&str]) -> ObjectInterest {
        ObjectInterest {
            class: "VM".into(),
            on: on.iter().copied().collect(),
            fields: fields.iter().map(SmolStr::new).collect(),
            with: with.iter().map(SmolStr::new).collect(),
            latest: false,
        }
    }

    fn objects(on: &[Operation], fields: &[&str]) -> Subscription {
        Subscription { name: "s".into(), interest: Interest::Objects(interest(on, fields, &[])) }
    }

    fn change(class: &str, operation: Operation, changed: &[&str]) -> Subject {
        Subject::Change(Change {
            class: class.into(),
            reference: "OpaqueRef:1".into(),
            uuid: None,
            operation,
            old: None,
            new: None,
            changed: changed.iter().map(SmolStr::new).collect(),
            caused_by: None,
        })
    }

    #[test]
    fn changes_are_matched_by_class_operation_and_field() {
        use Operation::{Added, Deleted, Modified};
        let all = &[Added, Modified, Deleted][..];
        for (on, fields, class, operation, changed, wanted) in [
            (all, &[][..], "VM", Modified, &["tags"][..], true),
            (all, &[], "host", Modified, &["tags"], false),
            (all, &["power_state"], "VM", Modified, &["tags"], false),
            (all, &["power_state"], "VM", Modified, &["tags", "power_state"], true),
            (all, &["power_state"], "VM", Added, &[], true),
            (all, &["power_state"], "VM", Deleted, &[], true),
            (&[Modified], &[], "VM", Added, &[], false),
            (&[Deleted], &[], "VM", Modified, &["tags"], false),
        ] {
            assert_eq!(
                objects(on, fields).wants(&change(class, operation, changed)),
                wanted,
                "{on:?} {fields:?} {class} {operation:?} {changed:?}"
            );
        }
    }

    #[test]
    fn what_belongs_to_an_object_is_heard_by_the_field_that_leads_there() {
        let interest = interest(&[Operation::Modified], &["power_state"], &["guest_metrics", "VIFs"]);
        let joined = |class: &str| interest.joined(class).map(|field| field.name).collect::<Vec<_>>();
        assert_eq!(joined("VM_guest_metrics"), ["guest_metrics"]);
        assert_eq!(joined("VIF"), ["VIFs"]);
        assert_eq!(joined("VBD"), [""; 0], "nobody asked for it");
        assert_eq!(interest.joined_classes().collect::<BTreeSet<_>>(), ["VIF", "VM_guest_metrics"].into());
        let subscription = Subscription { name: "s".into(), interest: Interest::Objects(interest) };
        assert!(subscription.wants(&change("VM", Operation::Modified, &["guest_metrics"])));
        assert!(!subscription.wants(&change("VM", Operation::Modified, &["VBDs"])));
    }

    #[test]
    fn alerts_are_matched_by_name_and_priority() {
        let alert = |name: &str, priority| {
            Subject::Alert(Alert {
                name: name.into(),
                priority,
                class: "Host".into(),
                uuid: String::new(),
                body: String::new(),
            })
        };
        for (names, most, name, priority, wanted) in [
            (&[][..], None, "VM_CRASHED", 0, true),
            (&[], Some(3), "VM_CRASHED", 3, true),
            (&[], Some(3), "VM_CRASHED", 4, false),
            (&[], Some(5), "VM_CRASHED", 0, false),
            (&["HA_HOST_FAILED", "VM_CRASHED"], None, "VM_CRASHED", 5, true),
            (&["HA_HOST_FAILED"], Some(5), "VM_CRASHED", 1, false),
        ] {
            let names = names.iter().map(SmolStr::new).collect();
            let interest = Interest::Alerts(AlertInterest { names, priority_at_most: most });
            let subscription = Subscription { name: "s".into(), interest };
            assert_eq!(
                subscription.wants(&alert(name, priority)),
                wanted,
                "{subscription:?} {name} {priority}"
            );
        }
        assert!(!objects(&[Operation::Added], &[]).wants(&alert("VM_CRASHED", 1)));
    }

    #[test]
    fn tasks_and_connections_are_their_own_kinds() {
        let task = Subject::Task(TaskOutcome {
            reference: "OpaqueRef:t".into(),
            name: "VM.start".into(),
            ending: Ending::Cancelled,
            started_by: None,
        });
        let connection = Subject::Connection(Connection::Connected);
        let of = |interest| Subscription { name: "s".into(), interest };
        assert!(of(Interest::Tasks).wants(&task) && !of(Interest::Tasks).wants(&connection));
        assert!(of(Interest::Connection).wants(&connection) && !of(Interest::Connection).wants(&task));
        assert!(!objects(&[Operation::Added], &[]).wants(&task));
    }
}
