//! The answer to `event.from` read in one pass is the one that is read by way of values, whatever the bytes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use proptest::prelude::*;
use xapi::codec::{DecodeError, Failure, Limits, Reply, json, xml};
use xapi::events::Batch;
use xapi::{Struct, Value};

type Read = Result<Result<Batch, Failure>, DecodeError>;

/// The recorded answers: over XML-RPC or not, and the body.
fn recorded() -> Vec<(bool, Vec<u8>)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire"));
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.contains("event-from") || !name.ends_with(".response") {
            continue;
        }
        let response = std::fs::read(&path).unwrap();
        let ends: [&[u8]; 2] = [b"\r\n\r\n", b"\n\n"];
        let start = ends
            .iter()
            .find_map(|end| Some(response.windows(end.len()).position(|bytes| bytes == *end)? + end.len()));
        found.push((name.contains(".xml."), response[start.unwrap()..].to_vec()));
    }
    assert!(found.len() > 8, "{} answers", found.len());
    found
}

fn at_once(is_xml: bool, body: &[u8], limits: &Limits) -> Read {
    if is_xml { Batch::decode_xml(body, limits) } else { Batch::decode_json(body, limits) }
}

fn by_values(is_xml: bool, body: &[u8], limits: &Limits) -> Option<Result<Batch, Failure>> {
    let reply = if is_xml { xml::decode_reply(body, limits) } else { json::decode_reply(body, limits) };
    match reply.ok()? {
        Ok(value) => Batch::read(value).ok().map(Ok),
        Err(failure) => Some(Err(failure)),
    }
}

fn assert_same(is_xml: bool, body: &[u8], limits: &Limits) {
    let text = String::from_utf8_lossy(body);
    assert_eq!(at_once(is_xml, body, limits).ok(), by_values(is_xml, body, limits), "{text}");
}

#[test]
fn recorded_answers_are_read_alike() {
    for (is_xml, body) in recorded() {
        assert_same(is_xml, &body, &Limits::default());
    }
}

#[test]
fn every_limit_holds_alike() {
    let picture = |(is_xml, body): &(bool, Vec<u8>)| {
        Some(by_values(*is_xml, body, &Limits::default())?.ok()?.events.len() > 100)
    };
    let pictures: Vec<_> = recorded().into_iter().filter(|answer| picture(answer) == Some(true)).collect();
    assert!(pictures.iter().any(|(is_xml, _)| *is_xml) && pictures.iter().any(|(is_xml, _)| !is_xml));
    for (is_xml, body) in pictures {
        limits_hold_alike(is_xml, &body);
    }
}

fn limits_hold_alike(is_xml: bool, body: &[u8]) {
    let whole = by_values(is_xml, body, &Limits::default()).unwrap().unwrap();
    for limits in [
        Limits { bytes: body.len() - 1, ..Limits::default() },
        Limits { values: 1000, ..Limits::default() },
        Limits { text: 10, ..Limits::default() },
        Limits { depth: 4, ..Limits::default() },
    ] {
        assert!(at_once(is_xml, body, &limits).is_err(), "{limits:?}");
    }
    let deepest = (0..20)
        .find(|depth| by_values(is_xml, body, &Limits { depth: *depth, ..Limits::default() }).is_some())
        .unwrap();
    let just = Limits { depth: deepest, ..Limits::default() };
    assert_eq!(at_once(is_xml, body, &just).unwrap().unwrap(), whole);
}

#[test]
fn members_in_any_order_make_the_same_batch() {
    let fields: Struct =
        [("uuid".into(), "u".into()), ("power_state".into(), "Halted".into())].into_iter().collect();
    let event: Vec<(&str, Value)> = vec![
        ("id", "3".into()),
        ("class", "vm".into()),
        ("operation", "add".into()),
        ("ref", "OpaqueRef:1".into()),
        ("snapshot", fields.into()),
    ];
    let mut batches = Vec::new();
    for turn in 0..event.len() {
        let mut turned = event.clone();
        turned.rotate_left(turn);
        let turned: Struct = turned.into_iter().map(|(name, value)| (name.into(), value)).collect();
        let answer: Struct = [
            ("token".into(), "t".into()),
            ("events".into(), vec![turned.into()].into()),
            ("valid_ref_counts".into(), Struct::new().into()),
        ]
        .into_iter()
        .collect();
        let reply: Reply = Ok(answer.into());
        batches.push(
            Batch::decode_xml(xml::encode_reply(&reply).as_bytes(), &Limits::default()).unwrap().unwrap(),
        );
        batches.push(
            Batch::decode_json(json::encode_reply(&reply, 1).as_bytes(), &Limits::default())
                .unwrap()
                .unwrap(),
        );
    }
    assert_eq!(batches[0].events[0].snapshot.as_ref().unwrap().text("power_state"), "Halted");
    for batch in &batches {
        assert_eq!(batch, &batches[0]);
    }
}

