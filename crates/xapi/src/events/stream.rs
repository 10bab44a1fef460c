//! The state machine: a batch, a listing or a new session in; events, changes to the world and the next state out.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use smol_str::SmolStr;

use super::alert::{Alert, Told};
use super::batch::{Batch, Operation, RawEvent};
use super::event::{Change, Ending, Event, Origin, Resync, TaskOutcome, ending};
use super::token;
use crate::model::{Record, World, schema};
use crate::value::Value;

/// Where the stream of one pool stands. Small; the records are in the [`World`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Followed classes with their case on the wire.
    classes: Vec<SmolStr>,
    token: SmolStr,
    phase: Phase,
    /// Classes whose count was wrong after the last batch, each with the references that its last listing had and
    /// we did not.
    suspects: BTreeMap<SmolStr, BTreeSet<SmolStr>>,
    /// Up to where alerts have been told.
    alerts: Told,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// The next batch is the whole picture. Of the known classes the world holds an older one to compare it with; the
    /// others are met for the first time.
    Resyncing {
        known: BTreeSet<SmolStr>,
        /// Whether a picture was put aside because it held less than the pool counted.
        doubted: bool,
    },
    Live,
    /// The references of this class are to be listed.
    Recounting {
        class: SmolStr,
    },
}

/// What the stream wants from the pool next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `event.from` with these arguments.
    Poll {
        /// Where to go on; empty for the whole picture.
        token: SmolStr,
        /// Whether to ask for an answer at once instead of waiting for changes.
        at_once: bool,
    },
    /// `CLASS.get_all`.
    List {
        /// The class with its case on the wire.
        class: SmolStr,
    },
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The answer to a poll.
    Batch(Batch),
    /// The answer to a listing.
    Listing {
        /// The class asked for.
        class: SmolStr,
        /// All its references.
        references: Vec<SmolStr>,
    },
}

/// How the world changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorldChange {
    /// This record is new or replaces the one before it.
    Put(Arc<Record>),
    /// This object is gone.
    Remove {
        /// The class with its case on the wire.
        class: SmolStr,
        /// The opaque reference.
        reference: SmolStr,
    },
}

/// The outcome of one step: take all of it on, or nothing.
#[derive(Debug)]
pub struct Step {
    /// What to tell, in order.
    pub events: Vec<Event>,
    /// What to do to the world.
    pub changes: Vec<WorldChange>,
    /// The stream that goes on from here.
    pub next: Stream,
}

impl WorldChange {
    /// The class of the object, with its case on the wire.
    #[must_use]
    pub fn class(&self) -> &str {
        match self {
            WorldChange::Put(record) => &record.class,
            WorldChange::Remove { class, .. } => class,
        }
    }

    /// Does it.
    pub fn apply(self, world: &mut World) {
        match self {
            WorldChange::Put(record) => {
                world.insert(record);
            }
            WorldChange::Remove { class, reference } => {
                world.remove(&class, &reference);
            }
        }
    }
}

impl Stream {
    /// A stream that begins with the first picture.
    #[must_use]
    pub fn new(classes: impl IntoIterator<Item = SmolStr>) -> Self {
        Stream::going_on(classes, [], Told::default())
    }

    /// A stream that begins with the whole picture, of which the world holds an older one: of the classes in `known`
    /// differences are worth telling, while the others come as a first picture. `alerts` is up to where alerts were told.
    /// Objects of classes that are followed no longer leave the world without a word.
    #[must_use]
    pub fn going_on(
        classes: impl IntoIterator<Item = SmolStr>,
        known: impl IntoIterator<Item = SmolStr>,
        alerts: Told,
    ) -> Self {
        Stream {
            classes: classes.into_iter().collect(),
            token: SmolStr::default(),
            phase: Phase::Resyncing { known: known.into_iter().collect(), doubted: false },
            suspects: BTreeMap::new(),
            alerts,
        }
    }

    /// Every class that tells of itself by events, but for `message` (up to 10,000 stored alerts with every picture)
    /// and `Caller` (written by every call while the rate limiter is on, ours included).
    pub fn all_classes() -> impl Iterator<Item = SmolStr> {
        schema::classes()
            .iter()
            .filter(|class| class.events && class.in_database && !matches!(class.name, "message" | "Caller"))
            .map(|class| SmolStr::new_static(class.name))
    }

