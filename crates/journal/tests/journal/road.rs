//! The ordinary way of an event: in, to a plugin, out.

use crate::setting::{events, finish, journal};
use journal::{
    Append, Conclusion, EffectId, Error, Finish, Intent, Journal, NewEvent, ObjectChange, OpenDelivery,
    OpenState, Options, Outcome, StateWrite,
};

#[tokio::test]
async fn events_objects_and_position_come_back_as_they_went_in() {
    let (folder, journal) = journal();
    let put = |reference: &str, payload: &str| ObjectChange::Put {
        class: "VM".into(),
        reference: reference.into(),
        payload: payload.into(),
    };
    let event = NewEvent {
        kind: "change".into(),
        class: "VM".into(),
        reference: "OpaqueRef:1".into(),
        at_micros: -5,
        payload: "{\"ü\":\"\u{0}\"}".into(),
    };
    let first = Append {
        pool: "lab".into(),
        position: "one".into(),
        events: vec![event.clone()],
        objects: vec![put("a", "1"), put("b", "1"), put("a", "2")],
    };
    assert_eq!(journal.append(first).await.unwrap(), 1..2);
    let second = Append {
        pool: "lab".into(),
        position: "two".into(),
        events: vec![],
        objects: vec![
            ObjectChange::Delete { class: "VM".into(), reference: "b".into() },
            ObjectChange::Delete { class: "VM".into(), reference: "never seen".into() },
            put("c", "3"),
        ],
    };
    assert_eq!(journal.append(second).await.unwrap(), 2..2);
    assert_eq!(journal.append(events("attic", 2)).await.unwrap(), 2..4);

    journal.close().await.unwrap();
    let journal = Journal::open(folder.path(), &Options::default()).unwrap();
    assert_eq!(journal.last(), 3);
    assert_eq!(journal.position("lab").await.unwrap().as_deref(), Some("two"));
    assert_eq!(journal.position("cellar").await.unwrap(), None);
    let stored = journal.event(1).await.unwrap().unwrap();
    assert_eq!((stored.sequence, stored.pool.as_str()), (1, "lab"));
    assert_eq!(
        NewEvent {
            kind: stored.kind,
            class: stored.class,
            reference: stored.reference,
            at_micros: stored.at_micros,
            payload: stored.payload
        },
        event
    );
    assert_eq!(journal.event(4).await.unwrap(), None);
    let objects = journal.objects("lab").await.unwrap();
    let objects: Vec<_> = objects.iter().map(|o| (o.reference.as_str(), o.payload.as_str())).collect();
    assert_eq!(objects, [("a", "2"), ("c", "3")]);
    let rest = journal.objects_after("lab", Some(("VM", "a")), 9).await.unwrap();
    assert_eq!(rest.iter().map(|o| o.reference.as_str()).collect::<Vec<_>>(), ["c"]);
    assert_eq!(journal.objects_after("lab", None, 1).await.unwrap().len(), 1);

    let read = |after, limit| {
        let journal = journal.clone();
        async move { journal.read(after, limit).await.unwrap().iter().map(|e| e.sequence).collect::<Vec<_>>() }
    };
    assert_eq!(read(0, 2).await, [1, 2]);
    assert_eq!(read(2, usize::MAX).await, [3]);
    assert_eq!(read(u64::MAX, 5).await, [0_u64; 0]);

    let counts = journal.listings().counts().await.unwrap();
    assert_eq!((counts.events, counts.last, counts.objects), (3, 3, 2));
    assert!(counts.bytes > 0);
}

#[tokio::test]
async fn the_watch_tells_of_a_new_event_that_can_be_read() {
    let (_folder, journal) = journal();
    let mut watch = journal.watch();
    assert_eq!(*watch.borrow_and_update(), 0);
    journal.append(events("lab", 3)).await.unwrap();
    watch.changed().await.unwrap();
    assert_eq!(*watch.borrow_and_update(), 3);
    assert_eq!(journal.last(), 3);
    assert_eq!(journal.read(0, 9).await.unwrap().len(), 3);
    // Nothing new, no word: an append without events, and a command that is none.
    journal.append(events("lab", 0)).await.unwrap();
    journal.progress("p", 0).await.unwrap();
    assert!(!watch.has_changed().unwrap());
}

