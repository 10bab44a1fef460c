//! One delivery: the plugin runs, its effects are recorded, its outcome is made durable.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use journal::{Finish, Journal, Outcome, StateWrite};
use plugin_host::pool::{Ledger, LogSink, StateReader};
use plugin_host::report::Report;

use super::delivery_pool::DeliveryPool;
use super::installed::Installed;
use super::queue::Next;
use super::retry;
use super::scribe::Scribe;
use super::terms;
use crate::cause::Cause;
use crate::event::PoolEvent;
use crate::feed::LivePool;
use crate::story::{Moment, Story};

/// How long to wait before the same write to the journal is tried again while there is no room.
pub(super) const ROOM_RETRY: Duration = Duration::from_secs(1);
/// How many of a plugin's last log lines are kept with a dead letter.
const DEAD_LOG_LINES: usize = 20;

/// The calls in doubt that a plugin was told of, by event and place in the delivery, by attempts that came to an end. One
/// that makes such a call again does so knowingly.
pub(super) type Doubts = Arc<Mutex<HashSet<(u64, u32)>>>;

/// What a delivery needs.
#[derive(Clone)]
pub(super) struct Delivery {
    pub(super) installed: Arc<Installed>,
    pub(super) journal: Journal,
    pub(super) story: Story,
    pub(super) pool: LivePool,
    pub(super) event: Arc<PoolEvent>,
    pub(super) attempt: u32,
    /// The last attempt that was cut short, or 0: what attempts up to it did must not be done again.
    pub(super) cut_short: u32,
    /// Which calls the plugin was told to be in doubt.
    pub(super) doubts: Doubts,
}

/// What is to happen next.
#[derive(Debug)]
pub(super) enum After {
    /// It is done.
    Done,
    /// It is given up and kept as a dead letter.
    Dead,
    /// It is to be tried again.
    Retry {
        /// Not before this time of the steady clock.
        at: i64,
        /// Whether it was stopped in the middle of its work.
        cut_short: bool,
    },
}

impl Delivery {
    /// Runs the plugin and writes down how it ended.
    ///
    /// # Errors
    /// When the journal can take nothing any more; the delivery will come again.
    pub(super) async fn run(self, host_event: plugin_host::Event) -> Result<After, journal::Error> {
        let begun = Instant::now();
        let scribe = Arc::new(Scribe::new(self.clone()));
        let report = self
            .installed
            .plugin
            .deliver(plugin_host::Delivery {
                event: host_event,
                pool: Arc::new(DeliveryPool::new(self.pool.clone(), self.cause(), self.attempt)),
                ledger: Arc::clone(&scribe) as Arc<dyn Ledger>,
                state: Arc::clone(&scribe) as Arc<dyn StateReader>,
                log: Arc::clone(&scribe) as Arc<dyn LogSink>,
                terms: Arc::clone(&self.installed.terms),
            })
            .await;
        let took = begun.elapsed();
        terms::note_reads(&self.journal, &self.installed, &report.reads).await?;
        let (outcome, words) = self.decide(&report);
        let after = match &outcome {
            Outcome::Retry { not_before_micros, cut_short, .. } => {
                After::Retry { at: retry::due(*not_before_micros), cut_short: *cut_short }
            }
            Outcome::Done => After::Done,
            Outcome::Dead { .. } => After::Dead,
        };
        let state = report.state.into_iter().map(|write| StateWrite { key: write.key, value: write.value });
        let next = Next { sequence: self.event.sequence, attempt: self.attempt };
        finish(&self.journal, &self.installed.name, next, outcome, state.collect()).await?;
        if matches!(after, After::Done | After::Dead) {
            // Nobody will ask for them again.
            self.pool.release_tasks(scribe.started());
        }
        self.story.tell(|| Moment::Finished {
            plugin: self.installed.name.clone(),
            sequence: self.event.sequence,
            outcome: words,
            took,
        });
        Ok(after)
    }

    /// What its writes are put down to.
    fn cause(&self) -> Cause {
        Cause {
            plugin: self.installed.name.as_str().into(),
            sequence: self.event.sequence,
            chain: self.event.cause.as_ref().map_or(0, |cause| cause.chain).saturating_add(1),
        }
    }

    fn decide(&self, report: &Report) -> (Outcome, String) {
        let (plugin, sequence, attempt) = (&self.installed.name, self.event.sequence, self.attempt);
        // A plugin that was stopped did not say that it wants to begin anew: what it did is not to be done again.
        let cut_short = matches!(report.outcome, plugin_host::Outcome::Stopped(_));
        let (why, asked, give_up) = match &report.outcome {
            plugin_host::Outcome::Done => {
                tracing::debug!(plugin, sequence, attempt, "delivered");
                return (Outcome::Done, "done".to_owned());
            }
            plugin_host::Outcome::Retry { after, why } => (why.clone(), Some(*after), false),
            plugin_host::Outcome::GiveUp { why } => (why.clone(), None, true),
            plugin_host::Outcome::Stopped(stop) => (stop.to_string(), None, false),
        };
        let pause = if give_up { None } else { retry::pause(attempt, asked, rand::random()) };
        match pause {
            Some(pause) => {
                tracing::warn!(
                    plugin,
                    sequence,
                    attempt,
                    why,
                    again_in_ms = millis(pause),
                    "the delivery failed"
                );
                let outcome = Outcome::Retry { not_before_micros: after(pause), why: why.clone(), cut_short };
                (outcome, format!("again later: {why}"))
            }
            None => {
                tracing::error!(
                    plugin,
                    sequence,
                    attempt,
                    why,
                    "the delivery is given up; it is kept as a dead letter"
                );
                let kept = report.log.len().saturating_sub(DEAD_LOG_LINES);
                let log = report.log.iter().skip(kept).map(ToString::to_string).collect();
                (Outcome::Dead { why: why.clone(), log, cut_short }, format!("given up: {why}"))
            }
        }
    }
}

/// Writes down how an attempt ended. Waits while there is no room.
///
/// # Errors
/// When the journal can take nothing any more.
pub(super) async fn finish(
    journal: &Journal,
    plugin: &str,
    next: Next,
    outcome: Outcome,
    state: Vec<StateWrite>,
) -> Result<(), journal::Error> {
    let finish = Finish {
        plugin: plugin.to_owned(),
        sequence: next.sequence,
        attempt: next.attempt,
        at_micros: Timestamp::now().as_microsecond(),
        outcome,
        state,
        cursor: None,
    };
    let mut told = false;
    loop {
        match journal.finish(finish.clone()).await {
            Err(error) if error.is_passing() => {
                if !told {
                    told = true;
                    tracing::warn!(plugin, sequence = next.sequence, error = %error, "an outcome waits until there is room");
                }
                tokio::time::sleep(ROOM_RETRY).await;
            }
            outcome => return outcome,
        }
    }
}

/// The time so far from now, in microseconds since 1970 UTC, as it is written down.
pub(super) fn after(pause: Duration) -> i64 {
    let pause = i64::try_from(pause.as_micros()).unwrap_or(i64::MAX);
    Timestamp::now().as_microsecond().saturating_add(pause)
}

/// As a number that a JSON line can hold as one.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
