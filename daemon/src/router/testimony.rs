//! What the audit says of a plugin's calls, in JSON: by names and uuids, without secrets. Pure.

use plugin_host::pool::{Allowed, EffectOutcome, Refusal};
use plugin_host::without_secrets;
use secrecy::SecretString;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use xapi::model::{Type, World, schema};
use xapi::{NULL_REF, Value};

use super::replay;
use crate::feed::is_secret_key;

/// What stands in the place of a secret.
const SECRET: &str = "(secret)";

/// The delivery that a call belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Within<'d> {
    pub(super) pool: &'d str,
    pub(super) sequence: u64,
    pub(super) attempt: u32,
    /// The SHA-256 of the component.
    pub(super) component: &'d str,
    /// Secrets of the plugin, which must not be kept.
    pub(super) secrets: &'d BTreeMap<String, SecretString>,
}

/// A call, and the rule that allowed it; none where it is only written down that an earlier attempt made it.
pub(super) fn call(
    within: &Within<'_>,
    world: &World,
    method: &str,
    arguments: &[Value],
    allowed: Option<Allowed<'_>>,
) -> String {
    let mut details = delivery(within, world, method, arguments);
    match allowed {
        Some(Allowed { place, text }) => {
            details.extend([("rule".to_owned(), place.into()), ("rule_text".to_owned(), text.into())]);
        }
        None => {
            details.insert("found".to_owned(), "an earlier attempt made this call".into());
        }
    }
    Json::Object(details).to_string()
}

/// A refused call.
pub(super) fn refusal(within: &Within<'_>, world: &World, refusal: &Refusal<'_>) -> String {
    let mut details = delivery(within, world, refusal.method, refusal.arguments);
    details.insert("reason".to_owned(), refusal.reason.into());
    details.insert("advice".to_owned(), refusal.advice.into());
    Json::Object(details).to_string()
}

/// How a call went. What it returned is the plugin's affair.
pub(super) fn outcome(outcome: &EffectOutcome) -> String {
    let word = replay::words(outcome).0;
    match outcome {
        EffectOutcome::Succeeded(_) | EffectOutcome::DryRun => json!({ "outcome": word }),
        EffectOutcome::Started(task) => json!({ "outcome": word, "task": task.as_str() }),
        EffectOutcome::Failed(failure) => json!({ "outcome": word, "code": failure.code.as_str() }),
        EffectOutcome::NotSent(why) | EffectOutcome::InDoubt(why) => json!({ "outcome": word, "why": why }),
    }
    .to_string()
}

fn delivery(within: &Within<'_>, world: &World, method: &str, arguments: &[Value]) -> Map<String, Json> {
    let Within { pool, sequence, attempt, component, .. } = within;
    let mut details = Map::new();
    details.insert("pool".to_owned(), (*pool).into());
    details.insert("event".to_owned(), (*sequence).into());
    details.insert("attempt".to_owned(), (*attempt).into());
    details.insert("component".to_owned(), format!("sha256:{component}").into());
    details.insert("arguments".to_owned(), named(within, world, method, arguments));
    details
}

/// The arguments by name.
fn named(within: &Within<'_>, world: &World, method: &str, arguments: &[Value]) -> Json {
    let found = schema::method(method);
    if replay::is_secret(method) || found.is_none_or(|(_, method)| method.secret) {
        return SECRET.into();
    }
    let parameters = found.into_iter().flat_map(|(_, method)| plugin_host::grant::parameters(method));
    let telling = Telling { world, secrets: within.secrets };
    let named = parameters.zip(arguments).map(|(parameter, value)| {
        let value = if is_secret_key(parameter.name) {
            SECRET.into()
        } else {
            telling.json(Some(&parameter.kind), value)
        };
        (parameter.name.to_owned(), value)
    });
    Json::Object(named.collect())
}

struct Telling<'w> {
    world: &'w World,
    secrets: &'w BTreeMap<String, SecretString>,
}

