//! Pools are added, changed and removed, and the level of the log is changed, while the daemon runs and deliveries are under way.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::time::Duration;

use e2e::{Config, Daemon, Grant, LIMIT, Line, Operator, PoolSection, World, until};
use serde_json::{Value, json};
use simulator::{Latency, Methods};

/// How long a delivery of the witness takes at least when it is slow: longer than a reload on a busy machine.
const SLOW: Duration = Duration::from_secs(8);

fn config(world: &World) -> Config {
    let rules = "[[allow]]\ncall = [\"network.create\"]\n[[read]]\nclass = [\"VM\"]\nfields = [\"*\"]\n";
    Config { grants: vec![Grant::guest("witness", rules)], ..world.config() }
}

/// The pool of another world, under this name.
fn named(name: &str, world: &World) -> PoolSection {
    PoolSection { name: name.into(), ..world.config().pools.remove(0) }
}

fn describe(world: &World, vm: &str, text: &str) {
    let pool = world.pool();
    let vm = pool.find_vm(vm).unwrap();
    pool.set("VM", &vm, "name_description", text).unwrap();
}

fn slow_down(world: &World, time: Duration) {
    world.pool().slow_down(Latency { methods: Methods::of("network.create"), min: time, max: time });
}

/// Waits until the witness has left so many networks.
async fn networks(world: &World, count: usize) {
    until(LIMIT, "a network for each event", || {
        let records = world.pool().records("network");
        let found = records.iter().filter(|record| record.text("name_label").starts_with("event ")).count();
        if found == count { Ok(()) } else { Err(format!("{found} of {count}")) }
    })
    .await;
}

fn about<'l>(pool: &'l str, message: &'l str) -> impl Fn(&Line) -> bool + 'l {
    move |line| line.text("pool") == pool && line.message() == message
}

fn witness(word: &'static str) -> impl Fn(&Line) -> bool {
    move |line| line.text("plugin") == "witness" && line.message().starts_with(word)
}

fn place(daemon: &Daemon, fits: impl Fn(&Line) -> bool) -> usize {
    daemon.lines().iter().position(fits).unwrap()
}

