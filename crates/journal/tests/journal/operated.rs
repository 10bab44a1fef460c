//! What people do: dead letters that come again or are dropped, plugins that are switched off, and the record of it.

use journal::{
    By, Conclusion, Error, EventFilter, Finish, Intent, Journal, Listings, OpenDelivery, OpenState, Options,
    Outcome,
};

use crate::setting::{events, finish, journal};

fn by(reason: &str) -> By {
    By { who: "alice".into(), reason: reason.into(), at_micros: 77 }
}

fn dead(cut_short: bool) -> Outcome {
    Outcome::Dead { why: "trap".into(), log: vec!["last words".into()], cut_short }
}

/// A journal with three events, all settled for `p`, the second as a dead letter after two attempts.
async fn with_a_dead_letter() -> (tempfile::TempDir, Journal) {
    let (folder, journal) = journal();
    journal.append(events("lab", 3)).await.unwrap();
    journal.progress("p", 0).await.unwrap();
    journal.finish(finish("p", 1, 1, Outcome::Done)).await.unwrap();
    let again = Outcome::Retry { not_before_micros: 5, why: "later".into(), cut_short: true };
    journal.finish(finish("p", 2, 1, again)).await.unwrap();
    journal.finish(finish("p", 2, 2, dead(false))).await.unwrap();
    journal.finish(finish("p", 3, 1, Outcome::Done)).await.unwrap();
    journal.advance("p", 3).await.unwrap();
    (folder, journal)
}

fn comes_again() -> OpenDelivery {
    let state = OpenState::Retry { not_before_micros: 77, why: "trap".into() };
    OpenDelivery { sequence: 2, attempt: 2, cut_short: 1, state }
}

#[tokio::test]
async fn a_dead_letter_comes_again_below_the_cursor_with_its_attempts() {
    let (folder, journal) = with_a_dead_letter().await;
    let letter = journal.listings().dead(None, 9).await.unwrap().remove(0);
    assert_eq!(journal.revive(letter.id, by("mended")).await.unwrap(), letter);
    assert_eq!(journal.listings().dead(None, 9).await.unwrap(), []);
    assert_eq!(journal.delivery("p", 2).await.unwrap(), Some(comes_again()));
    assert!(
        matches!(journal.revive(letter.id, by("")).await, Err(Error::UnknownDeadLetter { id }) if id == letter.id)
    );

    // Neither the cursor nor a restart touches it.
    journal.append(events("lab", 1)).await.unwrap();
    journal.advance("p", 4).await.unwrap();
    journal.close().await.unwrap();
    let journal = Journal::open(folder.path(), &Options::default()).unwrap();
    let progress = journal.progress("p", 0).await.unwrap();
    assert_eq!((progress.cursor, progress.open), (4, vec![comes_again()]));

    let stale = journal.start("p", 2, 2).await;
    assert!(matches!(stale, Err(Error::StaleAttempt { known: 2, .. })), "{stale:?}");
    journal.start("p", 2, 3).await.unwrap();
    let intent = Intent { plugin: "p".into(), sequence: 2, attempt: 3, ..Intent::default() };
    journal.intend(intent).await.unwrap();
    journal.finish(finish("p", 2, 3, Outcome::Done)).await.unwrap();
    assert_eq!(journal.delivery("p", 2).await.unwrap(), None, "nothing is left of it");
    assert!(matches!(journal.start("p", 2, 4).await, Err(Error::Settled { .. })));
    assert_eq!(journal.progress("p", 0).await.unwrap().open, []);
}

#[tokio::test]
async fn a_dead_letter_that_dies_again_is_a_new_one() {
    let (_folder, journal) = with_a_dead_letter().await;
    journal.revive(1, by("")).await.unwrap();
    journal.finish(Finish { at_micros: 99, ..finish("p", 2, 3, dead(true)) }).await.unwrap();
    let letter = journal.listings().dead_letter_of("p", 2).await.unwrap().unwrap();
    assert_eq!((letter.id, letter.attempts, letter.at_micros, letter.log.len()), (2, 3, 99, 1));
    journal.revive(2, by("")).await.unwrap();
    assert_eq!(journal.delivery("p", 2).await.unwrap().unwrap().cut_short, 3, "the last one was cut short");
}

#[tokio::test]
async fn one_above_the_cursor_holds_the_cursor_back_again() {
    let (_folder, journal) = journal();
    journal.append(events("lab", 2)).await.unwrap();
    journal.progress("p", 0).await.unwrap();
    journal.finish(finish("p", 1, 1, dead(false))).await.unwrap();
    journal.revive(1, by("")).await.unwrap();
    let refused = journal.advance("p", 2).await;
    assert!(matches!(refused, Err(Error::Unsettled { sequence: 1, .. })), "{refused:?}");
    journal.finish(finish("p", 1, 2, Outcome::Done)).await.unwrap();
    journal.advance("p", 2).await.unwrap();
}

