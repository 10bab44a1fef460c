//! Every question that was once put to a real server, put to a simulated pool made of that server's own records. The
//! answers must have the same structure and the same types, on both wires.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;

use simulator::{Running, Simulator};
use xapi::Value;
use xapi::codec::{Call, Limits, Reply, json, xml};
use xapi::model::schema;

use crate::client::{self, Client};
use crate::real::{files, shared};

/// Where our answer is of another shape, and why that is right.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("52-vm-start-fails", "that server had no hypervisor, so no host could take the VM"),
    ("54-task-record", "that clone failed for want of a hypervisor; ours succeeds"),
    ("55-event-from-task", "the same clone"),
    ("72-list-methods (xml): String(\"VDI.db_introduce\")", "hidden, and gone since"),
    ("72-list-methods (json): String(\"VDI.db_introduce\")", "hidden, and gone since"),
    ("66-event-from-del", "what a VIF or VBD allows is not kept yet"),
];

/// One recorded exchange.
struct Exchange {
    /// `08-pool-get-all-records`.
    name: String,
    wire: &'static str,
    request: String,
    head: String,
    body: String,
}

/// All exchanges in the order in which they took place: by number, XML before JSON.
fn exchanges(folder: &Path) -> Vec<Exchange> {
    let mut found = Vec::new();
    for file in files(folder) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(".request") else { continue };
        let (bare, wire) = match name.rsplit_once('.') {
            Some((bare, "xml")) => (bare, "xml"),
            Some((bare, "json")) => (bare, "json"),
            _ => (name, if name.contains("json") { "json" } else { "xml" }),
        };
        let request = std::fs::read_to_string(&file).unwrap();
        let response =
            String::from_utf8_lossy(&std::fs::read(folder.join(format!("{name}.response"))).unwrap())
                .replace("\r\n", "\n");
        let (head, body) = response.split_once("\n\n").unwrap();
        found.push(Exchange {
            name: bare.to_owned(),
            wire,
            request,
            head: head.to_owned(),
            body: body.to_owned(),
        });
    }
    found.sort_by(|one, other| (&one.name, other.wire).cmp(&(&other.name, one.wire)));
    found
}

/// The server's own records as a state database: what it told of every class, before anything was asked of it.
fn state(exchanges: &[Exchange]) -> String {
    let mut tables: BTreeMap<&str, BTreeMap<String, xapi::Struct>> = BTreeMap::new();
    for exchange in exchanges.iter().filter(|exchange| exchange.wire == "json") {
        let class = exchange.name.get(3..).and_then(|rest| rest.strip_suffix("-get-all-records"));
        let Some(class) = class.and_then(schema::class) else { continue };
        let Ok(Value::Struct(records)) =
            json::decode_reply(exchange.body.as_bytes(), &Limits::default()).unwrap()
        else {
            continue;
        };
        for (reference, record) in records {
            let Value::Struct(fields) = record else { panic!("{}: a record is none", exchange.name) };
            tables.entry(class.name).or_default().insert(reference.to_string(), fields);
        }
    }
    let mut text = String::from("<database><manifest/>");
    for (class, rows) in tables {
        _ = write!(text, "<table name=\"{class}\">");
        for (reference, fields) in rows {
            _ = write!(text, "<row ref=\"{reference}\"");
            for (name, value) in fields.iter() {
                let column =
                    schema::class(class).unwrap().field(name).map_or(name.as_str(), |field| field.column());
                _ = write!(text, " {column}=\"{}\"", attribute(&column_text(value)));
            }
            text.push_str("/>");
        }
        text.push_str("</table>");
    }
    text + "</database>"
}

/// A value as a column holds it.
fn column_text(value: &Value) -> String {
    let quoted = |text: String| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    match value {
        Value::String(text) | Value::DateTime(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(|element| quoted(column_text(element))).collect();
            format!("({})", elements.join(" "))
        }
        Value::Struct(members) => {
            let pairs: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("({} {})", quoted(name.to_string()), quoted(column_text(value))))
                .collect();
            format!("({})", pairs.join(" "))
        }
    }
}

