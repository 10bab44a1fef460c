//! The audit: what is written down by itself, and what is seen of a hand in the file.

use std::path::Path;

use journal::{AuditFilter, By, Head, Intent, Journal, Listings, NewAudit, Options, Verified};
use rusqlite::Connection;

use crate::setting::{events, journal};

const DAY: i64 = 24 * 3600 * 1_000_000;

fn entry(number: i64) -> NewAudit {
    NewAudit {
        at_micros: number * DAY,
        kind: "refusal".into(),
        plugin: if number % 2 == 0 { "even" } else { "odd" }.into(),
        what: "VM.start".into(),
        object: format!("vm-{number}"),
        details: "{}".into(),
        ..NewAudit::default()
    }
}

/// A closed journal with so many rows, in a folder.
async fn with_rows(count: i64) -> tempfile::TempDir {
    let (folder, journal) = journal();
    for number in 1..=count {
        journal.post_audit(entry(number)).await.unwrap();
    }
    journal.close().await.unwrap();
    folder
}

fn by(at_micros: i64) -> By {
    By { who: "user:ann".into(), reason: "old".into(), at_micros }
}

fn meddle(folder: &Path, sql: &str) {
    Connection::open(folder.join("journal.db")).unwrap().execute_batch(sql).unwrap();
}

async fn verified(folder: &Path, noted: Option<Head>) -> Verified {
    Listings::open(folder).unwrap().verify_audit(noted).await.unwrap()
}

#[tokio::test]
async fn calls_results_and_actions_are_written_down_by_themselves() {
    let (_folder, journal) = journal();
    journal.append(events("lab", 1)).await.unwrap();
    journal.progress("p", 0).await.unwrap();
    let intent = |index, rule: &str| Intent {
        plugin: "p".into(),
        sequence: 1,
        attempt: 1,
        index,
        method: "VM.start".into(),
        object: "vm-1".into(),
        rule: rule.into(),
        details: "why it may".into(),
        at_micros: 5,
        ..Intent::default()
    };
    let effect = journal.intend(intent(0, "a rule")).await.unwrap();
    journal.conclude(effect, "[\"succeeded\"]".into(), "how it went".into(), 7).await.unwrap();
    journal.conclude(effect, "[\"succeeded\"]".into(), "how it went".into(), 8).await.unwrap();
    journal.intend(intent(0, "a rule")).await.unwrap_err();
    journal.intend(intent(1, "")).await.unwrap();
    journal.disable("p", by(9)).await.unwrap();
    let rows = journal.listings().audit(AuditFilter::default(), 9).await.unwrap();
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let NewAudit { kind, plugin, who, what, object, details, .. } = &row.entry;
            format!("{} {kind} {plugin} {who} {what} {object} {details} {:?}", row.id, row.result)
        })
        .collect();
    assert_eq!(
        lines,
        [
            "4 action p user:ann plugins disable p old None",
            "3 call p  VM.start vm-1 why it may None",
            "1 call p  VM.start vm-1 why it may Some((7, \"how it went\"))",
        ],
        "what failed left no row, and the same outcome again none either"
    );
    let allowed = journal.allowed_since("p", 5).await.unwrap();
    assert_eq!(allowed.len(), 1, "what no rule allowed anew is none: {allowed:?}");
    assert_eq!((allowed[0].rule.as_str(), allowed[0].object.as_str()), ("a rule", "vm-1"));
    assert_eq!(journal.allowed_since("p", 6).await.unwrap(), []);
    let found = journal.listings().verify_audit(None).await.unwrap();
    assert_eq!((found.rows, found.faults), (4, vec![]));
}

