//! What a grant does not cover does not happen, and whoever reads the log knows which line would allow it.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use e2e::{Grant, LIMIT, Line, World, until};
use simulator::PoolHandle;

const READ: &str = "[[read]]\nclass = [\"VM\", \"task\"]\nfields = [\"*\"]\n";

fn state(pool: &PoolHandle, vm: &str) -> String {
    pool.record("VM", vm).unwrap().text("power_state").to_owned()
}

/// Crashes a VM under a grant that does not cover its start; what the log said, and the dead letter's reason.
async fn refused(rules: &str) -> (Vec<Line>, String, String) {
    let world = World::builtin().await;
    let mut config = world.config();
    config.grants = vec![Grant::keepalive(&format!("{rules}\n{READ}"))];
    let pool = world.pool();
    let daemon = world.start(&config);
    daemon.following().await;
    let vm = pool.find_vm("web-1").unwrap();
    let uuid = pool.record("VM", &vm).unwrap().text("uuid").to_owned();
    pool.crash(&vm).unwrap();
    world.alike().await;
    let stored = world.stored();
    let dead = until(LIMIT, "the delivery is given up", || match &stored.dead()[..] {
        [] => Err(format!("{:?}", stored.open_deliveries())),
        [(plugin, sequence, why)] => {
            assert_eq!(plugin, "vm-keepalive");
            Ok((*sequence, why.clone()))
        }
        more => panic!("{more:?}"),
    })
    .await;
    let stop = stored.changes_of("VM", &vm).into_iter().find(|change| change.sequence == dead.0).unwrap();
    assert_eq!(stop.new.unwrap().text("power_state"), "Halted");
    world.settled("vm-keepalive").await;
    assert_eq!(state(&pool, &vm), "Halted");
    assert_eq!(stored.effects(dead.0), [] as [[String; 3]; 0], "nothing was about to be sent");
    let calls = pool.calls();
    assert_eq!((calls.of("VM.start"), calls.of("Async.VM.start")), (0, 0));
    let ended = daemon.terminate().await;
    assert!(ended.status.success());
    (ended.lines, dead.1, uuid)
}

/// The line that tells of the refusal, with its advice as one would paste it.
fn refusal(lines: &[Line]) -> (&Line, String) {
    let line = lines.iter().find(|line| line.message() == "the grant refused a call");
    let line = line.unwrap_or_else(|| panic!("no line of the log tells of the refusal: {lines:#?}"));
    (line, line.text("advice").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_no_rule_allows_is_refused_with_the_line_that_would() {
    let (lines, why, _) = refused("").await;
    assert!(why.contains("VM.start"), "{why}");
    let (line, advice) = refusal(&lines);
    assert_eq!((line.level(), line.text("plugin")), ("WARN", "vm-keepalive"));
    assert!(
        advice.contains("[[allow]]\ncall = [\"VM.start\"]\n") && advice.contains("vm-keepalive.toml"),
        "{advice}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_for_other_objects_does_not_cover_this_one() {
    let (lines, _, uuid) =
        refused("[[allow]]\ncall = [\"VM.start\"]\non = '\"hands-off\" in self.tags'\n").await;
    let (_, advice) = refusal(&lines);
    assert!(advice.contains("[[allow]] 1 of") && advice.contains("vm-keepalive.toml"), "{advice}");
    // The narrowest line that helps is for this object alone.
    assert!(advice.contains(&format!("on = 'self.uuid == \"{uuid}\"'")), "{advice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_runs_dry_has_its_calls_recorded_and_not_sent() {
    let world = World::builtin().await;
    let mut config = world.config();
    let rules = format!("mode = \"dry-run\"\n[[allow]]\ncall = [\"VM.start\"]\n{READ}");
    config.grants = vec![Grant::keepalive(&rules)];
    let pool = world.pool();
    let daemon = world.start(&config);
    daemon
        .wait_for("it is said at the start", |line| line.message().starts_with("the plugin runs dry"))
        .await;
    daemon.following().await;
    let vm = pool.find_vm("web-1").unwrap();
    pool.crash(&vm).unwrap();
    let told = daemon.wait_for_message("a dry run: the call was recorded and not sent").await;
    assert_eq!((told.text("plugin"), told.level()), ("vm-keepalive", "INFO"));
    let stored = world.stored();
    world.settled("vm-keepalive").await;
    assert_eq!(stored.dead(), [], "it knows what a dry run is");
    let effects = stored.all_effects();
    let outcomes: Vec<(&str, Option<&str>)> =
        effects.iter().map(|effect| (effect.method.as_str(), effect.outcome.as_deref())).collect();
    assert_eq!(outcomes, [("VM.start", Some("dry run"))]);
    let calls = pool.calls();
    assert_eq!((calls.of("VM.start"), calls.of("Async.VM.start")), (0, 0));
    assert_eq!(state(&pool, &vm), "Halted");
    assert!(daemon.terminate().await.status.success());
}
