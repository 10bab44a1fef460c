//! Host interfaces called as the generated bindings call them, without a guest: what no guest of ours does.

use std::collections::VecDeque;
use std::sync::RwLock;
use std::time::Duration;

use grant::{Grant, RawAllow, RawGrant, RawRead};
use smol_str::SmolStr;
use xapi::model::{Record, World};
use xapi::{Failure, Struct, Value as Raw};

use super::*;
use crate::contract::xapiary::plugin::types::{Error, Fault, Value};
use crate::contract::xapiary::plugin::{calls, events, objects, settings, store};
use crate::event::{Ending, Event, Origin, Subject, TaskOutcome, Tick};
use crate::limits::Limits;
use crate::pool::{
    Allowed, BoxFuture, CallError, EffectOutcome, Intent, LogSink, Recalled, Refusal, TaskState,
};
use crate::report::LogLine;
use crate::spending::Spending;

#[derive(Default)]
struct Outside {
    world: RwLock<World>,
    answers: Mutex<VecDeque<Result<Raw, CallError>>>,
    seen: Mutex<Vec<String>>,
    record: Mutex<VecDeque<Recalled>>,
    heard: Mutex<Vec<String>>,
    keys: Vec<String>,
}

impl Outside {
    fn answer(&self, what: String) -> Result<Raw, CallError> {
        self.seen.lock().unwrap().push(what);
        self.answers.lock().unwrap().pop_front().expect("an answer was prepared")
    }
}

impl Pool for Outside {
    fn name(&self) -> &str {
        "lab"
    }

    fn world(&self) -> &RwLock<World> {
        &self.world
    }

    fn call<'a>(&'a self, method: &'a str, _: Vec<Raw>) -> BoxFuture<'a, Result<Raw, CallError>> {
        Box::pin(async move { self.answer(method.to_owned()) })
    }

    fn start<'a>(
        &'a self,
        method: &'a str,
        _: Vec<Raw>,
        _: Option<u32>,
    ) -> BoxFuture<'a, Result<SmolStr, CallError>> {
        Box::pin(
            async move { self.answer(format!("Async.{method}")).map(|task| task.as_str().unwrap().into()) },
        )
    }

    fn wait_task<'a>(&'a self, task: &'a str, _: Duration) -> BoxFuture<'a, Result<TaskState, CallError>> {
        Box::pin(async move {
            self.seen.lock().unwrap().push(format!("wait {task}"));
            Ok(TaskState::Pending(0.5))
        })
    }

    fn cancel_task<'a>(&'a self, task: &'a str) -> BoxFuture<'a, Result<(), CallError>> {
        Box::pin(async move { self.answer(format!("cancel {task}")).map(drop) })
    }
}

impl Ledger for Outside {
    fn recall<'a>(&'a self, _: &'a Intent) -> BoxFuture<'a, Result<Option<Recalled>, String>> {
        Box::pin(async { Ok(self.record.lock().unwrap().pop_front()) })
    }

    fn intend<'a>(&'a self, intent: Intent, allowed: Allowed<'a>) -> BoxFuture<'a, Result<u64, String>> {
        let object = intent.object.unwrap_or_default();
        let line = format!("{} {} on {object} by {}", intent.index, intent.method, allowed.text);
        self.heard.lock().unwrap().push(line);
        Box::pin(async { Ok(1) })
    }

    fn refused<'a>(&'a self, refusal: Refusal<'a>) -> BoxFuture<'a, ()> {
        let object = refusal.object.unwrap_or_default();
        let line = format!("{} on {object} refused: {}", refusal.method, refusal.reason);
        self.heard.lock().unwrap().push(line);
        Box::pin(async {})
    }

    fn conclude<'a>(&'a self, _: u64, _: EffectOutcome) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Err("the disk is gone".to_owned()) })
    }
}

impl StateReader for Outside {
    fn get<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, String>> {
        Box::pin(async { Err("the disk is gone".to_owned()) })
    }

