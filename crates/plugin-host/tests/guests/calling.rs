//! Calls: grant, ledger, pool and back.

use std::sync::Arc;
use std::time::Duration;

use plugin_host::Outcome;
use plugin_host::pool::{CallError, EffectOutcome, Recalled, TaskState};
use plugin_host::report::Source;
use serde_json::json;
use xapi::{Failure, Value};

use crate::stage::{Answer, FakeLedger, Stage, guest};

fn tagging() -> Stage {
    Stage::new()
        .allowing("VM.add_tags", Some("self.name_label == \"web\""))
        .settings(json!({"method": "VM.add_tags", "arguments": ["x"]}))
}

fn void() -> Answer {
    Answer::Value(Value::VOID)
}

#[tokio::test]
async fn an_allowed_call_is_recorded_sent_and_answered() {
    let stage = tagging().answering(void());
    let report = stage.run(&guest("caller")).await;
    assert_eq!(report.outcome, Outcome::Done, "{}", stage.heard());
    assert_eq!(stage.pool.seen(), ["call VM.add_tags(OpaqueRef:vm-web, x)"]);
    let intents = stage.ledger.intents.lock().unwrap();
    assert_eq!((intents.len(), intents[0].index, intents[0].method.as_str()), (1, 0, "VM.add_tags"));
    assert_eq!(intents[0].arguments, ["OpaqueRef:vm-web".into(), "x".into()]);
    assert_eq!(*stage.ledger.outcomes.lock().unwrap(), [(1, EffectOutcome::Succeeded(Value::VOID))]);
    assert_eq!((report.usage.pool_calls, report.usage.refused_calls), (1, 0));
}

#[tokio::test]
async fn a_call_that_only_reads_is_no_effect() {
    let stage = Stage::new()
        .allowing("VM.get_*", None)
        .settings(json!({"method": "VM.get_affinity"}))
        .answering(Answer::Value("OpaqueRef:host-1".into()));
    let report = stage.run(&guest("caller")).await;
    assert_eq!(report.outcome, Outcome::Done);
    assert!(stage.ledger.intents.lock().unwrap().is_empty());
    assert!(
        stage.heard().contains("Reference(") && !stage.heard().contains("OpaqueRef:"),
        "{}",
        stage.heard()
    );
}

#[tokio::test]
async fn a_refused_call_is_told_with_its_advice_and_never_sent() {
    let mut stage = tagging();
    stage.grant.allow[0].on = Some("self.name_label == \"other\"".into());
    let report = stage.run(&guest("caller")).await;
    let Outcome::GiveUp { why } = &report.outcome else { panic!("{report:?}") };
    assert!(why.contains("on = 'self.uuid == \"u-web\"'"), "{why}");
    assert!(stage.pool.seen().is_empty() && stage.ledger.intents.lock().unwrap().is_empty());
    assert_eq!(report.usage.refused_calls, 1);
    let line = report.log.iter().find(|line| line.source == Source::Host).expect("the host tells it");
    assert!(line.to_string().contains("the grant refused a call method=\"VM.add_tags\""), "{line}");
}

#[tokio::test]
async fn calls_that_make_no_sense_are_invalid() {
    for (settings, words) in [
        (json!({"method": "VM.add_tag", "arguments": ["x"]}), "did you mean `VM.add_tags`?"),
        (json!({"method": "Async.VM.start"}), "leave `Async.` out"),
        (json!({"method": "VM.add_tags"}), "(self: reference to VM, value: text)"),
        (json!({"method": "VM.add_tags", "arguments": ["x", "y"]}), "the session is no argument"),
        (
            json!({"method": "VM.set_is_a_template", "arguments": ["true"]}),
            "`value` of VM.set_is_a_template is truth, not text",
        ),
        (
            json!({"method": "VM.get_name_label", "target": "OpaqueRef:vm-web"}),
            "is reference to VM, not text",
        ),
        (json!({"method": "VM.get_name_label", "asynchronous": true}), "no asynchronous form"),
        (
            json!({"method": "session.login_with_password", "target": "root", "arguments": ["x"]}),
            "takes no session",
        ),
    ] {
        let stage = Stage::new().allowing("*.*", None).settings(settings.clone());
        let Outcome::GiveUp { why } = stage.run(&guest("caller")).await.outcome else { panic!("{settings}") };
        assert!(why.contains(words), "{settings}: {why}");
        assert!(stage.pool.seen().is_empty());
    }
}

#[tokio::test]
async fn errors_of_xapi_come_back_without_raw_references() {
    let failure = Failure::new("VM_BAD_POWER_STATE", ["OpaqueRef:vm-web", "halted", "running"]);
    let stage = tagging().answering(Answer::Error(CallError::Xapi(failure.clone())));
    let report = stage.run(&guest("caller")).await;
    assert!(matches!(report.outcome, Outcome::GiveUp { .. }));
    assert!(
        stage.heard().contains("VM_BAD_POWER_STATE") && !stage.heard().contains("OpaqueRef:"),
        "{}",
        stage.heard()
    );
    assert_eq!(*stage.ledger.outcomes.lock().unwrap(), [(1, EffectOutcome::Failed(failure))]);
}

