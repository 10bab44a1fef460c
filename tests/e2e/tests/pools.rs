//! Real input: the saved states of real pools, followed over both doors. Every object arrives whole, a VM that stops is
//! started, and the journal tells the story.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::Arc;
use std::time::Duration;

use e2e::{Config, Daemon, LIMIT, PASSWORD, Stored, StoredChange, World, until};
use secrecy::SecretString;
use simulator::PoolHandle;
use xapi::codec::Limits;
use xapi::model::Record;
use xapi::transport::{Endpoint, Trust};
use xapi::{CallOptions, Client, Mark, Settings, Value, Wire};

/// One test for each file and door, so that they run side by side.
macro_rules! real_pools {
    ($($name:ident: $file:literal,)*) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn over_https() {
                super::lives_through($file, e2e::World::config).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn over_the_unix_socket() {
                super::lives_through($file, e2e::World::unix_config).await;
            }
        }
    )*};
}

real_pools! {
    tampa_two_hosts: "TampaTwoHostPoolSelectioniSCSI.xml",
    boston: "boston-db.xml",
    cowley_policies: "cowleyPolicies.xml",
    state1: "state1.xml",
    tampa_snapshots: "tampa-db_inc_snapshots.xml",
}

async fn lives_through(file: &str, config: fn(&World) -> Config) {
    let Some(file) = e2e::real_pools(file) else { return };
    let world = World::of_state(&file).await;
    let daemon = world.start(&config(&world));
    let objects = daemon.following().await.number("objects").unwrap();
    world.alike().await;
    assert!(objects > 30, "{} holds {objects} objects", file.display());
    assert_eq!(objects, world.stored().objects().len() as u64);

    let vm = running_vm(&world).await;
    let pool = world.pool();
    pool.set("VM", &vm, "tags", Value::Array(vec!["keepalive".into()])).unwrap();
    world.alike().await;
    let before = world.stored().last();
    pool.crash(&vm).unwrap();
    tell(&world, &daemon, &vm, before).await;

    let ended = daemon.terminate().await;
    assert!(ended.status.success(), "{:?}", ended.status);
    assert!(!ended.everything().contains(PASSWORD), "the password is in the output");
    world.alike().await;
}

/// What the journal must tell of the crash of `vm` after event number `before`.
async fn tell(world: &World, daemon: &Daemon, vm: &str, before: u64) {
    let pool = world.pool();
    let started = pool.wait_until(LIMIT, |pool| state(pool.record("VM", vm)) == "Running").await;
    assert!(
        started,
        "the VM was not started again; {:#?}",
        daemon.lines().split_off(daemon.heard().saturating_sub(20))
    );
    world.alike().await;
    world.settled("vm-keepalive").await;

    let stored = world.stored();
    let changes: Vec<StoredChange> =
        stored.changes_of("VM", vm).into_iter().filter(|change| change.sequence > before).collect();
    let stop = changes.iter().position(|change| from_to(change) == ("Running".into(), "Halted".into()));
    let stop = stop.unwrap_or_else(|| panic!("no event tells the stop: {changes:#?}"));
    let stopped = &changes[stop];
    assert_eq!(stopped.operation, "modified");
    assert!(stopped.changed.contains(&"power_state".into()), "{:?}", stopped.changed);
    assert!(!stopped.gap, "it was seen live");
    let (old, new) = (stopped.old.as_ref().unwrap(), stopped.new.as_ref().unwrap());
    assert_eq!(new.changed_since(old), stopped.changed);

    let start =
        changes[stop + 1..].iter().find(|change| from_to(change) == ("Halted".into(), "Running".into()));
    assert!(start.is_some(), "no event tells that it runs again: {changes:#?}");

    assert_eq!(stored.dead(), []);
    let effects = stored.effects(stopped.sequence);
    assert_eq!(effects.len(), 1, "{effects:?}");
    let [method, arguments, outcome] = &effects[0];
    assert_eq!(method, "VM.start");
    assert!(arguments.contains(vm), "{arguments}");
    let task = outcome.split('"').find(|text| text.starts_with("OpaqueRef:"));
    let task = task.unwrap_or_else(|| panic!("the outcome names no task: {outcome}")).to_owned();
    ended_task(&stored, &task).await;
}