#[tokio::test]
async fn a_dropped_letter_is_gone_and_who_dropped_it_is_known() {
    let (_folder, journal) = with_a_dead_letter().await;
    journal.discard(1, by("done by hand")).await.unwrap();
    assert_eq!(journal.listings().dead(None, 9).await.unwrap(), []);
    assert!(matches!(journal.discard(1, by("")).await, Err(Error::UnknownDeadLetter { id: 1 })));
    let actions = journal.listings().actions(9).await.unwrap();
    assert_eq!(actions.len(), 1, "what was refused is no action: {actions:?}");
    assert_eq!((actions[0].verb.as_str(), &actions[0].by), ("dead drop", &by("done by hand")));
    assert_eq!(actions[0].subject, "dead letter 1: event 2 for p, given up after attempt 2: trap");
}

#[tokio::test]
async fn a_switch_stays_as_it_was_put_and_the_newest_reason_holds() {
    let (folder, journal) = with_a_dead_letter().await;
    assert!(matches!(journal.disable("stranger", by("")).await, Err(Error::UnknownPlugin { .. })));
    journal.disable("p", by("too loud")).await.unwrap();
    let newest = By { who: "bob".into(), ..by("still too loud") };
    journal.disable("p", newest.clone()).await.unwrap();
    journal.close().await.unwrap();
    let journal = Journal::open(folder.path(), &Options::default()).unwrap();
    let disabled = journal.listings().disabled().await.unwrap();
    assert_eq!(
        disabled.iter().map(|off| (off.plugin.as_str(), &off.by)).collect::<Vec<_>>(),
        [("p", &newest)]
    );
    journal.enable("p", by("")).await.unwrap();
    journal.enable("p", by("")).await.unwrap();
    assert_eq!(journal.listings().disabled().await.unwrap(), []);
    let verbs = journal.listings().actions(9).await.unwrap().into_iter().map(|action| action.verb);
    assert_eq!(verbs.collect::<Vec<_>>(), ["plugins enable", "plugins disable", "plugins disable"]);
}

#[tokio::test]
async fn listings_are_had_beside_an_open_journal_and_after_it() {
    let (folder, journal) = with_a_dead_letter().await;
    journal.append(events("attic", 2)).await.unwrap();
    let beside = Listings::open(folder.path()).unwrap();
    let sequences = |filter: EventFilter, limit| {
        let beside = beside.clone();
        async move {
            let events = beside.events(filter, limit).await.unwrap();
            events.into_iter().map(|event| event.sequence).collect::<Vec<_>>()
        }
    };
    assert_eq!(sequences(EventFilter::default(), 2).await, [4, 5], "the newest, in order");
    assert_eq!(sequences(EventFilter { after: Some(1), ..EventFilter::default() }, 2).await, [2, 3]);
    assert_eq!(
        sequences(EventFilter { pool: Some("lab".into()), ..EventFilter::default() }, 9).await,
        [1, 2, 3]
    );
    assert_eq!(sequences(EventFilter { class: Some("vm".into()), ..EventFilter::default() }, 1).await, [5]);
    assert_eq!(
        sequences(EventFilter { kind: Some("task".into()), ..EventFilter::default() }, 9).await,
        [0; 0]
    );
    assert_eq!(beside.dead_counts().await.unwrap(), [("p".to_owned(), 1)]);
    journal.start("p", 4, 1).await.unwrap();
    assert_eq!(beside.open_deliveries(Some("p".into()), 9).await.unwrap().len(), 1);
    let effect = Intent { plugin: "p".into(), sequence: 4, attempt: 1, ..Intent::default() };
    let id = journal.intend(effect).await.unwrap();
    journal.conclude(id, "fine".into(), String::new(), 3).await.unwrap();
    let conclusion = Some(Conclusion { outcome: "fine".into(), at_micros: 3 });
    assert_eq!(beside.effects("p", 4).await.unwrap()[0].conclusion, conclusion);
    journal.close().await.unwrap();
    drop(journal);
    let after = Listings::open(folder.path()).unwrap();
    assert_eq!((after.last().await.unwrap(), after.plugins().await.unwrap()[0].cursor), (5, 3));
    let nowhere = tempfile::tempdir().unwrap();
    let missing = Listings::open(nowhere.path()).unwrap_err();
    assert!(missing.to_string().starts_with("there is no journal "), "{missing}");
}