    /// The followed classes.
    #[must_use]
    pub fn classes(&self) -> &[SmolStr] {
        &self.classes
    }

    /// xapi's token for what was taken in last; empty before the first picture. Good only with its own session.
    #[must_use]
    pub fn position(&self) -> &str {
        &self.token
    }

    /// What to ask next.
    #[must_use]
    pub fn request(&self) -> Request {
        match &self.phase {
            Phase::Recounting { class } => Request::List { class: class.clone() },
            Phase::Resyncing { .. } => Request::Poll { token: SmolStr::default(), at_once: true },
            // A class whose count is wrong gets its second look soon.
            Phase::Live => Request::Poll { token: self.token.clone(), at_once: !self.suspects.is_empty() },
        }
    }

    /// Whether the whole picture is in and changes are followed.
    #[must_use]
    pub fn live(&self) -> bool {
        !matches!(self.phase, Phase::Resyncing { .. })
    }

    /// The classes of which the world holds a whole picture, perhaps an older one: what a stream after a restart goes on
    /// from, together with [`Stream::alerts`]. None before the first picture.
    #[must_use]
    pub fn known(&self) -> Vec<SmolStr> {
        match &self.phase {
            Phase::Resyncing { known, .. } => known.iter().cloned().collect(),
            Phase::Live | Phase::Recounting { .. } => self.classes.clone(),
        }
    }

    /// Up to where alerts have been told, to go on from after a restart.
    #[must_use]
    pub fn alerts(&self) -> &Told {
        &self.alerts
    }

    /// The stream after a new session: its token is worth nothing, everything is read and compared anew.
    #[must_use]
    pub fn after_new_session(&self) -> Self {
        Stream::going_on(self.classes.iter().cloned(), self.known(), self.alerts.clone())
    }

    /// Whether a token that the pool gives now lies before our own position. Then its database went back to an earlier
    /// state, as after a failover to an old copy, and our position hides what happens until it is passed again: the whole
    /// picture must be read anew.
    #[must_use]
    pub fn is_ahead_of(&self, given: &str) -> bool {
        self.live() && token::is_before(given, &self.token)
    }

    /// One step, decided by looking at the world as it is now. Nothing is changed.
    #[must_use]
    pub fn step(&self, world: &World, input: Input) -> Step {
        match (&self.phase, input) {
            (Phase::Resyncing { known, doubted: false }, Input::Batch(batch)) if self.lacks(&batch) => {
                let phase = Phase::Resyncing { known: known.clone(), doubted: true };
                Step { events: Vec::new(), changes: Vec::new(), next: Stream { phase, ..self.clone() } }
            }
            (Phase::Resyncing { known, .. }, Input::Batch(batch)) => self.whole_picture(world, batch, known),
            // Whatever it holds, the whole picture will have it too.
            (_, Input::Batch(batch)) if self.is_ahead_of(&batch.token) => {
                Step { events: Vec::new(), changes: Vec::new(), next: self.after_new_session() }
            }
            (_, Input::Batch(batch)) => self.batch(world, batch),
            (_, Input::Listing { class, references }) => self.listing(world, &class, references),
        }
    }

    fn batch(&self, world: &World, batch: Batch) -> Step {
        let mut told = Telling::new(world, Origin::Live, false, self.alerts.clone());
        for event in batch.events {
            told.raw(event);
        }
        let suspects: BTreeMap<SmolStr, BTreeSet<SmolStr>> = self
            .classes
            .iter()
            .filter(|class| {
                let valid = batch.counts.get(class.to_lowercase().as_str());
                valid.is_some_and(|valid| told.count(class) != *valid)
            })
            .map(|class| (class.clone(), self.suspects.get(class).cloned().unwrap_or_default()))
            .collect();
        // Once may be the snapshot running ahead of the token; twice is a loss.
        let lost = suspects.keys().find(|class| self.suspects.contains_key(*class)).cloned();
        let phase = lost.map_or(Phase::Live, |class| Phase::Recounting { class });
        let (classes, alerts) = (self.classes.clone(), told.alerts);
        let next = Stream { classes, token: batch.token, phase, suspects, alerts };
        Step { events: told.events, changes: told.changes, next }
    }

