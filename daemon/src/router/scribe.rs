//! Writes and reads the journal on behalf of one delivery, and passes on what the plugin says.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use journal::{Effect, EffectId};
use plugin_host::pool::{
    Allowed, BoxFuture, CallError, EffectOutcome, Ledger, LogSink, Recalled, Refusal, StateReader,
};
use plugin_host::report::{Level, LogLine, Source};
use smol_str::SmolStr;
use xapi::Value;
use xapi::model::{schema, typed};

use super::absolute::{Reading, Setting};
use super::delivery::Delivery;
use super::replay;
use super::testimony::{self, Within};
use crate::feed::{EffectName, LivePool};
use crate::story::Moment;

/// What the pool shows of a call whose outcome was not recorded.
enum Finding {
    /// It was made, and this came of it.
    Made(EffectOutcome),
    /// It was not made, or may be made again.
    NotMade,
    /// Neither shows.
    Nothing,
}

/// Writes and reads the journal on behalf of one delivery, and passes on what the plugin says.
pub(super) struct Scribe {
    delivery: Delivery,
    /// Calls on their way, by the number of their effect.
    sent: Mutex<HashMap<u64, (String, Instant)>>,
    /// Tasks that this delivery started or was given again.
    started: Mutex<Vec<SmolStr>>,
    /// Refused calls that are in the audit.
    refused: Mutex<HashSet<String>>,
}

/// So many different refused calls of one delivery are written down; a plugin that asks for more learns nothing new, and must
/// not fill the disk.
const REFUSALS_MAX: usize = 32;

impl Scribe {
    pub(super) fn new(delivery: Delivery) -> Self {
        Scribe { delivery, sent: Mutex::default(), started: Mutex::default(), refused: Mutex::default() }
    }

    /// The tasks that this delivery started or was given again.
    pub(super) fn started(&self) -> Vec<SmolStr> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note_started(&self, outcome: &EffectOutcome) {
        if let EffectOutcome::Started(task) = outcome {
            self.started.lock().unwrap_or_else(PoisonError::into_inner).push(task.clone());
        }
    }

