//! The event stream, step by step: batches in, events out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use xapi::codec::Failure;
use xapi::events::{Batch, Change, Ending, Event, Input, Operation, Origin, RawEvent, Request, Step, Stream};
use xapi::model::{Record, World};
use xapi::{Struct, Value};

/// A stream with its world, as the daemon keeps it.
struct Pool {
    stream: Stream,
    world: World,
}

impl Pool {
    fn new() -> Self {
        Pool { stream: Stream::new(["VM".into(), "task".into()]), world: World::new() }
    }

    fn take(&mut self, input: Input) -> Vec<Event> {
        let Step { events, changes, next } = self.stream.step(&self.world, input);
        for change in changes {
            change.apply(&mut self.world);
        }
        self.stream = next;
        events
    }

    fn batch(&mut self, events: Vec<RawEvent>, vms: i64) -> Vec<Event> {
        let tasks = i64::try_from(self.world.count("task")).unwrap();
        let tasks =
            events.iter().filter(|event| event.class == "task").fold(tasks, |count, event| {
                match event.operation {
                    Operation::Added => count + 1,
                    Operation::Deleted => count - 1,
                    Operation::Modified => count,
                }
            });
        let counts = BTreeMap::from([("vm".into(), vms), ("task".into(), tasks)]);
        self.take(Input::Batch(Batch {
            events,
            counts,
            token: "00000000000000000009,00000000000000000000".into(),
        }))
    }
}

fn fields(pairs: &[(&str, &str)]) -> Struct {
    pairs.iter().map(|(name, value)| ((*name).into(), Value::from(*value))).collect()
}

fn vm(operation: Operation, generation: i64, reference: &str, state: &str) -> RawEvent {
    let snapshot =
        fields(&[("uuid", &format!("uuid-{reference}")), ("power_state", state), ("memory_target", "1024")]);
    raw("vm", operation, generation, reference, snapshot)
}

fn raw(class: &str, operation: Operation, generation: i64, reference: &str, snapshot: Struct) -> RawEvent {
    let snapshot = (operation != Operation::Deleted).then(|| Record::new(class, reference, snapshot).into());
    RawEvent { generation, class: class.into(), operation, reference: reference.into(), snapshot }
}

fn changes(events: &[Event]) -> Vec<&Change> {
    events
        .iter()
        .filter_map(|event| if let Event::Change(change) = event { Some(change) } else { None })
        .collect()
}

fn told(events: &[Event]) -> Vec<(String, Operation, bool)> {
    changes(events)
        .iter()
        .map(|change| (change.reference.to_string(), change.operation, change.gap))
        .collect()
}

#[test]
fn the_first_picture_fills_the_world_and_tells_no_differences() {
    let mut pool = Pool::new();
    assert_eq!(pool.stream.request(), Request::Poll { token: "".into(), at_once: true });
    let events = pool
        .batch(vec![vm(Operation::Added, 1, "a", "Running"), vm(Operation::Modified, 2, "b", "Halted")], 2);
    let [Event::Resync(resync)] = events.as_slice() else { panic!("{events:?}") };
    assert!(resync.first && resync.objects == 2 && resync.differences == 0);
    assert_eq!(pool.world.count("VM"), 2);
    let token = "00000000000000000009,00000000000000000000".into();
    assert_eq!(pool.stream.request(), Request::Poll { token, at_once: false });
}

