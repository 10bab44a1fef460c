//! From the daemon's events to what a plugin is told, and which subscription wants it. Pure.

use plugin_host::Subscription;
use plugin_host::event::{Change, Connection, Ending, Event, Operation, Origin, Subject, TaskOutcome};
use xapi::events;

use crate::event::{self, PoolEvent, Told};

/// What a plugin is told of an event; nothing of those that the contract has no form for.
pub(super) fn subject(event: &PoolEvent) -> Option<Subject> {
    let cause = event.cause.as_ref().map(ToString::to_string);
    Some(match &event.told {
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
        Told::Stream(events::Event::Alert(_)) => return None,
        Told::Stream(events::Event::Resync(_)) => Subject::Connection(Connection::Resynced),
        Told::Connection(connection) => Subject::Connection(match connection {
            event::Connection::Connected { .. } => Connection::Connected,
            // Where and as whom we log in is not the plugin's affair.
            event::Connection::Lost { .. } => Connection::Lost("no answer from the pool".to_owned()),
            event::Connection::Moved { endpoint } => Connection::Moved(endpoint.clone()),
        }),
    })
}

/// The first subscription that wants it.
pub(super) fn wanted<'s>(subscriptions: &'s [Subscription], subject: &Subject) -> Option<&'s Subscription> {
    subscriptions.iter().find(|subscription| subscription.wants(subject))
}

/// The event as a delivery carries it.
pub(super) fn event(event: &PoolEvent, attempt: u32, subscription: &str, subject: Subject) -> Event {
    let (origin, gap) = match &event.told {
        Told::Stream(events::Event::Change(change)) => (change.origin, change.gap),
        Told::Stream(events::Event::Task(task)) => (task.origin, task.gap),
        Told::Stream(events::Event::Alert(alert)) => (alert.origin, false),
        Told::Stream(events::Event::Resync(_)) => (events::Origin::Resync, true),
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
        subscription: subscription.to_owned(),
        subject,
    }
}
