//! No space left: nothing is half written, nothing acknowledged is lost, and it goes on by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use journal::{Append, Error, Finish, Intent, Journal, ObjectChange, Options, Outcome};

use crate::setting::{events, finish};
use crate::skipped::skipped;

const MIB: u64 = 1024 * 1024;

/// Fills the journal with one large object after the other; returns how many fit.
async fn fill(journal: &Journal, object_bytes: usize) -> (u64, Error) {
    let payload = "x".repeat(object_bytes);
    for number in 0.. {
        let append = Append {
            position: format!("{number}"),
            objects: vec![ObjectChange::Put {
                class: "VM".into(),
                reference: format!("{number:04}"),
                payload: payload.clone(),
            }],
            ..events("lab", 1)
        };
        if let Err(error) = journal.append(append).await {
            return (number, error);
        }
        assert!(number < 1000, "there is no end to the space");
    }
    unreachable!("numbers do not end")
}

fn delete(number: u64) -> Append {
    let delete = ObjectChange::Delete { class: "VM".into(), reference: format!("{number:04}") };
    Append { objects: vec![delete], position: "deleted".into(), ..events("lab", 0) }
}

#[tokio::test]
async fn a_full_quota_stops_writes_whole_and_lets_them_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), &Options { quota_bytes: Some(2 * MIB) }).unwrap();
    let (fitted, error) = fill(&journal, 100_000).await;
    assert!(matches!(error, Error::Full { .. }) && error.is_passing(), "{error:?}");
    assert!((5..=20).contains(&fitted), "{fitted}");
    assert!(journal.listings().counts().await.unwrap().bytes <= 2 * MIB);

    // Neither the event nor the position of the refused append is there.
    assert_eq!(journal.last(), fitted);
    assert_eq!(journal.read(0, 1000).await.unwrap().len() as u64, fitted);
    assert_eq!(journal.position("lab").await.unwrap(), Some((fitted - 1).to_string()));
    assert_eq!(journal.objects("lab").await.unwrap().len() as u64, fitted);
    assert!(journal.healthy(std::time::Duration::from_secs(30)).await, "a full disk is no ill health");

    // What takes little still goes: a delivery can be ended.
    journal.progress("p", 0).await.unwrap();
    journal.finish(finish("p", 1, 1, Outcome::Done)).await.unwrap();

    // The same journal, not opened anew, goes on when there is space.
    journal.append(delete(0)).await.unwrap();
    journal.append(delete(1)).await.unwrap();
    let mut large = events("lab", 1);
    large.events[0].payload = "y".repeat(100_000);
    assert_eq!(journal.append(large).await.unwrap(), fitted + 1..fitted + 2);
}

/// Many callers at once, some of whose commands do not fit: each is told the truth about its own.
#[tokio::test]
async fn in_a_full_group_each_is_told_the_truth() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), &Options { quota_bytes: Some(2 * MIB) }).unwrap();
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..60_u64 {
        let journal = journal.clone();
        callers.spawn(async move {
            let mut append = events(&format!("pool {caller}"), 1);
            append.events[0].payload = "z".repeat(if caller % 2 == 0 { 120_000 } else { 10 });
            (caller, journal.append(append).await)
        });
    }
    let mut told = Vec::new();
    while let Some(ended) = callers.join_next().await {
        match ended.unwrap() {
            (caller, Ok(range)) => told.push((range.start, format!("pool {caller}"))),
            (_, Err(error)) => assert!(matches!(error, Error::Full { .. }), "{error:?}"),
        }
    }
    told.sort();
    let stored: Vec<_> =
        journal.read(0, 1000).await.unwrap().into_iter().map(|event| (event.sequence, event.pool)).collect();
    assert_eq!(told, stored);
    assert!(told.len() < 60);
    assert_eq!(stored.last().unwrap().0, stored.len() as u64, "no hole");
}

/// A file system in memory of a known size. `None` if this machine does not let us make one.
struct SmallDisk {
    folder: PathBuf,
    _parent: tempfile::TempDir,
}

impl SmallDisk {
    fn new(mebibytes: u64) -> Option<Self> {
        let parent = tempfile::tempdir().ok()?;
        let folder = parent.path().join("disk");
        fs::create_dir(&folder).ok()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "journal-test"])
            .arg(&folder)
            .output()
            .is_ok_and(|output| output.status.success());
        // Made only when it is mounted: dropping it unmounts.
        if mounted { Some(Self { folder, _parent: parent }) } else { None }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.folder).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.folder.display());
    }
}

/// Writes until the disk is full to the last block.
fn ballast(folder: &Path) -> PathBuf {
    let file = folder.join("ballast");
    let mut disk = fs::File::create(&file).unwrap();
    let block = [0_u8; 4096];
    let full = loop {
        if let Err(error) = std::io::Write::write_all(&mut disk, &block) {
            break error;
        }
    };
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    file
}

#[tokio::test]
async fn a_full_disk_stops_writes_whole_and_lets_them_go_on() {
    let Some(disk) = SmallDisk::new(16) else {
        return skipped("a small disk needs root and mount");
    };
    let journal = Journal::open(&disk.folder, &Options::default()).unwrap();
    journal.append(events("lab", 3)).await.unwrap();
    journal.progress("p", 0).await.unwrap();
    let ballast = ballast(&disk.folder);

    let (fitted, error) = fill(&journal, 200_000).await;
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
    let last = journal.last();
    assert_eq!(last, 3 + fitted);
    assert_eq!(journal.read(0, 1000).await.unwrap().len() as u64, last, "reads go on");

    // A start that nobody waits for is lost here, and made good by what comes after it.
    let mut filler = events("lab", 1);
    filler.events[0].payload = "f".repeat(3000);
    while journal.append(filler.clone()).await.is_ok() {}
    journal.post_start("p", 1, 1).await.unwrap();
    journal.post_start("p", 2, 1).await.unwrap();
    assert!(journal.healthy(std::time::Duration::from_secs(30)).await);
    let last = journal.last();

    fs::remove_file(ballast).unwrap();
    assert_eq!(journal.append(events("lab", 1)).await.unwrap(), last + 1..last + 2);
    let intent = Intent { plugin: "p".into(), sequence: 1, attempt: 1, ..Intent::default() };
    journal.intend(intent).await.unwrap();
    journal.finish(Finish { cursor: None, ..finish("p", 2, 1, Outcome::Done) }).await.unwrap();
    let progress = journal.progress("p", 0).await.unwrap();
    assert_eq!(
        progress.open.iter().map(|open| (open.sequence, open.attempt)).collect::<Vec<_>>(),
        [(1, 1), (2, 1)]
    );
    journal.close().await.unwrap();
    drop(journal);

    let again = Journal::open(&disk.folder, &Options::default()).unwrap();
    assert_eq!(again.last(), last + 1);
    again.close().await.unwrap();
}

#[test]
fn a_new_journal_on_a_full_disk_is_refused_as_such() {
    let Some(disk) = SmallDisk::new(1) else {
        return skipped("a small disk needs root and mount");
    };
    let folder = disk.folder.join("journal");
    fs::create_dir(&folder).unwrap();
    let ballast = ballast(&disk.folder);
    let refused = Journal::open(&folder, &Options::default()).unwrap_err();
    assert!(matches!(refused, journal::OpenError::Full { .. }), "{refused:?}");
    fs::remove_file(ballast).unwrap();
    assert_eq!(Journal::open(&folder, &Options::default()).unwrap().last(), 0);
}
