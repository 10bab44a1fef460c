//! A pool as its event interface shows it: rows with generations, deletions that are forgotten, and answers that are drawn while
//! the database goes on.

use std::collections::{BTreeMap, BTreeSet};

use seeds::{RngExt as _, StdRng};
use smol_str::SmolStr;
use xapi::events::{Batch, Operation, RawEvent};
use xapi::model::Record;
use xapi::{Struct, Value};

/// Deletions that the server remembers.
const REMEMBERED: usize = 3;

/// The classes that it has.
pub(crate) const CLASSES: [&str; 2] = ["VM", "task"];

/// What an object is: its value, and whether it is a task that has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) value: u64,
    pub(crate) ended: bool,
}

impl Shape {
    pub(crate) fn of(record: &Record) -> Self {
        Shape { value: record.text("name_label").parse().unwrap(), ended: record.text("status") == "success" }
    }
}

/// Objects by class and reference.
pub(crate) type Objects = BTreeMap<(SmolStr, SmolStr), Shape>;

#[derive(Clone, Debug)]
struct Row {
    class: &'static str,
    shape: Shape,
    created: i64,
    modified: i64,
}

#[derive(Clone, Debug)]
struct Grave {
    class: &'static str,
    name: SmolStr,
    created: i64,
    deleted: i64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    generation: i64,
    rows: BTreeMap<SmolStr, Row>,
    graves: Vec<Grave>,
    /// Objects whose deletion no answer tells of any more.
    forgotten: BTreeSet<SmolStr>,
    next: u64,
    session: u64,
    /// Whether the last answer was drawn while something happened.
    disturbed: bool,
    /// Nothing happens any more.
    quiet: bool,
    /// An older state, as another member may hold it.
    copy: Option<Box<Server>>,
}

/// An answer, with what the pool was when it was drawn.
pub(crate) struct Answer {
    pub(crate) batch: Batch,
    pub(crate) truth: Objects,
}

impl Server {
    /// One that has a few objects.
    pub(crate) fn new(random: &mut StdRng) -> Self {
        let mut server = Server { generation: 1, ..Server::default() };
        for _ in 0..random.random_range(0..6) {
            server.create(random);
        }
        server
    }

    /// Lets nothing happen any more while it answers.
    pub(crate) fn be_quiet(&mut self) {
        self.quiet = true;
    }

    /// The session that it takes for good.
    pub(crate) fn session(&self) -> u64 {
        self.session
    }

    /// Whether an object is gone and its deletion is told to nobody.
    pub(crate) fn has_forgotten(&self, name: &str) -> bool {
        self.forgotten.contains(name)
    }

    /// What it holds of these classes.
    pub(crate) fn objects(&self, classes: &[SmolStr]) -> Objects {
        let followed = self.rows.iter().filter(|(_, row)| classes.iter().any(|class| class == row.class));
        followed.map(|(name, row)| ((row.class.into(), name.clone()), row.shape)).collect()
    }

    /// One of the things that happen in a pool by itself.
    pub(crate) fn happen(&mut self, random: &mut StdRng) {
        match random.random_range(0..14) {
            0..=3 => self.create(random),
            4..=8 => self.modify(random),
            9..=12 => self.delete(random),
            _ => self.touch(random),
        }
    }

    fn create(&mut self, random: &mut StdRng) {
        self.generation += 1;
        self.next += 1;
        let class = CLASSES[random.random_range(0..CLASSES.len())];
        let shape =
            Shape { value: random.random_range(0..5), ended: class == "task" && random.random_ratio(1, 5) };
        let row = Row { class, shape, created: self.generation, modified: self.generation };
        self.rows.insert(format!("OpaqueRef:{}", self.next).into(), row);
    }

    fn modify(&mut self, random: &mut StdRng) {
        let Some(name) = self.pick(random) else { return };
        self.generation += 1;
        let row = self.rows.get_mut(&name).unwrap();
        row.modified = self.generation;
        row.shape.value = random.random_range(0..5);
        row.shape.ended |= row.class == "task" && random.random_ratio(1, 3);
    }

    /// What `event.inject` does: a change without a difference.
    fn touch(&mut self, random: &mut StdRng) {
        let Some(name) = self.pick(random) else { return };
        self.generation += 2;
        self.rows.get_mut(&name).unwrap().modified = self.generation - 1;
    }

