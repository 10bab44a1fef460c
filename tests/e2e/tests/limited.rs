//! The journal may hold only so much, and a plugin that is stopped or slow needs more.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::time::Duration;

use e2e::{Config, Daemon, Grant, LIMIT, Line, Operator, World, until};
use serde_json::Value;
use simulator::{Latency, Methods};

const RULES: &str = "[[allow]]\ncall = [\"network.create\"]\n[[read]]\nclass = [\"VM\"]\nfields = [\"*\"]\n";

/// What the journal may hold in these tests.
const MAX_SIZE: &str = "[journal]\nmax_size = \"1MiB\"";

fn config(world: &World, plugin: &str, rules: &str) -> Config {
    let grants = vec![Grant::guest(plugin, &format!("{rules}{RULES}")), Grant::guest("no_op", RULES)];
    Config { grants, control: MAX_SIZE.into(), ..world.config() }
}

/// Changes a VM again and again until the plugin has lost something; what that is.
async fn flood(world: &World, operator: &Operator, plugin: &str) -> Value {
    let pool = world.pool();
    let vm = pool.find_vm("web-1").unwrap();
    let mut count = 0;
    // Each look is preceded by many changes, each of which is an event.
    until(Duration::from_secs(120), "the plugin loses something", || {
        for _ in 0..5 {
            count += 1;
            pool.set("VM", &vm, "name_description", format!("change {count} {}", "x".repeat(2000))).unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
        let gaps = operator.ask(&["journal", "gaps", "--plugin", plugin]);
        gaps.get(0).cloned().ok_or_else(|| format!("nothing after {count} changes"))
    })
    .await
}

fn describe(world: &World, vm: &str, text: &str) {
    let pool = world.pool();
    pool.set("VM", &pool.find_vm(vm).unwrap(), "name_description", text).unwrap();
}

/// The line that the plugin `newest` says when it is told of this description.
async fn told(daemon: &Daemon, text: &str) -> Line {
    let new = format!("new=\"{text}\"");
    daemon
        .wait_for("it is told", |line| {
            line.message().starts_with("told ") && line.text("fields").contains(&new)
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_plugin_loses_the_oldest_and_that_is_told_everywhere() {
    let world = World::builtin().await;
    let config = config(&world, "newest", "");
    let daemon = world.start(&config);
    daemon.following().await;
    let operator = world.operator();
    let _ = operator.run(&["plugins", "disable", "newest"]).good();
    let gap = flood(&world, &operator, "newest").await;
    assert!(
        gap["events"].as_u64().unwrap() > 0 && gap["why"].as_str().unwrap().contains("bytes and may hold"),
        "{gap}"
    );
    let warned = daemon.wait_for("it is in the log", |line| {
        line.level() == "WARN" && line.message().starts_with("the plugin lost events")
    });
    assert_eq!(warned.await.text("plugin"), "newest");
    assert_eq!(
        operator.ask(&["journal", "gaps", "--plugin", "no_op"]).as_array().unwrap().len(),
        0,
        "it keeps up"
    );
    let (code, status) = operator.status();
    assert_eq!(code, 1);
    assert!(status["problems"].to_string().contains("plugin newest lost "), "{status}");
    let first = gap["first"].to_string();
    assert_eq!(operator.ask(&["deliveries", "show", "newest", &first])["delivery"]["state"], "lost");
    let metrics = operator.raw("/metrics");
    assert!(!metrics.contains("xapiary_events_lost_total{plugin=\"newest\"} 0\n"), "{metrics}");
    assert!(metrics.contains("xapiary_events_lost_total{plugin=\"no_op\"} 0\n"), "{metrics}");
    until(LIMIT, "the journal is within its limit", || {
        let status = operator.status().1;
        let journal = &status["journal"];
        let used = journal["bytes"].as_u64().unwrap() - journal["free_bytes"].as_u64().unwrap();
        if used <= 1024 * 1024 { Ok(()) } else { Err(format!("{used} bytes")) }
    })
    .await;

    // A restart changes nothing about it.
    daemon.kill();
    let daemon = world.start(&config);
    daemon.following().await;
    let _ = operator.run(&["plugins", "enable", "newest"]).good();
    world.settled("newest").await;
    // web-2 was not touched so far: only the loss can be why its first event bears the mark.
    describe(&world, "web-2", "first");
    let line = told(&daemon, "first").await;
    assert!(line.text("fields").contains("gap=\"true\""), "{}", line.text("fields"));
    describe(&world, "web-2", "second");
    let line = told(&daemon, "second").await;
    assert!(line.text("fields").contains("gap=\"false\""), "{}", line.text("fields"));
    assert!(daemon.terminate().await.status.success());
    assert!(!operator.run(&["journal", "gaps"]).good().is_empty(), "also without a daemon");
    assert_eq!(operator.run(&["journal", "check"]).code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_plugin_loses_what_it_is_at_and_goes_on_with_what_is_left() {
    let world = World::builtin().await;
    let slow = Duration::from_secs(15);
    let slowly = Latency { methods: Methods::of("network.create"), min: slow, max: slow };
    let rule = world.pool().slow_down(slowly);
    let daemon = world.start(&config(&world, "witness", "concurrency = 1\n"));
    daemon.following().await;
    let operator = world.operator();
    describe(&world, "web-1", "it begins with this");
    daemon.wait_for("it begins", |line| line.message().starts_with("begins ")).await;
    let gap = flood(&world, &operator, "witness").await;
    assert!(gap["first"].as_u64() <= gap["last"].as_u64(), "{gap}");
    world.pool().end(rule);
    daemon
        .wait_for("what ran has lost its event", |line| {
            line.message().starts_with("the event of a delivery was removed")
        })
        .await;
    describe(&world, "web-2", "and goes on with this");
    until(LIMIT, "later events are delivered", || {
        let ended = daemon.lines().iter().filter(|line| line.message().starts_with("ends ")).count();
        if ended > 1 { Ok(()) } else { Err(format!("{ended} deliveries ended")) }
    })
    .await;
    world.settled("witness").await;
    assert!(daemon.terminate().await.status.success());
}