/// Fields in the order of the datamodel, whose values begin like the ones that are there mostly, or come twice.
#[test]
fn values_that_begin_like_usual_ones_are_read_whole() {
    let members = [
        r#""uuid":"","allowed_operations":[],"current_operations":{},"power_state":"Halted""#,
        r#""uuid":"\"","allowed_operations":[ ],"current_operations":{ },"name_label":"" ,"user_version":0 "#,
        r#""uuid":"","uuid":"twice","allowed_operations":["a",""],"name_label":"1234567\"","name_description":"12345678\\""#,
        r#""uuid":"u","uuid":"","name_label":"123456789012345678901234\n\"é","user_version":0.5,"is_a_template":falsely"#,
        r#""user_version":01,"is_a_template":false"#,
        r#""user_version":0e1,"is_a_template":false,"suspend_VDI":"OpaqueRef:NULLish","resident_on":"OpaqueRef:NULL""#,
        r#""user_version":-0,"is_a_template":true,"unheard_of":{},"suspend_VDI":"OpaqueRef:NULL","VCPUs_params":{"a":0}"#,
        r#""uuid":"","#,
        r#""uuid":""""#,
        r#""uuid":"#,
        "",
    ];
    let mut read = 0;
    for members in members {
        let body = format!(
            r#"{{"jsonrpc":"2.0","result":{{"events":[{{"id":"1","class":"vm","operation":"add","ref":"OpaqueRef:1","snapshot":{{{members}}}}}],"valid_ref_counts":{{}},"token":"t"}},"id":1}}"#
        );
        assert_same(false, body.as_bytes(), &Limits::default());
        for text in 0..20 {
            assert_same(false, body.as_bytes(), &Limits { text, ..Limits::default() });
        }
        read += usize::from(at_once(false, body.as_bytes(), &Limits::default()).is_ok());
    }
    assert_eq!(read, 6);
}

/// An answer with VMs of these members.
fn answer_with(records: &[String]) -> Vec<u8> {
    let event = |(number, members): (usize, &String)| {
        format!(
            r#"{{"id":"{number}","class":"vm","operation":"add","ref":"OpaqueRef:{number}","snapshot":{{{members}}}}}"#
        )
    };
    let events: Vec<String> = records.iter().enumerate().map(event).collect();
    let events = events.join(",");
    format!(
        r#"{{"jsonrpc":"2.0","result":{{"events":[{events}],"valid_ref_counts":{{}},"token":"t"}},"id":1}}"#
    )
    .into_bytes()
}

/// What is the same in two records is read once. These begin alike and go on otherwise.
#[test]
fn records_that_resemble_each_other_are_told_apart() {
    let all = [
        r#""uuid":"u1","name_label":"a","user_version":1,"is_a_template":true,"tags":["x","y"]"#,
        r#""uuid":"u2","name_label":"a","user_version":1,"is_a_template":true,"tags":["x","y"]"#,
        r#""uuid":"u2","name_label":"a","user_version":12,"is_a_template":true,"tags":["x","y"]"#,
        r#""uuid":"u2","name_label":"a","user_version":12"#,
        r#""uuid":"u2","name_label":"a","user_version":12,"is_a_template":false,"tags":[]"#,
        r#""uuid":"u2","name_label":"a","new":{"b":1},"newer":2,"is_a_template":false,"tags":[]"#,
        r#""uuid":"u2","name_label":"a","new":{"b":2},"newer":2,"newest":3,"is_a_template":false,"tags":[]"#,
        r#""uuid":"u2","name_label":"a","new":{"b":2},"new":3,"newest":3,"is_a_template":false,"tags":[]"#,
        r#""uuid":"u2","name_label":"a","new":{"b":2},"new":3,"newest":3,"is_a_template":false,"tags":["z"]"#,
        r#""tags":["z"],"uuid":"u2","name_label":"a","user_version":12,"is_a_template":true"#,
        r#""uuid":"u2","name_label":"b","name_label":"a","user_version":12,"is_a_template":true,"tags":["x","y"]"#,
        r#""uuid":"u2","name_label":"a","user_version":12,"is_a_template":true,"tags":["x","y"]"#,
        r#""uuid":"u2","power_state":"Running","user_version":12,"is_a_template":true,"tags":["x","y"]"#,
        r#""uuid":"u2", "power_state":"Running","user_version":12,"is_a_template":true,"tags":["x","y"]"#,
        "",
    ]
    .map(str::to_owned);
    let batch = at_once(false, &answer_with(&all), &Limits::default()).unwrap().unwrap();
    for (members, event) in all.iter().zip(&batch.events) {
        let alone = at_once(false, &answer_with(std::slice::from_ref(members)), &Limits::default());
        let alone = alone.unwrap().unwrap().events[0].snapshot.clone().unwrap();
        assert_eq!(alone.to_struct(), event.snapshot.as_ref().unwrap().to_struct(), "{members}");
    }
    assert_same(false, &answer_with(&all), &Limits::default());
}

