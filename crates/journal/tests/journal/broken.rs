//! A file that contradicts itself, and a disk that fails: seen at once, told, and nothing goes on as if it were well.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use journal::{Error, Journal, OpenError, Options};
use rusqlite::Connection;

use crate::setting::{events, journal};

#[tokio::test]
async fn a_damaged_page_is_never_told_as_an_event() {
    let (folder, journal) = journal();
    let mut append = events("lab", 500);
    append.events.iter_mut().for_each(|event| event.payload = "x".repeat(1000));
    journal.append(append).await.unwrap();
    journal.close().await.unwrap();
    let file = File::options().write(true).open(folder.path().join("journal.db")).unwrap();
    let pages = file.metadata().unwrap().len() / 4096;
    for page in pages / 2..pages / 2 + 8 {
        file.write_all_at(&[0xA5; 4096], page * 4096).unwrap();
    }

    let journal = Journal::open(folder.path(), &Options::default()).unwrap();
    let error = journal.read(0, 1000).await.unwrap_err();
    assert!(error.is_broken() && !error.is_passing(), "{error}");
    // One thread has seen it, so no other goes on writing.
    assert!(journal.append(events("lab", 1)).await.unwrap_err().is_broken());
    assert!(journal.position("lab").await.unwrap_err().is_broken());
    assert!(!journal.healthy(std::time::Duration::from_secs(30)).await);
    assert!(journal.close().await.unwrap_err().is_broken());
}

#[test]
fn a_damaged_head_is_refused() {
    let (folder, journal) = journal();
    drop(journal);
    let file = File::options().write(true).open(folder.path().join("journal.db")).unwrap();
    // The head stays, the table of tables behind it goes.
    file.write_all_at(&[0xA5; 3996], 100).unwrap();
    let refused = Journal::open(folder.path(), &Options::default()).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_count_that_does_not_fit_the_events_is_refused() {
    let (folder, journal) = journal();
    journal.append(events("lab", 3)).await.unwrap();
    journal.close().await.unwrap();
    let file = folder.path().join("journal.db");
    Connection::open(&file).unwrap().execute_batch("UPDATE tail SET sequence = 2").unwrap();
    let refused = Journal::open(folder.path(), &Options::default()).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused:?}");
}

const LIMITED: &str = "XAPIARY_JOURNAL_TEST_LIMITED";

/// In a process that may write no file larger than 512 KiB every write behind that fails, which is no full disk: the
/// journal is broken. What was acknowledged before is there afterwards.
#[test]
fn a_failed_write_ends_the_journal_and_loses_nothing() {
    if let Some(folder) = std::env::var_os(LIMITED) {
        return write_until_it_fails(folder.as_ref());
    }
    let folder = tempfile::tempdir().unwrap();
    let script = "trap '' XFSZ; ulimit -f 1024; exec \"$0\" --exact --nocapture \"$1\"";
    let name = "broken::a_failed_write_ends_the_journal_and_loses_nothing";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(LIMITED, folder.path())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    let acknowledged: u64 = fs::read_to_string(folder.path().join("acknowledged")).unwrap().parse().unwrap();
    assert!(acknowledged > 0);

    let journal = Journal::open(folder.path(), &Options::default()).unwrap();
    assert!(journal.last() >= acknowledged, "{} of {acknowledged}", journal.last());
    drop(journal);
    let admin = Connection::open(folder.path().join("journal.db")).unwrap();
    let verdict: String = admin.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

fn write_until_it_fails(folder: &std::path::Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let journal = Journal::open(folder, &Options::default()).unwrap();
        let mut append = events("lab", 1);
        append.events[0].payload = "x".repeat(10_000);
        let failure = loop {
            match journal.append(append.clone()).await {
                Ok(range) => fs::write(folder.join("acknowledged"), (range.end - 1).to_string()).unwrap(),
                Err(error) => break error,
            }
            assert!(journal.last() < 1000, "the limit does not hold");
        };
        assert!(matches!(failure, Error::Broken { .. }), "{failure:?}");
        assert!(journal.append(events("lab", 0)).await.unwrap_err().is_broken());
        assert!(journal.read(0, 1).await.unwrap_err().is_broken());
        assert!(!journal.healthy(std::time::Duration::from_secs(30)).await);
        assert!(journal.close().await.unwrap_err().is_broken());
    });
}
