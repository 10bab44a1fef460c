//! What plugins do to a pool is known again: when it comes back as events, and when its answer was lost.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use e2e::{Config, Grant, LIMIT, Stored, StoredEffect, World, forget_outcomes, until};
use simulator::{PoolHandle, Spoil};

const UNRECORDED: &str = r#"
[limits]
cpu = "10m"
[[read]]
class = ["VM"]
fields = ["*"]
[[allow]]
call = ["VM.add_to_other_config", "VM.clone"]
"#;

const ECHO: &str = r#"
[[read]]
class = ["VM"]
fields = ["*"]
[[allow]]
call = ["VM.set_name_description"]
"#;

fn config(world: &World, guest: &str, rules: &str) -> Config {
    Config { grants: vec![Grant::guest(guest, rules)], ..world.config() }
}

/// Gives a VM another description, as somebody who is not a plugin.
fn describe(pool: &PoolHandle, text: &str) {
    let vm = pool.find_vm("lab").unwrap();
    pool.set("VM", &vm, "name_description", text).unwrap();
}

fn copies(pool: &PoolHandle) -> usize {
    pool.records("VM").iter().filter(|vm| vm.text("name_label") == "copied once").count()
}

/// Waits until both calls of the first attempt are recorded as done.
async fn called(stored: &Stored) {
    until(LIMIT, "both calls are recorded", || match &stored.all_effects()[..] {
        [field, copy] if field.is_done() && copy.is_done() => Ok(()),
        others => Err(format!("{others:?}")),
    })
    .await;
}

/// The daemon dies after the pool did what it was asked to, and before the outcome was written down: whether it was done is
/// found out in the pool, and nothing is done again.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_and_not_recorded_is_found_out_in_the_pool() {
    let world = World::builtin().await;
    let pool = world.pool();
    let config = config(&world, "unrecorded", UNRECORDED);
    let daemon = world.start(&config);
    daemon.following().await;
    let stored = world.stored();
    describe(&pool, "another one");
    called(&stored).await;
    daemon.kill();
    forget_outcomes(&world.state());

    let daemon = world.start(&config);
    world.settled("unrecorded").await;
    assert_eq!(stored.dead(), []);
    let calls = pool.calls();
    assert_eq!(calls.of("VM.add_to_other_config"), 1, "{calls:?}");
    assert_eq!(calls.of("Async.VM.clone"), 1, "{calls:?}");
    assert_eq!(copies(&pool), 1);
    let found: Vec<_> = stored
        .all_effects()
        .iter()
        .map(|effect| (effect.attempt, effect.index, effect.outcome.clone().unwrap_or_default()))
        .collect();
    let none = String::new;
    assert_eq!(
        found,
        [(1, 0, none()), (1, 1, none()), (2, 0, "succeeded".to_owned()), (2, 1, "started".to_owned()),]
    );
    // Nobody asks for the task any more.
    until(LIMIT, "the task is destroyed", || {
        let tasks = pool.records("task");
        let left: Vec<_> = tasks.iter().filter(|task| task.text("name_label").contains("clone")).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    assert!(daemon.terminate().await.status.success());
}

/// The pool begins a task and its answer is lost on the way: the task is found by its mark.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_answer_was_lost_is_found_at_once() {
    let world = World::builtin().await;
    let pool = world.pool();
    let daemon = world.start(&config(&world, "unrecorded", UNRECORDED));
    daemon.following().await;
    pool.spoil_next(1, Some("Async.VM.clone"), Spoil::Close);
    describe(&pool, "another one");
    let stored = world.stored();
    called(&stored).await;
    let outcomes: Vec<_> =
        stored.all_effects().into_iter().map(|effect: StoredEffect| effect.outcome).collect();
    assert_eq!(outcomes, [Some("succeeded".to_owned()), Some("started".to_owned())]);
    assert_eq!(pool.calls().of("Async.VM.clone"), 1);
    assert!(pool.wait_until(LIMIT, |pool| copies(pool) == 1).await, "the VM is copied");
    daemon.kill();
}

/// A plugin that answers itself is stopped, and what others do is heard as before.
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_is_stopped_and_told_and_every_event_of_it_names_its_cause() {
    let world = World::builtin().await;
    let pool = world.pool();
    let daemon = world.start(&config(&world, "echo", ECHO));
    daemon.following().await;
    let stored = world.stored();
    describe(&pool, "from a person");
    let (plugin, last, why) =
        until(LIMIT, "the loop is stopped", || stored.dead().pop().ok_or_else(|| stored.last().to_string()))
            .await;
    assert_eq!(plugin, "echo");
    assert!(why.contains("loop") && why.contains("16 deliveries") && why.contains("echo/"), "{why}");
    assert_eq!(pool.calls().of("VM.set_name_description"), 16);

    let vm = pool.find_vm("lab").unwrap();
    let changes = stored.changes_of("VM", &vm);
    let chain: Vec<_> = changes.iter().map(|change| change.caused_by.clone()).collect();
    assert_eq!(chain.first(), Some(&None), "a person did that");
    for ((before, caused), number) in changes.iter().zip(chain.iter().skip(1)).zip(1..) {
        assert_eq!(caused, &Some((format!("echo/{}", before.sequence), number)));
    }
    assert_eq!(changes.last().map(|change| change.sequence), Some(last));
    let told = daemon.lines().iter().any(|line| line.raw.contains("stopped as a loop"));
    assert!(told, "it stands in the log");

    world.settled("echo").await;
    assert!(daemon.terminate().await.status.success());
}
