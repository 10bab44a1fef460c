//! Real pools: saved states load whole, serve what they hold, and live; recorded answers judge the shapes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use simulator::Simulator;
use xapi::codec::{Limits, json};
use xapi::{NULL_REF, Value};

use crate::client::{self, SOON};
use crate::skipped::skipped;

/// Real data lies beside the project; a test without it says so and is skipped.
pub(crate) fn shared(part: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(part);
    if path.is_dir() {
        return Some(path);
    }
    skipped(&format!("there is no {}", path.display()));
    None
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn every_saved_pool_loads_serves_and_lives() {
    let Some(folder) = shared("pools") else { return };
    let mut tried = 0;
    for file in files(&folder) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(&file).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let simulator = Simulator::from_state_db(&bytes, client::options())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let notes = simulator.notes().clone();
        println!("{name}: {notes:?}");
        let left_out: usize = notes.dropped.values().chain(notes.unknown_tables.values()).sum();
        assert_eq!(
            notes.rows + left_out,
            text.matches("<row ").count(),
            "{name}: every row is taken or counted"
        );
        assert!(notes.schema.starts_with("5."), "{name}");

        let (running, client) = client::open(simulator).await;
        let all = client.events(&["*"], "").await;
        assert!(all.events.iter().all(|told| told.operation == "add"), "{name}: a first picture");
        let told = all.events.iter().filter(|told| told.class != "certificate").count();
        // One class of old files has no events.
        assert!(told <= notes.rows && told * 10 > notes.rows * 9, "{name}: {told} of {} told", notes.rows);
        for record in running.pool().records("VM") {
            for vbd in record.get("VBDs").unwrap().as_array().unwrap() {
                let vbd = running.pool().record("VBD", vbd.as_str().unwrap()).unwrap();
                assert_eq!(vbd.text("VM"), record.reference, "{name}: both ends agree");
            }
        }

        // A VM of the file stops and starts again, on a host that it can run on.
        let vms = running.pool().records("VM");
        let plain = |flag: &str, vm: &xapi::model::Record| vm.get(flag) == Some(&Value::Bool(false));
        let vm = vms
            .iter()
            .filter(|vm| plain("is_a_template", vm) && plain("is_control_domain", vm))
            .max_by_key(|vm| vm.text("power_state") == "Running")
            .unwrap();
        let reference = Value::from(vm.reference.as_str());
        if vm.text("power_state") == "Running" {
            client.ok("VM.hard_shutdown", std::slice::from_ref(&reference)).await;
            assert_eq!(client.field("VM", &reference, "resident_on").await, NULL_REF.into());
        }
        client.ok("VM.start", &[reference.clone(), false.into(), false.into()]).await;
        let host = client.field("VM", &reference, "resident_on").await;
        let resident = client.field("host", &host, "resident_VMs").await;
        assert!(resident.as_array().unwrap().contains(&reference), "{name}");
        let later = client.events(&["vm"], &all.token).await;
        assert!(
            later.lines().contains(&format!("mod vm {}", vm.text("name_label"))),
            "{name}: {:?}",
            later.lines()
        );
        assert!(running.pool().wait_until(SOON, |pool| pool.records("task").is_empty()).await);
        tried += 1;
    }
    assert!(tried >= 5);
}

#[tokio::test]
async fn sets_that_the_file_lists_truly_keep_their_order() {
    let Some(folder) = shared("pools") else { return };
    let bytes = std::fs::read(folder.join("tampa-db_inc_snapshots.xml")).unwrap();
    let text = std::str::from_utf8(&bytes).unwrap();
    let row = text.split("<row ").find(|row| row.contains("name__label=\"dlvm_local\"")).unwrap();
    let listed: Vec<&str> =
        row.split(" VBDs=\"").nth(1).unwrap().split('"').next().unwrap().split('\'').collect();
    let listed: Vec<&str> = listed.into_iter().filter(|part| part.starts_with("OpaqueRef")).collect();
    let simulator = Simulator::from_state_db(&bytes, client::options()).unwrap();
    let vm = simulator.pool().find_vm("dlvm_local").unwrap();
    let record = simulator.pool().record("VM", &vm).unwrap();
    let served: Vec<&str> =
        record.get("VBDs").unwrap().as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(served, listed);
}

