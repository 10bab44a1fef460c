//! The event stream against a small server that forgets deletions, folds changes, restarts, and goes back in time as a
//! failover to an old copy does. Whatever happens: the world becomes the server's, every difference is told once, and
//! no event contradicts what was told before.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use smol_str::SmolStr;
use xapi::events::{Batch, Event, Input, Operation, RawEvent, Request, Stream};
use xapi::model::{Record, World};
use xapi::{Struct, Value};

/// Deletions that the server remembers.
const REMEMBERED: usize = 3;
const SEEDS: u64 = 3000;

#[derive(Clone, Debug)]
struct Row {
    value: u64,
    created: i64,
    modified: i64,
}

#[derive(Clone, Debug, Default)]
struct Server {
    generation: i64,
    rows: BTreeMap<String, Row>,
    graves: Vec<(String, i64, i64)>,
    next: u64,
    session: u64,
    /// An older state, as another member may hold it.
    copy: Option<Box<Server>>,
}

impl Server {
    fn create(&mut self, value: u64) {
        self.generation += 1;
        self.next += 1;
        let row = Row { value, created: self.generation, modified: self.generation };
        self.rows.insert(format!("OpaqueRef:{}", self.next), row);
    }

    fn modify(&mut self, which: u64, value: u64) {
        let Some(name) = self.pick(which) else { return };
        self.generation += 1;
        let row = self.rows.get_mut(&name).unwrap();
        (row.value, row.modified) = (value, self.generation);
    }

    /// What `event.inject` does: a change without a difference.
    fn touch(&mut self, which: u64) {
        let Some(name) = self.pick(which) else { return };
        self.generation += 2;
        self.rows.get_mut(&name).unwrap().modified = self.generation - 1;
    }

    fn delete(&mut self, which: u64) {
        let Some(name) = self.pick(which) else { return };
        self.generation += 1;
        let row = self.rows.remove(&name).unwrap();
        self.graves.push((name, row.created, self.generation));
        if self.graves.len() > REMEMBERED {
            self.graves.remove(0);
        }
    }

    fn pick(&self, which: u64) -> Option<String> {
        let index = usize::try_from(which).unwrap().checked_rem(self.rows.len())?;
        self.rows.keys().nth(index).cloned()
    }

    /// A restart stamps all rows and forgets deletions; sessions end.
    fn restart(&mut self) {
        self.graves.clear();
        for row in self.rows.values_mut() {
            (row.created, row.modified) = (self.generation, self.generation);
        }
        self.session += 1;
    }

    /// Another member takes over with what it had copied. References that were given since may be given again to others
    /// in a real pool never, so numbers go on.
    fn fail_over(&mut self, keeps_session: bool) {
        let Some(copy) = self.copy.clone() else { return };
        let (next, session) = (self.next, self.session);
        *self = *copy;
        (self.next, self.session) = (next, session);
        self.restart();
        if keeps_session {
            self.session = session;
        }
    }

    fn from(&self, token: &str) -> Batch {
        let position: i64 = token.get(..20).map_or(0, |digits| digits.parse().unwrap());
        let mut events = Vec::new();
        let mut last = position;
        for (name, row) in self.rows.iter().filter(|(_, row)| row.modified > position) {
            let operation = if row.created > position { Operation::Added } else { Operation::Modified };
            last = last.max(row.modified);
            events.push(raw(operation, row.modified, name, Some(row.value)));
        }
        for (name, created, deleted) in &self.graves {
            if *deleted > position && *created <= position {
                last = last.max(*deleted);
                events.push(raw(Operation::Deleted, *deleted, name, None));
            }
        }
        events.sort_by_key(|event| event.generation);
        Batch {
            events,
            counts: [(SmolStr::new("vm"), i64::try_from(self.rows.len()).unwrap())].into(),
            token: format!("{last:020},{:020}", 0).into(),
        }
    }
}

