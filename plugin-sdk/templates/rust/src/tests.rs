//! The handlers in a small world, natively: `cargo test`.

use xapiary_sdk::testing::{Answer, World};

use super::*;

const WORLD: &str = r#"
    [[VM]]
    name_label = "web"
    uuid = "u-web"
    power_state = "Running"
"#;

#[test]
fn a_stop_is_tagged_and_counted() {
    let mut world = World::<{{Type}}>::new(WORLD);
    let run = world.modify("VM", "web").set("power_state", "Halted").deliver();
    run.assert_done().assert_calls(["VM.add_tags(web, \"stopped\")"]).assert_logged("web has stopped");
    assert_eq!(world.stored::<u32>("stops/u-web"), Some(1));
}

#[test]
fn a_start_takes_the_tag_off() {
    let mut world = World::<{{Type}}>::new(WORLD);
    world.set("VM", "web", "power_state", "Halted").set("VM", "web", "tags", ["stopped"]);
    let run = world.modify("VM", "web").set("power_state", "Running").deliver();
    run.assert_done().assert_calls(["VM.remove_tags(web, \"stopped\")"]);
}

#[test]
fn nothing_is_counted_when_the_pool_refuses() {
    let mut world = World::<{{Type}}>::new(WORLD);
    world.answer("VM.add_tags", Answer::error("PERMISSION_DENIED", []));
    let run = world.modify("VM", "web").set("power_state", "Halted").deliver();
    run.assert_gave_up("PERMISSION_DENIED");
    assert!(world.keys().is_empty());
}
