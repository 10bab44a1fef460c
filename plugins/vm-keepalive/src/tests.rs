//! The plugin as a whole, in a small world: what it calls, remembers and says.

use xapiary_sdk::Fault;
use xapiary_sdk::testing::{Answer, Run, World};

use super::*;

const WORLD: &str = r#"
    [[VM]]
    name_label = "web"
    uuid = "u-web"
    power_state = "Running"
    tags = ["keepalive"]

    [[task]]
    name_label = "Async.VM.clean_shutdown"
    status = "success"
    finished = "2026-01-02T02:00:00Z"
"#;

fn world() -> World<VmKeepalive> {
    World::new(WORLD)
}

/// The VM stops, and runs again as soon as the plugin is done.
fn stop(world: &mut World<VmKeepalive>) -> Run {
    let run = world.modify("VM", "web").set("power_state", "Halted").deliver();
    world.set("VM", "web", "power_state", "Running");
    run
}

#[test]
fn a_vm_that_stopped_by_itself_is_started_and_remembered() {
    let mut world = world();
    stop(&mut world)
        .assert_done()
        .assert_calls(["Async.VM.start(web, false, false)"])
        .assert_logged("web runs again");
    assert_eq!(world.stored::<Vec<i64>>("starts/u-web"), Some(vec![1_767_323_045]));
}

#[test]
fn it_gives_up_when_the_vm_stops_too_often_and_tries_again_after_the_window() {
    let mut world = world();
    world.setting("max_starts", 2);
    for minute in ["00", "01"] {
        stop(world.at(&format!("2026-01-02T03:{minute}:00Z"))).assert_done();
    }
    let run = stop(world.at("2026-01-02T03:02:00Z"));
    run.assert_gave_up("started 2 times within 10 minutes").assert_no_calls();
    stop(world.at("2026-01-02T03:11:00Z")).assert_done().assert_calls(["Async.VM.start(web, false, false)"]);
}

#[test]
fn a_vm_that_somebody_stops_is_left_alone() {
    let mut world = world();
    let task = serde_json::json!({ "a task": "clean_shutdown" });
    world.set("VM", "web", "current_operations", task);
    stop(&mut world).assert_done().assert_no_calls().assert_logged("somebody asked for clean_shutdown");

    let mut world = self::world();
    world.set("task", "Async.VM.clean_shutdown", "finished", "2026-01-02T03:04:00Z");
    stop(&mut world).assert_done().assert_no_calls().assert_logged("ended at about that time");

    let mut world = self::world();
    let note = serde_json::json!({
        "last_shutdown_initiator": "external",
        "last_shutdown_time": "20260102T03:04:05Z",
    });
    let run = world.modify("VM", "web").set("power_state", "Halted").set("other_config", note).deliver();
    run.assert_done().assert_no_calls().assert_logged("the pool noted a shutdown from outside");
}

#[test]
fn a_vm_without_the_tag_is_none_of_its_business() {
    let mut world = world();
    world.setting("tag", "another");
    let run = stop(&mut world);
    run.assert_done().assert_no_calls();
    assert!(run.log.is_empty(), "{run}");
}

#[test]
fn an_answer_decides_what_becomes_of_the_delivery() {
    let after = |answer| {
        let mut world = world();
        world.answer("VM.start", answer);
        world.modify("VM", "web").set("power_state", "Halted").deliver()
    };
    after(Answer::error("VM_BAD_POWER_STATE", ["web", "halted", "running"])).assert_done();
    after(Answer::error("OTHER_OPERATION_IN_PROGRESS", ["VM", "web"])).assert_retries("in the way");
    after(Answer::error("NO_HOSTS_AVAILABLE", [])).assert_gave_up("NO_HOSTS_AVAILABLE");
    after(Answer::pending()).assert_retries("still starting");
    after(Answer::cancelled()).assert_done().assert_logged("somebody cancelled");
    after(Answer::lost()).assert_retries("vanished");
    after(Answer::fault(Fault::Transport, "UNREACHABLE", [])).assert_retries("could not be reached");
    after(Answer::fault(Fault::DryRun, "DRY_RUN", ["VM.start"])).assert_done().assert_logged("dry run");
}

#[test]
fn what_it_remembers_goes_with_the_vm() {
    let mut world = world();
    world.store("starts/u-web", [1, 2]);
    world.delete("VM", "web").deliver().assert_done();
    assert!(world.keys().is_empty());
}