fn attribute(text: &str) -> String {
    let spaces = text.replace('%', "%%").replace('\n', "%n").replace('\t', "%t").replace(' ', "%.");
    spaces.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Puts recorded questions to our pool.
struct Replay {
    running: Running,
    client: Client,
    /// Of sessions, new objects and tokens.
    names: Names,
}

/// What the server named so is named so here.
type Names = HashMap<String, String>;

impl Replay {
    /// The recorded value with our names.
    fn ours(&self, value: Value) -> Value {
        match value {
            Value::String(text) => {
                self.names.get(text.as_str()).map_or(Value::String(text), |ours| ours.as_str().into())
            }
            Value::Array(elements) => {
                Value::Array(elements.into_iter().map(|value| self.ours(value)).collect())
            }
            Value::Struct(members) => {
                Value::Struct(members.into_iter().map(|(name, value)| (name, self.ours(value))).collect())
            }
            other => other,
        }
    }

    /// Learns our names from two answers to the same question.
    fn learn(&mut self, theirs: &Value, ours: &Value) {
        match (theirs, ours) {
            (Value::String(theirs), Value::String(ours)) if is_name(theirs) && is_name(ours) => {
                self.names.insert(theirs.to_string(), ours.to_string());
            }
            (Value::Struct(theirs), Value::Struct(ours)) => {
                for (name, value) in theirs.iter() {
                    if let Some(ours) = ours.get(name) {
                        self.learn(value, ours);
                    }
                }
            }
            _ => {}
        }
    }
}

/// References and tokens.
fn is_name(text: &str) -> bool {
    text.starts_with("OpaqueRef:") || (text.len() == 41 && text.as_bytes().get(20) == Some(&b','))
}

/// Tells how the structure of our answer differs.
fn differences(path: &str, theirs: &Value, ours: &Value, names: &Names, told: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::String(_) | Value::DateTime(_), Value::String(_) | Value::DateTime(_))
        | (Value::Int(_), Value::Int(_))
        | (Value::Float(_), Value::Float(_))
        | (Value::Bool(_), Value::Bool(_)) => {}
        (Value::Array(theirs), Value::Array(ours)) if path.ends_with(".events") => {
            for event in theirs {
                let told_of = |part: &str| (part_of(event, part), part_of(event, "class"));
                let same = |part: &str| {
                    let wanted = told_of(part);
                    let wanted = (names.get(&wanted.0).cloned().unwrap_or(wanted.0), wanted.1);
                    ours.iter().find(|ours| (part_of(ours, part), part_of(ours, "class")) == wanted)
                };
                // Of the same object; else of the same kind. Whether a first picture brings an object as added or as
                // modified depends on how that server came up.
                match same("ref").or_else(|| same("operation")).or_else(|| same("class")) {
                    Some(ours) => {
                        let path =
                            format!("{path}[{} {}]", part_of(event, "operation"), part_of(event, "class"));
                        differences(&path, event, ours, names, told);
                    }
                    None => told.push(format!("{path}: no {} here", part_of(event, "class"))),
                }
            }
        }
        (Value::Array(theirs), Value::Array(ours)) => {
            if !theirs.is_empty() && ours.is_empty() {
                told.push(format!("{path}: a list of {} there, an empty one here", theirs.len()));
            }
            for (index, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
                differences(&format!("{path}[{index}]"), theirs, ours, names, told);
            }
        }
        (Value::Struct(theirs), Value::Struct(ours)) => {
            for (name, value) in theirs.iter() {
                match ours.get(names.get(name.as_str()).map_or(name.as_str(), String::as_str)) {
                    Some(ours) => differences(&format!("{path}.{name}"), value, ours, names, told),
                    // A class that today's model does not know.
                    None if path.ends_with("valid_ref_counts")
                        && ["lvhd", "diagnostics"].contains(&&**name) => {}
                    // Contents of a map are data, but for the records of a class.
                    None if value.as_struct().is_none()
                        && theirs.get("uuid").is_none()
                        && !BATCH.contains(&&**name) => {}
                    None => told.push(format!("{path}.{name} is missing")),
                }
            }
        }
        (theirs, ours) => told.push(format!("{path}: {theirs:?} there, {ours:?} here")),
    }
}

