//! The writer alone, on a file with two tables of its own.

use std::sync::mpsc as gate;

use super::*;

struct Bench {
    _folder: tempfile::TempDir,
    writer: Writer,
    outside: Connection,
    announced: watch::Receiver<u64>,
}

/// A writer on a file with the tables that it needs, and a second connection that sees what is committed.
fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let connect = || Connection::open(folder.path().join("file")).unwrap();
    let inside = connect();
    inside
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE tail (sequence INTEGER); INSERT INTO tail VALUES (0); CREATE TABLE note (x CHECK (x >= 0));",
        )
        .unwrap();
    inside.busy_timeout(Duration::ZERO).unwrap();
    let lock = File::create(folder.path().join("lock")).unwrap();
    let writer = Writer::spawn(inside, lock, 0, Arc::new(Fate::default())).unwrap();
    let announced = writer.watch();
    Bench { outside: connect(), _folder: folder, writer, announced }
}

fn notes(connection: &Connection) -> Vec<i64> {
    let mut select = connection.prepare("SELECT x FROM note ORDER BY rowid").unwrap();
    select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn note(number: i64) -> impl FnOnce(&Connection) -> Result<i64, Fault> + Send + 'static {
    move |connection| {
        connection.execute("INSERT INTO note VALUES (?1)", [number])?;
        connection.execute("UPDATE tail SET sequence = ?1", [number])?;
        Ok(number)
    }
}

/// A command that holds the writer until the test lets it go; returns once it holds.
async fn hold(writer: &Writer) -> gate::Sender<()> {
    let (open, closed) = gate::channel::<()>();
    let (holds, held) = oneshot::channel();
    let wait = move |_: &Connection| {
        let _ = holds.send(());
        let _ = closed.recv();
        Ok(())
    };
    writer.post("holding", wait).await.unwrap();
    held.await.unwrap();
    open
}

/// Puts a call into the queue without waiting for its answer.
async fn queued<C: Future>(call: C) -> std::pin::Pin<Box<C>> {
    let mut call = Box::pin(call);
    tokio::select! {
        biased;
        _ = &mut call => panic!("it answered at once"),
        () = std::future::ready(()) => call,
    }
}

#[tokio::test]
async fn what_waits_together_is_written_together_in_order_and_told_afterwards() {
    let Bench { _folder, writer, outside, announced } = bench();
    let open = hold(&writer).await;
    let (look, see) = gate::channel();
    for number in 1..=9 {
        writer.post("testing", move |connection: &_| note(number)(connection).map(drop)).await.unwrap();
    }
    // The last of the group looks at the file from outside, before the commit.
    let watched = announced.clone();
    let last = queued(writer.write("testing", move |connection: &_| {
        look.send((notes(&outside), *watched.borrow())).unwrap();
        note(10)(connection)?;
        Ok(outside)
    }))
    .await;
    drop(open);
    let outside = last.await.unwrap();
    assert_eq!(see.recv().unwrap(), (vec![], 0), "nothing is visible or announced before the commit");
    assert_eq!(notes(&outside), (1..=10).collect::<Vec<_>>());
    assert_eq!(*announced.borrow(), 10);
}

#[tokio::test]
async fn one_that_breaks_a_rule_takes_nobody_with_it_and_leaves_nothing() {
    let Bench { _folder, writer, outside, .. } = bench();
    let open = hold(&writer).await;
    let first = queued(writer.write("testing", note(1))).await;
    let breaks = queued(writer.write("testing", |connection: &_| {
        note(2)(connection)?;
        Err::<(), _>(Error::UnknownEffect { id: 2 }.into())
    }))
    .await;
    let refused = queued(writer.write("testing", |connection: &_| {
        note(3)(connection)?;
        note(-1)(connection)
    }))
    .await;
    let last = queued(writer.write("testing", note(4))).await;
    drop(open);
    let (first, breaks, refused, last) = tokio::join!(first, breaks, refused, last);
    assert_eq!((first.unwrap(), last.unwrap()), (1, 4));
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    assert!(matches!(breaks, Err(Error::UnknownEffect { id: 2 })));
    assert_eq!(notes(&outside), [1, 4]);
}

#[tokio::test]
async fn a_file_locked_by_another_program_is_a_passing_error() {
    let Bench { _folder, writer, outside, .. } = bench();
    outside.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = writer.write("testing", note(1)).await.unwrap_err();
    assert!(matches!(error, Error::Busy { .. }) && error.is_passing(), "{error:?}");
    outside.execute_batch("ROLLBACK").unwrap();
    assert_eq!(writer.write("testing", note(1)).await.unwrap(), 1);
    assert_eq!(notes(&outside), [1]);
}

#[tokio::test]
async fn an_unknown_failure_ends_everything() {
    let Bench { _folder, writer, outside, .. } = bench();
    let open = hold(&writer).await;
    let before = queued(writer.write("testing", note(1))).await;
    let fatal = queued(writer.write("testing", |_: &_| {
        Err::<(), _>(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(10), None).into())
    }))
    .await;
    let after = queued(writer.write("testing", note(2))).await;
    drop(open);
    let (before, fatal, after) = tokio::join!(before, fatal, after);
    for error in [before.unwrap_err(), fatal.unwrap_err(), after.unwrap_err()] {
        assert!(error.is_broken(), "{error:?}");
    }
    assert!(writer.ping().await.unwrap_err().is_broken());
    assert!(writer.close().await.unwrap_err().is_broken());
    assert_eq!(notes(&outside), [0_i64; 0]);
}

#[tokio::test]
async fn a_close_writes_what_is_queued() {
    let Bench { _folder, writer, outside, .. } = bench();
    let open = hold(&writer).await;
    for number in 1..=600 {
        writer.post("testing", move |connection: &_| note(number)(connection).map(drop)).await.unwrap();
    }
    let closed = queued(writer.close()).await;
    drop(open);
    closed.await.unwrap();
    assert_eq!(notes(&outside).len(), 600);
    assert!(matches!(writer.write("testing", note(1)).await, Err(Error::Closed)));
}

#[tokio::test]
async fn a_writer_that_hangs_answers_no_ping() {
    let Bench { _folder, writer, .. } = bench();
    let open = hold(&writer).await;
    let ping = writer.ping();
    tokio::pin!(ping);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut ping).await.is_err());
    drop(open);
    ping.await.unwrap();
}

#[tokio::test]
async fn an_idle_writer_moves_the_log_into_the_file() {
    let Bench { _folder, writer, outside, .. } = bench();
    writer.write("testing", note(1)).await.unwrap();
    let left = || {
        outside
            .query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| {
                Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?)
            })
            .unwrap()
    };
    assert!(left() > 0);
    let moved = async {
        while left() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), moved).await.expect("the log is moved");
}

#[tokio::test]
async fn a_busy_writer_moves_a_long_log_between_groups() {
    let Bench { _folder, writer, outside, .. } = bench();
    let bytes = CHECKPOINT_PAGES * 4096;
    let large = move |connection: &Connection| {
        connection.execute("INSERT INTO note VALUES (zeroblob(?1))", [bytes])?;
        Ok(())
    };
    writer.write("testing", large).await.unwrap();
    writer.ping().await.unwrap();
    let (log, moved): (i64, i64) =
        outside.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| Ok((row.get(1)?, row.get(2)?))).unwrap();
    assert!(log >= CHECKPOINT_PAGES && moved == log, "{moved} of {log}");
}