    fn sent(&self) -> MutexGuard<'_, HashMap<u64, (String, Instant)>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What attempts up to the one that was cut short did at this place, if that answers the call.
    async fn earlier(
        &self,
        intent: &plugin_host::pool::Intent,
        arguments: &str,
    ) -> Result<Option<Recalled>, String> {
        let delivery = &self.delivery;
        let (plugin, sequence) = (&delivery.installed.name, delivery.event.sequence);
        let effects = delivery.journal.effects(plugin, sequence).await;
        let effects = effects.map_err(|error| format!("reading what an earlier attempt did: {error}"))?;
        let mut known =
            replay::earlier(&effects, delivery.cut_short, intent.index, &intent.method, arguments);
        if let Some(Recalled::InDoubt(_)) = &known {
            let doubt = (sequence, intent.index);
            if delivery.doubts.lock().unwrap_or_else(PoisonError::into_inner).contains(&doubt) {
                // It was told, ended its attempt, and asks for the same call again: it has decided.
                return Ok(None);
            }
            match self.find_out(&effects, intent).await? {
                Finding::Made(outcome) => {
                    self.record(intent, arguments, &outcome).await?;
                    known = Some(Recalled::Concluded(outcome));
                }
                Finding::NotMade => return Ok(None),
                Finding::Nothing => {
                    _ = delivery.doubts.lock().unwrap_or_else(PoisonError::into_inner).insert(doubt);
                }
            }
        }
        if let Some(known) = &known {
            let known = match known {
                Recalled::InDoubt(why) => why.as_str(),
                Recalled::Concluded(outcome) => {
                    self.note_started(outcome);
                    "its recorded outcome is given again"
                }
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

    /// Looks in the pool whether a call whose outcome was not recorded was made: a started one has left a task with our
    /// mark, one that sets a field has set it.
    async fn find_out(
        &self,
        effects: &[Effect],
        intent: &plugin_host::pool::Intent,
    ) -> Result<Finding, String> {
        let delivery = &self.delivery;
        let asked =
            |error: CallError| format!("asking the pool whether an earlier attempt made the call: {error}");
        if intent.asynchronous {
            let Some(effect) = replay::last(effects, delivery.cut_short, intent.index) else {
                return Ok(Finding::Nothing);
            };
            let name = EffectName {
                plugin: delivery.installed.name.as_str().into(),
                sequence: effect.sequence,
                attempt: effect.attempt,
                index: effect.index,
            };
            let task = delivery.pool.started_for(&name).await.map_err(asked)?;
            // One that is not there may have ended and been swept away: that it was never there cannot be told.
            return Ok(task.map_or(Finding::Nothing, |task| Finding::Made(EffectOutcome::Started(task))));
        }
        let Some(setting) = Setting::of(&intent.method, &intent.arguments) else {
            return Ok(Finding::Nothing);
        };
        let (getter, object) = setting.getter();
        let Some((_, method)) = schema::method(&getter) else { return Ok(Finding::Nothing) };
        match delivery.pool.call(&getter, &[object]).await {
            Ok(now) => Ok(match setting.reading(&typed(&method.result, now)) {
                Reading::Done => Finding::Made(EffectOutcome::Succeeded(Value::VOID)),
                Reading::Undone => Finding::NotMade,
                Reading::Unclear => Finding::Nothing,
            }),
            // Nothing is set on an object that is not there; the pool will say so again.
            Err(CallError::Xapi(failure)) if failure.code == "HANDLE_INVALID" => Ok(Finding::NotMade),
            Err(CallError::Xapi(_)) => Ok(Finding::Nothing),
            Err(error) => Err(asked(error)),
        }
    }

    /// Records what was found out, as an effect of this attempt.
    async fn record(
        &self,
        intent: &plugin_host::pool::Intent,
        arguments: &str,
        outcome: &EffectOutcome,
    ) -> Result<(), String> {
        let id = self.intended(intent, arguments.to_owned(), None).await?;
        let text = replay::to_json(&intent.method, outcome);
        let details = testimony::outcome(outcome);
        let recorded =
            self.delivery.journal.conclude(id, text, details, Timestamp::now().as_microsecond()).await;
        recorded.map_err(|error| format!("recording what came of the call: {error}"))
    }

    /// Makes an intended call durable; without a rule, one that an earlier attempt made.
    async fn intended(
        &self,
        intent: &plugin_host::pool::Intent,
        arguments: String,
        allowed: Option<Allowed<'_>>,
    ) -> Result<EffectId, String> {
        let delivery = &self.delivery;
        let details = testimony::call(
            &self.within(),
            &delivery.pool.read(),
            &intent.method,
            &intent.arguments,
            allowed,
        );
        let recorded = delivery
            .journal
            .intend(journal::Intent {
                plugin: delivery.installed.name.clone(),
                sequence: delivery.event.sequence,
                attempt: delivery.attempt,
                index: intent.index,
                method: intent.method.clone(),
                arguments,
                object: intent.object.clone().unwrap_or_default(),
                rule: allowed.map(|allowed| allowed.text.to_owned()).unwrap_or_default(),
                details,
                at_micros: Timestamp::now().as_microsecond(),
            })
            .await;
        recorded.map_err(|error| format!("recording the intended call: {error}"))
    }

    /// What the audit says of each call of this delivery.
    fn within(&self) -> Within<'_> {
        let delivery = &self.delivery;
        Within {
            pool: delivery.pool.name(),
            sequence: delivery.event.sequence,
            attempt: delivery.attempt,
            component: &delivery.installed.plugin.inspection().digest,
            secrets: &delivery.installed.terms.secrets,
        }
    }

    fn called(&self, method: &str, outcome: &EffectOutcome, took: Duration) {
        let delivery = &self.delivery;
        let (plugin, sequence) = (&delivery.installed.name, delivery.event.sequence);
        // What a call returned is the plugin's affair and may be a secret; only why it failed is told.
        let words = match outcome {
            EffectOutcome::Succeeded(_) | EffectOutcome::Started(_) => replay::words(outcome).0.to_owned(),
            EffectOutcome::Failed(failure) => format!("failed: {failure}"),
            EffectOutcome::NotSent(why) => format!("not sent: {why}"),
            EffectOutcome::DryRun => replay::words(outcome).0.to_owned(),
            EffectOutcome::InDoubt(why) => format!("in doubt: {why}"),
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
    fn recall<'a>(
        &'a self,
        intent: &'a plugin_host::pool::Intent,
    ) -> BoxFuture<'a, Result<Option<Recalled>, String>> {
        Box::pin(async move {
            if self.delivery.cut_short == 0 {
                return Ok(None);
            }
            let known = self.earlier(intent, &replay::arguments(&intent.method, &intent.arguments)).await?;
            if known.is_some() {
                // A call that is made waits for its own record, and so for the start before it. Here nothing else would, and
                // an attempt that the plugin has acted in could come again under its number.
                let durable = self.delivery.journal.durable().await;
                durable.map_err(|error| format!("recording the attempt that asks for it: {error}"))?;
            }
            Ok(known)
        })
    }

    fn intend<'a>(
        &'a self,
        intent: plugin_host::pool::Intent,
        allowed: Allowed<'a>,
    ) -> BoxFuture<'a, Result<u64, String>> {
        Box::pin(async move {
            let delivery = &self.delivery;
            let arguments = replay::arguments(&intent.method, &intent.arguments);
            let id = self.intended(&intent, arguments, Some(allowed)).await?;
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
            Ok(id.0)
        })
    }

