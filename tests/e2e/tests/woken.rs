//! Plugins that are woken by schedules: on time, once, and after a downtime.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::{Config, Grant, LIMIT, World, set_schedules_back, until};

/// The schedule has a tick at each full minute.
const MINUTE: Duration = Duration::from_secs(75);

fn config(world: &World) -> Config {
    Config { grants: vec![Grant::guest("clockwork", "")], ..world.config() }
}

/// When each tick in the journal was due, with whether it was late and whether others were folded into it.
fn ticks(world: &World) -> Vec<(String, bool, bool)> {
    let ticks = world.stored().payloads("tick");
    let truth = |tick: &xapi::Struct, name| tick.get(name).unwrap().as_bool().unwrap();
    let due = |tick: &xapi::Struct| tick.get("due").unwrap().as_str().unwrap().to_owned();
    ticks.iter().map(|(_, tick)| (due(tick), truth(tick, "late"), truth(tick, "folded"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_wakes_its_plugin_on_time_and_what_a_downtime_missed_is_told_once() {
    let world = World::builtin().await;
    let config = config(&world);
    let daemon = world.start(&config);
    daemon.following().await;
    until(MINUTE, "the plugin is woken", || {
        let ticked = daemon.lines().iter().any(|line| line.message() == "ticked");
        if ticked { Ok(()) } else { Err(format!("{:?}", ticks(&world))) }
    })
    .await;
    let woken = daemon.wait_for_message("ticked").await;
    let first = ticks(&world).remove(0);
    assert!(first.0.ends_with(":00Z") && !first.2, "{first:?}");
    let due = format!("due=\"{}\"", first.0);
    for part in ["schedule=\"minute\"", "gap=\"false\"", &due] {
        assert!(woken.text("fields").contains(part), "{part} is missing in {}", woken.text("fields"));
    }
    world.settled("clockwork").await;
    assert!(daemon.terminate().await.status.success());

    // As if it had been down for hours.
    let told = ticks(&world).len();
    set_schedules_back(&world.state(), Duration::from_secs(3 * 3600));
    let daemon = world.start(&config);
    until(LIMIT, "what was missed is told", || {
        let ticks = ticks(&world);
        if ticks.len() > told { Ok(()) } else { Err(format!("{ticks:?}")) }
    })
    .await;
    let missed = ticks(&world).remove(told);
    assert!(missed.2, "hours of minutes are folded into one: {missed:?}");
    let woken = daemon.wait_for_message("ticked").await;
    let due = format!("due=\"{}\"", missed.0);
    for part in ["gap=\"true\"", &due] {
        assert!(woken.text("fields").contains(part), "{part} is missing in {}", woken.text("fields"));
    }
    world.settled("clockwork").await;
    assert!(daemon.kill().lines.iter().any(|line| line.message() == "ticked"));

    let daemon = world.start(&config);
    daemon.following().await;
    world.settled("clockwork").await;
    assert!(daemon.terminate().await.status.success());
    let ticks = ticks(&world);
    let distinct: BTreeSet<&String> = ticks.iter().map(|(due, _, _)| due).collect();
    // The one that was missed may be the very minute that was told before the downtime was made up.
    let repeated = usize::from(ticks.iter().take(told).any(|(due, _, _)| *due == missed.0));
    assert_eq!(distinct.len() + repeated, ticks.len(), "none is told twice: {ticks:?}");
    assert_eq!(world.stored().dead(), []);
}
