//! The model from outside: what the tables count, how they are looked up, and records read through views.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;
use xapi::model::enums::{VbdType, VmOperations, VmPowerState};
use xapi::model::schema::{self, Role, State, Type};
use xapi::model::views::{Host, Session, Vbd, Vm};
use xapi::model::{Date, Object as _, Record, Ref};
use xapi::{Struct, Value};

#[path = "../../../tests/skipped.rs"]
mod skipped;

#[test]
fn the_tables_hold_the_whole_datamodel() {
    let classes = schema::classes();
    let methods: Vec<_> = classes.iter().flat_map(|class| class.methods).collect();
    let hidden: usize = schema::hidden_methods().iter().map(|(_, methods)| methods.len()).sum();
    assert_eq!(classes.len(), 72);
    assert_eq!(classes.iter().map(|class| class.fields.len()).sum::<usize>(), 922);
    assert_eq!(methods.len(), 2007);
    assert_eq!(methods.iter().filter(|method| !method.generated).count(), 551);
    assert_eq!(methods.iter().filter(|method| method.asynchronous).count(), 439);
    assert_eq!(schema::enumerations().len(), 73);
    assert_eq!(schema::relations().len(), 64);
    assert_eq!(schema::relations().iter().filter(|relation| relation.many_to_many).count(), 8);
    assert_eq!(schema::errors().len(), 635);
    assert_eq!(schema::errors().iter().filter(|(_, parameters)| parameters.is_some()).count(), 605);
    assert_eq!(schema::alerts().len(), 96);
    assert_eq!(hidden, 127);
}

/// Compares every fact with the notes that the table was made from.
#[test]
fn the_tables_agree_with_the_facts() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/xapi-schema.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        skipped::skipped("the facts beside the repository, xapi-schema.json, are not there");
        return;
    };
    let facts: Json = serde_json::from_str(&text).unwrap();
    let text = |value: &Json| value.as_str().map(str::to_owned);
    let list = |value: &Json| value.as_array().cloned().unwrap_or_default();
    let counts = &facts["about"]["counts"];
    assert_eq!(counts["classes"], schema::classes().len());
    assert_eq!(facts["about"]["api_version"], schema::API_VERSION);
    for (fact, class) in list(&facts["classes"]).iter().zip(schema::classes()) {
        assert_eq!(fact["name"], class.name);
        assert_eq!(fact["since"], class.since, "{}", class.name);
        assert_eq!(fact["state"], format!("{:?}", class.state), "{}", class.name);
        assert_eq!(text(&fact["deprecated"]).as_deref(), class.deprecated, "{}", class.name);
        assert_eq!(text(&fact["removed"]).as_deref(), class.removed, "{}", class.name);
        assert_eq!(fact["events"], class.events, "{}", class.name);
        assert_eq!(fact["in_db"], class.in_database, "{}", class.name);
        assert_eq!(fact["persist"], class.persistent, "{}", class.name);
        let answering = list(&facts["hidden_generated"]["classes"]);
        assert_eq!(answering.contains(&class.name.into()), class.answers_queries, "{}", class.name);
        let fields = list(&fact["fields"]);
        assert_eq!(fields.len(), class.fields.len());
        for (fact, field) in fields.iter().zip(class.fields) {
            let name = format!("{}.{}", class.name, field.name);
            assert_eq!(fact[0], field.name);
            assert_eq!(fact[1], written(&field.kind), "{name}");
            let access = match field.access {
                schema::Access::ReadWrite => "RW",
                schema::Access::ReadOnly => "RO",
                schema::Access::Static => "RO_STATIC",
            };
            assert_eq!(fact[2], access, "{name}");
            assert_eq!(fact[3], field.since, "{name}");
            assert_eq!(text(&fact[4]["db"]).as_deref(), field.column, "{name}");
            assert_eq!(text(&fact[4]["deprecated"]).as_deref(), field.deprecated, "{name}");
            assert_eq!(text(&fact[4]["removed"]).as_deref(), field.removed, "{name}");
        }
        let methods = list(&fact["messages"]);
        assert_eq!(methods.len(), class.methods.len());
        for fact in &methods {
            let name = format!("{}.{}", class.name, fact[0].as_str().unwrap());
            let (_, method) = schema::method(&name).unwrap();
            let flags = &fact[5];
            let parameters: Vec<Json> = method
                .parameters
                .iter()
                .map(|parameter| Json::from(vec![parameter.name.to_owned(), written(&parameter.kind)]))
                .collect();
            assert_eq!(fact[1], Json::from(parameters), "{name}");
            assert_eq!(
                fact[2].as_str().unwrap().replace("an event batch", "event_batch record"),
                written(&method.result),
                "{name}"
            );
            assert_eq!(fact[3], role(method.role), "{name}");
            assert_eq!(fact[4], method.since, "{name}");
            assert_eq!(!flags["async"].is_null(), method.asynchronous, "{name}");
            assert_eq!(!flags["implicit"].is_null(), method.generated, "{name}");
            assert_eq!(!flags["secret"].is_null(), method.secret, "{name}");
            assert_eq!(!flags["client_cert"].is_null(), method.client_certificate, "{name}");
            assert_eq!(text(&flags["deprecated"]).as_deref(), method.deprecated, "{name}");
            assert_eq!(text(&flags["removed"]).as_deref(), method.removed, "{name}");
            assert_eq!(list(&flags["optional"]).len(), method.optional, "{name}");
            assert_eq!(list(&flags["errors"]), method.errors.to_vec(), "{name}");
        }
    }
    let mut words: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for class in list(&facts["classes"]) {
        for declared in list(&class["enums"]) {
            words
                .entry(text(&declared[0]).unwrap())
                .or_default()
                .extend(list(&declared[1]).iter().filter_map(text));
        }
    }
    let known = schema::enumerations().iter().map(|known| {
        (known.name.to_owned(), known.words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>())
    });
    assert_eq!(words, known.collect());
    let relations: Vec<Json> = schema::relations()
        .iter()
        .map(|relation| {
            let kind = if relation.many_to_many { "many-to-many" } else { "many-to-one" };
            Json::from(vec![
                format!("{}.{}", relation.class, relation.field),
                format!("{}.{}", relation.other_class, relation.other_field),
                kind.to_owned(),
            ])
        })
        .collect();
    assert_eq!(facts["relations"], Json::from(relations));
    let errors: Vec<Json> =
        schema::errors().iter().map(|(code, names)| serde_json::json!([code, names])).collect();
    assert_eq!(facts["errors"], Json::from(errors));
    let alerts: Vec<Json> = schema::alerts().iter().map(|alert| serde_json::json!(alert)).collect();
    assert_eq!(facts["alerts"], Json::from(alerts));
    let hidden: BTreeMap<_, _> = schema::hidden_methods().iter().copied().collect();
    assert_eq!(facts["hidden_messages"], serde_json::json!(hidden));
}