#[tokio::test]
async fn a_delivery_is_tried_again_and_then_done() {
    let (_folder, journal) = journal();
    journal.append(events("lab", 3)).await.unwrap();
    assert_eq!(journal.progress("p", 1).await.unwrap().cursor, 1);
    assert_eq!(journal.progress("p", 3).await.unwrap().cursor, 1, "the start is for newcomers");

    journal.start("p", 2, 1).await.unwrap();
    journal.start("p", 3, 1).await.unwrap();
    journal.finish(finish("p", 3, 1, Outcome::Done)).await.unwrap();
    let retry = Outcome::Retry { not_before_micros: 7, why: "not yet".into(), cut_short: false };
    let state = vec![
        StateWrite { key: "k".into(), value: Some(vec![0, 255]) },
        StateWrite { key: "gone".into(), value: Some(vec![1]) },
        StateWrite { key: "gone".into(), value: None },
    ];
    journal.finish(Finish { state, ..finish("p", 2, 1, retry) }).await.unwrap();

    let progress = journal.progress("p", 0).await.unwrap();
    assert_eq!(progress.cursor, 1);
    let retry = OpenState::Retry { not_before_micros: 7, why: "not yet".into() };
    assert_eq!(
        progress.open,
        [
            OpenDelivery { sequence: 2, attempt: 1, cut_short: 0, state: retry },
            OpenDelivery { sequence: 3, attempt: 1, cut_short: 0, state: OpenState::Settled },
        ]
    );
    assert_eq!(journal.state("p", "k").await.unwrap(), Some(vec![0, 255]));
    assert_eq!(journal.state("p", "gone").await.unwrap(), None);

    let stopped = journal.advance("p", 3).await.unwrap_err();
    assert!(matches!(stopped, Error::Unsettled { sequence: 2, .. }), "{stopped}");
    journal.start("p", 2, 2).await.unwrap();
    journal.finish(Finish { cursor: Some(3), ..finish("p", 2, 2, Outcome::Done) }).await.unwrap();
    let progress = journal.progress("p", 0).await.unwrap();
    assert_eq!((progress.cursor, progress.open.len()), (3, 0));
    journal.advance("p", 2).await.unwrap();
    assert_eq!(journal.progress("p", 0).await.unwrap().cursor, 3, "a cursor never goes back");
    assert_eq!(journal.listings().plugins().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_given_up_is_a_dead_letter() {
    let (_folder, journal) = journal();
    journal.append(events("lab", 2)).await.unwrap();
    journal.progress("p", 0).await.unwrap();
    journal.start("p", 1, 4).await.unwrap();
    let dead =
        Outcome::Dead { why: "trap".into(), log: vec!["one\ntwo".into(), String::new()], cut_short: false };
    journal.finish(Finish { at_micros: 99, cursor: Some(1), ..finish("p", 1, 4, dead) }).await.unwrap();
    let again = Outcome::Dead { why: "deadline".into(), log: vec![], cut_short: false };
    journal.finish(finish("p", 2, 1, again)).await.unwrap();

    let letters = journal.listings().dead(None, 9).await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.sequence).collect::<Vec<_>>(), [2, 1]);
    assert_eq!((letters[1].attempts, letters[1].at_micros, letters[1].why.as_str()), (4, 99, "trap"));
    assert_eq!(letters[1].log, ["one\ntwo", ""]);
    assert_eq!(journal.listings().dead(None, 1).await.unwrap().len(), 1);
    assert_eq!(journal.listings().counts().await.unwrap().dead, 2);
}

#[tokio::test]
async fn calls_that_do_not_fit_are_refused_and_change_nothing() {
    let (_folder, journal) = journal();
    journal.append(events("lab", 2)).await.unwrap();
    journal.progress("p", 0).await.unwrap();

    assert!(matches!(journal.start("q", 1, 1).await, Err(Error::UnknownPlugin { .. })));
    assert!(matches!(journal.start("p", 3, 1).await, Err(Error::UnknownEvent { sequence: 3, last: 2 })));
    assert!(matches!(journal.start("p", u64::MAX, 1).await, Err(Error::UnknownEvent { .. })));
    assert!(matches!(journal.start("p", 1, 0).await, Err(Error::StaleAttempt { known: 0, .. })));
    assert!(matches!(journal.progress("new", 3).await, Err(Error::UnknownEvent { .. })));
    assert!(matches!(journal.advance("p", 3).await, Err(Error::UnknownEvent { .. })));

    journal.start("p", 1, 2).await.unwrap();
    assert!(matches!(journal.start("p", 1, 2).await, Err(Error::StaleAttempt { known: 2, .. })));
    assert!(matches!(journal.start("p", 1, 1).await, Err(Error::StaleAttempt { known: 2, .. })));
    let late = Finish {
        state: vec![StateWrite { key: "k".into(), value: Some(vec![1]) }],
        ..finish("p", 1, 1, Outcome::Done)
    };
    assert!(matches!(journal.finish(late.clone()).await, Err(Error::StaleAttempt { .. })));
    let too_far = Finish { attempt: 2, cursor: Some(3), ..late };
    assert!(matches!(journal.finish(too_far).await, Err(Error::UnknownEvent { .. })));
    assert_eq!(journal.state("p", "k").await.unwrap(), None, "all or nothing");
    let progress = journal.progress("p", 0).await.unwrap();
    assert_eq!(
        progress.open,
        [OpenDelivery { sequence: 1, attempt: 2, cut_short: 0, state: OpenState::Started }]
    );

    journal.finish(finish("p", 1, 2, Outcome::Done)).await.unwrap();
    assert!(matches!(journal.start("p", 1, 3).await, Err(Error::Settled { sequence: 1, .. })));
    journal.advance("p", 1).await.unwrap();
    assert!(matches!(journal.start("p", 1, 3).await, Err(Error::Settled { sequence: 1, .. })));
    assert!(matches!(journal.finish(finish("p", 1, 3, Outcome::Done)).await, Err(Error::Settled { .. })));
}

