//! Budgets, and the record of who did what: what is in it, that it holds over a restart, and that a hand in it is seen.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use e2e::{Grant, LIMIT, World, until};
use serde_json::{Value, json};

const READ: &str = "[[read]]\nclass = [\"VM\", \"task\"]\nfields = [\"*\"]\n";

fn rows(found: &Value) -> Vec<Value> {
    found.as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_gives_no_budget_anew_and_the_audit_tells_all_of_it() {
    let world = World::builtin().await;
    let mut config = world.config();
    let rules = format!("[[allow]]\ncall = [\"VM.start\"]\nobjects_per_hour = 1\n{READ}");
    config.grants = vec![Grant::keepalive(&rules)];
    let pool = world.pool();
    let daemon = world.start(&config);
    daemon.following().await;
    let (first, second) = (pool.find_vm("web-1").unwrap(), pool.find_vm("web-2").unwrap());
    let uuid = |vm: &str| pool.record("VM", vm).unwrap().text("uuid").to_owned();
    pool.crash(&first).unwrap();
    world.alike().await;
    world.settled("vm-keepalive").await;
    until(LIMIT, "the first one runs again", || {
        match pool.record("VM", &first).unwrap().text("power_state") {
            "Running" => Ok(()),
            other => Err(other.to_owned()),
        }
    })
    .await;
    drop(daemon.kill());

    let daemon = world.start(&config);
    daemon.following().await;
    pool.crash(&second).unwrap();
    let refused = daemon.wait_for_message("the grant refused a call").await;
    assert!(refused.text("fields").contains("over-budget"), "{refused:?}");
    let advice = refused.text("advice");
    assert!(
        advice.contains("vm-keepalive.toml:3 covers the call and allows 1 different object an hour"),
        "{advice}"
    );
    // What has room later is tried again later, and is no dead letter.
    let stored = world.stored();
    until(LIMIT, "the delivery rests", || match &stored.open_deliveries()[..] {
        [open] if open.contains("retry") => Ok(()),
        open => Err(format!("{open:?}")),
    })
    .await;
    assert_eq!(stored.dead(), []);
    assert_eq!(pool.calls().of("Async.VM.start") + pool.calls().of("VM.start"), 1);

    let operator = world.operator();
    let of_plugin =
        |kind: &str| rows(&operator.ask(&["audit", "show", "--plugin", "vm-keepalive", "--kind", kind]));
    let calls = of_plugin("call");
    assert_eq!(calls.len(), 1, "{calls:#?}");
    let call = &calls[0];
    assert_eq!((&call["what"], &call["object"]), (&json!("VM.start"), &json!(uuid(&first))));
    assert_eq!(call["details"]["arguments"]["vm"], json!(uuid(&first)));
    assert!(call["details"]["rule"].as_str().unwrap().ends_with("vm-keepalive.toml:3"), "{call}");
    assert!(call["details"]["component"].as_str().unwrap().starts_with("sha256:"), "{call}");
    assert!(["succeeded", "started"].contains(&call["result"]["outcome"].as_str().unwrap()), "{call}");
    let refusals = of_plugin("refusal");
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    assert_eq!(refusals[0]["object"], json!(uuid(&second)));
    assert_eq!(refusals[0]["details"]["reason"], "over-budget");
    let grants = of_plugin("grant");
    assert_eq!(grants.len(), 1, "the same grant after a restart is no change: {grants:#?}");
    assert_eq!(grants[0]["details"]["mode"], "enforce");

    let _ = operator.run(&["plugins", "disable", "vm-keepalive", "--reason", "enough"]).good();
    let actions = of_plugin("action");
    assert_eq!((&actions[0]["what"], &actions[0]["details"]), (&json!("plugins disable"), &json!("enough")));
    assert!(!actions[0]["who"].as_str().unwrap().is_empty());
    let by_object = rows(&operator.ask(&["audit", "show", "--object", &uuid(&second)]));
    assert_eq!(by_object.len(), 1, "{by_object:#?}");

    let whole = operator.ask(&["audit", "verify"]);
    assert_eq!(whole["faults"], json!([]), "{whole}");
    let head = whole["head"].as_str().unwrap().to_owned();
    assert!(daemon.terminate().await.status.success());

    // Without a daemon the journal is asked.
    let shown = operator.run(&["audit", "show"]).good();
    assert!(shown.contains("over-budget") && shown.contains("plugins disable"), "{shown}");
    let verified = operator.run(&["audit", "verify", "--noted", &head]).good();
    assert!(verified.contains("the audit follows"), "{verified}");
    e2e::meddle(&world.state(), "UPDATE audit SET object = 'somebody else' WHERE kind = 'refusal'");
    let wrong = operator.run(&["audit", "verify", "--noted", &head]);
    assert_eq!(wrong.code, 1, "{wrong:?}");
    let row = refusals[0]["id"].as_u64().unwrap();
    assert!(wrong.output.contains(&format!("row {row} was changed")), "{}", wrong.output);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_gives_a_plan_and_the_smallest_grant_for_it() {
    let world = World::builtin().await;
    let mut config = world.config();
    let rules = format!("mode = \"dry-run\"\n[[allow]]\ncall = [\"VM.start\"]\n{READ}");
    config.grants = vec![Grant::keepalive(&rules)];
    let pool = world.pool();
    let daemon = world.start(&config);
    daemon.following().await;
    let operator = world.operator();
    let nothing = operator.ask(&["grant", "suggest", "vm-keepalive"]);
    let asked = nothing["lines"].as_str().unwrap();
    assert!(asked.contains("Nothing is on record") && asked.contains("VM.start"), "{asked}");

    let vm = pool.find_vm("web-1").unwrap();
    let uuid = pool.record("VM", &vm).unwrap().text("uuid").to_owned();
    pool.crash(&vm).unwrap();
    daemon.wait_for_message("a dry run: the call was recorded and not sent").await;
    world.settled("vm-keepalive").await;

    let status = operator.run(&["plugins", "list"]).good();
    assert!(status.contains("on, dry-run"), "{status}");
    let effect = world.stored().all_effects().remove(0);
    let sequence = effect.sequence.to_string();
    let plan = operator.ask(&["deliveries", "show", "vm-keepalive", &sequence]);
    let call = &plan["calls"][0];
    assert_eq!(
        (&call["method"], &call["object"], &call["expected"], &call["outcome"]),
        (&json!("VM.start"), &json!(uuid), &json!("power_state = Running"), &json!("dry run"))
    );

    let suggested = operator.ask(&["grant", "suggest", "vm-keepalive"]);
    assert_eq!(suggested["allow"][0]["objects"], json!([uuid]));
    let fields = suggested["read"]["VM"].as_array().unwrap();
    assert!(fields.contains(&json!("power_state")) && fields.contains(&json!("tags")), "{fields:?}");
    assert!(fields.len() < 12, "only what it read: {fields:?}");
    let lines = suggested["lines"].as_str().unwrap().to_owned();
    assert!(daemon.terminate().await.status.success());

    // What was proposed is enough: nothing is refused, and the VM is started.
    config.grants = vec![Grant::keepalive(&lines)];
    let daemon = world.start(&config);
    daemon.following().await;
    pool.set("VM", &vm, "power_state", "Running").unwrap();
    world.alike().await;
    pool.set("VM", &vm, "power_state", "Halted").unwrap();
    world.alike().await;
    until(LIMIT, "it is started again", || {
        match pool.calls().of("Async.VM.start") + pool.calls().of("VM.start") {
            0 => Err("no call".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    world.settled("vm-keepalive").await;
    let ended = daemon.terminate().await;
    assert!(
        ended.lines.iter().all(|line| line.message() != "the grant refused a call"),
        "{:#?}",
        ended.lines
    );
    assert_eq!(world.stored().dead(), []);
}
