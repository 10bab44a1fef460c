//! Secrets are taken out of records before anything else sees them: the world, the journal and plugins hold the
//! redacted form. Pure.

use std::sync::Arc;

use smol_str::SmolStr;
use xapi::events::Batch;
use xapi::model::Record;
use xapi::{Struct, Value};

/// What stands in the place of a secret.
const REDACTED: &str = "(redacted)";

/// Keys of maps, and fields, whose value is a secret when one of these words is in them, whatever the case: storage and
/// directory passwords travel in `device_config` and `other_config`.
const SECRET_WORDS: [&str; 8] =
    ["password", "passwd", "secret", "token", "credential", "chap", "private_key", "private-key"];

/// Takes the secrets out of every record of a batch: values of maps, and fields that are named like one
/// (`cluster_token`).
pub(super) fn redact(batch: &mut Batch) {
    for event in &mut batch.events {
        if let Some(record) = &mut event.snapshot {
            redact_record(record);
        }
    }
}

fn redact_record(shared: &mut Arc<Record>) {
    // Hardly any record holds a secret, and one that is shared stays shared.
    if shared.iter().all(|(name, value)| without_secrets(name, value).is_none()) {
        return;
    }
    Arc::make_mut(shared).replace(without_secrets);
}

/// What stands in the place of a field that holds secrets.
fn without_secrets(name: &str, value: &Value) -> Option<Value> {
    match value {
        Value::Struct(map) if map.iter().any(|(key, value)| is_secret_text(key, value)) => {
            let mut map = map.clone();
            redact_map(&mut map);
            Some(map.into())
        }
        // A reference to a secret is none.
        Value::String(text) if is_secret_text(name, value) && !text.starts_with("OpaqueRef:") => {
            Some(Value::String(SmolStr::new_static(REDACTED)))
        }
        _ => None,
    }
}

fn redact_map(map: &mut Struct) {
    for (key, value) in map.iter_mut() {
        if is_secret_text(key, value) {
            *value = Value::String(SmolStr::new_static(REDACTED));
        }
    }
}

fn is_secret_text(key: &str, value: &Value) -> bool {
    matches!(value, Value::String(text) if !text.is_empty()) && is_secret_key(key)
}

/// Whether what stands under a key is a secret.
pub(crate) fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_maps_are_replaced_and_everything_else_stays() {
        let mut map = Struct::new();
        for (key, value) in
            [("chappassword", "x"), ("CIFS_Secret", "x"), ("target", "10.0.0.1"), ("token", "")]
        {
            map.insert(key, value);
        }
        redact_map(&mut map);
        let values: Vec<&str> = map.iter().filter_map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, [REDACTED, REDACTED, "10.0.0.1", ""]);
    }
}
