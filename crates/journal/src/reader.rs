//! A thread with a read-only connection: answers questions one after the other, never waits for the writer.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, Fault};
use crate::fate::Fate;

/// How many questions may wait; who asks more waits too.
const QUEUE: usize = 256;

enum Message {
    Question(Box<dyn FnOnce(&Connection) + Send>),
    Close(oneshot::Sender<()>),
}

/// The door to one reader thread. Dropping it ends the thread and waits for that.
#[derive(Debug)]
pub(crate) struct Reader {
    sender: Option<mpsc::Sender<Message>>,
    thread: Option<JoinHandle<()>>,
    fate: Arc<Fate>,
}

impl Reader {
    pub(crate) fn spawn(name: &str, connection: Connection, fate: Arc<Fate>) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || run(connection, receiver))?;
        Ok(Self { sender: Some(sender), thread: Some(thread), fate })
    }

    /// Asks one question. What it reads is one state of the journal, not touched by a write in between.
    pub(crate) async fn ask<T, Q>(&self, doing: &'static str, question: Q) -> Result<T, Error>
    where
        T: Send + 'static,
        Q: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let fate = Arc::clone(&self.fate);
        let work = move |connection: &Connection| {
            let result = match fate.broken() {
                Some(broken) => Err(broken),
                None => in_snapshot(connection, question).map_err(|fault| fault.into_error(doing)),
            };
            if let Err(error) = &result {
                // What one connection cannot read, none should go on writing to.
                fate.note(error);
            }
            // Whoever asked may have stopped waiting.
            let _ = reply.send(result);
        };
        if let Some(sender) = &self.sender
            && sender.send(Message::Question(Box::new(work))).await.is_ok()
            && let Ok(result) = answer.await
        {
            return result;
        }
        Err(self.fate.verdict())
    }

    /// Answers what is queued, closes the connection and ends the thread.
    pub(crate) async fn close(&self) {
        let (reply, done) = oneshot::channel();
        if let Some(sender) = &self.sender
            && sender.send(Message::Close(reply)).await.is_ok()
        {
            // An error means that the thread is gone, which is what was asked for.
            let _ = done.await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a reader thread of the journal had panicked");
        }
    }
}

fn run(connection: Connection, mut receiver: mpsc::Receiver<Message>) {
    let mut closing = None;
    while let Some(message) = receiver.blocking_recv() {
        match message {
            Message::Question(question) => question(&connection),
            Message::Close(reply) => {
                receiver.close();
                closing = Some(reply);
            }
        }
    }
    drop(connection);
    if let Some(reply) = closing {
        // Whoever closed may have stopped waiting.
        let _ = reply.send(());
    }
}

fn in_snapshot<T>(
    connection: &Connection,
    question: impl FnOnce(&Connection) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let transaction = connection.unchecked_transaction()?;
    let answer = question(&transaction)?;
    transaction.commit()?;
    Ok(answer)
}