#[tokio::test]
async fn rows_are_found_by_plugin_object_kind_and_time() {
    let folder = with_rows(6).await;
    let listings = Listings::open(folder.path()).unwrap();
    let ids = async |filter| -> Vec<u64> {
        listings.audit(filter, 2).await.unwrap().iter().map(|row| row.id).collect()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(ids(AuditFilter::default()).await, [6, 5]);
    assert_eq!(ids(AuditFilter { plugin: some("odd"), ..AuditFilter::default() }).await, [5, 3]);
    assert_eq!(ids(AuditFilter { object: some("vm-2"), ..AuditFilter::default() }).await, [2]);
    assert_eq!(ids(AuditFilter { kind: some("call"), ..AuditFilter::default() }).await, [0; 0]);
    assert_eq!(ids(AuditFilter { since_micros: Some(6 * DAY), ..AuditFilter::default() }).await, [6]);
}

#[tokio::test]
async fn a_hand_in_the_file_is_seen_and_the_row_is_named() {
    for (sql, expected) in [
        ("UPDATE audit SET details = '{\"x\":1}' WHERE id = 3", &["row 3 was changed"][..]),
        ("UPDATE audit SET object = 'vm-9' WHERE id = 3", &["row 3 was changed"]),
        ("UPDATE audit SET what = 'VM.startv', object = 'm-3' WHERE id = 3", &["row 3 was changed"]),
        ("UPDATE audit SET at_micros = at_micros + 1 WHERE id = 1", &["row 1 was changed"]),
        ("UPDATE audit SET of = 2 WHERE id = 4", &["row 4 was changed"]),
        ("UPDATE audit SET hash = zeroblob(32) WHERE id = 3", &["row 3 was changed", "row 4 was changed"]),
        ("DELETE FROM audit WHERE id IN (2, 3)", &["rows are missing: 2 to 3"]),
        ("DELETE FROM audit WHERE id = 1", &["rows are missing: 1 to 1"]),
        ("DELETE FROM audit WHERE id >= 5", &["rows are missing at the end: 5 to 6"]),
        ("DELETE FROM audit", &["rows are missing at the end: 1 to 6"]),
        (
            "INSERT INTO audit SELECT 7, at_micros, kind, plugin, who, what, object, of, details, hash FROM audit WHERE id = 6",
            &["row 7 was changed, or put there", "rows stand behind the head, 7 to 7"],
        ),
        (
            "UPDATE audit SET id = -id WHERE id > 3; UPDATE audit SET id = 1 - id WHERE id < 0;
             INSERT INTO audit SELECT 4, at_micros, kind, plugin, who, what, 'vm-8', of, details, hash FROM audit WHERE id = 3",
            &["row 4 was changed, or put there", "row 5 was changed", "row 6 was changed", "row 7 was changed", "rows stand behind"],
        ),
        ("UPDATE audit_chain SET head_hash = zeroblob(32)", &["the head is not that of row 6"]),
        (
            "DELETE FROM audit WHERE id <= 2;
             UPDATE audit_chain SET anchor_id = 2, anchor_hash = (SELECT hash FROM audit WHERE id = 3)",
            &["row 3 was changed", "the rows up to 2 are gone, and no row tells"],
        ),
    ] {
        let folder = with_rows(6).await;
        // A row with a negative number breaks a rule of the table, which whoever meddles can switch off.
        meddle(folder.path(), &format!("PRAGMA ignore_check_constraints = on; {sql}"));
        let faults = verified(folder.path(), None).await.faults;
        assert_eq!(faults.len(), expected.len(), "{sql}: {faults:#?}");
        for (fault, expected) in faults.iter().zip(expected) {
            assert!(fault.starts_with(expected), "{sql}: {fault}");
        }
    }
}

#[tokio::test]
async fn a_noted_head_shows_what_the_chain_alone_cannot() {
    let folder = with_rows(4).await;
    let noted = verified(folder.path(), None).await.head;
    assert_eq!(noted.to_string().parse::<Head>(), Ok(noted));
    assert!("4:zz".parse::<Head>().is_err() && "x".parse::<Head>().is_err());
    assert_eq!(verified(folder.path(), Some(noted)).await.faults, [""; 0]);

    // Whoever can write the file writes the whole chain anew: another journal with other rows.
    let (other, journal) = journal();
    for number in [1, 2, 7, 4, 5] {
        journal.post_audit(entry(number)).await.unwrap();
    }
    journal.close().await.unwrap();
    assert_eq!(verified(other.path(), None).await.faults, [""; 0], "it follows");
    let faults = verified(other.path(), Some(noted)).await.faults;
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with("row 4 is not the one that was noted"), "{faults:?}");

    // The end cut off, and the head with it.
    meddle(
        folder.path(),
        "DELETE FROM audit WHERE id = 4;
         UPDATE audit_chain SET head_id = 3, head_hash = (SELECT hash FROM audit WHERE id = 3)",
    );
    assert_eq!(verified(folder.path(), None).await.faults, [""; 0]);
    let faults = verified(folder.path(), Some(noted)).await.faults;
    assert_eq!(faults, ["row 4 was noted and is not there: the end was cut off"]);
}

