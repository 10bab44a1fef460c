//! The journal holds more than it may.

use journal::{By, Error, Intent, Journal, Limits, OpenState, Options, Outcome};

use crate::setting::{events, finish, journal};

const EVENTS: Limits = Limits { bytes: None, events: Some(1000) };

#[tokio::test]
async fn within_the_limits_nothing_goes_and_what_nobody_needs_goes_first() {
    let (_folder, journal) = journal();
    journal.append(events("lab", 1000)).await.unwrap();
    journal.progress("p", 0).await.unwrap();
    assert_eq!(journal.keep_within(EVENTS, 7).await.unwrap(), journal::Shrunk::default());
    journal.advance("p", 600).await.unwrap();
    journal.append(events("lab", 10)).await.unwrap();
    let shrunk = journal.keep_within(EVENTS, 7).await.unwrap();
    assert!(shrunk.gaps.is_empty() && shrunk.events >= 110, "{shrunk:?}");
    assert_eq!(journal.progress("p", 0).await.unwrap().cursor, 600);
    assert_eq!(journal.gap("p").await.unwrap(), None);
}

#[tokio::test]
async fn what_plugins_lose_is_on_record_and_what_they_have_done_is_not_lost() {
    let (folder, journal) = journal();
    journal.append(events("lab", 1100)).await.unwrap();
    for (plugin, cursor) in [("ahead", 1100), ("behind", 0), ("between", 0)] {
        journal.progress(plugin, 0).await.unwrap();
        journal.advance(plugin, cursor).await.unwrap();
    }
    // Of the first three one is done, one runs, one is a dead letter.
    journal.finish(finish("between", 1, 1, Outcome::Done)).await.unwrap();
    journal.start("between", 2, 1).await.unwrap();
    let dead = Outcome::Dead { why: "trap".into(), log: vec!["last".into()], cut_short: false };
    journal.finish(finish("between", 3, 1, dead)).await.unwrap();
    let shrunk = journal.keep_within(EVENTS, 7).await.unwrap();
    let kept = 1100 - shrunk.events;
    assert!((800..=900).contains(&kept), "{shrunk:?}");
    let through = shrunk.events;
    let named: Vec<_> = shrunk
        .gaps
        .iter()
        .map(|gap| (gap.plugin.as_str(), gap.first, gap.last, gap.events, gap.dead))
        .collect();
    assert_eq!(
        named,
        [("behind", 1, through, through, 0), ("between", 1, through, through - 2, 1)],
        "pieces right behind one another are one gap"
    );
    assert!(shrunk.gaps[0].why.contains("events and may hold"), "{shrunk:?}");
    assert_eq!(journal.read(0, 1).await.unwrap()[0].sequence, through + 1);
    assert_eq!(journal.listings().dead(None, 9).await.unwrap(), []);
    for (plugin, cursor) in [("ahead", 1100), ("behind", through), ("between", through)] {
        let progress = journal.progress(plugin, 0).await.unwrap();
        assert_eq!((progress.cursor, progress.open), (cursor, vec![]), "{plugin}");
    }
    // What ran ends without being able to do or note anything.
    let intent = Intent { plugin: "between".into(), sequence: 2, attempt: 1, ..Intent::default() };
    assert!(matches!(journal.intend(intent).await, Err(Error::Settled { sequence: 2, .. })));
    let ended = journal.finish(finish("between", 2, 1, Outcome::Done)).await;
    assert!(matches!(ended, Err(Error::Settled { sequence: 2, .. })), "{ended:?}");

    journal.close().await.unwrap();
    let journal = Journal::open(folder.path(), &Options::default()).unwrap();
    assert_eq!(journal.gap("behind").await.unwrap().as_ref(), shrunk.gaps.first());
    assert_eq!(
        journal.listings().lost().await.unwrap(),
        [("behind".into(), through), ("between".into(), through - 2)]
    );
    assert_eq!(journal::check(folder.path()).unwrap().faults, Vec::<String>::new());
}

#[tokio::test]
async fn bytes_are_a_limit_too_and_a_second_loss_goes_on_where_the_first_ended() {
    let (_folder, journal) = journal();
    journal.progress("p", 0).await.unwrap();
    let limits = Limits { bytes: Some(1024 * 1024), events: None };
    let large = || {
        let mut large = events("lab", 200);
        for event in &mut large.events {
            event.payload = format!("{{\"text\": \"{}\"}}", "x".repeat(8000));
        }
        large
    };
    journal.append(large()).await.unwrap();
    let first = journal.keep_within(limits, 7).await.unwrap();
    let counts = journal.listings().counts().await.unwrap();
    assert!(counts.bytes - counts.free_bytes <= 1024 * 1024, "{counts:?}");
    assert!(first.gaps[0].why.contains("bytes and may hold 943"), "{first:?}");
    journal.append(large()).await.unwrap();
    let second = journal.keep_within(limits, 8).await.unwrap();
    let gap = &second.gaps[0];
    assert_eq!((gap.id, gap.first, gap.events), (first.gaps[0].id, 1, first.events + second.events));

    // One that goes on in between has two gaps.
    journal.advance("p", gap.last + 5).await.unwrap();
    journal.append(large()).await.unwrap();
    let third = journal.keep_within(limits, 9).await.unwrap();
    assert_eq!((third.gaps[0].first, third.gaps.len()), (gap.last + 6, 1));
    assert_eq!(journal.listings().gaps(None, 9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_dead_letter_that_comes_again_is_lost_as_well() {
    let (_folder, journal) = journal();
    journal.append(events("lab", 1100)).await.unwrap();
    journal.progress("p", 0).await.unwrap();
    let dead = Outcome::Dead { why: "trap".into(), log: vec![], cut_short: false };
    journal.finish(finish("p", 1, 1, dead)).await.unwrap();
    journal.advance("p", 1100).await.unwrap();
    let letter = journal.listings().dead(None, 9).await.unwrap().remove(0);
    journal.revive(letter.id, By::default()).await.unwrap();
    assert!(matches!(journal.delivery("p", 1).await.unwrap().unwrap().state, OpenState::Retry { .. }));
    let shrunk = journal.keep_within(EVENTS, 7).await.unwrap();
    assert_eq!((shrunk.gaps.len(), shrunk.gaps[0].events), (1, 1), "{shrunk:?}");
    assert_eq!(journal.delivery("p", 1).await.unwrap(), None);
    assert_eq!(journal.progress("p", 0).await.unwrap().cursor, 1100);
}