    fn delete(&mut self, random: &mut StdRng) {
        let Some(name) = self.pick(random) else { return };
        self.generation += 1;
        let Row { class, created, .. } = self.rows.remove(&name).unwrap();
        self.graves.push(Grave { class, name, created, deleted: self.generation });
        if self.graves.len() > REMEMBERED {
            self.forgotten.insert(self.graves.remove(0).name);
        }
    }

    fn pick(&self, random: &mut StdRng) -> Option<SmolStr> {
        let names: Vec<&SmolStr> = self.rows.keys().collect();
        (!names.is_empty()).then(|| names[random.random_range(0..names.len())].clone())
    }

    /// A restart stamps all rows and forgets deletions; sessions end.
    pub(crate) fn restart(&mut self) {
        self.forgotten.extend(self.graves.drain(..).map(|grave| grave.name));
        for row in self.rows.values_mut() {
            (row.created, row.modified) = (self.generation, self.generation);
        }
        self.session += 1;
    }

    /// Another member copies the database as it is now.
    pub(crate) fn be_copied(&mut self) {
        self.copy = Some(Box::new(Server { copy: None, ..self.clone() }));
    }

    /// Another member takes over with what it had copied; false when there is none. References that were given since are given
    /// again in a real pool never, so numbers go on.
    pub(crate) fn fail_over(&mut self, keeps_session: bool) -> bool {
        let Some(copy) = self.copy.clone() else { return false };
        let (next, session) = (self.next, self.session);
        *self = *copy;
        (self.next, self.session) = (next, session);
        self.restart();
        if keeps_session {
            self.session = session;
        }
        true
    }

    /// A change of our own, and the position from which it is told.
    pub(crate) fn canary(&mut self, random: &mut StdRng) -> SmolStr {
        let before = self.generation;
        self.create(random);
        token(before)
    }

    /// The answer to a poll. Now and then something happens while it is drawn, so that it counts more or fewer objects than it
    /// tells of, or a whole picture lacks an object; never twice in a row.
    pub(crate) fn poll(&mut self, from: &str, classes: &[SmolStr], random: &mut StdRng) -> Answer {
        let truth = self.objects(classes);
        let mut batch = self.told(from, classes);
        let may = !std::mem::take(&mut self.disturbed) && !self.quiet;
        if may && random.random_ratio(1, 8) {
            self.disturbed = true;
            if from.is_empty() && !batch.events.is_empty() && random.random() {
                batch.events.remove(random.random_range(0..batch.events.len()));
            } else {
                self.happen(random);
            }
        }
        batch.counts = CLASSES
            .iter()
            .map(|class| {
                let count = self.rows.values().filter(|row| row.class == *class).count();
                (class.to_lowercase().into(), i64::try_from(count).unwrap())
            })
            .collect();
        Answer { batch, truth }
    }

    fn told(&self, from: &str, classes: &[SmolStr]) -> Batch {
        let position: i64 = from.get(..20).map_or(0, |digits| digits.parse().unwrap());
        let followed = |class: &str| classes.iter().any(|followed| followed == class);
        let mut events = Vec::new();
        for (name, row) in self.rows.iter().filter(|(_, row)| row.modified > position && followed(row.class))
        {
            let operation = if row.created > position { Operation::Added } else { Operation::Modified };
            events.push(raw(row.class, operation, row.modified, name, Some(row.shape)));
        }
        let dug =
            |grave: &&Grave| grave.deleted > position && grave.created <= position && followed(grave.class);
        for grave in self.graves.iter().filter(dug) {
            events.push(raw(grave.class, Operation::Deleted, grave.deleted, &grave.name, None));
        }
        events.sort_by_key(|event| event.generation);
        let last = events.last().map_or(position, |event| event.generation.max(position));
        Batch { events, counts: BTreeMap::new(), token: token(last) }
    }
}

fn token(generation: i64) -> SmolStr {
    format!("{generation:020},{:020}", 0).into()
}

fn raw(class: &str, operation: Operation, generation: i64, name: &str, shape: Option<Shape>) -> RawEvent {
    let snapshot = shape.map(|shape| {
        let status = if shape.ended { "success" } else { "pending" };
        let mut fields = vec![("uuid", Value::from(name)), ("name_label", shape.value.to_string().into())];
        if class == "task" {
            fields.push(("status", status.into()));
        }
        let fields: Struct = fields.into_iter().map(|(field, value)| (field.into(), value)).collect();
        Record::new(class, name, fields).into()
    });
    RawEvent { generation, class: class.to_lowercase().into(), operation, reference: name.into(), snapshot }
}
