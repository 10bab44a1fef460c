//! A plugin that misbehaves harms itself alone.

use e2e::{Grant, KEEPALIVE_GRANT, LIMIT, World};
use simulator::PoolHandle;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_loops_traps_or_eats_memory_does_not_keep_the_others_from_working() {
    let world = World::builtin().await;
    let mut config = world.config();
    let tight =
        "[limits]\ncpu = \"200ms\"\nmemory = \"16MiB\"\n[[read]]\nclass = [\"VM\"]\nfields = [\"*\"]\n";
    let bad =
        ["loop_forever", "panic", "out_of_memory", "deep_recursion", "give_up", "retry_twice", "log_flood"];
    config.grants = vec![Grant::keepalive(KEEPALIVE_GRANT)];
    config.grants.extend(bad.iter().map(|name| Grant::guest(name, tight)));
    let pool = world.pool();
    let mut daemon = world.start(&config);
    assert_eq!(daemon.wait_for_message("ready").await.number("plugins"), Some(1 + bad.len() as u64));
    daemon.following().await;
    for name in ["web-1", "web-2", "web-3"] {
        let vm = pool.find_vm(name).unwrap();
        pool.crash(&vm).unwrap();
        let runs = |pool: &PoolHandle| pool.record("VM", &vm).unwrap().text("power_state") == "Running";
        assert!(pool.wait_until(LIMIT, runs).await, "{name} is not started");
    }
    world.alike().await;
    for (plugin, words) in [
        ("loop_forever", "computing time"),
        ("panic", "a guest panics on purpose"),
        ("out_of_memory", "memory"),
        ("deep_recursion", "stack"),
        ("give_up", "on purpose"),
    ] {
        let what = format!("{plugin} fails");
        let told = daemon.wait_for(&what, |line| {
            line.text("plugin") == plugin
                && (line.text("why").contains(words) || line.message().contains(words))
        });
        told.await;
    }
    let stored = world.stored();
    // The pool goes on, guests speak after a boot: what comes from now on may come too late.
    let last = stored.last();
    world.settled("vm-keepalive").await;
    assert!(daemon.runs());
    // A delivery that waits for its next attempt does not hold up a stop.
    assert!(daemon.terminate().await.status.success());
    assert!(stored.cursor("vm-keepalive") >= Some(last));
    let dead = stored.dead();
    assert!(dead.iter().any(|(plugin, ..)| plugin == "give_up"), "{dead:?}");
    assert!(dead.iter().all(|(plugin, ..)| plugin != "vm-keepalive"), "{dead:?}");
}
