//! The store: writes go out with a finished delivery or not at all.

use plugin_host::report::StateWrite;
use plugin_host::{Outcome, Stop};
use serde_json::json;

use crate::stage::{Stage, guest};

#[tokio::test]
async fn writes_go_out_with_the_outcome_and_are_read_by_the_next() {
    let (stage, plugin) = (Stage::new(), guest("store_writer"));
    for count in 1..=3 {
        let report = stage.run(&plugin).await;
        assert_eq!(report.outcome, Outcome::Done, "{}", stage.heard());
        stage.state.apply(&report.state);
        assert_eq!(stage.state.text("count"), count.to_string());
    }
    assert_eq!(stage.state.text("last"), "7");
    let report = stage.run(&plugin).await;
    assert!(report.state.contains(&StateWrite { key: "passing".into(), value: None }), "{report:?}");
}

#[tokio::test]
async fn a_failed_delivery_keeps_nothing() {
    let report = Stage::new().settings(json!({"fail": true})).run(&guest("store_writer")).await;
    assert!(matches!(report.outcome, Outcome::GiveUp { .. }));
    assert!(report.state.is_empty());
}

#[tokio::test]
async fn what_a_delivery_writes_is_bounded() {
    let report = Stage::new().limited(|limits| limits.state = 8).run(&guest("store_writer")).await;
    let Outcome::GiveUp { why } = &report.outcome else { panic!("{report:?}") };
    assert!(why.contains("LIMIT") && why.contains("8 bytes"), "{why}");
}

#[tokio::test]
async fn keys_beyond_a_page_are_listed_in_order() {
    let (stage, plugin) = (Stage::new(), guest("store_writer"));
    for number in 0..3_000 {
        stage.state.0.lock().unwrap().insert(format!("a{number:04}"), Vec::new());
    }
    let report = stage.run(&plugin).await;
    // The guest expects to find only its own keys, and tells so; that it got this far means that paging ended.
    assert!(
        matches!(&report.outcome, Outcome::GiveUp { why } if why.contains("all keys are listed")),
        "{report:?}"
    );
    assert!(!matches!(report.outcome, Outcome::Stopped(Stop::HostCalls { .. })));
}
