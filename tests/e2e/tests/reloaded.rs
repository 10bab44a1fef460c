//! The configuration, grants and components are read anew while the daemon runs and deliveries are under way.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::{Config, Daemon, Grant, KEEPALIVE_GRANT, LIMIT, Line, Operator, World, guest, until};
use serde_json::{Value, json};
use simulator::{Latency, Methods};

const WITNESS: &str =
    "[[allow]]\ncall = [\"network.create\"]\n[[read]]\nclass = [\"VM\"]\nfields = [\"*\"]\n";

/// How long a delivery of the witness takes at least: longer than a reload on a busy machine.
const SLOW: Duration = Duration::from_secs(8);

fn witness() -> Grant {
    Grant::guest("witness", WITNESS)
}

fn with(world: &World, grants: &[Grant]) -> Config {
    Config { grants: grants.to_vec(), ..world.config() }
}

/// A component that does the same and is another file: a section with a name and nothing else is added.
fn other_build(of: &str, folder: &Path) -> PathBuf {
    let mut bytes = std::fs::read(guest(of)).unwrap();
    bytes.extend([0, 6, 5]);
    bytes.extend(b"other");
    let path = folder.join(format!("{of}-other.wasm"));
    std::fs::write(&path, bytes).unwrap();
    path
}

fn describe(world: &World, vm: &str, text: &str) {
    let pool = world.pool();
    let vm = pool.find_vm(vm).unwrap();
    pool.set("VM", &vm, "name_description", text).unwrap();
}

fn slow_down(world: &World) {
    let methods = Methods::of("network.create");
    world.pool().slow_down(Latency { methods, min: SLOW, max: SLOW });
}

fn says(plugin: &'static str, word: &'static str) -> impl Fn(&Line) -> bool {
    move |line| line.text("plugin") == plugin && line.message().starts_with(word)
}

/// How many networks the witness has left for each event.
fn networks(world: &World) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for network in world.pool().records("network") {
        if network.text("name_label").starts_with("event ") {
            *found.entry(network.text("name_label").to_owned()).or_default() += 1;
        }
    }
    found
}

