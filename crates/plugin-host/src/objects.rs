//! The interface `objects`: the pool as last seen, as far as the grant shows it. Nothing here reaches the pool.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use smol_str::SmolStr;
use wasmtime::component::Resource;
use xapi::Value as Raw;
use xapi::model::{Class, Record, Type, schema};

use crate::contract::xapiary::plugin::objects::{Host, HostObject, Page};
use crate::contract::xapiary::plugin::types::{Error, Value};
use crate::convert::{Age, json, outward};
use crate::fault;
use crate::sandbox::Sandbox;
use crate::stop::Stop;
use grant::condition::{Condition, Scope, Uses, Wording};
use grant::nearest::hint;
use grant::{Visible, is_null};

/// Most objects in one page of `find`.
const PAGE_MAX: u32 = 1000;
/// Records taken from the world at a time.
const CHUNK: usize = 256;
/// Work on a plugin's behalf before others get a turn.
const TURN: Duration = Duration::from_millis(1);
/// A plugin's filter may loop over a field, but not loop within a loop: a filter runs in the host, unmetered.
const NESTING: usize = 1;

/// A record as a plugin holds it.
#[derive(Debug, Clone)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct ObjectView {
    pub(crate) record: Arc<Record>,
}

impl ObjectView {
    fn class(&self) -> Option<&'static Class> {
        schema::class(&self.record.class)
    }
}

impl HostObject for Sandbox {
    async fn class(&mut self, this: Resource<ObjectView>) -> wasmtime::Result<String> {
        self.enter("object.class")?;
        Ok(self.held(&this)?.record.class.to_string())
    }

    async fn reference(&mut self, this: Resource<ObjectView>) -> wasmtime::Result<String> {
        self.enter("object.reference")?;
        let record = Arc::clone(&self.held(&this)?.record);
        Ok(self.handles.issue(&record.class, &record.reference))
    }

    async fn uuid(&mut self, this: Resource<ObjectView>) -> wasmtime::Result<Option<String>> {
        self.enter("object.uuid")?;
        Ok(self.held(&this)?.record.uuid().map(str::to_owned))
    }

    async fn fields(&mut self, this: Resource<ObjectView>) -> wasmtime::Result<Vec<String>> {
        self.enter("object.fields")?;
        let record = &self.held(&this)?.record;
        let visible = self.terms.grant.visible(&record.class);
        Ok(record
            .iter()
            .filter(|(name, _)| visible.is_some_and(|visible| visible.shows(name)))
            .map(|(name, _)| name.to_string())
            .collect())
    }

    async fn get(
        &mut self,
        this: Resource<ObjectView>,
        field: String,
    ) -> wasmtime::Result<Result<Value, Error>> {
        self.enter("object.get")?;
        let view = self.held(&this)?.clone();
        self.reads(&view.record.class, &field);
        let kind = match self.field(&view, &field) {
            Ok(kind) => kind,
            Err(error) => return Ok(Err(error)),
        };
        Ok(Ok(match view.record.get(&field) {
            Some(value) => outward(kind, value, &mut self.handles, Age::Seen),
            None => Value::Nothing,
        }))
    }

    async fn follow(
        &mut self,
        this: Resource<ObjectView>,
        field: String,
    ) -> wasmtime::Result<Result<Vec<Resource<ObjectView>>, Error>> {
        self.enter("object.follow")?;
        let view = self.held(&this)?.clone();
        self.reads(&view.record.class, &field);
        let class = match self.field(&view, &field) {
            Ok(Some(Type::Ref(class) | Type::Set(Type::Ref(class)))) => *class,
            Ok(_) => {
                let advice = "only a field that holds references can be followed";
                return Ok(Err(fault::invalid("NO_REFERENCE", &field, advice)));
            }
            Err(error) => return Ok(Err(error)),
        };
        self.reads(class, "uuid");
        if self.terms.grant.visible(class).is_none() {
            return Ok(Ok(Vec::new()));
        }
        let references: Vec<&str> = match view.record.get(&field) {
            Some(Raw::Array(elements)) => elements.iter().filter_map(Raw::as_str).collect(),
            Some(value) => value.as_str().into_iter().collect(),
            None => Vec::new(),
        };
        let records: Vec<Arc<Record>> = {
            let world = self.pool.world().read().unwrap_or_else(PoisonError::into_inner);
            references.iter().filter_map(|reference| world.get(class, reference)).map(Arc::clone).collect()
        };
        records
            .into_iter()
            .map(|record| self.hand_out(ObjectView { record }))
            .collect::<Result<Vec<_>, _>>()
            .map(Ok)
    }