/// One text of an event.
fn part_of(event: &Value, part: &str) -> String {
    event.as_struct().and_then(|event| event.get(part)).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Members of an answer to `event.from`, and of one event.
const BATCH: &[&str] =
    &["events", "valid_ref_counts", "token", "id", "timestamp", "class", "operation", "ref", "snapshot"];

fn call_of(exchange: &Exchange) -> Option<Call> {
    let limits = Limits::default();
    match exchange.wire {
        "xml" => xml::decode_call(exchange.request.as_bytes(), &limits).ok(),
        _ => json::decode_call(exchange.request.as_bytes(), &limits).ok(),
    }
}

fn reply_of(wire: &str, body: &str) -> Option<Reply> {
    let limits = Limits::default();
    match wire {
        "xml" => xml::decode_reply(body.as_bytes(), &limits).ok(),
        _ => json::decode_reply(body.as_bytes(), &limits).ok(),
    }
}

#[tokio::test]
async fn every_recorded_question_gets_an_answer_of_the_same_shape() {
    let Some(folder) = shared("wire") else { return };
    let exchanges = exchanges(&folder);
    let simulator = Simulator::from_state_db(state(&exchanges).as_bytes(), client::options()).unwrap();
    let (running, client) = client::open(simulator).await;
    let mut replay = Replay { running, client, names: Names::new() };
    let mut told = Vec::new();
    let mut compared = 0;
    for exchange in &exchanges {
        if exchange.name == "51-event-from-power-state" && exchange.wire == "xml" {
            // Done to that server from inside, between two questions.
            let vm = replay.running.pool().find_vm("vm2").unwrap();
            replay.running.pool().set("VM", &vm, "power_state", "Running").unwrap();
        }
        let here = format!("{} ({})", exchange.name, exchange.wire);
        let path = if exchange.wire == "xml" { "/" } else { "/jsonrpc" };
        let body = match call_of(exchange) {
            None => exchange.request.clone(),
            Some(call) => {
                let arguments: Vec<Value> =
                    call.arguments.into_iter().map(|value| replay.ours(value)).collect();
                match exchange.wire {
                    "xml" => xml::encode_call(&call.method, &arguments),
                    _ => json::encode_call(&call.method, &arguments, 1),
                }
            }
        };
        let response = replay.client.send(path, body, &[]).await.unwrap();
        let status = exchange.head.split(' ').nth(1).unwrap();
        if response.status().as_str() != status {
            told.push(format!("{here}: HTTP {status} there, {} here", response.status()));
        }
        for header in ["content-type", "cache-control", "connection"] {
            let theirs = exchange.head.lines().find_map(|line| line.strip_prefix(&format!("{header}: ")));
            let ours = response.headers().get(header).map(|value| value.to_str().unwrap());
            // Keeping the connection is what version 1.1 does without a word.
            if theirs != ours && theirs != Some("keep-alive") {
                told.push(format!("{here}: {header} is {theirs:?} there, {ours:?} here"));
            }
        }
        let body = response.text().await.unwrap();
        match (reply_of(exchange.wire, &exchange.body), reply_of(exchange.wire, &body)) {
            (Some(Ok(theirs)), Some(Ok(ours))) => {
                if exchange.name.ends_with("list-methods") {
                    let ours = ours.as_array().unwrap();
                    let missing = theirs.as_array().unwrap().iter().filter(|name| !ours.contains(name));
                    told.extend(missing.map(|name| format!("{here}: {name:?} is missing")));
                }
                replay.learn(&theirs, &ours);
                differences(&here, &theirs, &ours, &replay.names, &mut told);
                compared += 1;
            }
            (Some(Err(theirs)), Some(Err(ours))) => {
                if (&theirs.code, theirs.parameters.len()) != (&ours.code, ours.parameters.len()) {
                    told.push(format!("{here}: {theirs} there, {ours} here"));
                }
                compared += 1;
            }
            (None, None) => compared += 1,
            (theirs, ours) => told.push(format!("{here}: {} there, {} here", brief(&theirs), brief(&ours))),
        }
    }
    told.dedup();
    told.retain(|line| !EXCEPTIONS.iter().any(|(name, _)| line.starts_with(name)));
    assert!(told.is_empty(), "{} differences:\n{}", told.len(), told.join("\n"));
    assert!(compared > 110, "only {compared} answers were compared");
}

fn brief(reply: &Option<Reply>) -> String {
    match reply {
        None => "no reply".to_owned(),
        Some(Ok(_)) => "a value".to_owned(),
        Some(Err(failure)) => failure.to_string(),
    }
}