#[tokio::test]
async fn a_copy_is_made_beside_an_open_journal_and_opens_as_one() {
    let (folder, journal) = with_a_dead_letter().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let to = elsewhere.path().join("journal.db");
    let made = journal::backup(folder.path(), &to).unwrap();
    assert_eq!((made.last, made.bytes), (3, std::fs::metadata(&to).unwrap().len()));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&to).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let files: Vec<_> =
        std::fs::read_dir(elsewhere.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["journal.db"], "one file and nothing else");
    let again = journal::backup(folder.path(), &to).unwrap_err();
    assert!(matches!(again, journal::BackupError::Exists { .. }), "{again}");
    journal.append(events("lab", 1)).await.unwrap();
    assert_eq!(journal::check(elsewhere.path()).unwrap().faults, [""; 0]);
    let copy = Journal::open(elsewhere.path(), &Options::default()).unwrap();
    assert_eq!((copy.last(), journal.last()), (3, 4));
    assert_eq!(copy.listings().dead(None, 9).await.unwrap(), journal.listings().dead(None, 9).await.unwrap());
}

#[tokio::test]
async fn what_does_not_hold_together_is_named() {
    let (folder, journal) = with_a_dead_letter().await;
    assert_eq!(journal::check(folder.path()).unwrap(), journal::Checked { last: 3, faults: vec![] });
    journal.close().await.unwrap();
    let admin = rusqlite::Connection::open(folder.path().join("journal.db")).unwrap();
    admin.execute_batch("DELETE FROM event WHERE sequence = 2; UPDATE plugin SET cursor = 9").unwrap();
    admin
        .execute_batch(
            "PRAGMA foreign_keys = off; INSERT INTO state (plugin, key, value) VALUES ('gone', 'k', x'00')",
        )
        .unwrap();
    let faults = journal::check(folder.path()).unwrap().faults;
    let expected = [
        "rows of state belong to no plugin",
        "events are missing between the first and the last: 1",
        "plugins have cursors above the last event: 1",
        "dead letters have no event: 1",
    ];
    assert_eq!(faults, expected);
}

#[tokio::test]
async fn old_events_go_as_far_as_nobody_needs_them() {
    let (folder, journal) = journal();
    for at in 1..=3 {
        let mut append = events("lab", 1000);
        append.events.iter_mut().for_each(|event| {
            event.at_micros = at;
            event.payload = "x".repeat(2000);
        });
        journal.append(append).await.unwrap();
    }
    journal.progress("p", 0).await.unwrap();
    let mut held = journal.prune(3, by("")).await.unwrap();
    assert_eq!(
        (held.events, held.held_by.take().unwrap()),
        (0, "plugin p has dealt with events up to 0 only".into())
    );
    let call = |sequence| Intent { plugin: "p".into(), sequence, attempt: 1, ..Intent::default() };
    for sequence in [1, 2500] {
        journal.intend(call(sequence)).await.unwrap();
        journal.finish(finish("p", sequence, 1, Outcome::Done)).await.unwrap();
    }
    journal.finish(finish("p", 1500, 1, dead(false))).await.unwrap();
    journal.advance("p", 2500).await.unwrap();
    let before = journal.listings().counts().await.unwrap();
    let pruned = journal.prune(3, by("room")).await.unwrap();
    assert_eq!((pruned.events, pruned.effects), (1499, 1));
    assert_eq!(pruned.held_by.as_deref(), Some("event 1500 is that of dead letter 1"));
    journal.discard(1, by("")).await.unwrap();
    let pruned = journal.prune(3, by("room")).await.unwrap();
    assert_eq!(
        (pruned.events, pruned.effects, pruned.held_by),
        (501, 0, None),
        "those of the time itself stay"
    );
    let after = journal.listings().counts().await.unwrap();
    assert_eq!((after.events, after.last, after.effects), (1000, 3000, 1));
    assert!(after.bytes < before.bytes, "the disk gets it back: {} < {}", after.bytes, before.bytes);
    assert_eq!(journal.event(2000).await.unwrap(), None);
    assert_eq!(journal.listings().actions(1).await.unwrap()[0].subject, "501 events");
    journal.close().await.unwrap();
    let journal = Journal::open(folder.path(), &Options::default()).unwrap();
    assert_eq!(journal.append(events("lab", 1)).await.unwrap(), 3001..3002, "no number is used again");
    assert_eq!(journal::check(folder.path()).unwrap().faults, [""; 0]);
}