#[tokio::test]
async fn an_unreachable_pool_is_a_reason_to_try_again() {
    let stage = tagging().answering(Answer::Error(CallError::Transport("connection refused".into())));
    let report = stage.run(&guest("caller")).await;
    assert!(matches!(report.outcome, Outcome::Retry { .. }), "{report:?}");
    assert_eq!(
        *stage.ledger.outcomes.lock().unwrap(),
        [(1, EffectOutcome::NotSent("connection refused".into()))]
    );
}

#[tokio::test]
async fn a_call_without_an_answer_is_in_doubt() {
    let stage =
        tagging().answering(Answer::Never).limited(|limits| limits.call_timeout = Duration::from_millis(50));
    let report = stage.run(&guest("caller")).await;
    let Outcome::GiveUp { why } = &report.outcome else { panic!("{report:?}") };
    assert!(why.contains("IN_DOUBT"), "{why}");
    let outcomes = stage.ledger.outcomes.lock().unwrap();
    assert!(matches!(outcomes.as_slice(), [(1, EffectOutcome::InDoubt(_))]), "{outcomes:?}");
}

#[tokio::test]
async fn a_recorded_effect_is_not_sent_again() {
    for (record, outcome) in [
        (Recalled::Concluded(EffectOutcome::Succeeded(Value::VOID)), "Done"),
        (Recalled::Concluded(EffectOutcome::Failed(Failure::new("NO", ["x"]))), "NO"),
        (Recalled::InDoubt("the daemon stopped".into()), "IN_DOUBT"),
    ] {
        let stage = tagging();
        stage.ledger.record.lock().unwrap().push_back(record.clone());
        let report = stage.run(&guest("caller")).await;
        let words = format!("{:?}", report.outcome);
        assert!(words.contains(outcome), "{record:?}: {words}");
        assert!(stage.pool.seen().is_empty(), "{record:?}");
    }
}

#[tokio::test]
async fn nothing_is_sent_when_the_intent_cannot_be_recorded() {
    let mut stage = tagging();
    stage.ledger = Arc::new(FakeLedger { broken: true, ..FakeLedger::default() });
    let report = stage.run(&guest("caller")).await;
    let Outcome::Retry { why, .. } = &report.outcome else { panic!("{report:?}") };
    assert!(why.contains("the disk is full"), "{why}");
    assert!(stage.pool.seen().is_empty());
}

#[tokio::test]
async fn calls_are_budgeted() {
    let stage = tagging().limited(|limits| limits.pool_calls = 0);
    let report = stage.run(&guest("caller")).await;
    let Outcome::GiveUp { why } = &report.outcome else { panic!("{report:?}") };
    assert!(why.contains("LIMIT"), "{why}");
    assert!(stage.pool.seen().is_empty());
    assert!(matches!(stage.ledger.outcomes.lock().unwrap().as_slice(), [(1, EffectOutcome::NotSent(_))]));
}

fn rebooting() -> Stage {
    Stage::new()
        .allowing("VM.hard_reboot", None)
        .settings(json!({"method": "VM.hard_reboot", "asynchronous": true}))
}

#[tokio::test]
async fn a_task_is_started_and_waited_for() {
    let stage = rebooting().answering(Answer::Value("OpaqueRef:task-1".into()));
    stage.pool.tasks.lock().unwrap().push_back(TaskState::Succeeded(Value::VOID));
    let report = stage.run(&guest("caller")).await;
    assert_eq!(report.outcome, Outcome::Done, "{}", stage.heard());
    assert_eq!(stage.pool.seen(), ["start VM.hard_reboot(OpaqueRef:vm-web)", "wait OpaqueRef:task-1"]);
    assert!(stage.ledger.intents.lock().unwrap()[0].asynchronous);
    assert_eq!(
        *stage.ledger.outcomes.lock().unwrap(),
        [(1, EffectOutcome::Started("OpaqueRef:task-1".into()))]
    );
}

#[tokio::test]
async fn a_redelivery_gets_the_same_task_back() {
    let stage = rebooting();
    let record = Recalled::Concluded(EffectOutcome::Started("OpaqueRef:task-1".into()));
    stage.ledger.record.lock().unwrap().push_back(record);
    stage
        .pool
        .tasks
        .lock()
        .unwrap()
        .push_back(TaskState::Failed(Failure::new("VM_IS_PROTECTED", ["OpaqueRef:vm-web"])));
    let report = stage.run(&guest("caller")).await;
    let Outcome::GiveUp { why } = &report.outcome else { panic!("{report:?}") };
    assert!(why.contains("VM_IS_PROTECTED") && !why.contains("OpaqueRef:"), "{why}");
    assert_eq!(stage.pool.seen(), ["wait OpaqueRef:task-1"]);
}
