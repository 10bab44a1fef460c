//! The one thread that writes: many commands, one transaction, one sync, then the answers.
//!
//! ```text
//!  queue ──▶ take what is there (at most 256) ──▶ BEGIN ──▶ each in a savepoint ──▶ COMMIT ──▶ watch ──▶ answers
//!                                                              │ breaks a rule: only that one fails
//!                                                              │ full, busy: nothing written, goes on later
//!                                                              ▼ anything else: poisoned, every call fails
//! ```
//!
//! The log is moved into the main file (a checkpoint) after the answers, when it is long or the writer is idle, so
//! that nobody waits for it who does not have to, and so that an error there is seen.

use std::fs::File;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::{Error, Fault};
use crate::events;
use crate::fate::Fate;

/// How many commands may wait; who brings more waits too.
const QUEUE: usize = 1024;

/// How many commands share a transaction: enough to pay for one sync, few enough to keep an answer near.
const GROUP: usize = 256;

/// The log is moved into the main file when this many pages (of 4 KiB) wait in it.
const CHECKPOINT_PAGES: i64 = 4000;

/// After this long without a command the log is moved, whatever its length.
const IDLE: Duration = Duration::from_millis(250);

/// If the log could not be moved whole (someone reads an old state, the disk is full), it is tried again after this.
const IDLE_AGAIN: Duration = Duration::from_secs(5);

/// How long the end of the journal waits for a reader of another program.
const CLOSE_WAIT: Duration = Duration::from_millis(500);

enum Message {
    Command(Box<dyn Command>),
    Ping(oneshot::Sender<Result<(), Error>>),
    Close(oneshot::Sender<Result<(), Error>>),
}

/// A write, told apart from its result type.
trait Command: Send {
    /// Does the work and keeps the result for the answer.
    fn run(&mut self, connection: &Connection) -> Result<(), Error>;
    /// Gives the result, or the failure that made it void, to whoever waits.
    fn answer(self: Box<Self>, outcome: Result<(), Error>);
}

struct Write<T, W> {
    doing: &'static str,
    work: Option<W>,
    value: Option<T>,
    /// `None` for a command that nobody waits for.
    reply: Option<oneshot::Sender<Result<T, Error>>>,
}

impl<T, W> Command for Write<T, W>
where
    T: Send,
    W: FnOnce(&Connection) -> Result<T, Fault> + Send,
{
    fn run(&mut self, connection: &Connection) -> Result<(), Error> {
        if let Some(work) = self.work.take() {
            self.value = Some(work(connection).map_err(|fault| fault.into_error(self.doing))?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), Error>) {
        match (self.reply, outcome, self.value) {
            (Some(reply), Err(error), _) => drop(reply.send(Err(error))),
            (Some(reply), Ok(()), Some(value)) => drop(reply.send(Ok(value))),
            (None, Err(error), _) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a write that nobody waits for failed"
                );
            }
            (_, Ok(()), _) => {}
        }
    }
}

/// The door to the writer thread. Dropping it ends the thread, after what is queued, and waits for that.
#[derive(Debug)]
pub(crate) struct Writer {
    sender: Option<mpsc::Sender<Message>>,
    thread: Option<JoinHandle<()>>,
    last: watch::Receiver<u64>,
    fate: Arc<Fate>,
}

impl Writer {
    pub(crate) fn spawn(
        connection: Connection,
        lock: File,
        last: u64,
        fate: Arc<Fate>,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (announce, watch) = watch::channel(last);
        let clock = runtime::Builder::new_current_thread().enable_time().build()?;
        let mut thread = Thread {
            connection,
            receiver,
            announce,
            clock,
            look_again: None,
            told_unable: false,
            pings: Vec::new(),
            fate: Arc::clone(&fate),
        };
        let thread = thread::Builder::new().name("journal-writer".to_owned()).spawn(move || {
            let closing = thread.run();
            let result = thread.close();
            drop(lock);
            if let Some(reply) = closing {
                drop(reply.send(result));
            }
        })?;
        Ok(Self { sender: Some(sender), thread: Some(thread), last: watch, fate })
    }

    pub(crate) fn last(&self) -> u64 {
        *self.last.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.last.clone()
    }

    /// Queues the work and waits until it is durable.
    pub(crate) async fn write<T, W>(&self, doing: &'static str, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let command = Write { doing, work: Some(work), value: None, reply: Some(reply) };
        self.send(Message::Command(Box::new(command))).await?;
        answer.await.unwrap_or_else(|_| Err(self.fate.verdict()))
    }

