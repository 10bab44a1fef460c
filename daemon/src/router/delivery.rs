//! One delivery: the plugin runs, its effects are recorded, its outcome is made durable.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use journal::{EffectId, Finish, Journal, Outcome};
use plugin_host::pool::{BoxFuture, EffectOutcome, Intended, Ledger, LogSink, StateReader};
use plugin_host::report::{Level, LogLine, Report};
use xapi::Value;
use xapi::codec::json;

use super::installed::Installed;
use super::{replay, retry};
use crate::event::PoolEvent;
use crate::feed::LivePool;
use crate::story::{Moment, Story};

/// How long to wait before the same write to the journal is tried again while there is no room.
const ROOM_RETRY: Duration = Duration::from_secs(1);
/// How many of a plugin's last log lines are kept with a dead letter.
const DEAD_LOG_LINES: usize = 20;

/// What a delivery needs.
#[derive(Clone)]
pub(super) struct Delivery {
    pub(super) installed: Arc<Installed>,
    pub(super) journal: Journal,
    pub(super) story: Story,
    pub(super) pool: LivePool,
    pub(super) event: Arc<PoolEvent>,
    pub(super) attempt: u32,
    /// Whether the attempt before was cut short, so that what it did must not be done again.
    pub(super) resumes: bool,
}

/// What is to happen next.
#[derive(Debug)]
pub(super) enum After {
    /// It is settled: done, or a dead letter.
    Settled,
    /// It is to be tried again at this time, in microseconds.
    Retry(i64),
}

impl Delivery {
    /// Runs the plugin and writes down how it ended.
    ///
    /// # Errors
    /// When the journal can take nothing any more; the delivery will come again.
    pub(super) async fn run(self, host_event: plugin_host::Event) -> Result<After, journal::Error> {
        let begun = Instant::now();
        let scribe = Arc::new(Scribe { delivery: self.clone(), sent: Mutex::default() });
        let report = self
            .installed
            .plugin
            .deliver(plugin_host::Delivery {
                event: host_event,
                pool: Arc::new(self.pool.clone()),
                ledger: Arc::clone(&scribe) as Arc<dyn Ledger>,
                state: Arc::clone(&scribe) as Arc<dyn StateReader>,
                log: scribe,
                terms: Arc::clone(&self.installed.terms),
            })
            .await;
        let took = begun.elapsed();
        let (outcome, words) = self.decide(&report);
        let after = match &outcome {
            Outcome::Retry { not_before_micros, .. } => After::Retry(*not_before_micros),
            Outcome::Done | Outcome::Dead { .. } => After::Settled,
        };
        self.finish(&report, outcome).await?;
        self.story.tell(|| Moment::Finished {
            plugin: self.installed.name.clone(),
            sequence: self.event.sequence,
            outcome: words,
            took,
        });
        Ok(after)
    }

    fn decide(&self, report: &Report) -> (Outcome, String) {
        let (plugin, sequence, attempt) = (&self.installed.name, self.event.sequence, self.attempt);
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
                let not_before = Timestamp::now().as_microsecond().saturating_add(micros(pause));
                (
                    Outcome::Retry { not_before_micros: not_before, why: why.clone() },
                    format!("again later: {why}"),
                )
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
                (Outcome::Dead { why: why.clone(), log }, format!("given up: {why}"))
            }
        }
    }

    async fn finish(&self, report: &Report, outcome: Outcome) -> Result<(), journal::Error> {
        let state = report
            .state
            .iter()
            .map(|write| journal::StateWrite { key: write.key.clone(), value: write.value.clone() });
        let finish = Finish {
            plugin: self.installed.name.clone(),
            sequence: self.event.sequence,
            attempt: self.attempt,
            at_micros: Timestamp::now().as_microsecond(),
            outcome,
            state: state.collect(),
            cursor: None,
        };
        loop {
            match self.journal.finish(finish.clone()).await {
                Err(error) if error.is_passing() => {
                    tracing::warn!(plugin = self.installed.name, error = %error, "the outcome waits until there is room");
                    tokio::time::sleep(ROOM_RETRY).await;
                }
                outcome => return outcome,
            }
        }
    }
}

/// As a number that a JSON line can hold as one.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Writes and reads the journal on behalf of one delivery, and passes on what the plugin says.
struct Scribe {
    delivery: Delivery,
    /// Calls on their way, by the number of their effect.
    sent: Mutex<HashMap<u64, (String, Instant)>>,
}

impl Scribe {
    fn sent(&self) -> MutexGuard<'_, HashMap<u64, (String, Instant)>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the attempt that was cut short did at this place, if that answers the call.
    async fn earlier(
        &self,
        intent: &plugin_host::pool::Intent,
        arguments: &str,
    ) -> Result<Option<Intended>, String> {
        let delivery = &self.delivery;
        let (plugin, sequence) = (&delivery.installed.name, delivery.event.sequence);
        let effects = delivery.journal.effects(plugin, sequence).await;
        let effects = effects.map_err(|error| format!("reading what an earlier attempt did: {error}"))?;
        let known = replay::earlier(&effects, delivery.attempt, intent.index, &intent.method, arguments);
        if let Some(known) = &known {
            let known = match known {
                Intended::InDoubt(why) => why.as_str(),
                Intended::Concluded(_) | Intended::New(_) => "its recorded outcome is given again",
            };
            tracing::info!(
                plugin,
                sequence,
                method = intent.method,
                known,
                "an earlier attempt made this call"
            );
        }
        Ok(known)
    }

