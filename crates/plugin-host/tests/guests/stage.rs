//! A pool in memory, a ledger, a store and ears for the log: one stage per test, data in, report out.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use plugin_host::event::{Change, Operation, Origin, Subject};
use plugin_host::grant::{RawAllow, RawGrant, RawRead};
use plugin_host::pool::{
    Allowed, BoxFuture, CallError, EffectOutcome, Intent, Ledger, LogSink, Pool, Recalled, Refusal,
    StateReader, TaskState,
};
use plugin_host::report::{LogLine, StateWrite};
use plugin_host::{Delivery, Event, Grant, Host, Limits, Options, Plugin, Report, Spending, Terms};
use smol_str::SmolStr;
use xapi::model::{Record, World};
use xapi::{Struct, Value};

/// Where the file of a guest lies, or of the shipped plugin by its crate's name.
pub(crate) fn path(name: &str) -> PathBuf {
    // target/debug/deps/TEST -> target
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
    let folder = target.join("wasm32-wasip2/plugin");
    if name == "vm_keepalive" {
        folder.join("vm_keepalive.wasm")
    } else {
        folder.join(format!("examples/{name}.wasm"))
    }
}

/// The bytes of a guest.
pub(crate) fn component(name: &str) -> Vec<u8> {
    let path = path(name);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; build the guests first:\n  cargo build --profile plugin --target wasm32-wasip2 -p guests --examples\n  \
             cargo build --profile plugin --target wasm32-wasip2 -p vm-keepalive",
            path.display()
        )
    })
}

pub(crate) fn host() -> Host {
    Host::new(Options { instances: 4, ..Options::default() }).unwrap()
}

pub(crate) fn guest(name: &str) -> Plugin {
    host().load(&component(name)).unwrap()
}

/// What the pool answers next, for `call` and `start` alike.
pub(crate) enum Answer {
    Value(Value),
    Error(CallError),
    /// Never, until the caller gives up.
    Never,
    /// After so long.
    Late(Duration, Value),
}

#[derive(Default)]
pub(crate) struct FakePool {
    pub(crate) world: RwLock<World>,
    pub(crate) answers: Mutex<VecDeque<Answer>>,
    pub(crate) tasks: Mutex<VecDeque<TaskState>>,
    pub(crate) seen: Mutex<Vec<String>>,
}

impl FakePool {
    async fn answer(&self, what: String) -> Result<Value, CallError> {
        self.seen.lock().unwrap().push(what.clone());
        let answer = self.answers.lock().unwrap().pop_front();
        match answer.unwrap_or_else(|| panic!("nobody expected {what}")) {
            Answer::Value(value) => Ok(value),
            Answer::Error(error) => Err(error),
            Answer::Never => std::future::pending().await,
            Answer::Late(time, value) => {
                tokio::time::sleep(time).await;
                Ok(value)
            }
        }
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn line(verb: &str, method: &str, arguments: &[Value]) -> String {
    let arguments: Vec<String> = arguments
        .iter()
        .map(|value| match value {
            Value::String(text) => text.to_string(),
            other => format!("{other:?}"),
        })
        .collect();
    format!("{verb} {method}({})", arguments.join(", "))
}

impl Pool for FakePool {
    fn name(&self) -> &str {
        "lab"
    }

    fn world(&self) -> &RwLock<World> {
        &self.world
    }

    fn call<'a>(&'a self, method: &'a str, arguments: Vec<Value>) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(self.answer(line("call", method, &arguments)))
    }

    fn start<'a>(
        &'a self,
        method: &'a str,
        arguments: Vec<Value>,
        _effect: Option<u32>,
    ) -> BoxFuture<'a, Result<SmolStr, CallError>> {
        Box::pin(async move {
            let task = self.answer(line("start", method, &arguments)).await?;
            Ok(task.as_str().unwrap().into())
        })
    }

    fn wait_task<'a>(
        &'a self,
        task: &'a str,
        _at_most: Duration,
    ) -> BoxFuture<'a, Result<TaskState, CallError>> {
        Box::pin(async move {
            self.seen.lock().unwrap().push(format!("wait {task}"));
            Ok(self.tasks.lock().unwrap().pop_front().expect("nobody expected a wait"))
        })
    }

    fn cancel_task<'a>(&'a self, task: &'a str) -> BoxFuture<'a, Result<(), CallError>> {
        Box::pin(async move {
            self.seen.lock().unwrap().push(format!("cancel {task}"));
            Ok(())
        })
    }
}