    /// Whether a picture holds fewer objects of a class than the pool counts. Objects come and go while it is drawn, so once
    /// may be chance; believed as it is, it would tell objects as deleted that are there.
    fn lacks(&self, picture: &Batch) -> bool {
        let mut held: BTreeMap<String, i64> = BTreeMap::new();
        for event in picture.events.iter().filter(|event| event.operation != Operation::Deleted) {
            *held.entry(event.class.to_lowercase()).or_default() += 1;
        }
        self.classes.iter().filter(|class| *class != "message").any(|class| {
            let class = class.to_lowercase();
            let counted = picture.counts.get(class.as_str()).copied().unwrap_or(0);
            held.get(&class).copied().unwrap_or(0) < counted
        })
    }

    fn whole_picture(&self, world: &World, batch: Batch, known: &BTreeSet<SmolStr>) -> Step {
        let mut told = Telling::new(world, Origin::Resync, true, self.alerts.clone());
        let mut seen: HashSet<(SmolStr, SmolStr)> = HashSet::with_capacity(batch.events.len());
        let messages = batch.events.iter().filter(|event| event.class.eq_ignore_ascii_case("message"));
        let messages =
            messages.filter_map(|event| event.snapshot.as_ref()?.uuid().map(SmolStr::new)).collect();
        for event in batch.events {
            if event.operation != Operation::Deleted {
                seen.insert((wire_name(&event.class), event.reference.clone()));
                told.raw(event);
            }
        }
        for class in world.classes() {
            let followed = self.classes.contains(class);
            for record in world.of(class) {
                if !followed {
                    told.dropped(class.clone(), record.reference.clone());
                } else if !seen.contains(&(class.clone(), record.reference.clone())) {
                    told.deleted(class.clone(), record.reference.clone(), 0);
                }
            }
        }
        told.alerts.picture(messages);
        told.events.retain(|event| event.class().is_none_or(|class| known.contains(class)));
        let differences = told.events.len();
        let begun: Vec<SmolStr> =
            self.classes.iter().filter(|class| !known.contains(*class)).cloned().collect();
        let objects = seen.iter().filter(|(class, _)| class != "message").count();
        told.events.push(Event::Resync(Resync { first: known.is_empty(), objects, differences, begun }));
        let next = Stream {
            classes: self.classes.clone(),
            token: batch.token,
            phase: Phase::Live,
            suspects: BTreeMap::new(),
            alerts: told.alerts,
        };
        Step { events: told.events, changes: told.changes, next }
    }

    fn listing(&self, world: &World, class: &SmolStr, references: Vec<SmolStr>) -> Step {
        let valid: HashSet<SmolStr> = references.into_iter().collect();
        let mut told = Telling::new(world, Origin::Resync, true, self.alerts.clone());
        for record in world.of(class) {
            if !valid.contains(&record.reference) {
                told.deleted(class.clone(), record.reference.clone(), 0);
            }
        }
        // The listing is newer than our token: what it has and we have not is most likely on its way to us. Only what
        // stays unseen until the next listing was never told, and only the whole picture brings it.
        let unseen: BTreeSet<SmolStr> =
            valid.into_iter().filter(|reference| world.get(class, reference).is_none()).collect();
        let before = self.suspects.get(class);
        let never_told = before.is_some_and(|before| !before.is_disjoint(&unseen));
        let mut suspects = self.suspects.clone();
        suspects.remove(class);
        if !unseen.is_empty() {
            suspects.insert(class.clone(), unseen);
        }
        let next = if never_told {
            self.after_new_session()
        } else {
            Stream { phase: Phase::Live, suspects, ..self.clone() }
        };
        Step { events: told.events, changes: told.changes, next }
    }
}

fn wire_name(class: &SmolStr) -> SmolStr {
    schema::class(class).map_or_else(|| class.clone(), |known| SmolStr::new_static(known.name))
}

/// Collects what one step tells, on top of a world that is not touched.
struct Telling<'w> {
    world: &'w World,
    /// Objects that this step has already changed; none means deleted.
    touched: BTreeMap<(SmolStr, SmolStr), Option<Arc<Record>>>,
    /// By how much this step changes the number of objects of a class.
    growth: BTreeMap<SmolStr, i64>,
    origin: Origin,
    gap: bool,
    alerts: Told,
    events: Vec<Event>,
    changes: Vec<WorldChange>,
}