    async fn to_json(&mut self, this: Resource<ObjectView>) -> wasmtime::Result<String> {
        self.enter("object.to-json")?;
        let view = self.held(&this)?.clone();
        let class = view.class();
        let mut object = serde_json::Map::new();
        for (name, value) in view.record.iter() {
            if self.terms.grant.visible(&view.record.class).is_some_and(|visible| visible.shows(name)) {
                self.reads(&view.record.class, name);
                let kind = class.and_then(|class| class.field(name)).map(|field| &field.kind);
                object.insert(name.to_string(), json(kind, value, &mut self.handles, Age::Seen));
            }
        }
        Ok(Json::Object(object).to_string())
    }

    async fn drop(&mut self, this: Resource<ObjectView>) -> wasmtime::Result<()> {
        self.take_back(this)
    }
}

impl Host for Sandbox {
    async fn find(
        &mut self,
        class: String,
        filter: String,
        limit: u32,
        after: Option<String>,
    ) -> wasmtime::Result<Result<Page, Error>> {
        self.enter("objects.find")?;
        let begun = Instant::now();
        let search = self.search(&class, &filter, limit, after.as_deref());
        // Compiling a filter takes milliseconds, and a wrong one no less.
        self.end_turn(begun).await?;
        let search = match search {
            Ok(search) => search,
            Err(error) => return Ok(Err(error)),
        };
        let found = self.run(search).await?;
        let next = match (&found.more, found.records.last()) {
            (true, Some(last)) => Some(self.handles.issue(&last.class, &last.reference)),
            _ => None,
        };
        let objects = found
            .records
            .into_iter()
            .map(|record| self.hand_out(ObjectView { record }))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Ok(Page { objects, next }))
    }

    async fn by_reference(
        &mut self,
        reference: String,
    ) -> wasmtime::Result<Result<Option<Resource<ObjectView>>, Error>> {
        self.enter("objects.by-reference")?;
        let known = match self.handles.resolve(&reference) {
            Ok(known) => known.clone(),
            Err(why) => return Ok(Err(fault::bad_reference(&reference, why))),
        };
        let record = {
            let world = self.pool.world().read().unwrap_or_else(PoisonError::into_inner);
            if known.class.is_empty() {
                // An error's parameter: its class was not told.
                let classes: Vec<SmolStr> = world.classes().cloned().collect();
                classes.iter().find_map(|class| world.get(class, &known.reference)).map(Arc::clone)
            } else {
                world.get(&known.class, &known.reference).map(Arc::clone)
            }
        };
        self.one(record)
    }

    async fn by_uuid(
        &mut self,
        class: String,
        uuid: String,
    ) -> wasmtime::Result<Result<Option<Resource<ObjectView>>, Error>> {
        self.enter("objects.by-uuid")?;
        let class = match self.class_named(&class) {
            Ok(class) => class,
            Err(error) => return Ok(Err(error)),
        };
        let record = {
            let world = self.pool.world().read().unwrap_or_else(PoisonError::into_inner);
            world.by_uuid(class.name, &uuid).map(Arc::clone)
        };
        self.one(record)
    }

    async fn by_name_label(
        &mut self,
        class: String,
        name: String,
    ) -> wasmtime::Result<Result<Vec<Resource<ObjectView>>, Error>> {
        self.enter("objects.by-name-label")?;
        let class = match self.class_named(&class) {
            Ok(class) => class,
            Err(error) => return Ok(Err(error)),
        };
        if class.field("name_label").is_none() {
            let advice = format!("objects of class {} have no name", class.name);
            return Ok(Err(fault::invalid("NO_NAME", class.name, advice)));
        }
        // Asking by name tells the name.
        self.reads(class.name, "name_label");
        if !self.terms.grant.visible(class.name).is_some_and(|visible| visible.shows("name_label")) {
            return Ok(Err(self.hidden(class.name, Some("name_label"))));
        }
        let records: Vec<Arc<Record>> = {
            let world = self.pool.world().read().unwrap_or_else(PoisonError::into_inner);
            world.of(class.name).filter(|record| record.text("name_label") == name).map(Arc::clone).collect()
        };
        records
            .into_iter()
            .map(|record| self.hand_out(ObjectView { record }))
            .collect::<Result<Vec<_>, _>>()
            .map(Ok)
    }
}

/// A `find` that makes sense.
struct Search {
    class: &'static Class,
    filter: Option<Condition>,
    limit: usize,
    after: SmolStr,
}

struct Found {
    records: Vec<Arc<Record>>,
    more: bool,
}