/// Remembers intents, and answers with what a test has on record.
#[derive(Default)]
pub(crate) struct FakeLedger {
    pub(crate) record: Mutex<VecDeque<Recalled>>,
    pub(crate) intents: Mutex<Vec<Intent>>,
    /// The rules that allowed them.
    pub(crate) rules: Mutex<Vec<String>>,
    /// Why calls were refused, and on what.
    pub(crate) refusals: Mutex<Vec<String>>,
    pub(crate) outcomes: Mutex<Vec<(u64, EffectOutcome)>>,
    pub(crate) broken: bool,
}

impl Ledger for FakeLedger {
    fn recall<'a>(&'a self, _: &'a Intent) -> BoxFuture<'a, Result<Option<Recalled>, String>> {
        Box::pin(async move { Ok(self.record.lock().unwrap().pop_front()) })
    }

    fn intend<'a>(&'a self, intent: Intent, allowed: Allowed<'a>) -> BoxFuture<'a, Result<u64, String>> {
        Box::pin(async move {
            if self.broken {
                return Err("the disk is full".to_owned());
            }
            self.rules.lock().unwrap().push(format!("{}: {}", allowed.place, allowed.text));
            let mut intents = self.intents.lock().unwrap();
            intents.push(intent);
            Ok(intents.len() as u64)
        })
    }

    fn refused<'a>(&'a self, refusal: Refusal<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let Refusal { method, object, reason, .. } = refusal;
            let line = format!("{method} on {}: {reason}", object.unwrap_or("nothing"));
            self.refusals.lock().unwrap().push(line);
        })
    }

    fn conclude<'a>(&'a self, effect: u64, outcome: EffectOutcome) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.outcomes.lock().unwrap().push((effect, outcome));
            Ok(())
        })
    }
}

#[derive(Default)]
pub(crate) struct FakeState(pub(crate) Mutex<BTreeMap<String, Vec<u8>>>);

impl FakeState {
    /// Commits what a delivery wrote.
    pub(crate) fn apply(&self, writes: &[StateWrite]) {
        let mut keys = self.0.lock().unwrap();
        for write in writes {
            match &write.value {
                Some(value) => keys.insert(write.key.clone(), value.clone()),
                None => keys.remove(&write.key),
            };
        }
    }

    pub(crate) fn text(&self, key: &str) -> String {
        String::from_utf8(self.0.lock().unwrap()[key].clone()).unwrap()
    }
}

impl StateReader for FakeState {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, String>> {
        Box::pin(async move { Ok(self.0.lock().unwrap().get(key).cloned()) })
    }

    fn keys<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<String>, String>> {
        Box::pin(async move {
            let keys = self.0.lock().unwrap();
            Ok(keys
                .keys()
                .filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after))
                .take(limit as usize)
                .cloned()
                .collect())
        })
    }
}

#[derive(Default)]
pub(crate) struct Ears(pub(crate) Mutex<Vec<LogLine>>);

impl LogSink for Ears {
    fn line(&self, line: &LogLine) {
        self.0.lock().unwrap().push(line.clone());
    }
}

pub(crate) struct Stage {
    pub(crate) pool: Arc<FakePool>,
    pub(crate) ledger: Arc<FakeLedger>,
    pub(crate) state: Arc<FakeState>,
    pub(crate) ears: Arc<Ears>,
    pub(crate) grant: RawGrant,
    pub(crate) settings: serde_json::Value,
    pub(crate) limits: Limits,
    pub(crate) dry_run: bool,
    pub(crate) event: Event,
}