#[tokio::test]
async fn what_is_removed_for_its_age_leaves_an_anchor_and_a_row_that_tells_of_it() {
    let folder = with_rows(6).await;
    let old = Listings::open(folder.path()).unwrap().audit(AuditFilter::default(), 9).await.unwrap();
    let journal = Journal::open(folder.path(), &Options::default()).unwrap();
    assert_eq!(journal.prune_audit(4 * DAY, by(20 * DAY)).await.unwrap(), 3);
    assert_eq!(journal.prune_audit(4 * DAY, by(21 * DAY)).await.unwrap(), 0, "nothing more is old enough");
    let found = journal.listings().verify_audit(None).await.unwrap();
    assert_eq!((found.rows, found.anchor.id, found.head.id, found.faults), (4, 3, 7, vec![]));
    let newest = journal.listings().audit(AuditFilter::default(), 1).await.unwrap().remove(0).entry;
    assert_eq!((newest.what.as_str(), newest.object), ("audit prune", found.anchor.to_string()));

    // All of it, and once more: the chain goes on where it was.
    assert_eq!(journal.prune_audit(30 * DAY, by(30 * DAY)).await.unwrap(), 4);
    journal.post_audit(entry(31)).await.unwrap();
    assert_eq!(journal.prune_audit(0, by(31 * DAY)).await.unwrap(), 0, "it comes after what was posted");
    let found = journal.listings().verify_audit(None).await.unwrap();
    assert_eq!((found.rows, found.anchor.id, found.head.id, found.faults), (2, 7, 9, vec![]));
    journal.close().await.unwrap();

    // A removed row that is put back is seen.
    let back = &old[5];
    meddle(
        folder.path(),
        &format!(
            "INSERT INTO audit VALUES (1, {}, 'refusal', 'odd', '', 'VM.start', 'vm-1', NULL, '{{}}', x'{}')",
            back.entry.at_micros,
            back.hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        ),
    );
    let faults = verified(folder.path(), None).await.faults;
    assert!(faults[0].starts_with("row 1 was removed for its age and is there again"), "{faults:?}");
}

#[tokio::test]
async fn what_people_did_before_there_was_an_audit_is_part_of_it() {
    let (folder, journal) = journal();
    journal.close().await.unwrap();
    // As the format before it was.
    meddle(
        folder.path(),
        "DROP TABLE audit; DROP TABLE audit_chain;
         ALTER TABLE effect DROP COLUMN object; ALTER TABLE effect DROP COLUMN rule; ALTER TABLE effect DROP COLUMN audit;
         CREATE TABLE action (id INTEGER PRIMARY KEY AUTOINCREMENT, at_micros INTEGER NOT NULL, who TEXT NOT NULL,
             verb TEXT NOT NULL, subject TEXT NOT NULL, reason TEXT NOT NULL) STRICT;
         INSERT INTO action VALUES (3, 5, 'user:ann', 'plugins disable', 'p', 'loud'),
             (4, 6, 'user:bob', 'plugins enable', 'p', '');
         PRAGMA user_version = 5;",
    );
    let journal = Journal::open(folder.path(), &Options::default()).unwrap();
    let actions = journal.listings().actions(9).await.unwrap();
    let told: Vec<_> =
        actions.iter().map(|action| (action.id, action.verb.as_str(), action.by.who.as_str())).collect();
    assert_eq!(told, [(2, "plugins enable", "user:bob"), (1, "plugins disable", "user:ann")]);
    assert_eq!(journal.listings().verify_audit(None).await.unwrap().faults, [""; 0]);
}
