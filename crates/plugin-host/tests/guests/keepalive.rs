//! The shipped plugin under the grant that it is shipped with.

use std::sync::Arc;

use plugin_host::Outcome;
use plugin_host::event::Subject;
use plugin_host::grant::RawGrant;
use plugin_host::pool::TaskState;
use serde_json::json;
use xapi::{NULL_REF, Struct, Value};

use crate::stage::{Answer, Stage, guest};

/// The rules of the shipped grant file.
fn shipped() -> RawGrant {
    #[derive(serde::Deserialize)]
    struct File {
        allow: Vec<plugin_host::grant::RawAllow>,
        read: Vec<plugin_host::grant::RawRead>,
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/plugins/vm-keepalive.toml");
    let File { allow, read } = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    RawGrant { file: "plugins/vm-keepalive.toml".into(), allow, read }
}

fn stage() -> Stage {
    let mut stage = Stage::new().settings(json!({}));
    stage.grant = shipped();
    stage.event.subscription = "stopped".into();
    stage
}

#[tokio::test]
async fn the_shipped_grant_gives_what_the_plugin_asks_for() {
    let plugin = guest("vm_keepalive");
    let grant = plugin_host::Grant::compile(&shipped()).unwrap();
    assert_eq!(plugin.manifest().missing(&grant), None);
}

#[tokio::test]
async fn a_vm_that_stopped_by_itself_is_started() {
    let stage = stage().answering(Answer::Value("OpaqueRef:task-1".into()));
    stage.pool.tasks.lock().unwrap().push_back(TaskState::Succeeded(Value::VOID));
    let report = stage.run(&guest("vm_keepalive")).await;
    assert_eq!(report.outcome, Outcome::Done, "{}", stage.heard());
    let seen = stage.pool.seen();
    assert!(seen[0].starts_with("start VM.start(OpaqueRef:vm-web, Bool(false), Bool(false))"), "{seen:?}");
    assert!(report.state.iter().any(|write| write.key == "starts/u-web"), "{report:?}");
}

#[tokio::test]
async fn a_vm_that_was_asked_to_stop_is_left_alone() {
    let mut stage = stage();
    if let Subject::Change(change) = &mut stage.event.subject {
        let old = Arc::make_mut(change.old.as_mut().unwrap());
        let mut operations = Struct::new();
        operations.insert(NULL_REF, "clean_shutdown");
        old.set("current_operations", operations);
    }
    let report = stage.run(&guest("vm_keepalive")).await;
    assert_eq!(report.outcome, Outcome::Done, "{}", stage.heard());
    assert!(stage.pool.seen().is_empty() && report.state.is_empty());
}