/// The shape of a value: names and kinds, with lists and maps shown by their first element.
fn shape(value: &Value, depth: usize) -> String {
    match value {
        Value::String(_) | Value::DateTime(_) => "text".into(),
        Value::Int(_) => "int".into(),
        Value::Float(_) => "float".into(),
        Value::Bool(_) => "bool".into(),
        Value::Array(elements) => {
            format!("[{}]", elements.first().map(|first| shape(first, depth)).unwrap_or_default())
        }
        Value::Struct(_) if depth == 0 => "{}".into(),
        Value::Struct(members) => {
            members.iter().map(|(name, value)| format!("{name}:{} ", shape(value, depth - 1))).collect()
        }
    }
}

/// The result that a real server gave, over JSON.
fn recorded(folder: &Path, name: &str) -> Value {
    let text = std::fs::read_to_string(folder.join(format!("{name}.json.response"))).unwrap();
    let body = text.split_once("\r\n\r\n").or_else(|| text.split_once("\n\n")).unwrap().1;
    json::decode_reply(body.as_bytes(), &Limits::default()).unwrap().unwrap()
}

#[tokio::test]
async fn records_have_the_fields_that_a_real_server_sends() {
    let Some(folder) = shared("wire") else { return };
    let (_running, client) = client::fast().await;
    let mut compared = BTreeSet::new();
    for file in files(&folder) {
        let file = file.file_name().unwrap().to_string_lossy().into_owned();
        let Some(name) = file.strip_suffix(".json.response") else { continue };
        let Some(class) = name.get(3..).and_then(|rest| rest.strip_suffix("-get-all-records")) else {
            continue;
        };
        let Some(class) = xapi::model::schema::class(class) else { panic!("no class {class}") };
        if class.name == "session" {
            continue;
        }
        let theirs = recorded(&folder, name);
        let ours = client.json(&format!("{}.get_all_records", class.name), &[]).await.unwrap();
        let first = |all: &Value| all.as_struct().unwrap().iter().next().map(|(_, record)| record.clone());
        let (Some(theirs), Some(ours)) = (first(&theirs), first(&ours)) else { continue };
        let (theirs, ours) = (theirs.as_struct().unwrap(), ours.as_struct().unwrap());
        for (field, value) in theirs.iter() {
            let mine = ours.get(field).unwrap_or_else(|| panic!("{}.{field} is missing", class.name));
            let (theirs, mine) = (shape(value, 0), shape(mine, 0));
            // An empty list does not say what it would hold.
            let same = theirs == mine || (theirs.starts_with('[') && mine.starts_with('['));
            assert!(same, "{}.{field}: {theirs} there, {mine} here", class.name);
        }
        compared.insert(class.name);
    }
    assert!(compared.len() >= 10, "only {compared:?}");
}

#[tokio::test]
async fn events_have_the_shape_that_a_real_server_sends() {
    let Some(folder) = shared("wire") else { return };
    let (_running, client) = client::fast().await;
    let theirs = recorded(&folder, "44-event-from-mod");
    let vm = client.vm("web-1").await;
    let token = client.events(&["vm"], "").await.token;
    client.ok("VM.set_name_description", &[vm, "changed".into()]).await;
    let arguments = [Value::Array(vec!["vm".into()]), token.into(), 10.0.into()];
    let ours = client.json("event.from", &arguments).await.unwrap();
    let names = |value: &Value| -> Vec<String> {
        value.as_struct().unwrap().iter().map(|(name, _)| name.to_string()).collect()
    };
    let event =
        |batch: &Value| batch.as_struct().unwrap().get("events").unwrap().as_array().unwrap()[0].clone();
    assert_eq!(names(&theirs), names(&ours));
    assert_eq!(names(&event(&theirs)), names(&event(&ours)));
    let text = |batch: &Value, name: &str| {
        event(batch).as_struct().unwrap().get(name).unwrap().as_str().unwrap().to_owned()
    };
    for name in ["class", "operation", "timestamp"] {
        assert_eq!(text(&theirs, name), text(&ours, name));
    }
    let counted = |batch: &Value| batch.as_struct().unwrap().get("valid_ref_counts").unwrap().clone();
    let ours_counted: BTreeSet<String> = names(&counted(&ours)).into_iter().collect();
    // Theirs has one class more that today's model does not know.
    let missing: Vec<String> =
        names(&counted(&theirs)).into_iter().filter(|name| !ours_counted.contains(name)).collect();
    assert!(missing.iter().all(|name| ["lvhd", "diagnostics"].contains(&name.as_str())), "{missing:?}");
}