fn raw(operation: Operation, generation: i64, name: &str, value: Option<u64>) -> RawEvent {
    let snapshot = value.map(|value| {
        let fields: Struct = [("uuid", Value::from(name)), ("name_label", value.to_string().into())]
            .into_iter()
            .map(|(field, value)| (field.into(), value))
            .collect();
        Record::new("VM", name, fields).into()
    });
    RawEvent { generation, class: "vm".into(), operation, reference: name.into(), snapshot }
}

/// The client: its stream and world, and what a listener was told.
struct Client {
    stream: Stream,
    world: World,
    told: BTreeMap<String, Option<String>>,
    session: u64,
    first: bool,
}

impl Client {
    fn look(&mut self, server: &Server) {
        if self.session != server.session {
            self.session = server.session;
            self.stream = self.stream.after_new_session();
        }
        let input = match self.stream.request() {
            Request::Poll { token, .. } => Input::Batch(server.from(&token)),
            Request::List { class } => {
                Input::Listing { class, references: server.rows.keys().map(SmolStr::new).collect() }
            }
        };
        let step = self.stream.step(&self.world, input);
        for event in &step.events {
            self.hear(event);
        }
        for change in step.changes {
            change.apply(&mut self.world);
        }
        self.stream = step.next;
        if std::mem::take(&mut self.first) {
            // The first picture is told as one; a listener looks at the world then.
            self.told = self.world.of("VM").map(|vm| (vm.reference.to_string(), Some(name(vm)))).collect();
        }
    }

    fn send_canary(&mut self, server: &mut Server) {
        server.create(7);
        if self.stream.is_ahead_of(&format!("{:020},{:020}", server.generation - 1, 0)) {
            self.stream = self.stream.after_new_session();
        }
    }

    fn hear(&mut self, event: &Event) {
        let Event::Change(change) = event else { return };
        let before = change.old.as_deref().map(name);
        let after = change.new.as_deref().map(name);
        let known = self.told.insert(change.reference.to_string(), after.clone()).flatten();
        assert_eq!(known, before, "{event:?} contradicts what was told");
        assert_ne!(before, after, "{event:?} tells nothing");
    }
}

fn name(vm: &Record) -> String {
    vm.text("name_label").to_owned()
}

fn run(seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut server = Server { generation: 1, ..Server::default() };
    for value in 0..random(6) {
        server.create(value);
    }
    let mut client = Client {
        stream: Stream::new(["VM".into()]),
        world: World::new(),
        told: BTreeMap::new(),
        session: 0,
        first: true,
    };
    client.look(&server);
    for _ in 0..random(80) {
        match random(20) {
            0..=3 => server.create(random(1000)),
            4..=9 => server.modify(random(100), random(1000)),
            10..=13 => server.delete(random(100)),
            14 => server.touch(random(100)),
            15 if random(3) == 0 => server.restart(),
            16 => server.copy = Some(Box::new(Server { copy: None, ..server.clone() })),
            17 if random(2) == 0 => {
                let keeps_session = random(2) == 0;
                server.fail_over(keeps_session);
                // No session outlives a failover as far as we know. If one did, only a change of our own would show it,
                // made before the generations of now reach those of before.
                if keeps_session {
                    client.send_canary(&mut server);
                }
            }
            _ => client.look(&server),
        }
    }
    // In the end a few looks bring everything.
    for _ in 0..8 {
        client.look(&server);
    }
    let there: BTreeMap<String, String> =
        server.rows.iter().map(|(name, row)| (name.clone(), row.value.to_string())).collect();
    let here: BTreeMap<String, String> =
        client.world.of("VM").map(|vm| (vm.reference.to_string(), name(vm))).collect();
    assert_eq!(here, there, "the world");
    let told: BTreeMap<String, String> =
        client.told.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
    assert_eq!(told, there, "what was told");
}

#[test]
fn whatever_happens_the_world_becomes_the_servers_and_every_difference_is_told_once() {
    for seed in 1..=SEEDS {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("with seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