    /// Queues the work and returns; a failure is logged.
    pub(crate) async fn post<W>(&self, doing: &'static str, work: W) -> Result<(), Error>
    where
        W: FnOnce(&Connection) -> Result<(), Fault> + Send + 'static,
    {
        let command = Write { doing, work: Some(work), value: None, reply: None };
        self.send(Message::Command(Box::new(command))).await
    }

    /// Returns once the thread has dealt with everything that was queued before.
    pub(crate) async fn ping(&self) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Ping(reply)).await?;
        answer.await.unwrap_or_else(|_| Err(self.fate.verdict()))
    }

    /// Writes what is queued, closes the file and ends the thread.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Close(reply)).await?;
        answer.await.unwrap_or_else(|_| Err(self.fate.verdict()))
    }

    async fn send(&self, message: Message) -> Result<(), Error> {
        if let Some(broken) = self.fate.broken() {
            return Err(broken);
        }
        match &self.sender {
            Some(sender) => sender.send(message).await.map_err(|_| self.fate.verdict()),
            None => Err(self.fate.verdict()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer thread of the journal had panicked");
        }
    }
}

struct Thread {
    connection: Connection,
    receiver: mpsc::Receiver<Message>,
    announce: watch::Sender<u64>,
    /// Only to wait for a command with a time limit.
    clock: runtime::Runtime,
    /// When to look at the log again if no command comes; `None` when all of it is in the main file.
    look_again: Option<Duration>,
    /// Whether it was said that nothing can be written, and nothing was since.
    told_unable: bool,
    /// Answered after the commands that were queued before them.
    pings: Vec<oneshot::Sender<Result<(), Error>>>,
    fate: Arc<Fate>,
}

/// A command, and how it went if the transaction holds.
type Ran = (Box<dyn Command>, Result<(), Error>);

type Closing = Option<oneshot::Sender<Result<(), Error>>>;

impl Thread {
    /// Serves until everybody is gone or the journal is closed; returns who waits for the close.
    fn run(&mut self) -> Closing {
        let mut closing = None;
        while let Some(message) = self.next() {
            let mut group = Vec::new();
            self.sort(message, &mut group, &mut closing);
            while group.len() < GROUP
                && let Ok(message) = self.receiver.try_recv()
            {
                self.sort(message, &mut group, &mut closing);
            }
            if !group.is_empty() {
                self.write(group);
            }
            for reply in self.pings.drain(..) {
                // Whoever asked may have stopped waiting.
                let _ = reply.send(self.fate.broken().map_or(Ok(()), Err));
            }
            self.checkpoint_if_long();
        }
        closing
    }

    fn next(&mut self) -> Option<Message> {
        while let Some(wait) = self.look_again {
            let receive = async { tokio::time::timeout(wait, self.receiver.recv()).await };
            match self.clock.block_on(receive) {
                Ok(message) => return message,
                Err(_) => self.checkpoint(),
            }
        }
        self.receiver.blocking_recv()
    }

    fn sort(&mut self, message: Message, group: &mut Vec<Box<dyn Command>>, closing: &mut Closing) {
        match message {
            Message::Command(command) => group.push(command),
            Message::Ping(reply) => self.pings.push(reply),
            Message::Close(reply) => {
                self.fate.close();
                self.receiver.close();
                *closing = Some(reply);
            }
        }
    }

    /// Writes the commands, in order, in as few transactions as can be, and answers each.
    fn write(&mut self, group: Vec<Box<dyn Command>>) {
        let mut waiting = group.into_iter();
        while waiting.len() > 0 {
            if let Some(broken) = self.fate.broken() {
                waiting.by_ref().for_each(|command| command.answer(Err(broken.clone())));
                return;
            }
            let mut ran = Vec::with_capacity(waiting.len());
            let written = self.transaction(&mut waiting, &mut ran);
            match &written {
                Ok(last) => {
                    self.look_again = Some(IDLE);
                    self.told_unable = false;
                    self.announce.send_if_modified(|known| std::mem::replace(known, *last) != *last);
                }
                Err(error) => {
                    self.roll_back();
                    self.note(error);
                }
            }
            for (command, outcome) in ran {
                command.answer(match &written {
                    Ok(_) => outcome,
                    // Also for one that broke a rule: the rule was judged by what is void now.
                    Err(error) => Err(error.clone()),
                });
            }
        }
    }

