//! Exchanges recorded from a real xapi judge the codecs: `tests/wire/README.md` tells what they are.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use xapi::Value;
use xapi::codec::{Limits, Reply, json, xml};
use xapi::events::Batch;
use xapi::model::{Type, schema, typed};

struct Recorded {
    name: String,
    wire: String,
    status: u16,
    body: Vec<u8>,
    request: Vec<u8>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire")
}

fn recorded() -> Vec<Recorded> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let file = path.file_name().unwrap().to_str().unwrap();
        let Some(stem) = file.strip_suffix(".response") else { continue };
        let response = std::fs::read(&path).unwrap();
        let request = std::fs::read(path.with_extension("request")).unwrap();
        let head_end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|at| (at, 4));
        let (at, length) = head_end
            .or_else(|| response.windows(2).position(|bytes| bytes == b"\n\n").map(|at| (at, 2)))
            .unwrap();
        let head = std::str::from_utf8(&response[..at]).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let (name, wire) = stem.rsplit_once('.').unwrap_or((stem, ""));
        all.push(Recorded {
            name: name.to_owned(),
            wire: wire.to_owned(),
            status,
            body: response[at + length..].to_vec(),
            request,
        });
    }
    assert!(all.len() > 100, "only {} recorded answers found", all.len());
    all
}

fn decode(exchange: &Recorded) -> Reply {
    let limits = Limits::default();
    let reply = match exchange.wire.as_str() {
        "xml" => xml::decode_reply(&exchange.body, &limits),
        _ => json::decode_reply(&exchange.body, &limits),
    };
    reply.unwrap_or_else(|error| panic!("{}.{}: {error}", exchange.name, exchange.wire))
}

/// The method of a recorded request and the type of its result.
fn result_type(exchange: &Recorded) -> Option<&'static Type> {
    let limits = Limits::default();
    let call = match exchange.wire.as_str() {
        "xml" => xml::decode_call(&exchange.request, &limits),
        _ => json::decode_call(&exchange.request, &limits),
    };
    let call = call.unwrap_or_else(|error| panic!("{}.{} request: {error}", exchange.name, exchange.wire));
    schema::method(&call.method).map(|(_, method)| &method.result)
}

#[test]
fn every_recorded_answer_decodes() {
    let mut decoded = 0;
    for exchange in recorded() {
        if exchange.status == 200 && !exchange.wire.is_empty() {
            _ = decode(&exchange);
            decoded += 1;
        } else if exchange.status == 500 {
            // An HTML page is no reply on either wire.
            assert!(xml::decode_reply(&exchange.body, &Limits::default()).is_err(), "{}", exchange.name);
            assert!(json::decode_reply(&exchange.body, &Limits::default()).is_err(), "{}", exchange.name);
        }
    }
    assert!(decoded > 100, "only {decoded} answers were replies");
}

#[test]
fn white_space_between_tags_changes_nothing() {
    // The decoder reads what is written without a space in another way.
    for exchange in recorded().iter().filter(|exchange| exchange.wire == "xml" && exchange.status == 200) {
        let text = std::str::from_utf8(&exchange.body).unwrap();
        let spaced =
            text.replace("<member><name>", "<member>\n <name>").replace("<data><value>", "<data> <value>");
        let spaced = spaced
            .replace("</value><value>", "</value>\n<value>")
            .replace("</value></member>", "</value> </member>");
        let decoded = xml::decode_reply(spaced.as_bytes(), &Limits::default());
        assert_eq!(decoded.unwrap(), decode(exchange), "{}", exchange.name);
    }
}

#[test]
fn both_wires_give_the_same_values() {
    let mut by_name: BTreeMap<String, Vec<Recorded>> = BTreeMap::new();
    for exchange in
        recorded().into_iter().filter(|exchange| exchange.status == 200 && !exchange.wire.is_empty())
    {
        by_name.entry(exchange.name.clone()).or_default().push(exchange);
    }
    let mut compared = 0;
    for (name, pair) in by_name.into_iter().filter(|(_, pair)| pair.len() == 2) {
        // Questions whose answer the first asking changed, or that hold a new session, token or task.
        let Some(kind) = result_type(&pair[0]) else { continue };
        if !name.contains("get-all-records") && !name.contains("get-by-name") {
            continue;
        }
        let values: Vec<_> =
            pair.iter().map(|exchange| decode(exchange).map(|value| typed(kind, value))).collect();
        if name.contains("session") || name.contains("task") || name.contains("message") {
            continue;
        }
        assert_eq!(values[0], values[1], "{name}");
        compared += 1;
    }
    assert!(compared >= 20, "only {compared} pairs were compared");
}