/// A type as the datamodel writes it.
fn written(kind: &Type) -> String {
    match kind {
        Type::String => "string".into(),
        Type::Int => "int".into(),
        Type::Float => "float".into(),
        Type::Bool => "bool".into(),
        Type::DateTime => "datetime".into(),
        Type::Void => "void".into(),
        Type::Ref(class) => format!("{class} ref"),
        Type::Enum(name) => format!("enum {name}"),
        Type::Set(element) => format!("{} set", written(element)),
        Type::Map(key, value) => format!("({} -> {}) map", written(key), written(value)),
        Type::Record(class) => format!("{class} record"),
        Type::Option(inner) => format!("{} option", written(inner)),
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::ReadOnly => "read-only",
        Role::VmOperator => "vm-operator",
        Role::VmAdmin => "vm-admin",
        Role::VmPowerAdmin => "vm-power-admin",
        Role::PoolOperator => "pool-operator",
        Role::PoolAdmin => "pool-admin",
        Role::LocalRoot => "local-root-only",
    }
}

#[test]
fn everything_is_found_by_its_name() {
    for class in schema::classes() {
        for name in [class.name.to_owned(), class.name.to_lowercase(), class.name.to_uppercase()] {
            assert!(std::ptr::eq(schema::class(&name).unwrap(), class), "{name}");
        }
        for method in class.methods {
            for prefix in ["", "Async."] {
                let full = format!("{prefix}{}.{}", class.name, method.name);
                let (of, found) = schema::method(&full).unwrap();
                assert!(std::ptr::eq(of, class) && std::ptr::eq(found, method), "{full}");
            }
        }
    }
    for known in schema::enumerations() {
        assert!(std::ptr::eq(schema::enumeration(known.name).unwrap(), known));
    }
    assert!(["", "V", "VMs", "vm ", "hosts"].iter().all(|name| schema::class(name).is_none()));
    assert!(["vm.start", "VM.star", "VM", "VM.", ".start"].iter().all(|name| schema::method(name).is_none()));
    assert_eq!(schema::release("ely"), Some("XenServer 7.1"));
    assert_eq!(schema::release("23.14.0"), None);
    assert_eq!(schema::class("VMPP").unwrap().state, State::Removed);
}

