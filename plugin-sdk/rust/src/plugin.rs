//! What an author implements.

use crate::{Alert, Change, Connection, Event, Failure, Outcome, Subject, TaskOutcome, Tick};

/// A plugin. Implement the methods for the events that the manifest subscribes to; or [`handle`](Plugin::handle) alone, to
/// receive everything in one place.
///
/// `Default` makes the instance: each delivery has its own, so its fields remember nothing from one event to the next. Use
/// [`store`](crate::store) for that.
///
/// An event whose method is not implemented is given up with a line that names the method: a subscription that nobody
/// answers is a mistake, and a mistake should be seen.
pub trait Plugin: Default {
    /// Handles one event. The default passes it on to the method for its subject.
    fn handle(&self, event: &Event) -> Outcome {
        match &event.subject {
            Subject::Change(change) => self.changed(event, change),
            Subject::Task(task) => self.task_ended(event, task),
            Subject::Alert(alert) => self.alerted(event, alert),
            Subject::Tick(tick) => self.ticked(event, tick),
            Subject::Connection(connection) => self.connection_changed(event, connection),
        }
    }

    /// An object appeared, changed or went away.
    fn changed(&self, event: &Event, change: &Change) -> Outcome {
        let _ = change;
        unanswered(event, "changed")
    }

    /// A task of the pool has ended.
    fn task_ended(&self, event: &Event, task: &TaskOutcome) -> Outcome {
        let _ = task;
        unanswered(event, "task_ended")
    }

    /// The pool has something to tell.
    fn alerted(&self, event: &Event, alert: &Alert) -> Outcome {
        let _ = alert;
        unanswered(event, "alerted")
    }

    /// A schedule of the manifest is due.
    fn ticked(&self, event: &Event, tick: &Tick) -> Outcome {
        let _ = tick;
        unanswered(event, "ticked")
    }

    /// The connection to the pool changed.
    fn connection_changed(&self, event: &Event, connection: &Connection) -> Outcome {
        let _ = connection;
        unanswered(event, "connection_changed")
    }
}

fn unanswered(event: &Event, method: &str) -> Outcome {
    Err(Failure::give_up(format!(
        "the plugin subscribes to {:?} but does not implement `Plugin::{method}`",
        event.subscription
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Origin;

    fn event(subject: Subject) -> Event {
        Event {
            sequence: 1,
            pool: "lab".into(),
            at: "2026-01-02T03:04:05Z".into(),
            origin: Origin::Live,
            gap: false,
            attempt: 1,
            subscription: "night".into(),
            subject,
        }
    }

    #[derive(Default)]
    struct Clock;

    impl Plugin for Clock {
        fn ticked(&self, _event: &Event, tick: &Tick) -> Outcome {
            Err(Failure::give_up(format!("heard {}", tick.schedule)))
        }
    }

    #[test]
    fn an_event_reaches_the_method_for_its_subject() {
        let tick = Tick { schedule: "nightly".into(), due: "2026-01-02T03:00:00Z".into() };
        let outcome = Clock.handle(&event(Subject::Tick(tick)));
        assert_eq!(outcome, Err(Failure::give_up("heard nightly")));
    }

    #[test]
    fn an_event_that_nobody_answers_is_given_up_with_the_name_of_the_method() {
        let outcome = Clock.handle(&event(Subject::Connection(Connection::Connected)));
        let Err(Failure::GiveUp(why)) = outcome else { panic!("got {outcome:?}") };
        assert!(why.contains("\"night\"") && why.contains("Plugin::connection_changed"), "{why}");
    }
}