#[test]
fn refusals_and_damage_are_told() {
    let refusal: Reply = Err(Failure::new("EVENTS_LOST", ["x"]));
    let read = Batch::decode_json(json::encode_reply(&refusal, 1).as_bytes(), &Limits::default());
    assert_eq!(read.unwrap().unwrap_err().code, "EVENTS_LOST");
    let read = Batch::decode_xml(xml::encode_reply(&refusal).as_bytes(), &Limits::default());
    assert_eq!(read.unwrap().unwrap_err().code, "EVENTS_LOST");
    let other: Reply = Ok(Struct::new().into());
    let error = Batch::decode_xml(xml::encode_reply(&other).as_bytes(), &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("the answer to event.from has no usable token"), "{error}");
}

/// Members of VMs that resemble each other: mostly in the order of the datamodel, some left out, some unknown, some twice.
fn members() -> impl Strategy<Value = String> {
    const MEMBERS: [(&str, [&str; 3]); 10] = [
        ("uuid", [r#""u1""#, r#""u2""#, r#""u10""#]),
        ("power_state", [r#""Halted""#, r#""Running""#, r#""""#]),
        ("user_version", ["0", "1", "12"]),
        ("unheard_of", ["1", "{\"a\":[1,2]}", " true"]),
        ("is_a_template", ["false", "true", "\"true\""]),
        ("memory_target", ["500", "\"500\"", "-1"]),
        ("VCPUs_params", ["{}", "{\"a\":\"b\"}", "{\"a\":\"c\"}"]),
        ("VIFs", ["[]", "[\"OpaqueRef:1\"]", "[\"OpaqueRef:1\",\"OpaqueRef:2\"]"]),
        ("other_config", ["{}", "{\"é\":\"1\"}", "{\"\\n\":\"2\"}"]),
        ("unknown_too", ["[]", "0", "\"\""]),
    ];
    let chosen = prop::collection::vec(prop::sample::select(&[0, 0, 0, 0, 1, 2, 3][..]), MEMBERS.len());
    let moved = prop::option::weighted(0.2, (0..MEMBERS.len(), 0..MEMBERS.len()));
    (chosen, moved).prop_map(|(chosen, moved)| {
        let mut members: Vec<String> = MEMBERS
            .iter()
            .zip(chosen)
            .filter_map(|((name, values), chosen)| Some(format!("\"{name}\":{}", values.get(chosen)?)))
            .collect();
        if let Some((from, to)) = moved
            && let Some(member) = members.get(from).cloned()
        {
            members.insert(to.min(members.len()), member);
        }
        members.join(",")
    })
}

proptest! {
    /// Nothing passes from one record into another, and what is not read again counts all the same.
    #[test]
    fn records_that_resemble_each_other_are_read_alike(
        records in prop::collection::vec(members(), 1..12),
        values in 0..400_usize,
        text in 5..16_usize,
    ) {
        let body = answer_with(&records);
        assert_same(false, &body, &Limits::default());
        assert_same(false, &body, &Limits { values, ..Limits::default() });
        assert_same(false, &body, &Limits { text, ..Limits::default() });
    }

    /// Some bytes of a small recorded answer are replaced by others, cut out or doubled.
    #[test]
    fn damaged_answers_are_read_alike(
        which in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4_u8), 1..4),
    ) {
        let small: Vec<_> = recorded().into_iter().filter(|(_, body)| body.len() < 60_000).collect();
        let (is_xml, mut body) = small[which.index(small.len())].clone();
        for (at, other, kind) in damage {
            let (at, other) = (at.index(body.len()), other.index(body.len()));
            match kind {
                0 => body[at] = body[other],
                1 => drop(body.drain(at..(at + 1 + other % 40).min(body.len()))),
                2 => {
                    let part = body[at..(at + 1 + other % 40).min(body.len())].to_vec();
                    body.splice(other..other, part);
                }
                _ => body.truncate(at.max(1)),
            }
        }
        assert_same(is_xml, &body, &Limits::default());
    }
}