#[test]
fn a_change_tells_old_new_and_changed_fields_typed_by_the_schema() {
    let mut pool = Pool::new();
    pool.batch(vec![vm(Operation::Added, 1, "a", "Running")], 1);
    let events = pool.batch(vec![vm(Operation::Modified, 5, "a", "Halted")], 1);
    let [Event::Change(change)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(
        (&*change.class, change.uuid(), change.operation),
        ("VM", Some("uuid-a"), Operation::Modified)
    );
    assert_eq!(change.changed, ["power_state"]);
    assert_eq!(change.old.as_ref().unwrap().text("power_state"), "Running");
    assert_eq!(change.new.as_ref().unwrap().text("power_state"), "Halted");
    assert_eq!(change.new.as_ref().unwrap().get("memory_target"), Some(&Value::Int(1024)));
    assert_eq!((change.generation, change.origin, change.gap), (5, Origin::Live, false));
}

#[test]
fn the_same_record_again_is_no_event() {
    let mut pool = Pool::new();
    pool.batch(vec![vm(Operation::Added, 1, "a", "Running")], 1);
    assert_eq!(pool.batch(vec![vm(Operation::Modified, 7, "a", "Running")], 1), []);
}

#[test]
fn a_deletion_carries_the_last_record_and_an_unknown_one_is_passed_over() {
    let mut pool = Pool::new();
    pool.batch(vec![vm(Operation::Added, 1, "a", "Running")], 1);
    let events =
        pool.batch(vec![vm(Operation::Deleted, 3, "a", ""), vm(Operation::Deleted, 4, "never seen", "")], 0);
    assert_eq!(told(&events), [("a".to_owned(), Operation::Deleted, false)]);
    assert_eq!(changes(&events)[0].old.as_ref().unwrap().text("power_state"), "Running");
    assert!(pool.world.is_empty());
}

#[test]
fn events_come_in_the_order_of_their_generation() {
    let value: Struct = [
        ("events".into(), Value::Array(vec![event("9", "add"), event("3", "mod"), event("5", "del")])),
        ("valid_ref_counts".into(), Value::Struct(Struct::new())),
        ("token".into(), "t".into()),
    ]
    .into_iter()
    .collect();
    let batch = Batch::read(value.into()).unwrap();
    assert_eq!(batch.events.iter().map(|event| event.generation).collect::<Vec<_>>(), [3, 5, 9]);

    fn event(id: &str, operation: &str) -> Value {
        let mut event = fields(&[
            ("id", id),
            ("class", "vm"),
            ("operation", operation),
            ("ref", id),
            ("timestamp", "0.0"),
        ]);
        if operation != "del" {
            event.insert("snapshot", Struct::new());
        }
        event.into()
    }
}

#[test]
fn a_lost_deletion_is_found_by_counting_twice_and_told_as_a_gap() {
    let mut pool = Pool::new();
    pool.batch(vec![vm(Operation::Added, 1, "a", "Running"), vm(Operation::Added, 1, "b", "Running")], 2);
    assert_eq!(pool.batch(vec![], 1), []);
    assert!(
        matches!(pool.stream.request(), Request::Poll { at_once: true, .. }),
        "the second look comes soon"
    );
    assert_eq!(pool.batch(vec![], 1), []);
    assert_eq!(pool.stream.request(), Request::List { class: "VM".into() });
    let events = pool.take(Input::Listing { class: "VM".into(), references: vec!["b".into()] });
    assert_eq!(told(&events), [("a".to_owned(), Operation::Deleted, true)]);
    assert_eq!(pool.batch(vec![], 1), []);
    assert!(matches!(pool.stream.request(), Request::Poll { at_once: false, .. }));
}

#[test]
fn a_count_that_was_only_ahead_of_the_token_costs_nothing() {
    let mut pool = Pool::new();
    pool.batch(vec![vm(Operation::Added, 1, "a", "Running")], 1);
    pool.batch(vec![], 2);
    let events = pool.batch(vec![vm(Operation::Added, 2, "b", "Halted")], 2);
    assert_eq!(told(&events), [("b".to_owned(), Operation::Added, false)]);
    assert!(matches!(pool.stream.request(), Request::Poll { at_once: false, .. }));
}

#[test]
fn an_object_that_was_never_told_brings_the_whole_picture() {
    let mut pool = Pool::new();
    pool.batch(vec![vm(Operation::Added, 1, "a", "Running")], 1);
    pool.batch(vec![], 2);
    pool.batch(vec![], 2);
    let listing = || Input::Listing { class: "VM".into(), references: vec!["a".into(), "b".into()] };
    pool.take(listing());
    assert!(
        matches!(pool.stream.request(), Request::Poll { at_once: true, token } if !token.is_empty()),
        "it may be on its way"
    );
    pool.batch(vec![], 2);
    assert_eq!(pool.stream.request(), Request::List { class: "VM".into() });
    pool.take(listing());
    assert_eq!(pool.stream.request(), Request::Poll { token: "".into(), at_once: true });
    let events =
        pool.batch(vec![vm(Operation::Added, 1, "a", "Running"), vm(Operation::Added, 1, "b", "Paused")], 2);
    assert_eq!(told(&events), [("b".to_owned(), Operation::Added, true)]);
}

#[test]
fn an_object_that_was_on_its_way_costs_no_whole_picture() {
    let mut pool = Pool::new();
    pool.batch(vec![vm(Operation::Added, 1, "a", "Running")], 1);
    pool.batch(vec![], 2);
    pool.batch(vec![], 2);
    pool.take(Input::Listing { class: "VM".into(), references: vec!["a".into(), "b".into()] });
    let events = pool.batch(vec![vm(Operation::Added, 3, "b", "Running")], 2);
    assert_eq!(told(&events), [("b".to_owned(), Operation::Added, false)]);
    assert!(matches!(pool.stream.request(), Request::Poll { at_once: false, .. }));
}

#[test]
fn a_new_session_compares_everything_and_marks_the_gap() {
    let mut pool = Pool::new();
    let before = ["gone", "changed", "same"].map(|name| vm(Operation::Added, 1, name, "Running"));
    pool.batch(before.to_vec(), 3);
    pool.stream = pool.stream.after_new_session();
    assert!(!pool.stream.live());
    let events = pool.batch(
        vec![
            vm(Operation::Added, 1, "same", "Running"),
            vm(Operation::Added, 1, "changed", "Halted"),
            vm(Operation::Added, 1, "new", "Running"),
        ],
        3,
    );
    let expected = [
        ("changed".to_owned(), Operation::Modified, true),
        ("new".to_owned(), Operation::Added, true),
        ("gone".to_owned(), Operation::Deleted, true),
    ];
    assert_eq!(told(&events), expected);
    assert!(changes(&events).iter().all(|change| change.origin == Origin::Resync));
    let Some(Event::Resync(resync)) = events.last() else { panic!("{events:?}") };
    assert!(!resync.first && resync.differences == 3 && resync.objects == 3);
}

fn task(operation: Operation, generation: i64, status: &str) -> RawEvent {
    let mut record =
        fields(&[("uuid", "u"), ("name_label", "Async.VM.start"), ("status", status), ("result", "")]);
    match status {
        "success" => _ = record.insert("result", "<value>OpaqueRef:x</value>"),
        "failure" => _ = record.insert("error_info", vec!["VM_BAD_POWER_STATE".into(), "a".into()]),
        _ => {}
    }
    raw("task", operation, generation, "t", record)
}

fn endings(events: &[Event]) -> Vec<Ending> {
    events
        .iter()
        .filter_map(|event| if let Event::Task(task) = event { Some(task.ending.clone()) } else { None })
        .collect()
}

#[test]
fn a_task_tells_its_end_once() {
    for (status, ending) in [
        ("success", Ending::Succeeded("OpaqueRef:x".into())),
        ("failure", Ending::Failed(Failure::new("VM_BAD_POWER_STATE", ["a"]))),
        ("cancelled", Ending::Cancelled),
    ] {
        let mut pool = Pool::new();
        pool.batch(vec![], 0);
        assert_eq!(endings(&pool.batch(vec![task(Operation::Added, 2, "pending")], 0)), []);
        assert_eq!(endings(&pool.batch(vec![task(Operation::Modified, 3, status)], 0)), [ending]);
        assert_eq!(endings(&pool.batch(vec![task(Operation::Deleted, 4, "")], 0)), [], "{status}");
    }
}

#[test]
fn a_task_first_seen_at_its_end_tells_it_and_a_vanished_one_is_lost() {
    let mut pool = Pool::new();
    pool.batch(vec![], 0);
    assert_eq!(endings(&pool.batch(vec![task(Operation::Added, 2, "cancelled")], 0)), [Ending::Cancelled]);
    let mut pool = Pool::new();
    pool.batch(vec![], 0);
    pool.batch(vec![task(Operation::Added, 2, "pending")], 0);
    assert_eq!(endings(&pool.batch(vec![task(Operation::Deleted, 3, "")], 0)), [Ending::Lost]);
}