    fn keys<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<String>, String>> {
        let page = self
            .keys
            .iter()
            .filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after))
            .take(limit as usize)
            .cloned()
            .collect();
        Box::pin(async move { Ok(page) })
    }
}

struct Deaf;

impl LogSink for Deaf {
    fn line(&self, _: &LogLine) {}
}

fn record(class: &str, reference: &str, name: &str) -> Arc<Record> {
    let mut fields = Struct::new();
    fields.insert("uuid", format!("u-{name}"));
    fields.insert("name_label", name);
    Arc::new(Record::new(class, reference, fields))
}

fn raw_grant() -> RawGrant {
    RawGrant {
        file: "plugins/test.toml".into(),
        allow: vec![
            RawAllow { call: vec!["VM.clone".into()], ..RawAllow::default() },
            RawAllow {
                call: vec!["VM.start".into()],
                on: Some("self.name_label == \"copy\"".into()),
                ..RawAllow::default()
            },
        ],
        read: vec![RawRead { class: vec!["VM".into()], fields: vec!["uuid".into(), "name_label".into()] }],
    }
}

fn sandbox_event() -> Event {
    Event {
        sequence: 1,
        pool: "lab".into(),
        at: "2026-11-24T06:00:00Z".into(),
        origin: Origin::Live,
        gap: false,
        attempt: 1,
        subscription: "s".into(),
        subject: Subject::Tick(Tick { schedule: "s".into(), due: String::new() }),
    }
}

/// A sandbox whose pool knows the VMs `a` and `b` (both named `twin`) and the host `h`.
fn sandbox(outside: Outside) -> (Sandbox, Arc<Outside>) {
    sandbox_with(&raw_grant(), outside)
}

fn sandbox_with(grant: &RawGrant, outside: Outside) -> (Sandbox, Arc<Outside>) {
    {
        let mut world = outside.world.write().unwrap();
        world.insert(record("VM", "OpaqueRef:a", "twin"));
        world.insert(record("VM", "OpaqueRef:b", "twin"));
        world.insert(record("host", "OpaqueRef:h", "h"));
    }
    let outside = Arc::new(outside);
    let event = sandbox_event();
    let terms = Terms {
        grant: Grant::compile(grant).unwrap(),
        spending: Spending::default(),
        settings: serde_json::Map::new(),
        secrets: BTreeMap::from([("token".to_owned(), "s3cret".into())]),
        limits: Limits::default(),
        dry_run: false,
    };
    let log: Arc<dyn LogSink> = Arc::new(Deaf);
    let book = Arc::new(Mutex::new(LogBook::new(Arc::clone(&log), 10_000)));
    let delivery = Delivery {
        event,
        pool: outside.clone(),
        ledger: outside.clone(),
        state: outside.clone(),
        log,
        terms: Arc::new(terms),
    };
    let wasi = crate::wasi::closed(&book, Duration::ZERO, [0; 32]);
    (Sandbox::new(delivery, book, wasi), outside)
}

fn start(handle: &str) -> Vec<Value> {
    vec![Value::Reference(handle.into()), Value::Truth(false), Value::Truth(false)]
}

