//! What plugins hear: objects with what belongs to them, and nothing while they keep failing.

use e2e::{Config, Grant, LIMIT, World, until};
use xapi::Struct;

const READ: &str = "[[read]]\nclass = [\"VM\", \"VM_guest_metrics\"]\nfields = [\"*\"]\n";

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