impl Sandbox {
    /// A field's type, when the plugin may see it.
    fn field(&self, view: &ObjectView, field: &str) -> Result<Option<&'static Type>, Error> {
        let class = view.class();
        let known = class.and_then(|class| class.field(field));
        if known.is_none() && view.record.get(field).is_none() {
            let names = class.into_iter().flat_map(|class| class.fields.iter().map(|field| field.name));
            let advice = format!("class {} has no field `{field}`{}", view.record.class, hint(field, names));
            return Err(fault::invalid("UNKNOWN_FIELD", field, advice));
        }
        if !self.terms.grant.visible(&view.record.class).is_some_and(|visible| visible.shows(field)) {
            return Err(self.hidden(&view.record.class, Some(field)));
        }
        Ok(known.map(|field| &field.kind))
    }

    /// A class by its name, when the plugin may see something of it.
    fn class_named(&mut self, name: &str) -> Result<&'static Class, Error> {
        let Some(class) = schema::class(name) else {
            let hint = hint(name, schema::classes().iter().map(|class| class.name));
            return Err(fault::invalid("UNKNOWN_CLASS", name, format!("XAPI has no class `{name}`{hint}")));
        };
        self.reads(class.name, "uuid");
        if self.terms.grant.visible(class.name).is_none() {
            return Err(self.hidden(class.name, None));
        }
        Ok(class)
    }

    fn hidden(&self, class: &str, field: Option<&str>) -> Error {
        let what = field.map_or_else(|| class.to_owned(), |field| format!("{class}.{field}"));
        fault::denied(&what, "no-rule", self.terms.grant.read_advice(class, field))
    }

    fn one(
        &mut self,
        record: Option<Arc<Record>>,
    ) -> wasmtime::Result<Result<Option<Resource<ObjectView>>, Error>> {
        match record {
            Some(record) if self.terms.grant.visible(&record.class).is_some() => {
                self.hand_out(ObjectView { record }).map(|object| Ok(Some(object)))
            }
            Some(record) => Ok(Err(self.hidden(&record.class, None))),
            None => Ok(Ok(None)),
        }
    }

    fn search(
        &mut self,
        class: &str,
        filter: &str,
        limit: u32,
        after: Option<&str>,
    ) -> Result<Search, Error> {
        let class = self.class_named(class)?;
        if limit == 0 {
            return Err(fault::invalid("NO_LIMIT", "limit", "ask for at least one object a page"));
        }
        let after = match after {
            Some(handle) => {
                let known = self.handles.resolve(handle).map_err(|why| fault::bad_reference(handle, why))?;
                known.reference.clone()
            }
            None => SmolStr::default(),
        };
        let filter = if filter.trim().is_empty() { None } else { Some(self.filter(class, filter)?) };
        Ok(Search { class, filter, limit: limit.min(PAGE_MAX) as usize, after })
    }

    fn filter(&mut self, class: &'static Class, filter: &str) -> Result<Condition, Error> {
        let scope = Scope { classes: &[class], calls: &[], argument: None, nesting: NESTING };
        let condition = Condition::compile(filter, &scope)
            .map_err(|error| fault::invalid("BAD_FILTER", filter, error.to_string()))?;
        if let Uses::Named(fields) = condition.fields() {
            for field in &fields {
                self.reads(class.name, field);
            }
            let shown = self.terms.grant.visible(class.name);
            let hidden = fields.iter().find(|field| !shown.is_some_and(|visible| visible.shows(field)));
            if let Some(hidden) = hidden {
                return Err(self.hidden(class.name, Some(hidden)));
            }
        }
        Ok(condition)
    }

    /// Counts the work since `begun` as the plugin's, stops it when it has had its time, and lets others go first.
    async fn end_turn(&mut self, begun: Instant) -> wasmtime::Result<()> {
        self.meter.worked(begun.elapsed());
        let allowed = self.terms.limits.cpu;
        if self.meter.cpu > allowed {
            return Err(Stop::CpuTime { allowed }.into());
        }
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Looks through a class, a chunk at a time: the world is locked for a moment only, and a limit can strike after
    /// each record.
    async fn run(&mut self, search: Search) -> wasmtime::Result<Found> {
        let visible =
            self.terms.grant.visible(search.class.name).cloned().unwrap_or(Visible::Only(<_>::default()));
        let mut found = Found { records: Vec::new(), more: false };
        let mut after = search.after;
        loop {
            let mut begun = Instant::now();
            let chunk: Vec<Arc<Record>> = {
                let world = self.pool.world().read().unwrap_or_else(PoisonError::into_inner);
                world.of_after(search.class.name, &after).take(CHUNK).map(Arc::clone).collect()
            };
            let Some(last) = chunk.last() else { return Ok(found) };
            after = last.reference.clone();
            for record in chunk {
                let wanted = match &search.filter {
                    None => true,
                    Some(filter) => {
                        let reference = |_: &str, raw: &str| {
                            if is_null(raw) { String::new() } else { self.handles.peek(raw) }
                        };
                        let wording = Wording { reference: &reference, world: None };
                        filter
                            .holds(&record, &|field| visible.shows(field), &wording)
                            // A missing map key and the like: it does not hold for this object.
                            .unwrap_or(false)
                    }
                };
                if wanted {
                    if found.records.len() == search.limit {
                        found.more = true;
                        self.meter.worked(begun.elapsed());
                        return Ok(found);
                    }
                    found.records.push(record);
                }
                if begun.elapsed() > TURN {
                    self.end_turn(begun).await?;
                    begun = Instant::now();
                }
            }
            self.end_turn(begun).await?;
        }
    }
}
