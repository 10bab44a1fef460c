//! What is refused at the door, and how a journal lies in its folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use journal::{Journal, OpenError, Options};
use rusqlite::Connection;

use crate::setting::{events, journal};

fn refusal(folder: &Path) -> OpenError {
    Journal::open(folder, &Options::default()).expect_err("this must not open")
}

#[test]
fn a_second_open_is_refused_and_names_the_first() {
    let (folder, first) = journal();
    let refused = refusal(folder.path());
    let own = std::process::id();
    assert!(matches!(refused, OpenError::InUse { holder: Some(holder), .. } if holder == own), "{refused}");
    assert!(refused.to_string().ends_with(&format!("is in use by process {own}")), "{refused}");
    drop(first);
    Journal::open(folder.path(), &Options::default()).unwrap();
}

#[tokio::test]
async fn a_close_lets_go_of_the_lock_and_leaves_one_whole_file() {
    let (folder, first) = journal();
    first.append(events("lab", 5)).await.unwrap();
    first.close().await.unwrap();
    assert!(!folder.path().join("journal.db-wal").exists());
    let second = Journal::open(folder.path(), &Options::default()).unwrap();
    assert_eq!(second.last(), 5);
    drop(first);
    assert!(matches!(refusal(folder.path()), OpenError::InUse { .. }));
}

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    let (folder, journal) = journal();
    journal.append(events("lab", 1)).await.unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
        seen += 1;
    }
    assert_eq!(seen, 4, "file, log, index, lock");

    journal.close().await.unwrap();
    let file = folder.path().join("journal.db");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let _again = Journal::open(folder.path(), &Options::default()).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_missing_folder_and_a_file_in_its_place_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let missing = refusal(&folder.path().join("missing"));
    assert!(
        matches!(&missing, OpenError::Folder { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    );
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let no_folder = refusal(&file);
    assert!(
        matches!(&no_folder, OpenError::Folder { source, .. } if source.kind() == std::io::ErrorKind::NotADirectory)
    );
    assert!(no_folder.to_string().contains(&file.display().to_string()), "{no_folder}");
}

/// The kernel's own folder of numbers takes no files from anybody, root included.
#[test]
fn a_folder_that_cannot_be_written_to_is_refused() {
    assert!(matches!(refusal(Path::new("/proc/self/task")), OpenError::Folder { .. }));
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal.db");
    let content = "these are a thousand words about something else. ".repeat(200);
    fs::write(&file, &content).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(refusal(folder.path()), OpenError::NotAJournal { .. }));
    assert_eq!(fs::read_to_string(&file).unwrap(), content);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn another_programs_database_is_refused_and_left_alone() {
    for head in ["", "PRAGMA application_id = 7;", "PRAGMA user_version = 1;"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("journal.db");
        let other = Connection::open(&file).unwrap();
        other
            .execute_batch(&format!("{head} CREATE TABLE event (x); INSERT INTO event VALUES (1);"))
            .unwrap();
        drop(other);
        let before = fs::read(&file).unwrap();
        assert!(matches!(refusal(folder.path()), OpenError::NotAJournal { .. }), "{head}");
        assert_eq!(fs::read(&file).unwrap(), before);
    }
}

#[test]
fn a_newer_format_is_refused_and_says_so() {
    let (folder, journal) = journal();
    drop(journal);
    let file = folder.path().join("journal.db");
    Connection::open(&file).unwrap().execute_batch("PRAGMA user_version = 900").unwrap();
    let newer = refusal(folder.path());
    assert!(matches!(newer, OpenError::Newer { found: 900, known: 1.., .. }), "{newer}");
    assert!(newer.to_string().contains("use the newer program"), "{newer}");
}

/// What a kill between the making of the file and the making of its tables leaves behind.
#[test]
fn an_empty_file_becomes_a_journal() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("journal.db"), "").unwrap();
    assert_eq!(Journal::open(folder.path(), &Options::default()).unwrap().last(), 0);

    let folder = tempfile::tempdir().unwrap();
    let bare = Connection::open(folder.path().join("journal.db")).unwrap();
    bare.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL").unwrap();
    drop(bare);
    assert_eq!(Journal::open(folder.path(), &Options::default()).unwrap().last(), 0);
}

#[tokio::test]
async fn the_file_is_set_up_as_promised() {
    let (folder, journal) = journal();
    journal.append(events("lab", 2)).await.unwrap();
    let admin = Connection::open(folder.path().join("journal.db")).unwrap();
    let word =
        |name: &str| admin.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, String>(0)).unwrap();
    let number =
        |name: &str| admin.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(word("journal_mode"), "wal");
    assert_eq!(number("auto_vacuum"), 2, "incremental");
    assert_eq!(number("application_id").to_be_bytes()[4..], *b"XAPJ");
    assert_eq!(number("user_version"), 6);
    assert_eq!(word("integrity_check"), "ok");
    let loose: i64 = admin
        .query_row(
            "SELECT count(*) FROM pragma_table_list
             WHERE schema = 'main' AND type = 'table' AND NOT strict AND name NOT LIKE 'sqlite_%'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(loose, 0, "every table is strict");
    let payloads: i64 =
        admin.query_row("SELECT count(*) FROM event WHERE payload = '{}'", [], |row| row.get(0)).unwrap();
    assert_eq!(payloads, 2, "readable while it is open, as text");
}