    fn called(&self, method: &str, outcome: &EffectOutcome, took: Duration) {
        let delivery = &self.delivery;
        let (plugin, sequence) = (&delivery.installed.name, delivery.event.sequence);
        let words = match replay::words(outcome) {
            (word, Value::String(detail)) if !detail.is_empty() && word != "started" => {
                format!("{word}: {detail}")
            }
            (word, Value::Array(words)) => {
                let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
                format!("{word}: {}", words.join(" "))
            }
            (word, _) => word.to_owned(),
        };
        tracing::info!(
            plugin,
            sequence,
            method,
            outcome = words,
            took_ms = millis(took),
            "the pool answered"
        );
        delivery.story.tell(|| Moment::Called { sequence, method: method.to_owned(), outcome: words, took });
    }
}

impl Ledger for Scribe {
    fn intend<'a>(&'a self, intent: plugin_host::pool::Intent) -> BoxFuture<'a, Result<Intended, String>> {
        Box::pin(async move {
            let delivery = &self.delivery;
            let arguments = json::encode_value(&Value::Array(intent.arguments.clone()));
            if delivery.resumes
                && let Some(known) = self.earlier(&intent, &arguments).await?
            {
                return Ok(known);
            }
            let recorded = delivery
                .journal
                .intend(journal::Intent {
                    plugin: delivery.installed.name.clone(),
                    sequence: delivery.event.sequence,
                    attempt: delivery.attempt,
                    index: intent.index,
                    method: intent.method.clone(),
                    arguments,
                    at_micros: Timestamp::now().as_microsecond(),
                })
                .await;
            let id = recorded.map_err(|error| format!("recording the intended call: {error}"))?;
            let (plugin, sequence) = (&delivery.installed.name, delivery.event.sequence);
            let target = target(&delivery.pool, &intent.method, &intent.arguments);
            // Not named `target`: in JSON lines that key is the part of the program that logs.
            tracing::info!(plugin, sequence, method = intent.method, object = target, "calling the pool");
            delivery.story.tell(|| Moment::Call {
                plugin: plugin.clone(),
                sequence,
                method: intent.method.clone(),
                target,
            });
            self.sent().insert(id.0, (intent.method, Instant::now()));
            Ok(Intended::New(id.0))
        })
    }

    fn conclude<'a>(&'a self, effect: u64, outcome: EffectOutcome) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let delivery = &self.delivery;
            let sent = self.sent().remove(&effect);
            if let Some((method, sent)) = sent {
                self.called(&method, &outcome, sent.elapsed());
            }
            let text = replay::to_json(&outcome);
            delivery
                .journal
                .conclude(EffectId(effect), text, Timestamp::now().as_microsecond())
                .await
                .map_err(|error| format!("recording the outcome of the call: {error}"))
        })
    }
}

/// The object that a call is about, by name where it has one.
fn target(pool: &LivePool, method: &str, arguments: &[Value]) -> String {
    let Some((class, _)) = method.split_once('.') else { return String::new() };
    let Some(reference) = arguments.first().and_then(Value::as_str) else { return String::new() };
    match pool.read().get(class, reference) {
        Some(record) if !record.text("name_label").is_empty() => record.text("name_label").to_owned(),
        Some(record) => record.uuid().unwrap_or_default().to_owned(),
        None => String::new(),
    }
}

impl StateReader for Scribe {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, String>> {
        Box::pin(async move {
            let read = self.delivery.journal.state(&self.delivery.installed.name, key).await;
            read.map_err(|error| format!("reading the plugin's state: {error}"))
        })
    }

    fn keys<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<String>, String>> {
        Box::pin(async move {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let read =
                self.delivery.journal.state_keys(&self.delivery.installed.name, prefix, after, limit).await;
            read.map_err(|error| format!("reading the plugin's state: {error}"))
        })
    }
}

impl LogSink for Scribe {
    fn line(&self, line: &LogLine) {
        let plugin = &self.delivery.installed.name;
        let sequence = self.delivery.event.sequence;
        let text = line.message.as_str();
        // Lines to paste are a field of their own, so that they can be taken out as they are.
        let (advice, others): (Vec<_>, Vec<_>) = line.fields.iter().partition(|(name, _)| name == "advice");
        let advice = advice.first().map(|(_, advice)| advice.as_str());
        let others: Vec<String> = others.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let fields = (!others.is_empty()).then(|| others.join(" "));
        match line.level {
            Level::Error => tracing::error!(target: "plugin", plugin, sequence, fields, advice, "{text}"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, sequence, fields, advice, "{text}"),
            Level::Info => tracing::info!(target: "plugin", plugin, sequence, fields, advice, "{text}"),
            Level::Debug => tracing::debug!(target: "plugin", plugin, sequence, fields, advice, "{text}"),
            Level::Trace => tracing::trace!(target: "plugin", plugin, sequence, fields, advice, "{text}"),
        }
        self.delivery.story.tell(|| Moment::Log { plugin: plugin.clone(), sequence, line: line.clone() });
    }
}
