//! What a delivery that was cut short has done already. Pure.
//!
//! A plugin that is given the same event again makes the same calls in the same order. A call that an earlier attempt
//! made, and whose outcome is recorded, is answered from the record; one whose outcome is not recorded may or may not
//! have been done. A refused call changed nothing and is simply made again.

use journal::Effect;
use plugin_host::pool::{EffectOutcome, Recalled};
use xapi::codec::{Limits, json};
use xapi::{Failure, Value};

/// What is kept of the arguments of a call whose arguments or result are secret.
const SECRET: &str = "\"(secret)\"";

/// Whether what a method takes or gives must not be kept: passwords, secrets, sessions.
pub(super) fn is_secret(method: &str) -> bool {
    let (class, name) = method.split_once('.').unwrap_or((method, ""));
    matches!(class, "secret" | "session")
        || ["password", "secret", "token"].iter().any(|word| name.contains(word))
}

/// The stored form of a call's arguments.
pub(super) fn arguments(method: &str, arguments: &[Value]) -> String {
    if is_secret(method) { SECRET.to_owned() } else { json::encode_value(&Value::Array(arguments.to_vec())) }
}

/// The stored form of an outcome: a word and what belongs to it.
pub(super) fn to_json(method: &str, outcome: &EffectOutcome) -> String {
    let (word, detail) = words(outcome);
    let parts = if is_secret(method) { vec![word.into()] } else { vec![word.into(), detail] };
    json::encode_value(&Value::Array(parts))
}

/// An outcome as a word and what belongs to it.
pub(super) fn words(outcome: &EffectOutcome) -> (&'static str, Value) {
    match outcome {
        EffectOutcome::Succeeded(value) => ("succeeded", value.clone()),
        EffectOutcome::Started(task) => ("started", Value::String(task.clone())),
        EffectOutcome::Failed(Failure { code, parameters }) => {
            let words = std::iter::once(code).chain(parameters).map(|word| Value::String(word.clone()));
            ("failed", Value::Array(words.collect()))
        }
        EffectOutcome::NotSent(why) => ("not sent", why.as_str().into()),
        EffectOutcome::InDoubt(why) => ("in doubt", why.as_str().into()),
        EffectOutcome::DryRun => ("dry run", Value::VOID),
    }
}

/// What attempts up to `cut_short` did at this place, if that answers the call; none when it is to be made. Later
/// attempts that the plugin ended itself are not asked: it wanted to begin anew.
pub(super) fn earlier(
    effects: &[Effect],
    cut_short: u32,
    index: u32,
    method: &str,
    arguments: &str,
) -> Option<Recalled> {
    let effect = last(effects, cut_short, index)?;
    // Another call at this place: the plugin decided otherwise this time, so what follows is new.
    if effect.method != method || effect.arguments != arguments {
        return None;
    }
    let Some(conclusion) = &effect.conclusion else {
        return Some(Recalled::InDoubt(
            "the daemon stopped before the outcome of this call was recorded".to_owned(),
        ));
    };
    let stored = json::decode_value(conclusion.outcome.as_bytes(), &Limits::default());
    let (word, detail) = match &stored {
        Ok(Value::Array(parts)) => (parts.first().and_then(Value::as_str), parts.get(1)),
        _ => (None, None),
    };
    match (word, detail) {
        (Some("succeeded"), Some(value)) => {
            Some(Recalled::Concluded(EffectOutcome::Succeeded(value.clone())))
        }
        (Some("started"), Some(Value::String(task))) => {
            Some(Recalled::Concluded(EffectOutcome::Started(task.clone())))
        }
        (Some("failed" | "not sent" | "dry run"), _) => None,
        _ => {
            Some(Recalled::InDoubt("the outcome of this call was not known when it was recorded".to_owned()))
        }
    }
}

/// The last call at this place of attempts up to `cut_short`.
pub(super) fn last(effects: &[Effect], cut_short: u32, index: u32) -> Option<&Effect> {
    let before = effects.iter().filter(|effect| effect.attempt <= cut_short && effect.index == index);
    before.max_by_key(|effect| effect.attempt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use journal::{Conclusion, EffectId};

    fn effect(attempt: u32, index: u32, arguments: &str, outcome: Option<EffectOutcome>) -> Effect {
        Effect {
            id: EffectId(1),
            plugin: "p".into(),
            sequence: 1,
            attempt,
            index,
            method: "VM.start".into(),
            arguments: arguments.into(),
            object: String::new(),
            intended_at_micros: 0,
            conclusion: outcome
                .map(|outcome| Conclusion { outcome: to_json("VM.start", &outcome), at_micros: 0 }),
        }
    }

    fn asked(effects: &[Effect]) -> Option<Recalled> {
        earlier(effects, 2, 0, "VM.start", "[\"a\"]")
    }

    #[test]
    fn what_is_recorded_answers_and_what_is_not_is_in_doubt() {
        let done = EffectOutcome::Succeeded("x".into());
        let started = EffectOutcome::Started("OpaqueRef:task".into());
        assert_eq!(asked(&[]), None);
        assert_eq!(
            asked(&[effect(2, 0, "[\"a\"]", Some(done.clone()))]),
            Some(Recalled::Concluded(done.clone()))
        );
        assert_eq!(
            asked(&[effect(1, 0, "[\"a\"]", Some(started.clone()))]),
            Some(Recalled::Concluded(started))
        );
        assert!(matches!(asked(&[effect(2, 0, "[\"a\"]", None)]), Some(Recalled::InDoubt(_))));
        let doubt = EffectOutcome::InDoubt("cut off".into());
        assert!(matches!(asked(&[effect(2, 0, "[\"a\"]", Some(doubt))]), Some(Recalled::InDoubt(_))));
    }

    #[test]
    fn secrets_are_not_kept_and_leave_a_repeated_call_in_doubt() {
        let told = EffectOutcome::Succeeded("hunter2".into());
        for method in ["secret.get_value", "session.create_from_db_file", "host.change_password"] {
            assert_eq!(to_json(method, &told), "[\"succeeded\"]");
            assert!(!arguments(method, &["hunter2".into()]).contains("hunter2"));
        }
        let conclusion = Some(Conclusion { outcome: to_json("secret.get_value", &told), at_micros: 0 });
        let stored = Effect { method: "secret.get_value".into(), conclusion, ..effect(1, 0, SECRET, None) };
        let again = earlier(&[stored], 1, 0, "secret.get_value", SECRET);
        assert!(matches!(again, Some(Recalled::InDoubt(_))));
    }

    #[test]
    fn what_changed_nothing_or_was_another_call_is_made() {
        let refused = EffectOutcome::Failed(Failure::new("OTHER_OPERATION_IN_PROGRESS", ["VM"]));
        assert_eq!(asked(&[effect(2, 0, "[\"a\"]", Some(refused))]), None);
        assert_eq!(asked(&[effect(2, 0, "[\"a\"]", Some(EffectOutcome::NotSent("no".into())))]), None);
        let done = EffectOutcome::Succeeded("x".into());
        assert_eq!(asked(&[effect(2, 0, "[\"b\"]", Some(done.clone()))]), None, "other arguments");
        assert_eq!(asked(&[effect(2, 1, "[\"a\"]", Some(done.clone()))]), None, "another place");
        assert_eq!(asked(&[effect(3, 0, "[\"a\"]", Some(done))]), None, "after the one that was cut short");
    }
}
