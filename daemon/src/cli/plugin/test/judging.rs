//! Whether what is expected has come.

use anyhow::Result;
use serde_json::Value as Json;
use simulator::PoolHandle;
use xapi::model::{Class, typed};

use super::scenario::{Condition, Ending, Expected, Outcome};
use super::watching::{Called, Heard};
use crate::cli::output;

/// What is known at one moment.
pub(super) struct Known<'k> {
    pub(super) heard: &'k [Heard],
    pub(super) calls: &'k [Called],
    pub(super) pool: &'k PoolHandle,
    /// What the plugin's store holds under the key that is asked for.
    pub(super) stored: Option<&'k [u8]>,
}

/// What an expectation is, in words.
pub(super) fn words(expected: &Expected) -> String {
    match expected {
        Expected::Call { method, on, times, outcome } => {
            let on = on.as_ref().map(|on| format!(" on {on}")).unwrap_or_default();
            let times =
                times.map(|times| format!(", {}", output::counted(times as u64, "time"))).unwrap_or_default();
            let outcome = match outcome {
                Outcome::Done => "",
                Outcome::Failed => ", which fails",
                Outcome::Refused => ", which the grant refuses",
            };
            format!("calls {method}{on}{times}{outcome}")
        }
        Expected::NoCalls => "calls nothing".to_owned(),
        Expected::Log(text) => format!("logs {text:?}"),
        Expected::Delivery { how, why } => {
            let how = match how {
                Ending::Done => "is done",
                Ending::Again => "asks for another try",
                Ending::GivenUp => "gives up",
            };
            why.as_ref().map_or_else(|| how.to_owned(), |why| format!("{how}: {why:?}"))
        }
        Expected::Object { class, name, field, is } => {
            format!("{} {name}: {field} {}", class.name, condition_words(is))
        }
        Expected::Store { key, is } => format!("store: {key} {}", condition_words(is)),
    }
}

fn condition_words(condition: &Condition) -> String {
    match condition {
        Condition::Is(value) => format!("is {value}"),
        Condition::Has(value) => format!("has {value}"),
        Condition::There => "is there".to_owned(),
        Condition::Absent => "is not there".to_owned(),
    }
}

/// Whether it can only be told when nothing more is on its way.
pub(super) fn is_final(expected: &Expected) -> bool {
    matches!(expected, Expected::NoCalls | Expected::Call { times: Some(_), .. })
}

/// Whether it is so now; what is the case instead, in words.
pub(super) fn judge(expected: &Expected, known: &Known<'_>) -> Result<(), String> {
    match expected {
        Expected::Call { method, on, times, outcome } => {
            let count = match outcome {
                // The grant's refusal is not a call of the pool, and the journal has no record of it.
                Outcome::Refused => known
                    .heard
                    .iter()
                    .filter(
                        |heard| matches!(heard, Heard::Refused { method: refused, .. } if refused == method),
                    )
                    .count(),
                outcome => known
                    .calls
                    .iter()
                    .filter(|call| call.method == *method && on.as_ref().is_none_or(|on| call.on == *on))
                    .filter(|call| call.is_done() == (*outcome == Outcome::Done))
                    .count(),
            };
            match times {
                Some(times) if count == *times => Ok(()),
                None if count > 0 => Ok(()),
                _ => Err(format!("it did so {}", output::counted(count as u64, "time"))),
            }
        }
        Expected::NoCalls => match known.calls {
            [] => Ok(()),
            calls => Err(format!("it made {}", output::counted(calls.len() as u64, "call"))),
        },
        Expected::Log(text) => {
            let said = known
                .heard
                .iter()
                .any(|heard| matches!(heard, Heard::Logged(line) if line.to_string().contains(text)));
            if said { Ok(()) } else { Err("no line has it".to_owned()) }
        }
        Expected::Delivery { how, why } => {
            let ended = known.heard.iter().any(|heard| {
                matches!(heard, Heard::Ended { how: ended, why: told }
                    if ended == how && why.as_ref().is_none_or(|why| told.contains(why)))
            });
            if ended { Ok(()) } else { Err("no delivery ended so".to_owned()) }
        }
        Expected::Object { class, name, field, is } => object(class, name, field, is, known.pool),
        Expected::Store { is, .. } => {
            let stored = known.stored.map(|bytes| {
                serde_json::from_slice(bytes).unwrap_or_else(|_| Json::from(String::from_utf8_lossy(bytes)))
            });
            holds(is, stored.as_ref())
        }
    }
}

fn object(class: &Class, name: &str, field: &str, is: &Condition, pool: &PoolHandle) -> Result<(), String> {
    let mut named = pool
        .records(class.name)
        .into_iter()
        .filter(|record| record.text("name_label") == name || record.text("uuid") == name);
    let record = match (named.next(), named.next()) {
        (Some(_), Some(_)) => return Err(format!("several are named {name}: use the uuid")),
        (found, _) => found,
    };
    let value = record.as_ref().and_then(|record| record.get(field));
    let kind = class.field(field).map(|field| &field.kind);
    let json = value.map(|value| match kind {
        Some(kind) => output::json(&typed(kind, value.clone())),
        None => output::json(value),
    });
    holds(is, json.as_ref())
}

fn holds(condition: &Condition, value: Option<&Json>) -> Result<(), String> {
    let so = match (condition, value) {
        (Condition::Absent, None) | (Condition::There, Some(_)) => true,
        (Condition::Is(wanted), Some(value)) => wanted == value,
        (Condition::Has(wanted), Some(Json::Array(elements))) => elements.contains(wanted),
        (Condition::Has(Json::String(key)), Some(Json::Object(members))) => members.contains_key(key),
        _ => false,
    };
    if so {
        return Ok(());
    }
    Err(value.map_or_else(|| "it is not there".to_owned(), |value| format!("it is {value}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_condition_holds_for_what_it_names_and_for_nothing_else() {
        let tags = json!(["a", "b"]);
        for (condition, value, wanted) in [
            (Condition::Is(json!(1)), Some(&json!(1)), true),
            (Condition::Is(json!(1)), Some(&json!(2)), false),
            (Condition::Is(json!(1)), None, false),
            (Condition::Has(json!("a")), Some(&tags), true),
            (Condition::Has(json!("c")), Some(&tags), false),
            (Condition::Has(json!("k")), Some(&json!({"k": 1})), true),
            (Condition::There, Some(&tags), true),
            (Condition::There, None, false),
            (Condition::Absent, None, true),
            (Condition::Absent, Some(&tags), false),
        ] {
            assert_eq!(holds(&condition, value).is_ok(), wanted, "{condition:?} {value:?}");
        }
    }
}
