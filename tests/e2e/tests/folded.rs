//! A plugin that wants only the newest of several changes of an object that wait for it.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::time::Duration;

use e2e::{Config, Daemon, Grant, LIMIT, Line, World, until};
use serde_json::json;
use simulator::{Latency, Methods};

const RULES: &str = "[[allow]]\ncall = [\"network.create\"]\n[[read]]\nclass = [\"VM\"]\nfields = [\"*\"]\n";

fn config(world: &World) -> Config {
    Config { grants: vec![Grant::guest("newest", RULES)], ..world.config() }
}

/// Gives a VM so many descriptions, one event for each; the number of the last event.
async fn describe(world: &World, vm: &str, texts: &[&str]) -> u64 {
    let (pool, stored) = (world.pool(), world.stored());
    let vm = pool.find_vm(vm).unwrap();
    for text in texts {
        let before = stored.changes_of("VM", &vm).len();
        pool.set("VM", &vm, "name_description", *text).unwrap();
        // The next one would be told as one with it otherwise.
        until(LIMIT, "the change is on record", || {
            let now = stored.changes_of("VM", &vm).len();
            if now > before { Ok(()) } else { Err(format!("{now} changes")) }
        })
        .await;
    }
    stored.changes_of("VM", &vm).last().unwrap().sequence
}

fn told(daemon: &Daemon) -> Vec<Line> {
    daemon.lines().into_iter().filter(|line| line.message().starts_with("told ")).collect()
}

fn networks(world: &World) -> usize {
    let networks = world.pool().records("network");
    networks.iter().filter(|network| network.text("name_label").starts_with("event ")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_told_as_one_change_and_is_on_record() {
    let world = World::builtin().await;
    let daemon = world.start(&config(&world));
    daemon.following().await;
    let operator = world.operator();
    let _ = operator.run(&["plugins", "disable", "newest"]).good();
    let last = describe(&world, "web-1", &["one", "two", "three", "four"]).await;
    let other = describe(&world, "web-2", &["alone"]).await;
    let _ = operator.run(&["plugins", "enable", "newest"]).good();
    until(LIMIT, "both VMs are told of", || {
        let networks = networks(&world);
        if networks == 2 { Ok(()) } else { Err(format!("{networks} networks")) }
    })
    .await;
    world.settled("newest").await;
    let told = told(&daemon);
    let of = |sequence| told.iter().find(|line| line.number("sequence") == Some(sequence)).unwrap();
    for part in ["gap=\"true\"", "old=\"\"", "new=\"four\"", "changed=\"name_description\""] {
        assert!(of(last).text("fields").contains(part), "{part} is missing in {}", of(last).text("fields"));
    }
    assert!(of(other).text("fields").contains("gap=\"false\""));
    assert_eq!(told.len(), 2);
    let shown = operator.ask(&["deliveries", "show", "newest", &last.to_string()]);
    let folded = shown["folded"].as_array().unwrap().clone();
    assert_eq!(folded.len(), 3, "{shown}");
    let first = operator.ask(&["deliveries", "show", "newest", &folded[0].to_string()]);
    assert_eq!(first["delivery"]["state"], "folded");
    assert_eq!(first["delivery"]["why"], json!(format!("it was told with event {last}")));
    let plugins = operator.ask(&["plugins", "list"]);
    assert_eq!(plugins[0]["folded"], 3);
    assert!(operator.raw("/metrics").contains("xapiary_events_folded_total{plugin=\"newest\"} 3"));

    let pool = world.pool();
    let vm = pool.find_vm("web-1").unwrap();
    let _ = operator.run(&["plugins", "disable", "newest"]).good();
    describe(&world, "web-1", &["five"]).await;
    pool.delete("VM", &vm).unwrap();
    until(LIMIT, "the deletion is on record", || {
        let deleted = world.stored().changes_of("VM", &vm).last().is_some_and(|change| change.new.is_none());
        if deleted { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    let _ = operator.run(&["plugins", "enable", "newest"]).good();
    let line = daemon.wait_for("the deletion is told", |line| line.message() == "told Deleted").await;
    assert!(line.text("fields").contains("old=\"four\""), "{}", line.text("fields"));
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_changes_nothing_about_what_was_folded() {
    let world = World::builtin().await;
    let config = config(&world);
    let daemon = world.start(&config);
    daemon.following().await;
    let operator = world.operator();
    let _ = operator.run(&["plugins", "disable", "newest"]).good();
    let last = describe(&world, "web-1", &["one", "two", "three"]).await;
    let second = Duration::from_secs(60);
    let slow =
        world.pool().slow_down(Latency { methods: Methods::of("network.create"), min: second, max: second });
    let _ = operator.run(&["plugins", "enable", "newest"]).good();
    daemon.wait_for("it begins", |line| line.message().starts_with("told ")).await;
    daemon.wait_for("it calls", |line| line.message() == "calling the pool").await;
    daemon.kill();
    world.pool().end(slow);

    let daemon = world.start(&config);
    let line = daemon.wait_for("it comes again", |line| line.message().starts_with("told ")).await;
    assert_eq!(line.number("sequence"), Some(last));
    for part in ["attempt=\"2\"", "gap=\"true\"", "old=\"\"", "new=\"three\""] {
        assert!(line.text("fields").contains(part), "{part} is missing in {}", line.text("fields"));
    }
    describe(&world, "web-1", &["four"]).await;
    until(LIMIT, "later changes go on", || {
        let told = told(&daemon);
        let newest = told.iter().any(|line| line.text("fields").contains("new=\"four\""));
        if newest { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
    assert_eq!(told(&daemon).iter().filter(|line| line.number("sequence") < Some(last)).count(), 0);
    assert!(daemon.terminate().await.status.success());
}