    fn refused<'a>(&'a self, refusal: Refusal<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let delivery = &self.delivery;
            {
                let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                let object = refusal.object.unwrap_or_default();
                let call = format!("{} {object} {}", refusal.method, refusal.reason);
                if refused.len() >= REFUSALS_MAX || !refused.insert(call) {
                    return;
                }
            }
            let details = testimony::refusal(&self.within(), &delivery.pool.read(), &refusal);
            let entry = journal::NewAudit {
                at_micros: Timestamp::now().as_microsecond(),
                kind: "refusal".to_owned(),
                plugin: delivery.installed.name.clone(),
                what: refusal.method.to_owned(),
                object: refusal.object.unwrap_or_default().to_owned(),
                details,
                ..journal::NewAudit::default()
            };
            if let Err(error) = delivery.journal.post_audit(entry).await {
                tracing::error!(plugin = delivery.installed.name, error = %error, "a refusal is missing in the audit");
            }
        })
    }

    fn conclude<'a>(&'a self, effect: u64, outcome: EffectOutcome) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let delivery = &self.delivery;
            let (method, sent) = self.sent().remove(&effect).ok_or("no call bears this number")?;
            self.called(&method, &outcome, sent.elapsed());
            self.note_started(&outcome);
            let text = replay::to_json(&method, &outcome);
            delivery
                .journal
                .conclude(
                    EffectId(effect),
                    text,
                    testimony::outcome(&outcome),
                    Timestamp::now().as_microsecond(),
                )
                .await
                .map_err(|error| format!("recording the outcome of the call: {error}"))
        })
    }
}

/// As a number that a JSON line can hold as one.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
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
        // Lines to paste are a field of their own, so that they can be taken out as they are; but only ours: what a
        // plugin logs must not look like our advice.
        let host = line.source == Source::Host;
        let (advice, others): (Vec<_>, Vec<_>) =
            line.fields.iter().partition(|(name, _)| host && name == "advice");
        let advice = advice.first().map(|(_, advice)| advice.as_str());
        let others: Vec<String> = others.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let fields = (!others.is_empty()).then(|| others.join(" "));
        macro_rules! say {
            ($level:ident) => {
                if host {
                    tracing::$level!(target: "xapiary::host", plugin, sequence, fields, advice, "{text}")
                } else {
                    tracing::$level!(target: "plugin", plugin, sequence, fields, "{text}")
                }
            };
        }
        match line.level {
            Level::Error => say!(error),
            Level::Warn => say!(warn),
            Level::Info => say!(info),
            Level::Debug => say!(debug),
            Level::Trace => say!(trace),
        }
        self.delivery.story.tell(|| Moment::Log { plugin: plugin.clone(), sequence, line: line.clone() });
    }
}
