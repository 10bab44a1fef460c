//! What a plugin wants to hear, and whether an event is that. Pure: the router asks it for every event and plugin.

use std::collections::BTreeSet;

use smol_str::SmolStr;

use crate::event::{Change, Operation, Subject};

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
}

impl Subscription {
    /// Whether the event is wanted.
    #[must_use]
    pub fn wants(&self, subject: &Subject) -> bool {
        match (&self.interest, subject) {
            (Interest::Objects(interest), Subject::Change(change)) => interest.wants(change),
            (Interest::Tasks, Subject::Task(_)) | (Interest::Connection, Subject::Connection(_)) => true,
            (Interest::Objects(_) | Interest::Tasks | Interest::Connection, _) => false,
        }
    }
}

impl ObjectInterest {
    fn wants(&self, change: &Change) -> bool {
        self.class == change.class
            && self.on.contains(&change.operation)
            && (change.operation != Operation::Modified
                || self.fields.is_empty()
                || change.changed.iter().any(|field| self.fields.contains(field)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Connection, Ending, TaskOutcome};

    fn objects(on: &[Operation], fields: &[&str]) -> Subscription {
        Subscription {
            name: "s".into(),
            interest: Interest::Objects(ObjectInterest {
                class: "VM".into(),
                on: on.iter().copied().collect(),
                fields: fields.iter().map(SmolStr::new).collect(),
            }),
        }
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