impl<'w> Telling<'w> {
    fn new(world: &'w World, origin: Origin, gap: bool, alerts: Told) -> Self {
        Telling {
            world,
            touched: BTreeMap::new(),
            growth: BTreeMap::new(),
            origin,
            gap,
            alerts,
            events: Vec::new(),
            changes: Vec::new(),
        }
    }

    fn count(&self, class: &SmolStr) -> i64 {
        let before = i64::try_from(self.world.count(class)).unwrap_or(i64::MAX);
        before + self.growth.get(class).copied().unwrap_or(0)
    }

    fn known(&self, class: &SmolStr, reference: &SmolStr) -> Option<Arc<Record>> {
        match self.touched.get(&(class.clone(), reference.clone())) {
            Some(record) => record.clone(),
            None => self.world.get(class, reference).cloned(),
        }
    }

    fn raw(&mut self, event: RawEvent) {
        let class = wire_name(&event.class);
        if class == "message" {
            self.alert(event);
            return;
        }
        match event.snapshot.filter(|_| event.operation != Operation::Deleted) {
            Some(record) => self.seen(class, record, event.generation),
            None => self.deleted(class, event.reference, event.generation),
        }
    }

    fn seen(&mut self, class: SmolStr, new: Arc<Record>, generation: i64) {
        let old = self.known(&class, &new.reference);
        let (operation, changed) = match &old {
            None => (Operation::Added, Vec::new()),
            Some(old) => (Operation::Modified, new.changed_since(old)),
        };
        // Touched, injected or told twice: no difference, no event.
        if operation == Operation::Modified && changed.is_empty() {
            return;
        }
        if old.is_none() {
            *self.growth.entry(class.clone()).or_default() += 1;
        }
        self.touched.insert((class.clone(), new.reference.clone()), Some(Arc::clone(&new)));
        self.changes.push(WorldChange::Put(Arc::clone(&new)));
        let outcome = (class == "task").then(|| self.task_ended(old.as_deref(), &new)).flatten();
        self.events.push(Event::Change(Change {
            reference: new.reference.clone(),
            class,
            operation,
            old,
            new: Some(new),
            changed,
            generation,
            origin: self.origin,
            gap: self.gap,
        }));
        self.events.extend(outcome);
    }

    fn deleted(&mut self, class: SmolStr, reference: SmolStr, generation: i64) {
        // Objects that came and went between two polls are named without ever having been seen.
        let Some(old) = self.known(&class, &reference) else { return };
        *self.growth.entry(class.clone()).or_default() -= 1;
        self.touched.insert((class.clone(), reference.clone()), None);
        self.changes.push(WorldChange::Remove { class: class.clone(), reference: reference.clone() });
        let lost = (class == "task" && ending(&old).is_none()).then(|| self.outcome(&old, Ending::Lost));
        self.events.push(Event::Change(Change {
            class,
            reference,
            operation: Operation::Deleted,
            old: Some(old),
            new: None,
            changed: Vec::new(),
            generation,
            origin: self.origin,
            gap: self.gap,
        }));
        self.events.extend(lost);
    }

    /// Alerts are no objects to be kept: they are told once, when they are new, and their removal is nobody's news.
    fn alert(&mut self, event: RawEvent) {
        if let Some(record) = event.snapshot
            && event.operation != Operation::Deleted
            && self.alerts.is_new(&record, self.origin)
        {
            self.events.push(Event::Alert(Alert::of(&record, self.origin)));
        }
    }

    /// Takes an object out of the world because nobody asks for its class any more.
    fn dropped(&mut self, class: SmolStr, reference: SmolStr) {
        self.changes.push(WorldChange::Remove { class, reference });
    }

    fn task_ended(&self, old: Option<&Record>, new: &Record) -> Option<Event> {
        if old.is_some_and(|old| ending(old).is_some()) {
            return None;
        }
        ending(new).map(|ending| self.outcome(new, ending))
    }

    fn outcome(&self, task: &Record, ending: Ending) -> Event {
        Event::Task(TaskOutcome {
            reference: task.reference.clone(),
            uuid: task.text("uuid").into(),
            name: task.text("name_label").into(),
            ending,
            other_config: task.get("other_config").and_then(Value::as_struct).cloned().unwrap_or_default(),
            origin: self.origin,
            gap: self.gap,
        })
    }
}
