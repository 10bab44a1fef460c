//! When schedules were last due: written with the event that tells of it, and known after a new open.

use journal::{Journal, NewEvent, Options, Scheduled};

use crate::setting::{events, journal};

fn scheduled(plugin: &str, due_micros: i64) -> Scheduled {
    Scheduled {
        pool: "lab".into(),
        plugin: plugin.into(),
        name: "night".into(),
        pattern: "0 3 * * * UTC".into(),
        due_micros,
    }
}

#[tokio::test]
async fn a_schedule_and_its_event_are_written_together_and_outlive_the_journal() {
    let (folder, journal) = journal();
    assert_eq!(journal.schedule(scheduled("p", 10), None).await.unwrap(), None);
    assert_eq!(journal.last(), 0, "only the time was noted");
    let tick = NewEvent { kind: "tick".into(), reference: "p/night".into(), ..NewEvent::default() };
    assert_eq!(journal.schedule(scheduled("p", 20), Some(tick.clone())).await.unwrap(), Some(1));
    assert_eq!(journal.position("lab").await.unwrap().as_deref(), Some(""), "the pool was never reached");
    journal.append(events("lab", 2)).await.unwrap();
    assert_eq!(journal.schedule(scheduled("q", 20), Some(tick)).await.unwrap(), Some(4));
    assert_eq!(journal.position("lab").await.unwrap().as_deref(), Some("p"), "a schedule leaves it alone");
    let stored = journal.event(1).await.unwrap().unwrap();
    assert_eq!((stored.kind.as_str(), stored.pool.as_str()), ("tick", "lab"));
    journal.close().await.unwrap();
    let journal = Journal::open(folder.path(), &Options::default()).unwrap();
    assert_eq!(journal.schedules().await.unwrap(), [scheduled("p", 20), scheduled("q", 20)]);
}