    /// Runs commands and commits. On an error nothing of what ran is written; what has not run is left waiting.
    fn transaction(
        &mut self,
        waiting: &mut std::vec::IntoIter<Box<dyn Command>>,
        ran: &mut Vec<Ran>,
    ) -> Result<u64, Error> {
        let begun = self.statement("BEGIN IMMEDIATE", "beginning to write");
        if begun.is_err() {
            // One answer for all: to try each alone would be to wait for the same lock as many times.
            ran.extend(waiting.by_ref().map(|command| (command, Ok(()))));
        }
        begun?;
        for mut command in waiting.by_ref() {
            match self.in_savepoint(command.as_mut()) {
                Ok(outcome) => ran.push((command, outcome)),
                Err(error) => {
                    ran.push((command, Ok(())));
                    return Err(error);
                }
            }
        }
        let last = events::last(&self.connection)
            .map_err(|error| Error::of_store("reading the last event's number", error))?;
        self.statement("COMMIT", "committing")?;
        Ok(last)
    }

    /// Runs one command. The inner error is its own, and nothing of it is left in the transaction; the outer one is
    /// the end of the transaction.
    fn in_savepoint(&self, command: &mut dyn Command) -> Result<Result<(), Error>, Error> {
        self.statement("SAVEPOINT command", "beginning a command")?;
        let outcome = command.run(&self.connection);
        match &outcome {
            Ok(()) => {}
            // SQLite itself ends the whole transaction after some failures of one statement.
            Err(error) if error.is_broken() || self.connection.is_autocommit() => return Err(error.clone()),
            Err(_) => self.statement("ROLLBACK TO command", "taking a command back")?,
        }
        self.statement("RELEASE command", "ending a command")?;
        Ok(outcome)
    }

    fn statement(&self, sql: &str, doing: &'static str) -> Result<(), Error> {
        let done = self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        done.map(drop).map_err(|error| Error::of_store(doing, error))
    }

    fn roll_back(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.statement("ROLLBACK", "rolling back")
        {
            self.note(&Error::Broken { doing: "rolling back", source: Arc::new(error) });
        }
    }

    /// Logs a failure of the store, and makes a lasting one everybody's.
    fn note(&mut self, error: &Error) {
        if error.is_broken() {
            self.fate.note(error);
            tracing::error!(error = error as &dyn std::error::Error, "the journal is out of service");
        } else if !self.told_unable {
            // Callers try again and again; one line says enough until a write succeeds.
            self.told_unable = true;
            tracing::warn!(error = error as &dyn std::error::Error, "the journal could not write");
        }
    }

    fn checkpoint_if_long(&mut self) {
        if self.fate.broken().is_some() {
            return;
        }
        match self.checkpoint_pragma("NOOP") {
            Ok(left) if left < CHECKPOINT_PAGES => {}
            Ok(_) => self.checkpoint(),
            Err(error) => self.note(&error),
        }
    }

    /// Moves the log into the main file as far as no reader stands in the way.
    fn checkpoint(&mut self) {
        if self.fate.broken().is_some() {
            self.look_again = None;
            return;
        }
        self.look_again = match self.checkpoint_pragma("PASSIVE") {
            Ok(0) => None,
            Ok(_) => Some(IDLE_AGAIN),
            Err(error) => {
                self.note(&error);
                Some(IDLE_AGAIN)
            }
        };
    }

    /// Returns how many pages of the log are not in the main file.
    fn checkpoint_pragma(&self, mode: &str) -> Result<i64, Error> {
        self.connection
            .prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))
            .and_then(|mut pragma| {
                pragma.query_row([], |row| Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?))
            })
            .map_err(|error| Error::of_store("moving the log into the main file", error))
    }

    /// Leaves one whole file behind if it can. What is in the log is durable as it is, so a full disk or a reader of
    /// another program that stands in the way is no failure.
    fn close(mut self) -> Result<(), Error> {
        if let Some(broken) = self.fate.broken() {
            return Err(broken);
        }
        let moved = self
            .connection
            .busy_timeout(CLOSE_WAIT)
            .map_err(|error| Error::of_store("closing the file", error))
            .and_then(|()| self.checkpoint_pragma("TRUNCATE"));
        if let Err(error) = &moved {
            self.note(error);
        }
        let closed = self.connection.close().map_err(|(_, error)| Error::of_store("closing the file", error));
        match moved {
            Err(error) if error.is_broken() => Err(error),
            _ => closed,
        }
    }
}

#[cfg(test)]
mod tests;