/// The pools as `xapiary status` tells them, with their states.
fn standing(operator: &Operator) -> Vec<(String, String)> {
    let pools = operator.status().1["pools"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    pools.iter().map(|pool| (text(&pool["name"]), text(&pool["state"]))).collect()
}

async fn stands(operator: &Operator, pool: &str, state: &str) {
    until(LIMIT, "the pool's state", || {
        let found = standing(operator);
        if found.contains(&(pool.to_owned(), state.to_owned())) { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_begins_and_ends_without_a_restart_and_comes_back_where_it_was() {
    let (lab, other) = (World::builtin().await, World::builtin().await);
    let alone = config(&lab);
    let both = Config { pools: vec![alone.pools[0].clone(), named("other", &other)], ..alone.clone() };
    let daemon = lab.start(&alone);
    daemon.following().await;
    let operator = lab.operator();

    let _ = both.write(lab.folder());
    let reloaded = operator.ask(&["plugins", "reload"]);
    assert_eq!(reloaded["pools"], json!({"began": ["other"], "changed": [], "ended": []}));
    assert_eq!((&reloaded["unchanged"], &reloaded["needs_restart"]), (&json!(["witness"]), &json!([])));
    stands(&operator, "other", "following").await;
    describe(&other, "web-1", "one");
    networks(&other, 1).await;

    // It is removed in the middle of a delivery, which comes to its end; what waits does not begin.
    slow_down(&other, SLOW);
    let heard = daemon.heard();
    describe(&other, "web-1", "two");
    let begun = daemon.wait_after(heard, "it begins", witness("begins")).await.number("sequence");
    let _ = alone.write(lab.folder());
    let reloaded = operator.ask(&["plugins", "reload"]);
    assert_eq!(reloaded["pools"], json!({"began": [], "changed": [], "ended": ["other"]}));
    assert_eq!(standing(&operator), [("lab".into(), "following".into())]);
    describe(&lab, "web-1", "one");
    let closed = "the session that nobody uses any more is closed";
    daemon.wait_for("it is left", about("other", closed)).await;
    networks(&other, 2).await;
    let ended = place(&daemon, |line| witness("ends")(line) && line.number("sequence") == begun);
    assert!(ended < place(&daemon, about("other", closed)), "the delivery has ended before");
    assert_eq!(other.pool().sessions(), 0, "nobody is logged in there any more");
    networks(&lab, 1).await;

    // What happened meanwhile is told as the difference.
    slow_down(&other, Duration::ZERO);
    describe(&other, "web-1", "while it was away");
    let heard = daemon.heard();
    let _ = both.write(lab.folder());
    assert_eq!(operator.ask(&["plugins", "reload"])["pools"]["began"], json!(["other"]));
    let compared = daemon.wait_after(heard, "compared", about("other", "compared the whole pool")).await;
    assert_eq!(compared.truth("first"), Some(false), "its picture was kept");
    networks(&other, 3).await;
    lab.settled("witness").await;
    assert_eq!(lab.stored().dead(), []);
    assert!(daemon.terminate().await.status.success());
    assert_eq!((lab.pool().sessions(), other.pool().sessions()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_removed_and_added_while_it_is_used_is_followed_by_one_feed() {
    let (lab, other) = (World::builtin().await, World::builtin().await);
    let alone = config(&lab);
    let both = Config { pools: vec![alone.pools[0].clone(), named("other", &other)], ..alone.clone() };
    slow_down(&other, SLOW);
    let daemon = lab.start(&both);
    let operator = lab.operator();
    daemon.wait_for("the other is followed", about("other", "compared the whole pool")).await;
    stands(&operator, "other", "following").await;
    describe(&other, "web-1", "one");
    daemon.wait_for("it begins", witness("begins")).await;
    for (config, key) in [(&alone, "ended"), (&both, "began"), (&alone, "ended"), (&both, "began")] {
        let _ = config.write(lab.folder());
        assert_eq!(operator.ask(&["plugins", "reload"])["pools"][key], json!(["other"]));
    }
    networks(&other, 1).await;
    describe(&other, "web-1", "two");
    networks(&other, 2).await;
    lab.settled("witness").await;
    networks(&other, 2).await;
    assert_eq!(lab.stored().dead(), []);
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_is_followed_at_another_address_and_deliveries_that_run_end_as_they_began() {
    let world = World::builtin().await;
    let over_https = config(&world);
    slow_down(&world, SLOW);
    let daemon = world.start(&over_https);
    daemon.following().await;
    let operator = world.operator();
    describe(&world, "web-1", "one");
    daemon.wait_for("it begins", witness("begins")).await;

    let over_unix = Config { pools: world.unix_config().pools, ..over_https.clone() };
    let _ = over_unix.write(world.folder());
    let heard = daemon.heard();
    let reloaded = operator.ask(&["plugins", "reload"]);
    assert_eq!(reloaded["pools"], json!({"began": [], "changed": ["lab"], "ended": []}));
    let connected = daemon.wait_after(heard, "connected", about("lab", "connected")).await;
    assert!(connected.text("endpoint").starts_with("unix:"), "{}", connected.text("endpoint"));
    let compared = daemon.wait_after(heard, "compared", about("lab", "compared the whole pool")).await;
    assert_eq!((compared.truth("first"), compared.number("differences")), (Some(false), Some(0)));
    describe(&world, "web-1", "two");
    networks(&world, 2).await;
    world.settled("witness").await;
    world.alike().await;
    let attempts = daemon.lines().into_iter().filter(witness("begins 1")).count();
    assert_eq!(attempts, 2, "each was delivered once");
    daemon
        .wait_for("the other session ends", about("lab", "the session that nobody uses any more is closed"))
        .await;

    // A login that is refused, and the right one again.
    let mut wrong = over_https.clone();
    wrong.pools[0].user = "nobody-known".into();
    let _ = wrong.write(world.folder());
    assert_eq!(operator.ask(&["plugins", "reload"])["pools"]["changed"], json!(["lab"]));
    stands(&operator, "lab", "lost").await;
    describe(&world, "web-1", "three");
    let _ = over_https.write(world.folder());
    assert_eq!(operator.ask(&["plugins", "reload"])["pools"]["changed"], json!(["lab"]));
    stands(&operator, "lab", "following").await;
    networks(&world, 3).await;
    assert!(daemon.terminate().await.status.success());
    assert_eq!(world.pool().sessions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_one_pool_leaves_all_pools_as_they_are() {
    let (lab, other) = (World::builtin().await, World::builtin().await);
    let alone = config(&lab);
    let daemon = lab.start(&alone);
    daemon.following().await;
    let operator = lab.operator();
    let mut wrong = Config { pools: vec![named("other", &other), named("third", &other)], ..alone.clone() };
    wrong.pools[1].url = "ftp://nowhere".into();
    let _ = wrong.write(lab.folder());
    let answer = operator.run(&["plugins", "reload"]);
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.error.contains("pool.third.url"), "{answer:?}");
    assert_eq!(standing(&operator), [("lab".into(), "following".into())]);
    assert_eq!(other.pool().sessions(), 0);
    describe(&lab, "web-1", "one");
    networks(&lab, 1).await;
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn how_much_is_logged_changes_at_once() {
    let world = World::builtin().await;
    let config = config(&world);
    let daemon = world.start(&config);
    daemon.following().await;
    let operator = world.operator();
    let file = config.write(world.folder());
    let loud = std::fs::read_to_string(&file).unwrap();
    let quiet = loud.replace("info,xapiary=debug,xapi=debug,plugin=debug", "error");
    assert_ne!(loud, quiet);
    std::fs::write(&file, quiet).unwrap();
    assert_eq!(operator.ask(&["plugins", "reload"])["settings"], json!(["log.level"]));
    describe(&world, "web-1", "not told");
    networks(&world, 1).await;
    world.settled("witness").await;
    std::fs::write(&file, loud).unwrap();
    assert_eq!(operator.ask(&["plugins", "reload"])["settings"], json!(["log.level"]));
    describe(&world, "web-1", "told");
    networks(&world, 2).await;
    daemon.wait_for("the plugin is heard again", witness("ends")).await;
    let ends = daemon.lines().into_iter().filter(witness("ends")).count();
    assert_eq!(ends, 1, "nothing was told of the first");
    assert!(daemon.terminate().await.status.success());
}
