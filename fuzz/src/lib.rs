//! What the fuzz targets do with bytes. The tests of `xapi` take this file in by path and feed it damaged recordings, so
//! that these functions are run wherever tests are.
//!
//! None of them may panic or run for long on any bytes. What was read has to survive being written and read again.

use xapi::codec::{Failure, Limits, Reply, json, xml};
use xapi::events::Batch;
use xapi::model::Record;
use xapi::{Struct, Value};

/// An answer on the XML wire.
pub fn xml_reply(bytes: &[u8]) {
    if let Ok(reply) = xml::decode_reply(bytes, &Limits::default()) {
        survives(&reply);
    }
}

/// An answer on the JSON wire.
pub fn json_reply(bytes: &[u8]) {
    if let Ok(reply) = json::decode_reply(bytes, &Limits::default()) {
        survives(&reply);
    }
}

/// An answer to `event.from`, on either wire, down to typed records: read in one pass, and by way of values.
pub fn event_batch(bytes: &[u8]) {
    let limits = Limits::default();
    let (at_once, decoded) = if bytes.starts_with(b"<") {
        (Batch::decode_xml(bytes, &limits), xml::decode_reply(bytes, &limits))
    } else {
        (Batch::decode_json(bytes, &limits), json::decode_reply(bytes, &limits))
    };
    let by_values = match decoded {
        Ok(Ok(value)) => Batch::read(value).ok(),
        _ => None,
    };
    assert_eq!(at_once.ok().and_then(Result::ok), by_values, "one pass reads what two read");
    let Some(batch) = by_values else { return };
    assert!(
        batch.events.is_sorted_by_key(|event| event.generation),
        "events come in the order of generations"
    );
    for event in batch.events {
        let Some(record) = event.snapshot else { continue };
        let again = Record::new(&record.class, record.reference.clone(), record.to_struct());
        assert_eq!(again, *record, "typing what is typed changes nothing");
        assert!(again.changed_since(&record).is_empty(), "a record differs from itself");
    }
}

/// The result of a task, as `task.result` holds it.
pub fn xml_value(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(value) = xml::decode_value(text, &Limits::default()) {
        survives(&Ok(value));
    }
}

/// Whether a reply that was read can be written and read again. JSON keeps all but the kind of dates, which are texts
/// there. XML keeps all but the kind of integers, which are untyped there, and what [`xml::carries`] says.
fn survives(reply: &Reply) {
    let limits = Limits { bytes: usize::MAX, ..Limits::default() };
    let by_json = json::decode_reply(json::encode_reply(reply, 1).as_bytes(), &limits);
    assert_eq!(by_json.as_ref().ok(), Some(&untyped(reply, json_kinds)), "by JSON: {by_json:?}");
    let (Ok(value) | Err(value)) = &reply.clone().map_err(words);
    if xml::carries(value) {
        let call = xml::decode_call(xml::encode_call("m", std::slice::from_ref(value)).as_bytes(), &limits);
        let again = call.expect("what was written can be read").arguments;
        assert_eq!(again, [xml_kinds(value)], "by XML");
    }
}

fn words(failure: Failure) -> Value {
    let words = std::iter::once(failure.code).chain(failure.parameters);
    Value::Array(words.map(Value::String).collect())
}

fn untyped(reply: &Reply, kinds: impl Fn(&Value) -> Value) -> Reply {
    reply.as_ref().map(kinds).map_err(Clone::clone)
}

fn json_kinds(value: &Value) -> Value {
    match value {
        Value::DateTime(text) => Value::String(text.clone()),
        other => inside(other, json_kinds),
    }
}

fn xml_kinds(value: &Value) -> Value {
    match value {
        Value::Int(number) => Value::String(number.to_string().into()),
        other => inside(other, xml_kinds),
    }
}

fn inside(value: &Value, kinds: fn(&Value) -> Value) -> Value {
    match value {
        Value::Array(elements) => Value::Array(elements.iter().map(kinds).collect()),
        Value::Struct(members) => {
            let members = members.iter().map(|(name, member)| (name.clone(), kinds(member)));
            Value::Struct(members.collect::<Struct>())
        }
        other => other.clone(),
    }
}
