//! How each way of misbehaving ends, and that neighbours do not notice.

use std::time::Duration;

use plugin_host::report::Source;
use plugin_host::{Host, Options, Outcome, Stop};
use serde_json::json;

use crate::stage::{Answer, Stage, component, guest, host};

#[tokio::test]
async fn nothing_is_done_at_little_cost() {
    let report = Stage::new().run(&guest("no_op")).await;
    assert_eq!(report.outcome, Outcome::Done);
    assert!(report.usage.memory_peak > 0);
    assert!(report.state.is_empty() && report.log.is_empty(), "{report:?}");
}

#[tokio::test]
async fn an_endless_loop_is_stopped_by_its_computing_time() {
    let allowed = Duration::from_millis(50);
    let report = Stage::new().limited(|limits| limits.cpu = allowed).run(&guest("loop_forever")).await;
    assert_eq!(report.outcome, Outcome::Stopped(Stop::CpuTime { allowed }));
    assert!(report.usage.cpu > allowed);
}

#[tokio::test]
async fn an_endless_loop_is_stopped_by_its_deadline() {
    let allowed = Duration::from_millis(60);
    let stage = Stage::new().limited(|limits| limits.deadline = allowed);
    let report = stage.run(&guest("loop_forever")).await;
    let Outcome::Stopped(Stop::Deadline { allowed: told, .. }) = report.outcome else { panic!("{report:?}") };
    assert_eq!(told, allowed);
}

#[tokio::test]
async fn a_panic_is_told_in_its_own_words() {
    let report = Stage::new().run(&guest("panic")).await;
    let Outcome::Stopped(Stop::Panic { message, stack }) = &report.outcome else { panic!("{report:?}") };
    assert!(message.contains("a guest panics on purpose"), "{message}");
    assert!(!stack.is_empty());
    assert!(report.log.iter().any(|line| line.message.contains("a guest panics on purpose")), "{report:?}");
}

#[tokio::test]
async fn memory_is_bounded() {
    let allowed = 16 * 1024 * 1024;
    let stage = Stage::new().limited(|limits| limits.memory = allowed);
    let report = stage.run(&guest("out_of_memory")).await;
    let Outcome::Stopped(Stop::OutOfMemory { wanted, allowed: told }) = report.outcome else {
        panic!("{report:?}")
    };
    assert!(wanted > allowed && told == allowed && report.usage.memory_peak <= allowed, "{report:?}");
}

#[tokio::test]
async fn endless_recursion_is_told_as_such() {
    let report = Stage::new().run(&guest("deep_recursion")).await;
    let Outcome::Stopped(Stop::StackOverflow { stack }) = &report.outcome else { panic!("{report:?}") };
    assert!(stack.iter().any(|frame| frame.contains("deeper")), "{stack:?}");
}

#[tokio::test]
async fn a_flood_of_log_is_cut_and_counted() {
    let stage = Stage::new().limited(|limits| {
        limits.log = 10_000;
        limits.cpu = Duration::from_secs(60);
    });
    let report = stage.run(&guest("log_flood")).await;
    assert_eq!(report.outcome, Outcome::Done);
    assert!(report.usage.log_dropped > 99_000_000, "{:?}", report.usage);
    let heard = stage.ears.0.lock().unwrap();
    let said: usize =
        heard.iter().filter(|line| line.source == Source::Plugin).map(|line| line.message.len()).sum();
    assert!((9_000..=10_000).contains(&said), "{said}");
    assert!(report.log.len() <= 50 && heard.last().unwrap().message.contains("dropped"), "{heard:?}");
}

#[tokio::test]
async fn host_calls_are_counted() {
    let report = Stage::new().limited(|limits| limits.host_calls = 10).run(&guest("log_flood")).await;
    assert_eq!(report.outcome, Outcome::Stopped(Stop::HostCalls { allowed: 10 }));
}

