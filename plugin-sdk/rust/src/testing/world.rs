//! The world of a test.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::answer::{Answer, Answers};
use super::delivery::{Delivery, What};
use super::manifest::Manifest;
use super::records::Records;
use super::schema;
use crate::{Alert, Connection, Ending, Moment, Plugin, Reference, TaskOutcome, Tick};

/// When things happen, until the test says otherwise.
const BEGINNING: &str = "2026-01-02T03:04:05Z";

/// A small pool for one plugin, with the plugin's settings and store. It lives from delivery to delivery, as a pool does.
///
/// All of its functions panic, with what is wrong and what was probably meant, when they are given what XAPI or the manifest
/// does not have.
pub struct World<P> {
    pub(super) manifest: Manifest,
    pub(super) records: Records,
    pub(super) settings: Map<String, Json>,
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) stored: BTreeMap<String, Vec<u8>>,
    pub(super) answers: Answers,
    pub(super) now: Moment,
    pub(super) sequence: u64,
    of: PhantomData<P>,
}

impl<P: Plugin> World<P> {
    /// A world from TOML: a `[[CLASS]]` for each object with its fields by XAPI's names.
    ///
    /// References name their object by its `name_label`, or by its `uuid` where it has no name. Maps are tables, dates are
    /// texts. Fields that XAPI keeps are filled in: a VM's `VBDs`, where each VBD says its `VM`.
    #[track_caller]
    #[must_use]
    pub fn new(world: &str) -> World<P> {
        let manifest = told(Manifest::parse(P::MANIFEST));
        let records = Records::parse(world)
            .unwrap_or_else(|problems| panic!("the world is not right:\n  {}", problems.join("\n  ")));
        World {
            settings: manifest.defaults(),
            manifest,
            records,
            secrets: BTreeMap::new(),
            stored: BTreeMap::new(),
            answers: Answers::default(),
            now: Moment::from_wire(BEGINNING.to_owned()),
            sequence: 0,
            of: PhantomData,
        }
    }

    /// Sets one of the manifest's settings.
    #[track_caller]
    pub fn setting(&mut self, name: &str, value: impl Into<Json>) -> &mut Self {
        told(self.manifest.knows("settings", name));
        self.settings.insert(name.to_owned(), value.into());
        self
    }

    /// Gives one of the manifest's secrets.
    #[track_caller]
    pub fn secret(&mut self, name: &str, value: &str) -> &mut Self {
        told(self.manifest.knows("secrets", name));
        self.secrets.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Says what the pool answers to a method, `VM.start`, whether it is called or started as a task. Given several times,
    /// the answers come in this order, and the last one stays. Without one a call succeeds.
    #[track_caller]
    pub fn answer(&mut self, method: &str, answer: Answer) -> &mut Self {
        told(schema::method(method));
        self.answers.give(method, answer);
        self
    }

    /// Says when the next things happen, RFC 3339: `2026-01-02T03:04:05Z`, which is also when a world begins.
    #[track_caller]
    pub fn at(&mut self, moment: &str) -> &mut Self {
        self.now = told(moment.parse::<Moment>());
        self
    }

    /// Writes into the plugin's store, as an earlier delivery would have by `store::set_json`.
    #[track_caller]
    pub fn store(&mut self, key: &str, value: impl Serialize) -> &mut Self {
        self.stored.insert(key.to_owned(), told(serde_json::to_vec(&value)));
        self
    }

    /// What the plugin's store holds under a key that `store::set_json` has written; `None` when it was never set.
    #[track_caller]
    pub fn stored<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.stored.get(key).map(|bytes| told(serde_json::from_slice(bytes)))
    }

    /// The keys in the plugin's store, in order.
    pub fn keys(&self) -> Vec<&str> {
        self.stored.keys().map(String::as_str).collect()
    }

    /// Sets a field of an object without telling the plugin: what was the case before anything happened.
    #[track_caller]
    pub fn set(&mut self, class: &str, name: &str, field: &str, value: impl Into<Json>) -> &mut Self {
        let class = told(schema::class(class));
        let reference = told(self.records.named(class.name, name)).reference.clone();
        told(self.records.set(&reference, class, field, &value.into()));
        self.records.relate();
        self
    }

    /// An object changes: say by [`set`](Delivery::set) in what.
    #[track_caller]
    pub fn modify(&mut self, class: &str, name: &str) -> Delivery<'_, P> {
        let class = told(schema::class(class));
        let reference = told(self.records.named(class.name, name)).reference.clone();
        Delivery::of(self, What::Modified(class, reference))
    }

    /// An object appears: say its fields by [`set`](Delivery::set).
    #[track_caller]
    pub fn add(&mut self, class: &str, name: &str) -> Delivery<'_, P> {
        let class = told(schema::class(class));
        let key = if class.field("name_label").is_ok() { "name_label" } else { "uuid" };
        Delivery::of(self, What::Added(class)).set(key, name)
    }

    /// An object goes away.
    #[track_caller]
    pub fn delete(&mut self, class: &str, name: &str) -> Delivery<'_, P> {
        let class = told(schema::class(class));
        let reference = told(self.records.named(class.name, name)).reference.clone();
        Delivery::of(self, What::Deleted(reference))
    }

    /// A schedule of the manifest is due, by the name of its subscription.
    pub fn tick(&mut self, subscription: &str) -> Delivery<'_, P> {
        let due = self.now.clone();
        Delivery::of(self, What::Tick(Tick { schedule: subscription.to_owned(), due }))
    }

    /// The pool raises an alert about an object, of the most pressing priority unless
    /// [`priority`](Delivery::priority) says otherwise.
    #[track_caller]
    pub fn alert(&mut self, name: &str, class: &str, object: &str) -> Delivery<'_, P> {
        let class = told(schema::class(class)).name;
        let uuid = told(self.records.named(class, object)).text("uuid").unwrap_or_default().to_owned();
        // In alerts XAPI writes VM, Host, Pool.
        let class = if class.starts_with(|letter: char| letter.is_ascii_lowercase()) {
            class[..1].to_ascii_uppercase() + &class[1..]
        } else {
            class.to_owned()
        };
        let alert = Alert { name: name.to_owned(), priority: 1, class, uuid, body: String::new() };
        Delivery::of(self, What::Alert(alert))
    }

    /// A task of the pool ends.
    pub fn task(&mut self, name: &str, ending: Ending) -> Delivery<'_, P> {
        let reference = Reference("ref:task".to_owned());
        let outcome = TaskOutcome { reference, name: name.to_owned(), ending, started_by: None };
        Delivery::of(self, What::Task(outcome))
    }

    /// The connection to the pool changes.
    pub fn connection(&mut self, connection: Connection) -> Delivery<'_, P> {
        Delivery::of(self, What::Connection(connection))
    }
}

impl<P> fmt::Debug for World<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("plugin", &self.manifest.name).finish_non_exhaustive()
    }
}

/// In a test what is wrong ends the test.
#[track_caller]
pub(super) fn told<T, E: fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|why| panic!("{why}"))
}