#[tokio::test]
async fn an_effect_is_told_before_and_after() {
    let (_folder, journal) = journal();
    journal.append(events("lab", 1)).await.unwrap();
    journal.progress("p", 0).await.unwrap();
    let intent = |attempt, index| Intent {
        plugin: "p".into(),
        sequence: 1,
        attempt,
        index,
        method: "VM.start".into(),
        arguments: "[1]".into(),
        at_micros: 5,
        ..Intent::default()
    };
    journal.post_start("p", 1, 1).await.unwrap();
    let first = journal.intend(intent(1, 0)).await.unwrap();
    let second = journal.intend(intent(1, 1)).await.unwrap();
    assert!(second > first);
    assert!(matches!(journal.intend(intent(1, 1)).await, Err(Error::EffectKnown { index: 1, .. })));
    assert_eq!(journal.listings().counts().await.unwrap().effects_in_doubt, 2);

    journal.conclude(first, "ok".into(), "fine".into(), 6).await.unwrap();
    journal.conclude(first, "ok".into(), "fine".into(), 7).await.unwrap();
    assert!(matches!(
        journal.conclude(first, "else".into(), String::new(), 8).await,
        Err(Error::EffectConcluded { .. })
    ));
    assert!(matches!(
        journal.conclude(EffectId(99), "ok".into(), String::new(), 8).await,
        Err(Error::UnknownEffect { id: 99 })
    ));
    assert!(matches!(
        journal.conclude(EffectId(u64::MAX), "ok".into(), String::new(), 8).await,
        Err(Error::UnknownEffect { .. })
    ));

    // An attempt whose start was not written is started by its first effect; the one before it may act no more.
    let third = journal.intend(intent(2, 0)).await.unwrap();
    assert_eq!(journal.progress("p", 0).await.unwrap().open[0].attempt, 2);
    assert!(matches!(journal.intend(intent(1, 2)).await, Err(Error::StaleAttempt { known: 2, .. })));

    let effects = journal.effects("p", 1).await.unwrap();
    assert_eq!(effects.iter().map(|effect| effect.id).collect::<Vec<_>>(), [first, second, third]);
    assert_eq!(effects[0].conclusion, Some(Conclusion { outcome: "ok".into(), at_micros: 6 }));
    assert_eq!((effects[1].conclusion.clone(), effects[1].intended_at_micros), (None, 5));
    assert_eq!((effects[2].method.as_str(), effects[2].arguments.as_str()), ("VM.start", "[1]"));
    assert_eq!(journal.effects_since(first, 1).await.unwrap(), effects[1..2]);
    assert_eq!(journal.effects_since(EffectId(0), 9).await.unwrap(), effects);
    journal.finish(finish("p", 1, 2, Outcome::Done)).await.unwrap();
    assert!(matches!(journal.intend(intent(3, 0)).await, Err(Error::Settled { .. })));
}

#[tokio::test]
async fn keys_are_listed_by_prefix_in_pages() {
    let (_folder, journal) = journal();
    journal.append(events("lab", 1)).await.unwrap();
    journal.progress("p", 0).await.unwrap();
    journal.progress("q", 0).await.unwrap();
    let keys = ["a", "b", "b/", "b/1", "b/2", "bä", "b\u{10ffff}x", "c", ""];
    let state =
        keys.iter().map(|key| StateWrite { key: (*key).into(), value: Some(vec![]) }).collect::<Vec<_>>();
    journal.finish(Finish { state: state.clone(), ..finish("p", 1, 1, Outcome::Done) }).await.unwrap();
    journal.finish(Finish { state, ..finish("q", 1, 1, Outcome::Done) }).await.unwrap();

    let list = |prefix, after, limit| {
        let journal = journal.clone();
        async move { journal.state_keys("p", prefix, after, limit).await.unwrap() }
    };
    assert_eq!(list("b", None, 99).await, ["b", "b/", "b/1", "b/2", "bä", "b\u{10ffff}x"]);
    assert_eq!(list("b", None, 2).await, ["b", "b/"]);
    assert_eq!(list("b/", Some("b/1"), 2).await, ["b/2"]);
    assert_eq!(list("b", Some("a"), 1).await, ["b"], "a start before the prefix is the prefix's start");
    assert_eq!(list("b", Some("c"), 9).await, [""; 0]);
    assert_eq!(list("", None, 99).await.len(), keys.len());
    assert_eq!(list("", Some(""), 99).await.len(), keys.len() - 1);
}

#[tokio::test]
async fn after_a_close_every_handle_says_so() {
    let (_folder, journal) = journal();
    let other = journal.clone();
    assert!(other.healthy(std::time::Duration::from_secs(30)).await);
    journal.close().await.unwrap();
    assert!(matches!(other.append(events("lab", 1)).await, Err(Error::Closed)));
    assert!(matches!(other.read(0, 1).await, Err(Error::Closed)));
    assert!(matches!(other.post_start("p", 1, 1).await, Err(Error::Closed)));
    assert!(matches!(other.close().await, Err(Error::Closed)));
    assert!(!other.healthy(std::time::Duration::from_secs(30)).await);
}