/// Waits for the event that tells how the task ended.
async fn ended_task(stored: &Stored, task: &str) {
    let ending = until(LIMIT, "the outcome of the start is told", || {
        let tasks = stored.payloads("task");
        let of = |uuid: &Value| uuid.as_str().unwrap_or_default().to_owned();
        let found = tasks.iter().find(|(sequence, _)| stored.reference(*sequence) == task);
        found.map(|(_, told)| of(told.get("ending").unwrap())).ok_or_else(|| format!("{tasks:?}"))
    })
    .await;
    assert_eq!(ending, "succeeded");
}

fn from_to(change: &StoredChange) -> (String, String) {
    (state(change.old.clone()), state(change.new.clone()))
}

fn state(record: Option<Record>) -> String {
    record.map(|record| record.text("power_state").to_owned()).unwrap_or_default()
}

/// A VM that runs, started by an administrator where none did.
async fn running_vm(world: &World) -> String {
    let pool = world.pool();
    let is = |vm: &Record, field: &str| vm.get(field).and_then(Value::as_bool) == Some(true);
    let ordinary = |vm: &Record| {
        !["is_a_template", "is_a_snapshot", "is_control_domain"].iter().any(|field| is(vm, field))
    };
    let vms: Vec<Record> = pool.records("VM").into_iter().filter(ordinary).collect();
    if let Some(vm) = vms.iter().find(|vm| vm.text("power_state") == "Running") {
        return vm.reference.to_string();
    }
    let admin = administrator(world);
    let mut refusals = Vec::new();
    for vm in &vms {
        match admin.call("VM.start", &[vm.reference.clone().into(), false.into(), false.into()]).await {
            Ok(_) => {
                admin.logout().await;
                return vm.reference.to_string();
            }
            Err(error) => refusals.push(error.chain()),
        }
    }
    panic!("none of the {} VMs can run: {refusals:#?}", vms.len());
}

fn administrator(world: &World) -> Client {
    Client::new(Settings {
        endpoint: Endpoint::new(format!("http://{}", world.http()).parse().unwrap(), Trust::None).unwrap(),
        user: "root".into(),
        password: Arc::new(SecretString::from(PASSWORD)),
        members: Vec::new(),
        pool_uuid: None,
        originator: "administrator".into(),
        user_agent: "administrator/1".into(),
        call_timeout: Duration::from_secs(60),
        limits: Limits::default(),
        wire: Wire::Auto,
    })
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_an_earlier_run_left_are_destroyed_and_those_of_others_are_not() {
    let world = World::builtin().await;
    let admin = administrator(&world);
    let vm = Value::from(world.pool().find_vm("backup").unwrap());
    let here = rustix::system::uname();
    let left = Mark::new("xapiary", &format!("{}/lab/1", here.nodename().to_string_lossy())).unwrap();
    let others = Mark::new("xapiary", "elsewhere/lab/1").unwrap();
    let mut tasks = Vec::new();
    for mark in [left, others] {
        let options = CallOptions::marked(mark);
        let task = admin.start("VM.snapshot", &[vm.clone(), "left".into()], &options).await.unwrap();
        // Given up without destroying it, as a program that is killed does.
        tasks.push(task.keep());
    }
    let daemon = world.start(&world.config());
    let pool = world.pool();
    let only_that_of_others = |pool: &PoolHandle| {
        pool.record("task", &tasks[0]).is_none() && pool.record("task", &tasks[1]).is_some()
    };
    assert!(pool.wait_until(LIMIT, only_that_of_others).await, "{:?}", pool.records("task"));
    assert!(daemon.terminate().await.status.success());
    admin.logout().await;
}
