//! The one poll that all waiters of a client share. There is no background task: whoever waits takes turns in leading
//! it, so it goes on exactly as long as somebody waits.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use smol_str::{SmolStr, format_smolstr};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::board::Board;
use super::waiting::passing;
use crate::Client;
use crate::error::Error;
use crate::events::Operation;
use crate::value::Value;

/// The first poll after a change of what is asked for: should it be given up for a newcomer, xapi's thread is free
/// again so soon, for xapi does not notice that the other side has gone.
const FIRST_POLL: Duration = Duration::from_secs(5);
/// Every further poll, well below what firewalls forget.
const POLL: Duration = Duration::from_secs(30);
/// Tasks that are started together come onto the board within this.
const GATHERING: Duration = Duration::from_millis(10);
/// More tasks than this are not named one by one: the request would become long, so the whole class is asked for.
const NAMED_MAX: usize = 500;
/// After a failed poll, doubled with every further one.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The shared poll; whoever holds the lock leads.
#[derive(Debug, Default)]
pub(super) struct Poll {
    turn: Mutex<Position>,
}

/// What the last answer told, and how to go on.
#[derive(Debug, Default)]
struct Position {
    /// Of the session that the token belongs to; 0 before the first.
    lease: u64,
    token: SmolStr,
    /// The tasks that the token stands for.
    tasks: BTreeSet<SmolStr>,
    /// Nothing is asked before, after failures.
    not_before: Option<Instant>,
    failures: u32,
}

impl Poll {
    /// Leads, or waits for its turn to lead. Ends only with an error that does not pass by itself. `until` is when the
    /// caller goes away, so that no poll is asked for that nobody would take in.
    pub(super) async fn lead(
        &self,
        client: &Client,
        board: &Board,
        until: Instant,
    ) -> Result<Infallible, Error> {
        loop {
            if Instant::now() >= until {
                return std::future::pending().await;
            }
            let mut position = self.turn.lock().await;
            if let Some(due) = position.not_before {
                sleep_until(due).await;
            }
            match position.round(client, board, until).await {
                Ok(()) => {
                    position.failures = 0;
                    position.not_before = None;
                }
                Err(error) if passing(&error) => {
                    tracing::debug!(error = error.chain(), "the poll for tasks failed");
                    let pause = PAUSE.saturating_mul(1 << position.failures.min(10)).min(PAUSE_MAX);
                    let pause = pause.max(client.login_due().await.min(PAUSE_MAX));
                    position.failures = position.failures.saturating_add(1);
                    position.not_before = Some(Instant::now() + pause);
                }
                Err(error) => return Err(error),
            }
            drop(position);
            // The caller may have what it waits for: then it goes before the next poll is on its way.
            tokio::task::yield_now().await;
        }
    }
}

impl Position {
    /// One poll, from what is asked for to what was told.
    async fn round(&mut self, client: &Client, board: &Board, until: Instant) -> Result<(), Error> {
        let lease = client.lease().await?;
        let tasks = board.open();
        if tasks.is_empty() {
            board.beyond(&tasks).await;
            return Ok(());
        }
        // A task that the token does not stand for may have ended before it: begin with the picture of all of them,
        // which comes at once, even where none is left.
        let picture = lease.number() != self.lease || !tasks.is_subset(&self.tasks);
        let (token, wait) = if picture {
            (SmolStr::default(), Duration::ZERO)
        } else if self.tasks.len() == tasks.len() && self.failures == 0 {
            (self.token.clone(), POLL)
        } else {
            (self.token.clone(), FIRST_POLL)
        };
        let wait = wait.min(until.saturating_duration_since(Instant::now()));
        let classes: Vec<Value> = if tasks.len() > NAMED_MAX {
            vec!["task".into()]
        } else {
            tasks.iter().map(|task| Value::String(format_smolstr!("task/{task}"))).collect()
        };
        let (batch, _) = tokio::select! {
            biased;
            answer = client.poll(&lease, &classes, &token, wait) => answer?,
            () = async {
                board.beyond(&tasks).await;
                tokio::time::sleep(GATHERING).await;
            } => return Ok(()),
        };
        let mut told = BTreeSet::new();
        for event in batch.events {
            match (event.operation, event.snapshot) {
                (Operation::Deleted, _) | (_, None) => board.doubt(&event.reference),
                (_, Some(task)) => {
                    board.seen(&task);
                    told.insert(event.reference);
                }
            }
        }
        if picture {
            tasks.difference(&told).for_each(|missing| board.doubt(missing));
        }
        (self.lease, self.token, self.tasks) = (lease.number(), batch.token, tasks);
        Ok(())
    }
}
