//! Comparing the journal's picture of a pool with the pool itself.

use std::collections::BTreeMap;

use simulator::PoolHandle;
use smol_str::SmolStr;
use xapi::Value;
use xapi::model::Record;

use crate::stored::Stored;

/// What the daemon writes in the place of a secret.
const REDACTED: &str = "(redacted)";

/// Words in a map's key that make its value a secret.
const SECRET_WORDS: [&str; 8] =
    ["password", "passwd", "secret", "token", "credential", "chap", "private_key", "private-key"];

/// At most so many differences are told.
const TOLD_MAX: usize = 12;

/// Every difference between the objects of the pool, of the classes that are followed, and those stored, field by field; empty when they are
/// alike. Secrets in maps are expected to be taken out, and nothing else.
#[must_use]
pub fn differences(pool: &PoolHandle, stored: &Stored) -> Vec<String> {
    let mut found = Vec::new();
    let key = |record: &Record| (record.class.clone(), record.reference.clone());
    let objects = stored.objects();
    let mut kept: BTreeMap<(SmolStr, SmolStr), &Record> =
        objects.iter().map(|record| (key(record), record)).collect();
    let followed = stored.followed();
    if followed.is_empty() {
        found.push("there is no picture yet".to_owned());
    }
    for class in followed {
        for real in pool.records(&class) {
            match kept.remove(&key(&real)) {
                None => found.push(format!("{class} {} is not in the journal", real.reference)),
                Some(kept) => compare(&real, kept, &mut found),
            }
        }
    }
    found.extend(kept.keys().map(|(class, reference)| format!("{class} {reference} is only in the journal")));
    found.truncate(TOLD_MAX);
    found
}

fn compare(real: &Record, kept: &Record, found: &mut Vec<String>) {
    let of = |record: &Record| format!("{} {}", record.class, record.reference);
    for (name, value) in real.iter() {
        let expected = without_secrets(value);
        match kept.get(name) {
            Some(kept) if *kept == expected => {}
            kept => {
                found.push(format!("{}.{name}: the pool has {expected:?}, the journal {kept:?}", of(real)));
            }
        }
    }
    if kept.len() != real.len() {
        found.push(format!("{}: {} fields, the journal has {}", of(real), real.len(), kept.len()));
    }
}

fn without_secrets(value: &Value) -> Value {
    let Value::Struct(map) = value else { return value.clone() };
    let cleaned = map.iter().map(|(key, value)| {
        let lower = key.to_lowercase();
        let secret = value.as_str().is_some_and(|text| !text.is_empty())
            && SECRET_WORDS.iter().any(|word| lower.contains(word));
        (key.clone(), if secret { REDACTED.into() } else { value.clone() })
    });
    Value::Struct(cleaned.collect())
}
