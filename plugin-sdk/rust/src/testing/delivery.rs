//! Something happens in a test's world, and the plugin is told.

use std::rc::Rc;

use serde_json::{Map, Value as Json};

use super::manifest::Happened;
use super::records::Stored;
use super::run::Run;
use super::schema::Class;
use super::state::{State, running};
use super::world::{World, told};
use crate::event::AnyChange;
use crate::host::Record;
use crate::{Alert, Connection, Event, Operation, Origin, Plugin, Reference, Subject, TaskOutcome, Tick};

/// Something that happens in a [`World`], to be delivered. Made by the world's functions, such as [`World::modify`].
#[must_use = "nothing happens before `.deliver()`"]
#[derive(Debug)]
pub struct Delivery<'w, P> {
    world: &'w mut World<P>,
    what: What,
    fields: Map<String, Json>,
    caused_by: Option<String>,
    gap: bool,
    origin: Origin,
    attempt: u32,
}

/// What happens.
#[derive(Debug)]
pub(super) enum What {
    Modified(&'static Class, Reference),
    Added(&'static Class),
    Deleted(Reference),
    Tick(Tick),
    Alert(Alert),
    Task(TaskOutcome),
    Connection(Connection),
}

impl std::fmt::Debug for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl<'w, P: Plugin> Delivery<'w, P> {
    pub(super) fn of(world: &'w mut World<P>, what: What) -> Self {
        let (fields, caused_by, origin) = (Map::new(), None, Origin::Live);
        Delivery { world, what, fields, caused_by, gap: false, origin, attempt: 1 }
    }

    /// A field of the object, as it is from now on. Objects are named as in a world's TOML.
    pub fn set(mut self, field: &str, value: impl Into<Json>) -> Self {
        self.fields.insert(field.to_owned(), value.into());
        self
    }

    /// The delivery of a plugin whose call caused the change: `PLUGIN/SEQUENCE`.
    pub fn caused_by(mut self, delivery: &str) -> Self {
        self.caused_by = Some(delivery.to_owned());
        self
    }

    /// How pressing an alert is: 1 (most) to 5.
    pub fn priority(mut self, priority: u8) -> Self {
        if let What::Alert(alert) = &mut self.what {
            alert.priority = priority;
        }
        self
    }

    /// What an alert says.
    pub fn body(mut self, body: &str) -> Self {
        if let What::Alert(alert) = &mut self.what {
            body.clone_into(&mut alert.body);
        }
        self
    }

    /// Changes may have been missed before this event.
    pub fn gap(mut self) -> Self {
        self.gap = true;
        self
    }

    /// Where the event comes from.
    pub fn origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// Which attempt it is, from 1.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Lets it happen, and gives it to the handler of the subscription that hears it. What the plugin writes into its store
    /// stays there when it is done, and is forgotten when it fails.
    ///
    /// # Panics
    ///
    /// When no subscription of the manifest hears it, and with whatever the handler panics.
    #[track_caller]
    pub fn deliver(self) -> Run {
        let Delivery { world, what, fields, caused_by, gap, origin, attempt } = self;
        let (subscription, subject) = happen(world, what, &fields, caused_by);
        world.sequence += 1;
        let event = Event {
            sequence: world.sequence,
            pool: "lab".to_owned(),
            at: world.now.clone(),
            origin,
            gap,
            attempt,
            subscription,
        };
        let state = State {
            records: world.records.clone(),
            settings: world.settings.clone(),
            secrets: world.secrets.clone(),
            stored: world.stored.clone(),
            answers: std::mem::take(&mut world.answers),
            ..State::default()
        };
        let (state, outcome) = running(state, || P::handle(&event, subject));
        world.answers = state.answers;
        if outcome.is_ok() {
            for (key, value) in state.written {
                match value {
                    Some(value) => world.stored.insert(key, value),
                    None => world.stored.remove(&key),
                };
            }
        }
        Run { subscription: event.subscription, outcome, calls: state.calls, log: state.log }
    }
}

/// Changes the world, and gives what the plugin hears of it.
#[track_caller]
fn happen<P>(
    world: &mut World<P>,
    what: What,
    fields: &Map<String, Json>,
    caused_by: Option<String>,
) -> (String, Subject) {
    let (old, new) = match what {
        What::Tick(tick) => {
            let heard = heard(world, &Happened::Tick(&tick.schedule), "the schedule");
            return (heard, Subject::Tick(tick));
        }
        What::Alert(alert) => {
            let happened = Happened::Alert { name: &alert.name, priority: alert.priority };
            let what = format!("the alert {} of priority {}", alert.name, alert.priority);
            return (heard(world, &happened, &what), Subject::Alert(alert));
        }
        What::Task(outcome) => {
            return (heard(world, &Happened::Task, "the end of a task"), Subject::Task(outcome));
        }
        What::Connection(connection) => {
            let heard = heard(world, &Happened::Connection, "a change of the connection");
            return (heard, Subject::Connection(connection));
        }
        What::Modified(class, reference) => {
            let old = world.records.get(&reference).cloned();
            for (field, value) in fields {
                told(world.records.set(&reference, class, field, value));
            }
            world.records.relate();
            (old, world.records.get(&reference).cloned())
        }
        What::Added(class) => {
            let reference = told(world.records.add(class.name, fields));
            (None, world.records.get(&reference).cloned())
        }
        What::Deleted(reference) => {
            let old = world.records.get(&reference).cloned();
            world.records.remove(&reference);
            (old, None)
        }
    };
    changed(world, old, new, caused_by)
}

#[track_caller]
fn changed<P>(
    world: &World<P>,
    old: Option<Rc<Stored>>,
    new: Option<Rc<Stored>>,
    caused_by: Option<String>,
) -> (String, Subject) {
    let (operation, object) = match (&old, &new) {
        (Some(_), Some(new)) => (Operation::Modified, new),
        (None, Some(new)) => (Operation::Added, new),
        (Some(old), None) => (Operation::Deleted, old),
        (None, None) => panic!("nothing has happened"),
    };
    let mut object = Rc::clone(object);
    let mut differing = Vec::new();
    if let (Some(old), Some(new)) = (&old, &new) {
        differing = new
            .fields
            .keys()
            .filter(|field| old.fields.get(*field) != new.fields.get(*field))
            .map(|&field| field.to_owned())
            .collect();
        assert!(
            !differing.is_empty(),
            "{} {:?} is as it was: say by `.set(…)` what is different",
            new.class,
            new.name
        );
    }
    let happened = Happened::Change { class: object.class, operation, changed: &differing };
    let (mut old, mut new, mut said) = (old, new, operation);
    let subscription = match world.manifest.hears(&happened) {
        Some(subscription) => subscription.to_owned(),
        // Of an object that belongs to another one, a subscription `with` it may hear as of that one.
        None => match owner(world, &object) {
            Some((subscription, owner, field)) => {
                (old, new, said) = (Some(Rc::clone(&owner)), Some(Rc::clone(&owner)), Operation::Modified);
                (object, differing) = (owner, vec![field]);
                subscription
            }
            None => {
                let of = if differing.is_empty() {
                    String::new()
                } else {
                    format!(" in {}", differing.join(", "))
                };
                unheard(world, &format!("{} {operation}{of}", object.class))
            }
        },
    };
    let change = AnyChange {
        class: object.class.to_owned(),
        reference: object.reference.clone(),
        uuid: object.text("uuid").map(str::to_owned),
        operation: said,
        old: old.map(Record),
        new: new.map(Record),
        changed: differing,
        caused_by,
    };
    (subscription, Subject::Change(change))
}

/// The object that another one belongs to, for a subscription `with` it; and by which field.
fn owner<P>(world: &World<P>, object: &Stored) -> Option<(String, Rc<Stored>, String)> {
    world.manifest.joined().find_map(|(subscription, class, with)| {
        let leads = |owner: &Stored, field: &str| match owner.fields.get(field) {
            Some(crate::Value::Reference(one)) => *one == object.reference,
            Some(crate::Value::References(many)) => many.contains(&object.reference),
            _ => false,
        };
        let found = world.records.all().filter(|owner| owner.class == class).find_map(|owner| {
            with.iter().find(|field| leads(owner, field)).map(|field| (Rc::clone(owner), (*field).to_owned()))
        });
        found.map(|(owner, field)| (subscription.to_owned(), owner, field))
    })
}

#[track_caller]
fn heard<P>(world: &World<P>, happened: &Happened<'_>, what: &str) -> String {
    match world.manifest.hears(happened) {
        Some(subscription) => subscription.to_owned(),
        None => unheard(world, what),
    }
}

#[track_caller]
fn unheard<P>(world: &World<P>, what: &str) -> ! {
    panic!(
        "no subscription of {} hears {what}: look at the [[subscribe]] of its manifest",
        world.manifest.name
    )
}
