//! A whole pool of any size, of real shape: the recorded reply's objects over and over, each time with references and
//! uuids of their own, which lead to each other as the recorded ones do.

use std::collections::HashMap;
use std::ops::Range;

use anyhow::{Context as _, Result};
use smol_str::{SmolStr, format_smolstr};
use xapi::codec::{Limits, xml};
use xapi::events::Batch;
use xapi::{NULL_REF, Struct, Value};

use crate::recorded;

/// The XML-RPC body of a first picture with objects of these numbers.
pub(crate) fn body(numbers: Range<usize>) -> Result<Vec<u8>> {
    Ok(xml::encode_reply(&Ok(value(recorded::value()?, numbers)?)).into_bytes())
}

/// A first picture with objects of these numbers, made of a recorded one.
pub(crate) fn value(recorded: Value, numbers: Range<usize>) -> Result<Value> {
    let Value::Struct(mut members) = recorded else { anyhow::bail!("the recorded reply is no struct") };
    let Some(Value::Array(recorded)) = members.remove("events") else { anyhow::bail!("it has no events") };
    let mut names = Names::default();
    // The same numbers whatever part of the pool is asked for.
    for event in &recorded {
        names.renamed(event, 0);
    }
    let events = numbers.map(|number| {
        let event = recorded.get(number % recorded.len()).context("the recorded reply has no event")?;
        Ok(names.renamed(event, number / recorded.len()))
    });
    members.insert("events", Value::Array(events.collect::<Result<_>>()?));
    Ok(Value::Struct(members))
}

/// The same picture with no two objects alike: whatever a field holds is another thing in each. References, truth values, and
/// what is empty or zero stay as they are.
pub(crate) fn unlike(mut picture: Value) -> Result<Value> {
    let Value::Struct(members) = &mut picture else { anyhow::bail!("the picture is no struct") };
    let Some(Value::Array(events)) = members.get_mut("events") else { anyhow::bail!("it has no events") };
    for (number, event) in events.iter_mut().enumerate() {
        let Value::Struct(event) = event else { anyhow::bail!("an event is no struct") };
        let Some(Value::Struct(record)) = event.get_mut("snapshot") else { continue };
        record.iter_mut().for_each(|(_, value)| distinguish(value, number));
    }
    Ok(picture)
}

fn distinguish(value: &mut Value, number: usize) {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains("0000-0000-0000") && text != NULL_REF => {
            *text = format_smolstr!("{text} {number}");
        }
        Value::Int(whole) if *whole != 0 => *whole = whole.saturating_add(number as i64),
        Value::Float(float) if *float != 0.0 => *float += number as f64,
        Value::Array(elements) if !elements.is_empty() => {
            let by = number % elements.len();
            elements.rotate_left(by);
        }
        Value::Struct(members) => members.iter_mut().for_each(|(_, value)| distinguish(value, number)),
        _ => {}
    }
}

/// The reply decoded and taken apart.
pub(crate) fn read(body: &[u8]) -> Result<Batch> {
    let reply = Batch::decode_xml(body, &Limits::default()).context("decoding the picture")?;
    reply.map_err(|failure| anyhow::anyhow!("the picture is a refusal: {failure}"))
}

/// What all uuids of one copy of the pool begin with, as long for each.
pub(crate) fn prefix(copy: usize) -> String {
    format!("{copy:08x}-0000-0000-0000-")
}

/// References and uuids of the recorded reply, numbered as they are met.
#[derive(Default)]
struct Names(HashMap<SmolStr, usize>);

impl Names {
    /// The same value with the names that it has in this copy of the pool.
    fn renamed(&mut self, value: &Value, copy: usize) -> Value {
        match value {
            Value::String(text) => Value::String(self.name(text, copy)),
            Value::Array(elements) => {
                Value::Array(elements.iter().map(|element| self.renamed(element, copy)).collect())
            }
            Value::Struct(members) => {
                let renamed =
                    members.iter().map(|(name, value)| (self.name(name, copy), self.renamed(value, copy)));
                Value::Struct(renamed.collect::<Struct>())
            }
            other => other.clone(),
        }
    }

    fn name(&mut self, text: &SmolStr, copy: usize) -> SmolStr {
        let (prefix, uuid) = match text.strip_prefix("OpaqueRef:") {
            Some(uuid) => ("OpaqueRef:", uuid),
            None => ("", text.as_str()),
        };
        let groups = [8, 13, 18, 23];
        let is_uuid = uuid.len() == 36 && groups.iter().all(|at| uuid.as_bytes().get(*at) == Some(&b'-'));
        if text == NULL_REF || !is_uuid {
            return text.clone();
        }
        let next = self.0.len();
        let number = *self.0.entry(text.clone()).or_insert(next);
        format_smolstr!("{prefix}{}{number:012x}", self::prefix(copy))
    }
}
