//! Who follows the pool: the stream with its world, killed and started again now and then, and a listener that holds each event
//! against those before it and against the pool.

use seeds::{RngExt as _, StdRng};
use smol_str::SmolStr;
use xapi::events::{Change, Event, Input, Operation, Origin, Request, Stream, Told};
use xapi::model::World;

use super::server::{CLASSES, Objects, Server, Shape};

pub(crate) struct Client {
    stream: Stream,
    world: World,
    session: u64,
    /// Whether nothing can have been missed since the last whole picture.
    unbroken: bool,
    /// What is durable beside the world: the classes of which it is whole.
    kept: Vec<SmolStr>,
    /// The objects as the events tell them.
    told: Objects,
}

impl Client {
    pub(crate) fn new() -> Self {
        Client {
            stream: Stream::new(CLASSES.map(SmolStr::new_static)),
            world: World::new(),
            session: 0,
            unbroken: false,
            kept: Vec::new(),
            told: Objects::new(),
        }
    }

    /// Asks the pool what the stream wants to know, and takes the answer in; or is killed before it has.
    pub(crate) fn look(&mut self, server: &mut Server, random: &mut StdRng, killed: bool) {
        if self.session != server.session() {
            self.session = server.session();
            self.begin_anew(self.stream.after_new_session());
        }
        let classes = self.stream.classes().to_vec();
        let (input, truth) = match self.stream.request() {
            Request::Poll { token, .. } => {
                let answer = server.poll(&token, &classes, random);
                (Input::Batch(answer.batch), Some(answer.truth))
            }
            Request::List { class } => {
                let there = server.objects(std::slice::from_ref(&class));
                (
                    Input::Listing { class, references: there.into_keys().map(|(_, name)| name).collect() },
                    None,
                )
            }
        };
        let listing = matches!(input, Input::Listing { .. });
        let step = self.stream.step(&self.world, input);
        if killed {
            return self.start_again(random);
        }
        self.hear_all(&step.events, listing);
        let durable = !step.events.is_empty() || !step.changes.is_empty();
        let pictured = !self.stream.live() && step.next.live();
        for change in step.changes {
            change.apply(&mut self.world);
        }
        for event in &step.events {
            if let Event::Resync(resync) = event {
                assert_eq!(resync.first, self.kept.is_empty());
                assert_eq!(resync.differences, step.events.len() - 1);
                let truth = truth.as_ref().unwrap();
                assert_eq!(resync.objects, truth.len());
                self.begin(&resync.begun);
            }
        }
        assert_eq!(pictured, matches!(step.events.last(), Some(Event::Resync(_))));
        self.unbroken = (self.unbroken || pictured) && step.next.live();
        self.stream = step.next;
        if durable {
            self.kept = self.stream.known();
        }
        self.alike();
        if let (true, Some(truth)) = (self.stream.live(), truth) {
            self.is(&truth, server);
        }
    }

    /// After a failover that no session noticed only a change of our own shows it, made before the generations of now reach
    /// those of before. Whether it did.
    pub(crate) fn send_canary(&mut self, server: &mut Server, random: &mut StdRng) -> bool {
        let given = server.canary(random);
        let behind = self.stream.is_ahead_of(&given);
        if behind {
            self.begin_anew(self.stream.after_new_session());
        }
        behind
    }

    /// Other classes are wished for while it runs.
    pub(crate) fn wish(&mut self, random: &mut StdRng) {
        let (known, alerts) = (self.stream.known(), self.stream.alerts().clone());
        self.begin_anew(Stream::going_on(wished(random), known, alerts));
    }

    /// In the end all that it knows and told is the pool's.
    pub(crate) fn is_as(&self, server: &Server) {
        assert_eq!(self.known(), server.objects(self.stream.classes()), "the world");
        self.alike();
    }

    /// Killed and started again, with what is durable.
    pub(crate) fn start_again(&mut self, random: &mut StdRng) {
        self.begin_anew(Stream::going_on(wished(random), self.kept.clone(), Told::default()));
    }

    fn begin_anew(&mut self, stream: Stream) {
        self.stream = stream;
        self.unbroken = false;
    }

    fn known(&self) -> Objects {
        let records = self.world.classes().flat_map(|class| self.world.of(class));
        records.map(|record| ((record.class.clone(), record.reference.clone()), Shape::of(record))).collect()
    }

    /// Objects of classes that are met for the first time are told as one picture; those of others that are not followed any
    /// more are not told of.
    fn begin(&mut self, begun: &[SmolStr]) {
        let followed = self.stream.classes();
        self.told.retain(|(class, _), _| followed.contains(class));
        let known = self.known();
        self.told.extend(known.into_iter().filter(|((class, _), _)| begun.contains(class)));
    }

    fn alike(&self) {
        assert_eq!(self.told, self.known(), "what was told adds up to the world");
    }

    /// It holds what the pool held, but for objects whose deletion the pool forgot: these are found by counting.
    fn is(&self, truth: &Objects, server: &Server) {
        let mut known = self.known();
        known.retain(|(class, name), shape| {
            let left = truth.get(&(class.clone(), name.clone())) != Some(shape);
            assert!(!left || server.has_forgotten(name), "{class} {name} is none of the pool's: {shape:?}");
            !left
        });
        assert_eq!(known.len(), truth.len(), "all that the pool holds is known: {known:?} {truth:?}");
    }

    fn hear_all(&mut self, events: &[Event], listing: bool) {
        let mut generation = 0;
        let mut events = events.iter().peekable();
        while let Some(event) = events.next() {
            let Event::Change(change) = event else {
                assert!(
                    matches!(event, Event::Resync(_)) && events.peek().is_none(),
                    "{event:?} comes out of place"
                );
                continue;
            };
            let ends = self.hear(change);
            // No silent gap, and none where nothing can be missing.
            assert_eq!(change.gap, listing || !self.unbroken, "{change:?}");
            assert_eq!(change.gap, change.origin == Origin::Resync);
            if change.origin == Origin::Live {
                assert!(change.generation >= generation, "{change:?} comes after {generation}");
                generation = change.generation;
            }
            if let Some(Event::Task(task)) = events.next_if(|next| matches!(next, Event::Task(_))) {
                assert!(ends && task.reference == change.reference && task.gap == change.gap, "{task:?}");
            } else {
                assert!(!ends, "the end of a task is not told: {change:?}");
            }
        }
    }

    /// Takes an event in; whether it brings the end of a task.
    fn hear(&mut self, change: &Change) -> bool {
        let before = change.old.as_deref().map(Shape::of);
        let after = change.new.as_deref().map(Shape::of);
        let object = (change.class.clone(), change.reference.clone());
        let known = match after {
            Some(after) => self.told.insert(object, after),
            None => self.told.remove(&object),
        };
        assert_eq!(known, before, "{change:?} contradicts what was told");
        assert_ne!(before, after, "{change:?} tells nothing");
        let operation = match (before, after) {
            (None, _) => Operation::Added,
            (_, None) => Operation::Deleted,
            _ => Operation::Modified,
        };
        assert_eq!(change.operation, operation);
        assert_eq!(change.changed.is_empty(), operation != Operation::Modified, "{change:?}");
        let pending = before.is_none_or(|before| !before.ended);
        change.class == "task" && pending && after.is_none_or(|after| after.ended)
    }
}

fn wished(random: &mut StdRng) -> Vec<SmolStr> {
    let mut wished = CLASSES.map(SmolStr::new_static).to_vec();
    if random.random_ratio(1, 4) {
        wished.truncate(1);
    }
    wished
}