#[tokio::test]
async fn objects_held_at_once_are_counted() {
    let stage = Stage::new().limited(|limits| limits.handles = 1).settings(json!({"find_class": "VM"}));
    let report = stage.run(&guest("reader")).await;
    assert_eq!(report.outcome, Outcome::Stopped(Stop::Handles { allowed: 1 }));
}

#[tokio::test]
async fn a_plugin_may_ask_for_a_retry_or_give_up() {
    let plugin = guest("retry_twice");
    let mut stage = Stage::new();
    let report = stage.run(&plugin).await;
    let why = "attempt 1 fails on purpose".to_owned();
    assert_eq!(report.outcome, Outcome::Retry { after: Duration::from_millis(10), why });
    stage.event.attempt = 3;
    assert_eq!(stage.run(&plugin).await.outcome, Outcome::Done);
    let report = stage.run(&guest("give_up")).await;
    assert!(matches!(report.outcome, Outcome::GiveUp { .. }), "{report:?}");
}

#[tokio::test]
async fn waiting_for_the_pool_is_not_computing_time() {
    let stage = Stage::new()
        .allowing("VM.get_name_label", None)
        .settings(json!({"method": "VM.get_name_label"}))
        .answering(Answer::Late(Duration::from_millis(300), "web".into()))
        .limited(|limits| limits.cpu = Duration::from_millis(100));
    let report = stage.run(&guest("caller")).await;
    assert_eq!(report.outcome, Outcome::Done, "{}", stage.heard());
    assert!(report.usage.wall >= Duration::from_millis(300) && report.usage.cpu < Duration::from_millis(100));
}

#[tokio::test]
async fn a_deadline_in_a_host_call_names_it() {
    let stage = Stage::new()
        .allowing("VM.add_tags", None)
        .settings(json!({"method": "VM.add_tags", "arguments": ["x"]}))
        .answering(Answer::Never)
        .limited(|limits| limits.deadline = Duration::from_millis(100));
    let report = stage.run(&guest("caller")).await;
    let Outcome::Stopped(Stop::Deadline { waiting_in, .. }) = &report.outcome else { panic!("{report:?}") };
    assert_eq!(waiting_in.as_deref(), Some("calls.call"));
    assert_eq!(stage.ledger.intents.lock().unwrap().len(), 1);
    assert!(stage.ledger.outcomes.lock().unwrap().is_empty(), "nobody knows what came of it");
}

/// One thread only: the loop must give it back each tick.
#[tokio::test(flavor = "current_thread")]
async fn a_loop_does_not_hold_up_its_neighbours() {
    let host = host();
    let (looping, quick) =
        (host.load(&component("loop_forever")).unwrap(), host.load(&component("no_op")).unwrap());
    let stage = Stage::new().limited(|limits| limits.cpu = Duration::from_secs(600));
    let neighbours = async {
        for _ in 0..20 {
            assert_eq!(stage.run(&quick).await.outcome, Outcome::Done);
        }
    };
    tokio::select! {
        biased;
        report = stage.run(&looping) => panic!("the loop ended first: {report:?}"),
        () = neighbours => {}
    }
    // The loop was dropped while it ran; its slot is free again.
    assert_eq!(stage.run(&quick).await.outcome, Outcome::Done);
}

#[tokio::test]
async fn more_deliveries_than_slots_wait_their_turn() {
    let host = Host::new(Options { instances: 2, ..Options::default() }).unwrap();
    let plugin = host.load(&component("no_op")).unwrap();
    let stage = Stage::new();
    let all: Vec<_> = (0..16)
        .map(|_| {
            let (plugin, delivery) = (plugin.clone(), stage.delivery(&plugin));
            tokio::spawn(async move { plugin.deliver(delivery).await })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap().outcome, Outcome::Done);
    }
}

#[tokio::test]
async fn a_host_without_slots_runs_plugins_too() {
    let host = Host::new(Options { pooling: false, ..Options::default() }).unwrap();
    assert!(!host.pooled());
    let plugin = host.load(&component("no_op")).unwrap();
    assert_eq!(Stage::new().run(&plugin).await.outcome, Outcome::Done);
}