#[tokio::test]
async fn a_damaged_journal_is_salvaged_from_both_sides_of_the_damage() {
    let (folder, journal) = journal();
    let mut append = events("lab", 500);
    append.events.iter_mut().for_each(|event| event.payload = "x".repeat(1000));
    journal.append(append).await.unwrap();
    journal.progress("p", 0).await.unwrap();
    for sequence in [1, 500] {
        journal.finish(finish("p", sequence, 1, dead(false))).await.unwrap();
    }
    let call = Intent { plugin: "p".into(), sequence: 2, attempt: 1, ..Intent::default() };
    journal.intend(call).await.unwrap();
    let to = tempfile::tempdir().unwrap();
    let in_use = journal::salvage(folder.path(), to.path()).unwrap_err();
    assert!(matches!(in_use, journal::SalvageError::Source(journal::OpenError::InUse { .. })), "{in_use}");
    journal.close().await.unwrap();
    let file = std::fs::File::options().write(true).open(folder.path().join("journal.db")).unwrap();
    let pages = file.metadata().unwrap().len() / 4096;
    for page in pages / 2..pages / 2 + 8 {
        std::os::unix::fs::FileExt::write_all_at(&file, &[0xA5; 4096], page * 4096).unwrap();
    }
    assert_ne!(journal::check(folder.path()).unwrap().faults, [""; 0]);

    let saved = journal::salvage(folder.path(), to.path()).unwrap();
    assert_eq!(saved.last, 500);
    let of = |name| *saved.tables.iter().find(|(table, ..)| *table == name).unwrap();
    let (_, rows, whole) = of("event");
    assert!(!whole && (400..500).contains(&rows), "{saved:?}");
    assert_eq!(
        (of("dead"), of("effect"), of("pool")),
        (("dead", 2, true), ("effect", 1, true), ("pool", 1, true))
    );
    let again = journal::salvage(folder.path(), to.path()).unwrap_err();
    assert!(matches!(again, journal::SalvageError::Exists { .. }), "{again}");

    let journal = Journal::open(to.path(), &Options::default()).unwrap();
    let read = journal.read(0, 1000).await.unwrap();
    assert_eq!((read.len() as u64, read[0].sequence, read.last().unwrap().sequence), (rows, 1, 500));
    assert_eq!(journal.progress("p", 0).await.unwrap().cursor, 0);
    assert_eq!(journal.append(events("lab", 1)).await.unwrap(), 501..502);
    let faults = journal::check(to.path()).unwrap().faults;
    assert_eq!(faults, [format!("events are missing between the first and the last: {}", 500 - rows)]);
}

#[tokio::test]
async fn what_is_left_after_a_loss_holds_together() {
    let (folder, journal) = with_a_dead_letter().await;
    journal.append(events("lab", 2)).await.unwrap();
    journal.start("p", 4, 1).await.unwrap();
    let call = Intent { plugin: "p".into(), sequence: 5, attempt: 1, ..Intent::default() };
    journal.intend(call).await.unwrap();
    journal.close().await.unwrap();
    let admin = rusqlite::Connection::open(folder.path().join("journal.db")).unwrap();
    admin
        .execute_batch(
            "PRAGMA foreign_keys = off; DELETE FROM event WHERE sequence IN (2, 4, 5); DELETE FROM pool",
        )
        .unwrap();
    let to = tempfile::tempdir().unwrap();
    let saved = journal::salvage(folder.path(), to.path()).unwrap();
    assert_eq!(saved.last, 3);
    assert_eq!(
        saved.losses,
        [
            "pools whose position was lost, and which are compared anew: 1",
            "deliveries whose event was lost: 2",
            "dead letters whose event was lost: 1",
            "log lines of dead letters that were lost: 1",
            "recorded calls whose event was lost: 1",
        ]
    );
    let journal = Journal::open(to.path(), &Options::default()).unwrap();
    assert_eq!((journal.last(), journal.position("lab").await.unwrap().as_deref()), (3, Some("")));
    assert_eq!(journal.append(events("lab", 2)).await.unwrap(), 4..6);
    journal.start("p", 4, 1).await.unwrap();
}

#[tokio::test]
async fn what_is_folded_stays_as_long_as_what_tells_of_it_may_come() {
    let (_folder, journal) = journal();
    journal.append(events("lab", 5)).await.unwrap();
    journal.progress("p", 0).await.unwrap();
    journal.finish(finish("p", 1, 1, Outcome::Done)).await.unwrap();
    journal.fold("p", vec![2, 3], 4).await.unwrap();
    // The cursor has come by what is folded, and so could the removal.
    journal.advance("p", 3).await.unwrap();
    let pruned = journal.prune(i64::MAX, by("")).await.unwrap();
    assert_eq!(pruned.events, 1);
    assert_eq!(pruned.held_by.as_deref(), Some("event 2 is folded into one that p has not dealt with"));
    assert_eq!(journal.folded_into("p", 4).await.unwrap(), [2, 3]);
    journal.finish(finish("p", 4, 1, dead(false))).await.unwrap();
    journal.advance("p", 5).await.unwrap();
    assert_eq!(journal.prune(i64::MAX, by("")).await.unwrap().events, 0, "a dead letter may come again");
    let letter = journal.listings().dead(None, 1).await.unwrap().remove(0);
    journal.discard(letter.id, by("not wanted")).await.unwrap();
    assert_eq!(journal.prune(i64::MAX, by("")).await.unwrap().events, 4);
    assert_eq!(journal.listings().folded_in("p", 2).await.unwrap(), None);
}