fn record(class: &str, fields: &[(&'static str, Value)]) -> Arc<Record> {
    let fields: Struct = fields.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
    Arc::new(Record::new(class, "OpaqueRef:it", fields))
}

#[test]
fn a_view_reads_fields_as_rust_values() {
    let operations: Struct =
        [("OpaqueRef:task".into(), "clean_reboot".into()), ("OpaqueRef:other".into(), "levitate".into())]
            .into_iter()
            .collect();
    let vm = Vm::try_from(record(
        "VM",
        &[
            ("name_label", "web".into()),
            ("power_state", "Running".into()),
            ("memory_static_max", "1073741824".into()),
            ("is_a_template", false.into()),
            ("VBDs", vec![Value::from("OpaqueRef:1"), "OpaqueRef:2".into()].into()),
            ("affinity", "OpaqueRef:NULL".into()),
            ("snapshot_time", "20260821T02:00:23Z".into()),
            ("current_operations", operations.into()),
            ("PV_args", "quiet".into()),
        ],
    ))
    .unwrap();
    assert_eq!(vm.reference(), Ref::new("OpaqueRef:it"));
    assert_eq!(vm.name_label(), Ok("web"));
    assert_eq!(vm.pv_args(), Ok("quiet"));
    assert_eq!(vm.power_state(), Ok(VmPowerState::Running));
    assert_eq!(vm.memory_static_max(), Ok(1 << 30));
    assert_eq!(vm.is_a_template(), Ok(false));
    let vbds: Vec<Ref<Vbd>> = vm.vbds().unwrap().iter().collect();
    assert_eq!(vbds, [Ref::new("OpaqueRef:1"), Ref::new("OpaqueRef:2")]);
    assert_eq!(vm.affinity().unwrap().non_null(), None);
    assert_eq!(vm.snapshot_time(), Ok(Date::new("20260821T02:00:23Z")));
    let running = vm.current_operations().unwrap();
    assert_eq!(running.get("OpaqueRef:task"), Some(VmOperations::CleanReboot));
    assert_eq!(running.get("OpaqueRef:other").unwrap().as_str(), "levitate");
    assert_eq!(running.len(), 2);
}

#[test]
fn what_is_missing_or_of_another_type_is_an_error() {
    let fields = [("memory_static_max", "plenty".into()), ("VBDs", vec![Value::from(1), true.into()].into())];
    let vm = Vm::try_from(record("VM", &fields)).unwrap();
    let missing = vm.power_state().unwrap_err();
    assert!(missing.is_missing());
    assert_eq!(
        missing.to_string(),
        r#"VM OpaqueRef:it has nothing in field "power_state" where a word belongs"#
    );
    let unfit = vm.memory_static_max().unwrap_err();
    assert!(!unfit.is_missing());
    assert_eq!(
        unfit.to_string(),
        r#"VM OpaqueRef:it has a text in field "memory_static_max" where an integer belongs"#
    );
    assert_eq!(
        vm.vbds().unwrap_err().to_string(),
        r#"VM OpaqueRef:it has a list in field "VBDs" where a set of one type belongs"#
    );
    let wrong = Host::try_from(record("VM", &[])).unwrap_err();
    assert_eq!(wrong.to_string(), "a record of class VM is no host");
    assert_eq!(Vm::CLASS, "VM");
}

#[test]
fn references_of_sessions_are_not_shown() {
    let session = Session::try_from(record("session", &[])).unwrap();
    let error = session.uuid().unwrap_err();
    let shown = format!("{session:?} {} {:?} {error} {error:?}", session.reference(), session.reference());
    assert!(!shown.contains("OpaqueRef:it"), "{shown}");
    assert_eq!(session.reference().as_str(), "OpaqueRef:it");
}

#[test]
fn words_are_kept_whether_known_or_not() {
    for known in [VbdType::Cd, VbdType::Disk, VbdType::Floppy] {
        assert_eq!(VbdType::from(known.as_str()), known);
    }
    let newer = VbdType::from("Tape");
    assert_eq!(newer.as_str(), "Tape");
    assert_eq!(format!("{newer:>6}"), "  Tape");
    assert_eq!("Suspended".parse(), Ok(VmPowerState::Suspended));
}