#[test]
fn errors_come_with_code_and_parameters() {
    for (name, code, parameters) in [
        ("02-login-wrong-password", "SESSION_AUTHENTICATION_FAILED", 2),
        ("03-unknown-method", "MESSAGE_METHOD_UNKNOWN", 1),
        ("05-wrong-arity", "MESSAGE_PARAMETER_COUNT_MISMATCH", 3),
        ("06-bad-ref", "HANDLE_INVALID", 2),
        ("07-bad-uuid", "UUID_INVALID", 2),
        ("61-async-no-async-mode", "Fault", 1),
    ] {
        for exchange in recorded().iter().filter(|exchange| exchange.name == name) {
            let failure = decode(exchange).expect_err(name);
            assert_eq!(
                (&*failure.code, failure.parameters.len()),
                (code, parameters),
                "{name}.{}",
                exchange.wire
            );
        }
    }
}

#[test]
fn a_map_key_that_xapi_did_not_escape_is_read_as_it_is() {
    for exchange in recorded().iter().filter(|exchange| exchange.name == "49-map-key-unescaped") {
        let map = decode(exchange).unwrap();
        let value = map.as_struct().unwrap().get("a&b<c").and_then(Value::as_str);
        assert_eq!(value, Some("x<y&z"), "{}", exchange.wire);
    }
}

#[test]
fn event_batches_are_read_from_both_wires() {
    let mut events = 0;
    for exchange in recorded().iter().filter(|exchange| exchange.name.contains("event-from")) {
        let Ok(value) = decode(exchange) else { continue };
        let batch = Batch::read(value).unwrap_or_else(|error| panic!("{}: {error}", exchange.name));
        assert!(!batch.token.is_empty() && !batch.counts.is_empty(), "{}", exchange.name);
        assert!(batch.events.is_sorted_by_key(|event| event.generation), "{}", exchange.name);
        events += batch.events.len();
    }
    assert!(events > 500, "only {events} events were read");
}

#[test]
fn what_we_encode_is_what_was_asked() {
    let limits = Limits::default();
    for exchange in recorded().iter().filter(|exchange| exchange.status == 200 && !exchange.wire.is_empty()) {
        if exchange.wire == "xml" {
            let call = xml::decode_call(&exchange.request, &limits).unwrap();
            let again = xml::encode_call(&call.method, &call.arguments);
            let read = xml::decode_call(again.as_bytes(), &limits).unwrap();
            assert_eq!(read.method, call.method);
            assert_eq!(read.arguments.len(), call.arguments.len(), "{}", exchange.name);
        } else {
            let call = json::decode_call(&exchange.request, &limits).unwrap();
            let again = json::encode_call(&call.method, &call.arguments, 1);
            assert_eq!(json::decode_call(again.as_bytes(), &limits).unwrap(), call, "{}", exchange.name);
        }
        let reply = decode(exchange);
        let again = json::decode_reply(json::encode_reply(&reply, 1).as_bytes(), &limits).unwrap();
        if let (Ok(again), Ok(reply)) = (&again, &reply) {
            assert_eq!(texts(again), texts(reply), "{}", exchange.name);
        } else {
            assert_eq!(again, reply, "{}", exchange.name);
        }
    }
}

/// JSON has no date type, so dates come back as text.
fn texts(value: &Value) -> Value {
    match value {
        Value::DateTime(text) => Value::String(text.clone()),
        Value::Array(elements) => Value::Array(elements.iter().map(texts).collect()),
        Value::Struct(members) => {
            members.iter().map(|(name, value)| (name.clone(), texts(value))).collect::<xapi::Struct>().into()
        }
        other => other.clone(),
    }
}