impl Stage {
    /// A pool with one host and one VM, `web`, that stopped a moment ago; all of both may be read, nothing called.
    pub(crate) fn new() -> Self {
        let pool = FakePool::default();
        let new = vm("web", "Halted");
        {
            let mut world = pool.world.write().unwrap();
            world.insert(Arc::new(record(
                "host",
                "OpaqueRef:host-1",
                &[("uuid", "u-host-1".into()), ("hostname", "xen1".into())],
            )));
            world.insert(Arc::clone(&new));
        }
        let event = Event {
            sequence: 7,
            pool: "lab".into(),
            at: "2026-11-24T06:00:00Z".into(),
            origin: Origin::Live,
            gap: false,
            attempt: 1,
            subscription: "any".into(),
            subject: Subject::Change(Change {
                class: "VM".into(),
                reference: "OpaqueRef:vm-web".into(),
                uuid: Some("u-web".into()),
                operation: Operation::Modified,
                old: Some(vm("web", "Running")),
                new: Some(new),
                changed: vec!["power_state".into(), "resident_on".into()],
                caused_by: None,
            }),
        };
        Stage {
            pool: Arc::new(pool),
            ledger: Arc::default(),
            state: Arc::default(),
            ears: Arc::default(),
            grant: RawGrant { file: "plugins/guest.toml".into(), ..RawGrant::default() }
                .reading(&["VM", "host"], &["*"]),
            settings: serde_json::json!({}),
            limits: Limits::default(),
            dry_run: false,
            event,
        }
    }

    pub(crate) fn allowing(mut self, method: &str, on: Option<&str>) -> Self {
        let on = on.map(str::to_owned);
        self.grant.allow.push(RawAllow { call: vec![method.into()], on, ..RawAllow::default() });
        self
    }

    pub(crate) fn settings(mut self, settings: serde_json::Value) -> Self {
        self.settings = settings;
        self
    }

    pub(crate) fn answering(self, answer: Answer) -> Self {
        self.pool.answers.lock().unwrap().push_back(answer);
        self
    }

    pub(crate) fn limited(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    pub(crate) fn delivery(&self, plugin: &Plugin) -> Delivery {
        Delivery {
            event: self.event.clone(),
            pool: self.pool.clone(),
            ledger: self.ledger.clone(),
            state: self.state.clone(),
            log: self.ears.clone(),
            terms: Arc::new(Terms {
                grant: Grant::compile(&self.grant).unwrap(),
                spending: Spending::default(),
                settings: plugin.manifest().settle(self.settings.as_object().unwrap()).unwrap(),
                secrets: BTreeMap::new(),
                limits: self.limits.clone(),
                dry_run: self.dry_run,
            }),
        }
    }

    pub(crate) async fn run(&self, plugin: &Plugin) -> Report {
        plugin.deliver(self.delivery(plugin)).await
    }

    /// All that was logged, a line each.
    pub(crate) fn heard(&self) -> String {
        self.ears.0.lock().unwrap().iter().map(|line| format!("{line}\n")).collect()
    }
}

pub(crate) trait Reading {
    fn reading(self, classes: &[&str], fields: &[&str]) -> Self;
}

impl Reading for RawGrant {
    fn reading(mut self, classes: &[&str], fields: &[&str]) -> Self {
        let own = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        self.read.push(RawRead { class: own(classes), fields: own(fields) });
        self
    }
}

pub(crate) fn record(class: &str, reference: &str, fields: &[(&str, Value)]) -> Record {
    let fields: Struct = fields.iter().map(|(name, value)| (SmolStr::new(name), value.clone())).collect();
    Record::new(class, reference, fields)
}

pub(crate) fn vm(name: &str, state: &str) -> Arc<Record> {
    let host = if state == "Running" { "OpaqueRef:host-1" } else { xapi::NULL_REF };
    Arc::new(record(
        "VM",
        &format!("OpaqueRef:vm-{name}"),
        &[
            ("uuid", format!("u-{name}").into()),
            ("name_label", name.into()),
            ("power_state", state.into()),
            ("is_a_template", false.into()),
            ("is_a_snapshot", false.into()),
            ("is_control_domain", false.into()),
            ("tags", Value::Array(vec!["keepalive".into()])),
            ("memory_target", 1024_i64.into()),
            ("snapshot_time", Value::DateTime("20260821T02:00:23Z".into())),
            ("affinity", "OpaqueRef:host-1".into()),
            ("resident_on", host.into()),
            ("current_operations", Struct::new().into()),
            ("blocked_operations", Struct::new().into()),
            ("other_config", Struct::new().into()),
        ],
    ))
}