/// Waits until the witness has left networks for so many events, one for each.
async fn left_networks(world: &World, events: usize) {
    until(LIMIT, "a network for each event", || {
        let found = networks(world);
        if found.len() == events && found.values().all(|count| *count == 1) {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await;
}

fn names(reloaded: &Value, key: &str) -> Vec<String> {
    reloaded[key].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn plugin(operator: &Operator, name: &str) -> Value {
    let plugins = operator.ask(&["plugins", "list"]);
    plugins.as_array().unwrap().iter().find(|plugin| plugin["name"] == name).cloned().unwrap_or_default()
}

/// The order in which lines came.
fn place(daemon: &Daemon, fits: impl Fn(&Line) -> bool) -> usize {
    daemon.lines().iter().position(fits).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_begin_change_and_end_without_a_restart() {
    let world = World::builtin().await;
    let daemon = world.start(&with(&world, &[]));
    daemon.following().await;
    let operator = world.operator();

    // Nobody had asked for VMs so far.
    let _ = with(&world, &[Grant::keepalive(KEEPALIVE_GRANT)]).write(world.folder());
    let heard = daemon.heard();
    let reloaded = operator.ask(&["plugins", "reload", "--reason", "a new plugin"]);
    assert_eq!(names(&reloaded, "began"), ["vm-keepalive"]);
    daemon.wait_after(heard, "VMs are followed", |line| line.message() == "compared the whole pool").await;
    world.alike().await;
    let pool = world.pool();
    let vm = pool.find_vm("web-1").unwrap();
    pool.crash(&vm).unwrap();
    until(LIMIT, "the VM is started again", || match pool.record("VM", &vm).unwrap().text("power_state") {
        "Running" => Ok(()),
        other => Err(other.to_owned()),
    })
    .await;

    let narrow = KEEPALIVE_GRANT.replace("VM.start", "VM.suspend");
    let _ = with(&world, &[Grant::keepalive(&narrow)]).write(world.folder());
    let heard = daemon.heard();
    daemon.ask_to_reload();
    daemon.wait_after(heard, "it is told", |line| line.message() == "the configuration was taken up").await;
    // A start and a crash that are told as one would be no change.
    world.alike().await;
    pool.crash(&vm).unwrap();
    daemon
        .wait_after(
            heard,
            "the grant that is narrower now refuses",
            says("vm-keepalive", "the grant refused"),
        )
        .await;

    let _ = with(&world, &[]).write(world.folder());
    let reloaded = operator.ask(&["plugins", "reload"]);
    assert_eq!(names(&reloaded, "ended"), ["vm-keepalive"]);
    assert_eq!(operator.ask(&["plugins", "list"]), json!([]));
    let again = operator.ask(&["plugins", "reload"]);
    assert_eq!(again["ended"], json!([]));
    let actions = operator.ask(&["journal", "actions"]).to_string();
    assert!(actions.contains("plugins reload") && actions.contains("a new plugin"), "{actions}");
    assert!(actions.contains("SIGHUP"), "{actions}");
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_changes_nothing_and_is_told_with_its_line() {
    let world = World::builtin().await;
    let config = with(&world, &[witness()]);
    let daemon = world.start(&config);
    daemon.following().await;
    let operator = world.operator();
    let good = std::fs::read_to_string(world.folder().join("xapiary.toml")).unwrap();
    let bad_grant = Grant { rules: format!("{WITNESS}[limits]\nmemry = \"1MiB\"\n"), ..witness() };
    let no_component = world.folder().join("nothing.wasm");
    std::fs::write(&no_component, "no component").unwrap();
    for (grants, head, expected) in [
        (vec![bad_grant], "", "witness.toml:9:1: limits.memry: unknown key"),
        (vec![witness()], "statte = \"x\"", "xapiary.toml:1:1: statte: unknown key"),
        (
            vec![witness(), Grant { name: "new".into(), component: no_component, rules: String::new() }],
            "",
            "new.toml:1:1: file: ",
        ),
    ] {
        let heard = daemon.heard();
        let _ = Config { grants, head: head.into(), ..config.clone() }.write(world.folder());
        let refused = operator.run(&["plugins", "reload"]);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.error.contains("nothing was taken up"), "{refused:?}");
        assert!(refused.error.contains(expected), "{expected} is missing in {refused:?}");
        daemon.ask_to_reload();
        daemon
            .wait_after(heard, "the mistake is in the log", |line| {
                line.level() == "ERROR" && line.message().contains(expected)
            })
            .await;
    }
    std::fs::write(world.folder().join("xapiary.toml"), good).unwrap();
    assert_eq!(plugin(&operator, "new"), Value::Null);
    describe(&world, "web-1", "still delivered");
    left_networks(&world, 1).await;
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_ends_with_the_old_version_and_the_new_one_gets_the_next() {
    let world = World::builtin().await;
    slow_down(&world);
    let daemon = world.start(&with(&world, &[witness()]));
    daemon.following().await;
    describe(&world, "web-1", "one");
    let begun = daemon.wait_for("it begins", says("witness", "begins")).await.number("sequence").unwrap();

    let other = Grant { component: other_build("witness", world.folder()), ..witness() };
    let _ = with(&world, &[other]).write(world.folder());
    let reloaded = world.operator().ask(&["plugins", "reload", "witness"]);
    assert_eq!(names(&reloaded, "changed"), ["witness"]);
    describe(&world, "web-1", "two");
    describe(&world, "web-2", "three");
    left_networks(&world, 3).await;
    world.settled("witness").await;

    let taken = place(&daemon, |line| line.message() == "the new version gets what is delivered next");
    let at = |word: &'static str, sequence| {
        place(&daemon, move |line| says("witness", word)(line) && line.number("sequence") == Some(sequence))
    };
    assert!(
        at("begins", begun) < taken && taken < at("ends", begun),
        "it did not run while the new one came"
    );
    let later: Vec<u64> = daemon
        .lines()
        .iter()
        .filter(|line| says("witness", "begins")(line) && line.number("sequence") > Some(begun))
        .filter_map(|line| line.number("sequence"))
        .collect();
    assert_eq!(later.len(), 2, "{later:?}");
    let changes = world.stored().changes();
    let of = |sequence| {
        let change = changes.iter().find(|change| change.sequence == sequence).unwrap();
        change.new.as_ref().unwrap().reference.clone()
    };
    let second = later.iter().copied().find(|later| of(*later) == of(begun)).unwrap();
    assert!(at("ends", begun) < at("begins", second), "events of one object stay in order");
    left_networks(&world, 3).await;
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_hears_something_else_waits_for_what_runs() {
    let world = World::builtin().await;
    slow_down(&world);
    let named = |component| Grant { name: "p".into(), component, rules: WITNESS.into() };
    let daemon = world.start(&with(&world, &[named(guest("witness"))]));
    daemon.following().await;
    describe(&world, "web-1", "one");
    let begun = daemon.wait_for("it begins", says("p", "begins")).await.number("sequence");

    let _ = with(&world, &[named(guest("no_op"))]).write(world.folder());
    let operator = world.operator();
    let reloaded = operator.ask(&["plugins", "reload"]);
    assert_eq!(names(&reloaded, "changed"), ["p"]);
    daemon.wait_for("it waits", says("p", "the new version waits for what runs")).await;
    let why = until(LIMIT, "it is told that it waits", || match &plugin(&operator, "p")["why"] {
        Value::String(why) => Ok(why.clone()),
        other => Err(other.to_string()),
    })
    .await;
    assert!(why.contains("a new version waits until 1 running"), "{why}");
    describe(&world, "web-1", "two");
    daemon
        .wait_for("the new version gets it", |line| {
            says("p", "delivered")(line) && line.number("sequence") > begun
        })
        .await;
    world.settled("p").await;
    let taken = place(&daemon, |line| line.message() == "the new version gets what is delivered next");
    assert!(place(&daemon, says("p", "ends")) < taken);
    assert_eq!(networks(&world).len(), 1, "only the first was for the witness");
    assert_eq!(plugin(&operator, "p")["attempts_again"], 0);
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_taken_away_and_given_back_goes_on_where_it_was() {
    let world = World::builtin().await;
    slow_down(&world);
    let daemon = world.start(&with(&world, &[witness()]));
    daemon.following().await;
    describe(&world, "web-1", "one");
    daemon.wait_for("it begins", says("witness", "begins")).await;
    let operator = world.operator();
    let _ = with(&world, &[]).write(world.folder());
    assert_eq!(names(&operator.ask(&["plugins", "reload"]), "ended"), ["witness"]);
    describe(&world, "web-1", "while it was away");
    let _ = with(&world, &[witness()]).write(world.folder());
    assert_eq!(names(&operator.ask(&["plugins", "reload"]), "began"), ["witness"]);
    left_networks(&world, 2).await;
    world.settled("witness").await;
    left_networks(&world, 2).await;
    let words: Vec<String> = daemon
        .lines()
        .iter()
        .filter(|line| line.text("target") == "plugin")
        .map(|line| line.message().to_owned())
        .collect();
    assert_eq!(words, ["begins 1", "ends 1", "begins 1", "ends 1"], "one worker at a time");
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_asks_for_more_waits_until_it_is_granted() {
    let world = World::builtin().await;
    let read = "[[read]]\nclass = [\"VM\"]\nfields = [\"*\"]\n";
    let named = |guest_name: &str, rules: &str| Grant {
        name: "p".into(),
        component: guest(guest_name),
        rules: rules.into(),
    };
    let daemon = world.start(&with(&world, &[named("no_op", read)]));
    daemon.following().await;
    let operator = world.operator();
    let _ = with(&world, &[named("witness", read)]).write(world.folder());
    let answer = operator.run(&["plugins", "reload", "--json"]);
    assert_eq!(answer.code, 1, "something waits: {answer:?}");
    let waiting = &answer.json()["waiting"][0];
    assert_eq!(waiting["plugin"], "p");
    assert!(waiting["missing"].as_str().unwrap().contains("network.create"), "{waiting}");
    let detail = operator.ask(&["plugins", "show", "p"]);
    assert!(detail["update"].as_str().unwrap().contains("network.create"), "{detail}");
    assert_eq!(detail["description"], "Does nothing");
    let (code, status) = operator.status();
    assert_eq!(code, 1);
    assert!(
        status["problems"].to_string().contains("the new component of plugin p asks for more"),
        "{status}"
    );
    let heard = daemon.heard();
    describe(&world, "web-1", "for the old version");
    daemon.wait_after(heard, "the old version gets it", says("p", "delivered")).await;
    assert!(networks(&world).is_empty());

    let _ = with(&world, &[named("witness", WITNESS)]).write(world.folder());
    let reloaded = operator.ask(&["plugins", "reload"]);
    assert_eq!((names(&reloaded, "changed"), &reloaded["waiting"]), (vec!["p".to_owned()], &json!([])));
    describe(&world, "web-1", "for the new version");
    left_networks(&world, 1).await;
    assert_eq!(operator.status().0, 0);
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_waits_still_waits_after_a_restart() {
    let world = World::builtin().await;
    let read = "[[read]]\nclass = [\"VM\"]\nfields = [\"*\"]\n";
    // One path, as an administrator has it: what ran is overwritten.
    let component = world.folder().join("p.wasm");
    let install = |name: &str| std::fs::copy(guest(name), &component).unwrap();
    let granted = |rules: &str| {
        let grant = Grant { name: "p".into(), component: component.clone(), rules: rules.into() };
        with(&world, &[grant])
    };
    let waits = |operator: &Operator| {
        let detail = operator.ask(&["plugins", "show", "p"]);
        assert!(detail["update"].as_str().unwrap().contains("network.create"), "{detail}");
        assert_eq!(detail["description"], "Does nothing");
        assert_eq!(operator.status().0, 1);
    };
    let operator = world.operator();
    install("no_op");
    let daemon = world.start(&granted(read));
    daemon.following().await;
    install("witness");
    assert_eq!(operator.run(&["plugins", "reload"]).code, 1, "it waits");
    waits(&operator);
    // However it ends, twice, and with a change of the grant that does not settle it.
    daemon.kill();
    let daemon = world.start(&granted(read));
    daemon.following().await;
    waits(&operator);
    assert!(daemon.terminate().await.status.success());
    let daemon = world.start(&granted(&format!("concurrency = 2\n{read}")));
    daemon.following().await;
    waits(&operator);
    let heard = daemon.heard();
    describe(&world, "web-1", "for the old version");
    daemon.wait_after(heard, "the old version gets it", says("p", "delivered")).await;
    assert!(networks(&world).is_empty());

    let _ = granted(WITNESS).write(world.folder());
    assert_eq!(names(&operator.ask(&["plugins", "reload"]), "changed"), ["p"]);
    describe(&world, "web-1", "for the new version");
    left_networks(&world, 1).await;
    assert!(daemon.terminate().await.status.success());
    // The new one is the one before from now on.
    let daemon = world.start(&granted(read));
    daemon.following().await;
    assert_eq!(operator.ask(&["plugins", "show", "p"])["update"], Value::Null);
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_change_while_it_runs_is_named() {
    let world = World::builtin().await;
    let config = with(&world, &[witness()]);
    let daemon = world.start(&config);
    daemon.following().await;
    let operator = world.operator();
    let mut changed = config.clone();
    changed.control =
        "observe = [\"user:nobody\"]\nmetrics = \"127.0.0.1:9187\"\n[journal]\nkeep = \"40d\"".into();
    let _ = changed.write(world.folder());
    let mode = || std::fs::metadata(operator.socket()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    let answer = operator.run(&["plugins", "reload", "--json"]);
    assert_eq!(answer.code, 1, "something needs a restart: {answer:?}");
    let reloaded = answer.json();
    assert_eq!(names(&reloaded, "settings"), ["journal.keep", "control.observe"]);
    assert_eq!(names(&reloaded, "needs_restart"), ["control.metrics"]);
    assert_eq!(names(&reloaded, "unchanged"), ["witness"]);
    assert_eq!(mode(), 0o666, "others may knock now");
    let wrong = operator.run(&["plugins", "reload", "nobody"]);
    assert!(wrong.code == 1 && wrong.error.contains("plugins are witness"), "{wrong:?}");
    assert!(daemon.terminate().await.status.success());
}
