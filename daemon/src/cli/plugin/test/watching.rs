//! What the plugin does while a scenario runs: heard from the daemon's story, and read in its journal.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use journal::Journal;
use plugin_host::report::{LogLine, Source};
use simulator::PoolHandle;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use xapi::Value;
use xapi::codec::{Limits, json};
use xapi::model::{Type, schema};

use super::scenario::Ending;
use crate::control::records;
use crate::story::Moment;

/// What is heard of the plugin, oldest first.
#[derive(Debug, Clone)]
pub(super) enum Heard {
    /// It was given an event.
    Given { sequence: u64 },
    /// It, or the host about it, logged a line.
    Logged(LogLine),
    /// The grant refused a call.
    Refused { method: String, advice: String },
    /// A delivery ended so, for this reason.
    Ended { how: Ending, why: String },
    /// More happened at once than could be listened to.
    Missed,
}

/// A call that the journal has recorded.
#[derive(Debug, Clone)]
pub(super) struct Called {
    pub(super) method: String,
    /// The object that it is called on, by name; empty where there is none.
    pub(super) on: String,
    /// As a line of code, with objects by their names.
    pub(super) shown: String,
    /// What came of it, in the journal's words.
    pub(super) outcome: String,
}

impl Called {
    /// Whether the pool did it or began to.
    pub(super) fn is_done(&self) -> bool {
        self.outcome == "succeeded" || self.outcome == "started"
    }
}

/// Listens to the daemon.
pub(super) struct Watch {
    heard: Arc<Mutex<Vec<Heard>>>,
    task: JoinHandle<()>,
}

impl Watch {
    pub(super) fn begin(mut moments: broadcast::Receiver<Moment>) -> Watch {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            loop {
                let note = match moments.recv().await {
                    Ok(moment) => of(moment),
                    Err(RecvError::Lagged(_)) => Some(Heard::Missed),
                    Err(RecvError::Closed) => return,
                };
                if let Some(note) = note {
                    notes.lock().unwrap_or_else(PoisonError::into_inner).push(note);
                }
            }
        });
        Watch { heard, task }
    }

    fn heard(&self) -> MutexGuard<'_, Vec<Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much was heard so far: a mark to ask from.
    pub(super) fn mark(&self) -> usize {
        self.heard().len()
    }

    /// What was heard since a mark.
    pub(super) fn since(&self, mark: usize) -> Vec<Heard> {
        self.heard()[mark..].to_vec()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn of(moment: Moment) -> Option<Heard> {
    Some(match moment {
        Moment::Delivery { event, .. } => Heard::Given { sequence: event.sequence },
        Moment::Log { line, .. } => {
            let field = |name: &str| {
                line.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
            };
            match (line.source, field("method"), field("advice")) {
                (Source::Host, Some(method), Some(advice)) => Heard::Refused { method, advice },
                _ => Heard::Logged(line),
            }
        }
        Moment::Finished { outcome, .. } => {
            let (how, why) = match outcome.split_once(": ") {
                Some(("given up", why)) => (Ending::GivenUp, why),
                Some(("again later", why)) => (Ending::Again, why),
                _ => (Ending::Done, ""),
            };
            Heard::Ended { how, why: why.to_owned() }
        }
        Moment::Call { .. } | Moment::Called { .. } => return None,
    })
}

/// The calls that were recorded for the deliveries which were heard of.
pub(super) async fn calls(
    journal: &Journal,
    plugin: &str,
    pool: &PoolHandle,
    heard: &[Heard],
) -> Result<Vec<Called>> {
    let mut sequences: Vec<u64> = heard
        .iter()
        .filter_map(|heard| if let Heard::Given { sequence } = heard { Some(*sequence) } else { None })
        .collect();
    sequences.sort_unstable();
    sequences.dedup();
    let mut calls = Vec::new();
    for sequence in sequences {
        let delivery =
            records::delivery(journal.listings(), plugin, sequence).await.context("reading the journal")?;
        for line in delivery.into_iter().flat_map(|delivery| delivery.calls) {
            let arguments = match json::decode_value(line.arguments.as_bytes(), &Limits::default()) {
                Ok(Value::Array(arguments)) => arguments,
                // Secret ones are not kept.
                _ => Vec::new(),
            };
            let kinds: Vec<&Type> = schema::method(&line.method)
                .map(|(_, method)| {
                    plugin_host::grant::parameters(method).map(|parameter| &parameter.kind).collect()
                })
                .unwrap_or_default();
            let shown: Vec<String> = arguments
                .iter()
                .enumerate()
                .map(|(at, argument)| shown(kinds.get(at).copied(), argument, pool))
                .collect();
            let on = match kinds.first() {
                Some(Type::Ref(_)) => shown.first().cloned().unwrap_or_default(),
                _ => String::new(),
            };
            calls.push(Called {
                on,
                shown: format!("{}({})", line.method, shown.join(", ")),
                method: line.method,
                outcome: line.outcome.unwrap_or_else(|| "on its way".to_owned()),
            });
        }
    }
    Ok(calls)
}

/// An argument as a person reads it: objects by their names.
fn shown(kind: Option<&Type>, value: &Value, pool: &PoolHandle) -> String {
    match (kind, value) {
        (Some(Type::Ref(class)), Value::String(reference)) => match pool.record(class, reference) {
            Some(record) if !record.text("name_label").is_empty() => record.text("name_label").to_owned(),
            Some(record) => record.text("uuid").to_owned(),
            None => reference.to_string(),
        },
        (_, value) => json::encode_value(value),
    }
}