impl Telling<'_> {
    fn json(&self, kind: Option<&Type>, value: &Value) -> Json {
        match (kind, value) {
            (Some(Type::Option(inner)), value) => self.json(Some(inner), value),
            (Some(Type::Ref(class)), Value::String(text)) => self.reference(class, text).into(),
            (_, Value::String(text) | Value::DateTime(text)) => self.text(text).into(),
            (_, Value::Int(number)) => (*number).into(),
            (_, Value::Float(number)) => (*number).into(),
            (_, Value::Bool(truth)) => (*truth).into(),
            (kind, Value::Array(elements)) => {
                let inner = if let Some(Type::Set(inner)) = kind { Some(*inner) } else { None };
                elements.iter().map(|element| self.json(inner, element)).collect()
            }
            (kind, Value::Struct(members)) => {
                let class = if let Some(Type::Record(class)) = kind { schema::class(class) } else { None };
                let member = |(name, value): (&str, &Value)| {
                    let (key, inner) = match kind {
                        Some(Type::Map(Type::Ref(class), inner)) => {
                            (self.reference(class, name), Some(*inner))
                        }
                        Some(Type::Map(_, inner)) => (self.text(name), Some(*inner)),
                        _ => {
                            let field = class.and_then(|class| class.field(name));
                            (self.text(name), field.map(|field| &field.kind))
                        }
                    };
                    let value = if is_secret_key(name) { SECRET.into() } else { self.json(inner, value) };
                    (key, value)
                };
                Json::Object(members.iter().map(|(name, value)| member((name, value))).collect())
            }
        }
    }

    /// The uuid of what it points at; nothing for none.
    fn reference(&self, class: &str, reference: &str) -> String {
        let known = self.world.get(class, reference).and_then(|record| record.uuid());
        if reference == NULL_REF { String::new() } else { known.unwrap_or(reference).to_owned() }
    }

    fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        without_secrets(&mut text, self.secrets);
        text
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use xapi::Struct;
    use xapi::model::Record;

    use super::*;

    fn told(method: &str, arguments: &[Value]) -> Json {
        let mut world = World::new();
        let mut fields = Struct::new();
        fields.insert("uuid", "u-web");
        world.insert(Arc::new(Record::new("VM", "OpaqueRef:web", fields)));
        let secrets = BTreeMap::from([("token".to_owned(), "s3cret".into())]);
        let within = Within { pool: "lab", sequence: 7, attempt: 2, component: "ab", secrets: &secrets };
        let rule = Allowed { place: "x.toml:3", text: "call" };
        serde_json::from_str(&call(&within, &world, method, arguments, Some(rule))).unwrap()
    }

    #[test]
    fn arguments_are_told_by_name_with_uuids_and_without_secrets() {
        let start = told("VM.start", &["OpaqueRef:web".into(), false.into(), true.into()]);
        assert_eq!(
            start,
            json!({
                "pool": "lab", "event": 7, "attempt": 2, "component": "sha256:ab", "rule": "x.toml:3", "rule_text": "call",
                "arguments": {"vm": "u-web", "start_paused": false, "force": true},
            })
        );
        let add =
            told("VM.add_to_other_config", &["OpaqueRef:gone".into(), "note".into(), "it is s3cret".into()]);
        assert_eq!(
            add["arguments"],
            json!({"self": "OpaqueRef:gone", "key": "note", "value": "it is (secret token)"})
        );
        let mut config = Struct::new();
        config.insert("chappassword", "x");
        config.insert("target", "10.0.0.1");
        let host = NULL_REF.into();
        let create = told("SR.probe", &[host, config.into(), "iscsi".into(), Struct::new().into()]);
        assert_eq!(
            create["arguments"]["device_config"],
            json!({"chappassword": SECRET, "target": "10.0.0.1"})
        );
        assert_eq!(create["arguments"]["host"], "");
        assert_eq!(told("secret.create", &["x".into()])["arguments"], SECRET);
    }

    #[test]
    fn what_a_call_returned_is_not_told() {
        assert_eq!(outcome(&EffectOutcome::Succeeded("hunter2".into())), "{\"outcome\":\"succeeded\"}");
        assert_eq!(
            outcome(&EffectOutcome::Started("OpaqueRef:t".into())),
            "{\"outcome\":\"started\",\"task\":\"OpaqueRef:t\"}"
        );
    }
}