async fn clone_of_a(sandbox: &mut Sandbox) -> String {
    let a = sandbox.handles.issue("VM", "OpaqueRef:a");
    let arguments = vec![Value::Reference(a), Value::Text("copy".into())];
    match calls::Host::call(sandbox, "VM.clone".into(), arguments).await.unwrap() {
        Ok(Value::Reference(copy)) => copy,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_object_made_a_moment_ago_is_fetched_to_decide() {
    for (name, allowed) in [("copy", true), ("other", false)] {
        let mut fields = Struct::new();
        fields.insert("name_label", name);
        let outside = Outside {
            answers: Mutex::new([Ok("OpaqueRef:new".into()), Ok(fields.into()), Ok(Raw::VOID)].into()),
            ..Outside::default()
        };
        let (mut sandbox, outside) = sandbox(outside);
        let copy = clone_of_a(&mut sandbox).await;
        let started = calls::Host::call(&mut sandbox, "VM.start".into(), start(&copy)).await.unwrap();
        assert_eq!(started.is_ok(), allowed, "{started:?}");
        let seen = outside.seen.lock().unwrap().clone();
        assert_eq!(seen[..2], ["VM.clone", "VM.get_record"]);
        assert_eq!(seen.len() > 2, allowed, "{seen:?}");
    }
}

#[tokio::test]
async fn nothing_is_fetched_for_a_method_that_no_rule_names() {
    let answers = Mutex::new([Ok("OpaqueRef:new".into())].into());
    let (mut sandbox, outside) = sandbox(Outside { answers, ..Outside::default() });
    let copy = clone_of_a(&mut sandbox).await;
    let arguments = vec![Value::Reference(copy)];
    let refused = calls::Host::call(&mut sandbox, "VM.destroy".into(), arguments).await.unwrap().unwrap_err();
    assert_eq!(refused.fault, Fault::Denied);
    assert_eq!(*outside.seen.lock().unwrap(), ["VM.clone"]);
}

#[tokio::test]
async fn a_made_object_that_is_gone_again_is_unknown() {
    let gone = CallError::Xapi(Failure::new("HANDLE_INVALID", ["VM", "OpaqueRef:new"]));
    let answers = Mutex::new([Ok("OpaqueRef:new".into()), Err(gone)].into());
    let (mut sandbox, _) = sandbox(Outside { answers, ..Outside::default() });
    let copy = clone_of_a(&mut sandbox).await;
    let refused =
        calls::Host::call(&mut sandbox, "VM.start".into(), start(&copy)).await.unwrap().unwrap_err();
    assert_eq!(refused.params, ["VM.start", "unknown-object"]);
}

#[tokio::test]
async fn an_outcome_that_cannot_be_recorded_is_told_and_the_plugin_gets_its_answer() {
    let answers = Mutex::new([Ok("OpaqueRef:new".into())].into());
    let (mut sandbox, _) = sandbox(Outside { answers, ..Outside::default() });
    clone_of_a(&mut sandbox).await;
    let lines: Vec<String> = sandbox.log().close().iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["error: the outcome of a call could not be recorded error=\"the disk is gone\""]);
}

#[tokio::test]
async fn a_task_is_waited_for_and_cancelled_by_its_own_reference() {
    let answers = Mutex::new([Ok("OpaqueRef:task".into()), Ok(Raw::VOID)].into());
    let (mut sandbox, outside) = sandbox(Outside { answers, ..Outside::default() });
    let a = sandbox.handles.issue("VM", "OpaqueRef:a");
    let arguments = vec![Value::Reference(a), Value::Text("copy".into())];
    let task = calls::Host::start(&mut sandbox, "VM.clone".into(), arguments).await.unwrap().unwrap();
    let again = || Resource::new_borrow(task.rep());
    let progress = calls::HostTask::wait(&mut sandbox, again(), 10).await.unwrap();
    assert!(matches!(progress, calls::Progress::Pending(done) if done == 0.5), "{progress:?}");
    assert!(calls::HostTask::cancel(&mut sandbox, again()).await.unwrap().is_ok());
    let handle = calls::HostTask::reference(&mut sandbox, again()).await.unwrap();
    assert_eq!(sandbox.handles.resolve(&handle).unwrap().reference, "OpaqueRef:task");
    assert_eq!(
        *outside.seen.lock().unwrap(),
        ["Async.VM.clone", "wait OpaqueRef:task", "cancel OpaqueRef:task"]
    );
    calls::HostTask::drop(&mut sandbox, task).await.unwrap();
}

#[tokio::test]
async fn objects_are_found_by_uuid_name_and_reference_as_far_as_granted() {
    let (mut sandbox, _) = sandbox(Outside::default());
    let fault = |error: Error| (error.fault, error.code);
    let denied = (Fault::Denied, "DENIED".to_owned());

    let twin = objects::Host::by_uuid(&mut sandbox, "VM".into(), "u-twin".into()).await.unwrap().unwrap();
    assert!(twin.is_some());
    let none = objects::Host::by_uuid(&mut sandbox, "VM".into(), "u-h".into()).await.unwrap().unwrap();
    assert!(none.is_none(), "the uuid of another class");
    let hidden =
        objects::Host::by_uuid(&mut sandbox, "host".into(), "u-h".into()).await.unwrap().unwrap_err();
    assert_eq!(fault(hidden), denied);

    let twins =
        objects::Host::by_name_label(&mut sandbox, "VM".into(), "twin".into()).await.unwrap().unwrap();
    assert_eq!(twins.len(), 2);
    let unnamed =
        objects::Host::by_name_label(&mut sandbox, "VBD".into(), "x".into()).await.unwrap().unwrap_err();
    assert_eq!(fault(unnamed), denied, "a class that may not be seen is not even told to have no names");

    // From an error's parameter, so without a class.
    let (b, h) = (sandbox.handles.issue("", "OpaqueRef:b"), sandbox.handles.issue("", "OpaqueRef:h"));
    assert!(objects::Host::by_reference(&mut sandbox, b).await.unwrap().unwrap().is_some());
    assert_eq!(fault(objects::Host::by_reference(&mut sandbox, h).await.unwrap().unwrap_err()), denied);
    for guess in ["ref:1.1.99", "ref:0.1.1", "OpaqueRef:a"] {
        let refused = objects::Host::by_reference(&mut sandbox, guess.into()).await.unwrap().unwrap_err();
        assert_eq!(fault(refused), (Fault::Invalid, "UNKNOWN_REFERENCE".to_owned()), "{guess}");
    }
}

#[tokio::test]
async fn find_goes_on_where_the_last_page_ended() {
    let (mut sandbox, _) = sandbox(Outside::default());
    let mut after = None;
    let mut found = Vec::new();
    loop {
        let page =
            objects::Host::find(&mut sandbox, "vm".into(), String::new(), 1, after).await.unwrap().unwrap();
        for object in &page.objects {
            found.push(sandbox.held(object).unwrap().record.reference.clone());
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, ["OpaqueRef:a", "OpaqueRef:b"]);
    let none =
        objects::Host::find(&mut sandbox, "VM".into(), String::new(), 0, None).await.unwrap().unwrap_err();
    assert_eq!(none.fault, Fault::Invalid);
}

#[tokio::test]
async fn a_secret_is_told_by_its_name_only() {
    let (mut sandbox, _) = sandbox(Outside::default());
    assert_eq!(settings::Host::secret(&mut sandbox, "token".into()).await.unwrap().unwrap(), "s3cret");
    let refused = settings::Host::secret(&mut sandbox, "tokn".into()).await.unwrap().unwrap_err();
    assert_eq!(refused.fault, Fault::Denied);
    assert!(refused.advice.contains("did you mean `token`?"), "{}", refused.advice);
    let lines = "[secrets]\ntokn = { credential = \"tokn\" }\n";
    assert!(refused.advice.ends_with(lines), "{}", refused.advice);
    assert!(!format!("{:?}", sandbox.terms).contains("s3cret"));
    assert!(!settings::Host::all(&mut sandbox).await.unwrap().contains("s3cret"));
}

#[tokio::test]
async fn keys_are_those_stored_and_written_without_those_deleted() {
    let keys = (0..10).map(|number| format!("k{number}")).collect();
    let (mut sandbox, _) = sandbox(Outside { keys, ..Outside::default() });
    for key in ["k0", "k1", "k3"] {
        store::Host::delete(&mut sandbox, key.into()).await.unwrap().unwrap();
    }
    for key in ["k2", "k25", "other"] {
        store::Host::set(&mut sandbox, key.into(), Vec::new()).await.unwrap().unwrap();
    }
    let mut listed = async |limit, after: Option<&str>| {
        store::Host::keys(&mut sandbox, "k".into(), limit, after.map(str::to_owned)).await.unwrap().unwrap()
    };
    assert_eq!(listed(3, None).await, ["k2", "k25", "k4"]);
    assert_eq!(listed(2, Some("k25")).await, ["k4", "k5"]);
    assert_eq!(listed(100, Some("k8")).await, ["k9"]);
    let unread = store::Host::get(&mut sandbox, "k9".into()).await.unwrap().unwrap_err();
    assert_eq!((unread.fault, unread.params), (Fault::Transport, vec!["the disk is gone".to_owned()]));
    for key in [String::new(), "x".repeat(513)] {
        assert!(store::Host::set(&mut sandbox, key, Vec::new()).await.unwrap().is_err());
    }
}

#[tokio::test]
async fn of_a_task_that_ended_only_what_the_grant_shows_is_told() {
    let told = |fields: &[&str], ending: Ending| {
        let class = vec!["task".to_owned()];
        let fields: Vec<String> = fields.iter().map(|&field| field.to_owned()).collect();
        let read = if fields.is_empty() { vec![] } else { vec![RawRead { class, fields }] };
        let grant = RawGrant { file: "plugins/test.toml".into(), allow: vec![], read };
        let (mut sandbox, _) = sandbox_with(&grant, Outside::default());
        let mut event = sandbox_event();
        event.subject = Subject::Task(TaskOutcome {
            reference: "OpaqueRef:t".into(),
            name: "Async.VM.clone".into(),
            ending,
            started_by: Some("other/7".into()),
        });
        match sandbox.event(event).unwrap().subject {
            events::Subject::Task(task) => task,
            other => panic!("{other:?}"),
        }
    };
    let succeeded = || Ending::Succeeded("OpaqueRef:new".into());
    let failed = || Ending::Failed(Failure::new("VM_BAD_POWER_STATE", ["OpaqueRef:vm", "Running"]));

    let task = told(&[], succeeded());
    assert_eq!((task.reference.as_str(), task.name.as_str(), task.started_by), ("ref:1.1.1", "", None));
    assert!(matches!(task.ending, events::Ending::Succeeded(Value::Nothing)), "{:?}", task.ending);
    let task = told(&["name_label", "error_info"], succeeded());
    assert_eq!((task.name.as_str(), task.started_by.as_deref()), ("Async.VM.clone", Some("other/7")));
    assert!(matches!(task.ending, events::Ending::Succeeded(Value::Nothing)), "{:?}", task.ending);
    let task = told(&["result"], succeeded());
    assert_eq!(task.name, "");
    match task.ending {
        events::Ending::Succeeded(Value::Reference(made)) => assert_eq!(made, "ref:1.1.2"),
        other => panic!("{other:?}"),
    }

    for (fields, code, params, advised) in [
        (&[][..], "", &[][..], true),
        (&["name_label", "result"], "", &[], true),
        (&["error_info"], "VM_BAD_POWER_STATE", &["ref:1.1.2", "Running"], false),
        (&["*"], "VM_BAD_POWER_STATE", &["ref:1.1.2", "Running"], false),
    ] {
        match told(fields, failed()).ending {
            events::Ending::Failed(error) => {
                assert_eq!((error.fault, error.code.as_str()), (Fault::Xapi, code), "{fields:?}");
                assert_eq!(error.params, params, "{fields:?}");
                assert_eq!(error.advice.contains("fields = [\"error_info\"]"), advised, "{}", error.advice);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(told(&[], Ending::Cancelled).ending, events::Ending::Cancelled));
    assert!(matches!(told(&[], Ending::Lost).ending, events::Ending::Lost));
}

/// A filter that takes milliseconds for each record and holds for none.
fn slow_filter() -> String {
    format!("[{}].exists(n, self.name_label.contains(\"nobody\"))", vec!["0"; 1900].join(","))
}

#[tokio::test]
async fn a_slow_filter_lets_others_go_on_after_each_record() {
    let (mut sandbox, outside) = sandbox(Outside::default());
    // Whatever else the machine does meanwhile.
    Arc::get_mut(&mut sandbox.terms).unwrap().limits.cpu = Duration::from_secs(3600);
    for number in 0..20 {
        outside.world.write().unwrap().insert(record("VM", &format!("OpaqueRef:x{number}"), "x"));
    }
    let mut turns = 0;
    let found = {
        let find = objects::Host::find(&mut sandbox, "VM".into(), slow_filter(), 10, None);
        let others = async {
            loop {
                turns += 1;
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            found = find => found.unwrap().unwrap(),
            () = others => unreachable!("they go on for ever"),
        }
    };
    assert!(found.objects.is_empty());
    assert!(turns >= 20, "{turns} turns while 22 records were looked at, each for more than a millisecond");
    assert!(sandbox.meter.cpu > Duration::from_millis(20), "{:?}", sandbox.meter.cpu);
}

#[tokio::test]
async fn a_slow_filter_is_stopped_at_the_record_that_uses_the_time_up() {
    let (mut sandbox, _) = sandbox(Outside::default());
    let allowed = sandbox.terms.limits.cpu;
    sandbox.meter.cpu = allowed;
    let stopped =
        objects::Host::find(&mut sandbox, "VM".into(), slow_filter(), 10, None).await.map(drop).unwrap_err();
    assert_eq!(stopped.downcast_ref(), Some(&Stop::CpuTime { allowed }));
}

#[tokio::test]
async fn a_filter_with_a_hostile_pattern_is_refused_at_once_and_paid_for() {
    let (mut sandbox, _) = sandbox(Outside::default());
    for pattern in [r"(\\pL{50}){40}", r"((a{100}){100}){100}", r"\\w{999}"] {
        let before = sandbox.meter.cpu;
        let filter = format!("self.name_label.matches(\"{pattern}\")");
        let refused =
            objects::Host::find(&mut sandbox, "VM".into(), filter, 10, None).await.unwrap().unwrap_err();
        assert_eq!((refused.fault, refused.code.as_str()), (Fault::Invalid, "BAD_FILTER"), "{pattern}");
        assert!(refused.advice.contains("too large"), "{}", refused.advice);
        assert!(sandbox.meter.cpu > before);
    }
}

/// A sandbox that may clone with a budget.
fn budgeted(rule: RawAllow, outside: Outside) -> (Sandbox, Arc<Outside>) {
    let rule = RawAllow { call: vec!["VM.clone".into()], ..rule };
    let read = raw_grant().read;
    sandbox_with(&RawGrant { file: "plugins/test.toml".into(), allow: vec![rule], read }, outside)
}

async fn clone_of(sandbox: &mut Sandbox, reference: &str) -> Result<Value, Error> {
    let object = sandbox.handles.issue("VM", reference);
    let arguments = vec![Value::Reference(object), Value::Text("copy".into())];
    calls::Host::call(sandbox, "VM.clone".into(), arguments).await.unwrap()
}

fn answering(times: usize) -> Outside {
    let answers = (0..times).map(|_| Ok("OpaqueRef:new".into())).collect();
    Outside { answers: Mutex::new(answers), ..Outside::default() }
}

#[tokio::test]
async fn a_budget_that_is_used_up_is_a_limit_that_says_when_to_come_again() {
    let (mut sandbox, outside) =
        budgeted(RawAllow { per_minute: Some(1), ..RawAllow::default() }, answering(1));
    clone_of(&mut sandbox, "OpaqueRef:a").await.unwrap();
    let refused = clone_of(&mut sandbox, "OpaqueRef:a").await.unwrap_err();
    assert_eq!((refused.fault, refused.code.as_str()), (Fault::Limit, "LIMIT"));
    assert_eq!(refused.params[..2], ["VM.clone", "per_minute"]);
    let wait: u64 = refused.params[2].parse().unwrap();
    assert!((1..=60_001).contains(&wait), "{wait}");
    assert!(
        refused.advice.contains("[[allow]] 1 of plugins/test.toml covers the call"),
        "{}",
        refused.advice
    );
    assert_eq!(*outside.seen.lock().unwrap(), ["VM.clone"], "it was not sent");
    assert_eq!(
        *outside.heard.lock().unwrap(),
        ["0 VM.clone on u-twin by call = [\"VM.clone\"]", "VM.clone on u-twin refused: over-budget",]
    );
    assert_eq!(sandbox.meter.refused_calls, 1);
}

#[tokio::test]
async fn what_is_answered_from_the_record_takes_from_the_run_alone() {
    let rule = || RawAllow {
        per_event: Some(2),
        per_minute: Some(1),
        objects_per_hour: Some(1),
        ..RawAllow::default()
    };
    let outside = answering(1);
    let earlier = Recalled::Concluded(EffectOutcome::Succeeded("OpaqueRef:old".into()));
    outside.record.lock().unwrap().push_back(earlier.clone());
    let (mut sandbox, outside) = budgeted(rule(), outside);
    clone_of(&mut sandbox, "OpaqueRef:a").await.unwrap();
    assert_eq!(outside.seen.lock().unwrap().len(), 0, "it is answered from the record");
    clone_of(&mut sandbox, "OpaqueRef:a").await.unwrap();
    assert_eq!(*outside.heard.lock().unwrap(), ["1 VM.clone on u-twin by call = [\"VM.clone\"]"]);
    let refused = clone_of(&mut sandbox, "OpaqueRef:a").await.unwrap_err();
    assert_eq!(
        refused.params,
        ["VM.clone", "per_event"],
        "two calls in this run, one of them from the record"
    );

    // Also when the budget is used up by now.
    let outside = Outside::default();
    outside.record.lock().unwrap().push_back(earlier);
    let (mut sandbox, outside) = budgeted(rule(), outside);
    let past = crate::Past {
        rule: "call = [\"VM.clone\"]".into(),
        object: Some("u-other".into()),
        age: Duration::from_secs(30),
    };
    let strange = crate::Past { rule: "another rule".into(), ..past.clone() };
    sandbox.terms.spending.restore(&sandbox.terms.grant, [strange, past]);
    clone_of(&mut sandbox, "OpaqueRef:a").await.unwrap();
    let refused = clone_of(&mut sandbox, "OpaqueRef:a").await.unwrap_err();
    assert_eq!(refused.params[1], "objects_per_hour", "what was allowed before a restart counts");
    assert!(outside.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_call_keeps_its_place_whether_or_not_others_are_refused() {
    let (mut sandbox, outside) = budgeted(
        RawAllow { on: Some("self.uuid == \"u-twin\"".into()), ..RawAllow::default() },
        answering(1),
    );
    let h = sandbox.handles.issue("host", "OpaqueRef:h");
    let refused = calls::Host::call(&mut sandbox, "host.disable".into(), vec![Value::Reference(h)]).await;
    assert_eq!(refused.unwrap().unwrap_err().fault, Fault::Denied);
    clone_of(&mut sandbox, "OpaqueRef:a").await.unwrap();
    let heard = outside.heard.lock().unwrap().clone();
    assert_eq!(heard[0], "host.disable on u-h refused: no-rule");
    assert!(heard[1].starts_with("1 VM.clone on u-twin"), "{heard:?}");
}

#[tokio::test]
async fn only_a_plugin_that_runs_dry_is_watched_while_it_reads() {
    for dry_run in [false, true] {
        let (mut sandbox, _) = sandbox(Outside::default());
        let terms = Arc::get_mut(&mut sandbox.terms).unwrap();
        terms.dry_run = dry_run;
        let vm = objects::Host::by_uuid(&mut sandbox, "VM".into(), "u-twin".into()).await.unwrap();
        let vm = vm.unwrap().unwrap();
        let again = || Resource::new_borrow(vm.rep());
        objects::HostObject::get(&mut sandbox, again(), "name_label".into()).await.unwrap().unwrap();
        // What it is not shown it wanted all the same.
        let hidden = objects::HostObject::get(&mut sandbox, again(), "tags".into()).await.unwrap();
        assert!(hidden.is_err());
        objects::Host::find(&mut sandbox, "host".into(), String::new(), 1, None).await.unwrap().unwrap_err();
        let seen = format!("{:?}", sandbox.reads);
        let expected =
            if dry_run { r#"{"VM": {"name_label", "tags", "uuid"}, "host": {"uuid"}}"# } else { "{}" };
        assert_eq!(seen, expected);
    }
}