/// What a real server answered to questions that need none of its own objects.
#[tokio::test]
async fn refusals_are_those_of_a_real_server() {
    let Some(folder) = shared("wire") else { return };
    let (_running, client) = client::fast().await;
    let reference = "OpaqueRef:00000000-dead-dead-dead-000000000000";
    let uuid = "00000000-dead-dead-dead-000000000000";
    let vm = client.vm("web-1").await;
    client.ok("VM.add_to_other_config", &[vm.clone(), "k1".into(), "v1".into()]).await;
    for (name, method, arguments) in [
        ("03-unknown-method", "VM.no_such_method", vec![]),
        ("05-wrong-arity", "VM.get_record", vec![]),
        ("06-bad-ref", "VM.get_record", vec![reference.into()]),
        ("07-bad-uuid", "VM.get_by_uuid", vec![uuid.into()]),
        ("38-where-syntax-error", "VM.get_all_records_where", vec!["field name = ".into()]),
        (
            "42-event-from-bad-token",
            "event.from",
            vec![Value::Array(vec!["vm".into()]), "nonsense".into(), 1.0.into()],
        ),
        ("47-add-to-other-config-dup", "VM.add_to_other_config", vec![vm.clone(), "k1".into(), "v2".into()]),
        ("61-async-no-async-mode", "Async.VM.get_name_label", vec![vm.clone()]),
        ("68-inject-bad-class", "event.inject", vec!["nonsense".into(), reference.into()]),
    ] {
        let file = folder.join(format!("{name}.json.response"));
        let text = std::fs::read_to_string(&file).unwrap();
        let body = text.split_once("\r\n\r\n").or_else(|| text.split_once("\n\n")).unwrap().1;
        let theirs = json::decode_reply(body.as_bytes(), &Limits::default()).unwrap().unwrap_err();
        let ours = client.json(method, &arguments).await.unwrap_err();
        assert_eq!(
            (&ours.code, ours.parameters.len()),
            (&theirs.code, theirs.parameters.len()),
            "{name}: {ours} {theirs}"
        );
        for (mine, their) in ours.parameters.iter().zip(&theirs.parameters) {
            // Each pool has its own references.
            assert!(mine == their || their.starts_with("OpaqueRef:"), "{name}: {ours} / {theirs}");
        }
    }
}

/// Column and text of every attribute of a row, entities resolved.
fn attributes(row: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = row.split("/>").next().unwrap_or(row);
    while let Some((name, after)) = rest.split_once("=\"") {
        let (value, next) = after.split_once('"').unwrap();
        let plain =
            value.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
        found.push((name.trim().to_owned(), plain.replace("&amp;", "&")));
        rest = next;
    }
    found
}

/// Read once more by other means: whatever a file says of a plain field is what the pool serves.
#[test]
fn every_plain_field_is_served_as_the_file_has_it() {
    use xapi::model::schema::{self, Type};
    let Some(folder) = shared("pools") else { return };
    let mut compared = 0;
    for file in files(&folder) {
        let bytes = std::fs::read(&file).unwrap();
        let text = std::str::from_utf8(&bytes).unwrap();
        let pool = Simulator::from_state_db(&bytes, client::options()).unwrap().pool();
        for table in text.split("<table name=\"").skip(1) {
            let (class, rows) = table.split_once('"').unwrap();
            let Some(class) = schema::class(class).filter(|known| known.name == class) else { continue };
            for row in rows.split("<row ").skip(1) {
                let row = attributes(row);
                let (_, reference) = row.iter().find(|(name, _)| name == "ref").unwrap();
                let record = pool.record(class.name, reference).unwrap();
                for (column, text) in &row {
                    let Some(field) = class.fields.iter().find(|field| field.column() == column) else {
                        continue;
                    };
                    let served = match (&field.kind, record.get(field.name).unwrap()) {
                        (Type::Set(_) | Type::Map(_, _), _) => continue,
                        (_, Value::String(text) | Value::DateTime(text)) => text.to_string(),
                        (_, Value::Bool(truth)) => truth.to_string(),
                        (_, Value::Int(number)) => number.to_string(),
                        (_, Value::Float(number)) => {
                            assert_eq!(text.parse::<f64>().unwrap(), *number);
                            continue;
                        }
                        (_, other) => panic!("{other:?}"),
                    };
                    let meant = text
                        .replace("%.", " ")
                        .replace("%_", "  ")
                        .replace("%n", "\n")
                        .replace("%t", "\t")
                        .replace("%%", "%");
                    assert_eq!(served, meant, "{}: {}.{column} of {reference}", file.display(), class.name);
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 30_000, "{compared}");
}
