//! What plugins hear: objects with what belongs to them, and nothing while they keep failing.

use e2e::{Config, Grant, LIMIT, World, until};
use xapi::Struct;

const READ: &str = "[[read]]\nclass = [\"VM\", \"VM_guest_metrics\", \"message\"]\nfields = [\"*\"]\n";

fn config(world: &World, guest: &str) -> Config {
    Config { grants: vec![Grant::guest(guest, READ)], ..world.config() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_and_what_its_guest_says_are_heard_as_one_thing_in_order() {
    let world = World::builtin().await;
    let pool = world.pool();
    let daemon = world.start(&config(&world, "joined"));
    daemon.following().await;
    let vm = pool.find_vm("web-1").unwrap();
    let metrics = pool.record("VM", &vm).unwrap().text("guest_metrics").to_owned();
    let other = pool.find_vm("web-2").unwrap();

    let named: Struct = [("name".into(), "Night OS".into())].into_iter().collect();
    pool.set("VM_guest_metrics", &metrics, "os_version", named).unwrap();
    pool.set("VM", &other, "name_description", "nobody asked for this").unwrap();
    let heard = daemon.wait_for_message("heard of web-1").await;
    let fields = heard.text("fields");
    for part in ["class=\"VM\"", "changed=\"guest_metrics\"", "subscription=\"vm\"", "os=\"Night OS\""] {
        assert!(fields.contains(part), "{part} is missing in {fields}");
    }
    world.settled("joined").await;
    pool.crash(&vm).unwrap();
    let heard = daemon.wait_for("the power state is heard", |line| {
        line.message() == "heard of web-1" && line.text("fields").contains("power_state")
    });
    heard.await;
    world.settled("joined").await;
    assert!(!daemon.lines().iter().any(|line| line.message() == "heard of web-2"), "only what was asked for");
    let followed = world.stored().followed();
    assert!(!followed.iter().any(|class| class == "message"), "nobody listens to alerts: {followed:?}");
    assert_eq!(world.stored().dead(), []);
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_keeps_failing_is_left_alone_and_its_events_wait() {
    let world = World::builtin().await;
    let pool = world.pool();
    let daemon = world.start(&config(&world, "panic"));
    daemon.following().await;
    let vms = pool.records("VM");
    for vm in vms.iter().take(30) {
        pool.set("VM", &vm.reference, "name_description", "another one").unwrap();
    }
    let told = daemon.wait_for("the plugin is left alone", |line| line.message().contains("keeps failing"));
    assert_eq!(told.await.text("plugin"), "panic");
    let operator = world.operator();
    let status = until(LIMIT, "the status says so", || {
        let (_, status) = operator.status();
        if status["plugins"][0]["state"] == "quarantined" { Ok(status) } else { Err(status.to_string()) }
    })
    .await;
    assert!(status["plugins"][0]["why"].as_str().unwrap().contains("keeps failing"), "{status}");
    assert_eq!(world.stored().dead(), [], "nothing is given up meanwhile");
    assert!(status["plugins"][0]["waiting"].as_u64().unwrap() > 0, "{status}");
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_heard_by_name_and_priority_and_their_text_as_far_as_the_grant_shows_it() {
    let world = World::builtin().await;
    let pool = world.pool();
    let deaf = Grant { name: "deaf".into(), ..Grant::guest("herald", "") };
    let read = "[[read]]\nclass = [\"message\"]\nfields = [\"body\"]\n";
    let mut config = config(&world, "joined");
    config.grants.extend([Grant::guest("herald", read), deaf]);
    let daemon = world.start(&config);
    daemon.following().await;
    let vm = pool.find_vm("web-1").unwrap();
    let uuid = pool.record("VM", &vm).unwrap().text("uuid").to_owned();
    pool.crash(&vm).unwrap();
    let heard = daemon.wait_for("the crash is heard", |line| {
        line.text("plugin") == "herald" && line.message() == "heard VM_CRASHED"
    });
    let heard = heard.await;
    let about = format!("uuid=\"{uuid}\"");
    for part in ["subscription=\"crash\"", "priority=\"2\"", "class=\"VM\"", &about] {
        assert!(heard.text("fields").contains(part), "{part} is missing in {}", heard.text("fields"));
    }
    assert!(!heard.text("fields").contains("body=\"\""), "the grant shows it: {}", heard.text("fields"));
    let deaf = daemon.wait_for("it is heard without the grant too", |line| {
        line.text("plugin") == "deaf" && line.message() == "heard VM_CRASHED"
    });
    let deaf = deaf.await;
    assert!(deaf.text("fields").contains("body=\"\""), "the grant hides it: {}", deaf.text("fields"));

    // Neither of that name nor pressing enough.
    let door = format!("unix:{}", world.folder().join("xapi").display());
    let started = e2e::run(&["call", &door, "VM.start", "web-1", "start_paused=false", "force=false"]);
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    let stored = world.stored();
    until(LIMIT, "the start is told", || match stored.count("alert") {
        told if told >= 2 => Ok(()),
        told => Err(format!("{told} alerts")),
    })
    .await;
    world.settled("herald").await;
    let heard: Vec<String> = daemon
        .lines()
        .iter()
        .filter(|line| line.text("plugin") == "herald")
        .map(|line| line.message().to_owned())
        .filter(|message| message.starts_with("heard "))
        .collect();
    assert_eq!(heard, ["heard VM_CRASHED"]);
    assert_eq!(world.stored().dead(), []);
    assert!(daemon.terminate().await.status.success());
}
