//! Methods that follow from the datamodel, for every class, and their refusals.

use proptest::prelude::*;
use simulator::{PoolHandle, Simulator};
use xapi::model::schema::{self, Type};
use xapi::{NULL_REF, Struct, Value};

use crate::client;

#[tokio::test]
async fn every_class_answers_its_lists_and_its_getters() {
    let (running, client) = client::fast().await;
    let mut getters = 0;
    for class in schema::classes()
        .iter()
        .filter(|class| class.method("get_all_records").is_some_and(|all| all.removed.is_none()))
    {
        let name = class.name;
        let all = client.json(&format!("{name}.get_all"), &[]).await.unwrap();
        let records = client.json(&format!("{name}.get_all_records"), &[]).await.unwrap();
        let records = records.as_struct().unwrap();
        assert_eq!(all.as_array().unwrap().len(), records.len(), "{name}");
        let Some((reference, record)) = records.iter().next() else { continue };
        let record = record.as_struct().unwrap();
        let this = Value::from(reference.as_str());
        assert_eq!(
            &client.json(&format!("{name}.get_record"), std::slice::from_ref(&this)).await.unwrap(),
            &Value::Struct(record.clone())
        );
        assert_eq!(
            client
                .json(&format!("{name}.get_by_uuid"), &[record.get("uuid").unwrap().clone()])
                .await
                .unwrap(),
            this
        );
        if class.method("get_by_name_label").is_some() {
            let named = client
                .json(&format!("{name}.get_by_name_label"), &[record.get("name_label").unwrap().clone()])
                .await;
            assert!(named.unwrap().as_array().unwrap().contains(&this), "{name}");
        }
        for method in class.methods.iter().filter(|method| method.generated && method.removed.is_none()) {
            let Some(field) = method.name.strip_prefix("get_").and_then(|field| class.field(field)) else {
                continue;
            };
            let value =
                client.json(&format!("{name}.{}", method.name), std::slice::from_ref(&this)).await.unwrap();
            assert_eq!(Some(&value), record.get(field.name), "{name}.{}", field.name);
            getters += 1;
        }
    }
    assert!(getters > 400, "{getters}");
    assert!(running.pool().calls().of("VM.get_record") == 1);
}

#[tokio::test]
async fn setters_maps_and_sets() {
    let (_running, client) = client::fast().await;
    let vm = client.vm("web-1").await;
    client.ok("VM.set_name_label", &[vm.clone(), "wéb <1> & \"two\" 日本 🐝".into()]).await;
    assert_eq!(
        client.json("VM.get_name_label", std::slice::from_ref(&vm)).await.unwrap(),
        "wéb <1> & \"two\" 日本 🐝".into()
    );
    client.ok("VM.add_to_other_config", &[vm.clone(), "a".into(), "1".into()]).await;
    let twice = client.refused("VM.add_to_other_config", &[vm.clone(), "a".into(), "2".into()]).await;
    assert_eq!(twice, format!("MAP_DUPLICATE_KEY [VM, other_config, {}, a]", vm.as_str().unwrap()));
    client.ok("VM.remove_from_other_config", &[vm.clone(), "a".into()]).await;
    client.ok("VM.remove_from_other_config", &[vm.clone(), "a".into()]).await;
    let words = |words: &[&str]| Value::Array(words.iter().map(|word| Value::from(*word)).collect());
    client.ok("VM.set_tags", &[vm.clone(), words(&["b", "a", "b"])]).await;
    assert_eq!(client.field("VM", &vm, "tags").await, words(&["b", "a", "b"]), "as given");
    client.ok("VM.add_tags", &[vm.clone(), "c".into()]).await;
    client.ok("VM.add_tags", &[vm.clone(), "a".into()]).await;
    client.ok("VM.remove_tags", &[vm.clone(), "b".into()]).await;
    assert_eq!(client.field("VM", &vm, "tags").await, words(&["c", "a"]));
    // The other wire name, and a query on columns.
    assert_eq!(client.ok("VM_get_tags", std::slice::from_ref(&vm)).await, words(&["c", "a"]));
    let query = "field \"power_state\" = \"Paused\" and field \"is_a_template\" = \"false\"";
    assert_eq!(
        client.ok("VM.get_all_where", &[query.into()]).await.as_array().unwrap(),
        &[client.vm("wiki").await]
    );
    assert_eq!(client.ok("VM.get_all_records_where", &[query.into()]).await.as_struct().unwrap().len(), 1);
    for (method, arguments, said) in [
        ("VM.set_name_label", vec!["OpaqueRef:x".into(), "".into()], "HANDLE_INVALID [VM, OpaqueRef:x]"),
        (
            "VM.set_power_state",
            vec![vm.clone(), "Halted".into()],
            "MESSAGE_METHOD_UNKNOWN [VM.set_power_state]",
        ),
        (
            "VM.set_name_label",
            vec![vm.clone(), 1.5.into()],
            "INTERNAL_ERROR [Failure(\"Expected string for parameter value\")]",
        ),
        ("VM.set_name_label", vec![vm.clone()], "MESSAGE_PARAMETER_COUNT_MISMATCH [VM.set_name_label, 2, 1]"),
        (
            "VM.set_name_label",
            vec![vm.clone(), "".into(), "".into()],
            "MESSAGE_PARAMETER_COUNT_MISMATCH [VM.set_name_label, 2, 3]",
        ),
        ("session.get_all", vec![], "MESSAGE_METHOD_UNKNOWN [session.get_all]"),
        ("VMPP.get_all", vec![], "MESSAGE_REMOVED"),
    ] {
        assert_eq!(client.refused(method, &arguments).await, said);
    }
    let control = client.json("VM.set_name_label", &[vm.clone(), "a\u{1}".into()]).await.unwrap_err();
    assert_eq!(control.code, "INVALID_VALUE");
}

#[tokio::test]
async fn constructors_want_real_references_and_destructors_unused_objects() {
    let (running, client) = client::fast().await;
    let vm = client.vm("lab").await;
    let network = Value::from(running.pool().records("network")[0].reference.as_str());
    let record = |members: &[(&str, Value)]| {
        Value::Struct(members.iter().map(|(name, value)| ((*name).into(), value.clone())).collect::<Struct>())
    };
    let vif = record(&[("VM", vm.clone()), ("network", network.clone()), ("device", "1".into())]);
    let vif = client.ok("VIF.create", &[vif]).await;
    assert!(client.field("VM", &vm, "VIFs").await.as_array().unwrap().contains(&vif));
    assert_eq!(client.field("VIF", &vif, "locking_mode").await, "network_default".into(), "a default");
    let refused = client.refused("VIF.create", &[record(&[("VM", "OpaqueRef:x".into())])]).await;
    assert_eq!(refused, "HANDLE_INVALID [VM, OpaqueRef:x]");
    let refused = client.refused("network.destroy", &[network]).await;
    assert!(refused.starts_with("NETWORK_CONTAINS_"), "{refused}");
    client.ok("VIF.destroy", std::slice::from_ref(&vif)).await;
    assert!(!client.field("VM", &vm, "VIFs").await.as_array().unwrap().contains(&vif));
    let web = client.vm("web-1").await;
    let vbd = client.field("VM", &web, "VBDs").await.as_array().unwrap()[0].clone();
    assert!(client.refused("VBD.destroy", std::slice::from_ref(&vbd)).await.contains("still attached"));
    let vdi = client.field("VBD", &vbd, "VDI").await;
    assert!(client.refused("VDI.destroy", &[vdi]).await.starts_with("VDI_IN_USE ["));
    let made = record(&[("name_label", "made".into()), ("memory_static_max", (1i64 << 30).into())]);
    let made = client.ok("VM.create", &[made]).await;
    assert_eq!(client.field("VM", &made, "power_state").await, "Halted".into());
    assert_ne!(client.field("VM", &made, "metrics").await, NULL_REF.into());
}

#[tokio::test]
async fn sessions_are_checked_and_end() {
    let (running, mut client) = client::fast().await;
    assert_eq!(running.pool().sessions(), 1);
    let session = client.session.clone();
    let host = client.field("session", &session, "this_host").await;
    assert!(client.ok("host.get_servertime", &[host]).await.as_str().unwrap().ends_with('Z'));
    client.ok("session.logout", &[]).await;
    let said = format!("SESSION_INVALID [{}]", session.as_str().unwrap());
    assert_eq!(client.refused("VM.get_all", &[]).await, said);
    assert_eq!(
        client.refused("VM.no_such_method", &[]).await,
        said,
        "an unknown method asks for the session first"
    );
    assert_eq!(
        client.raw("VM.no_such_method", &[]).await.unwrap_err().to_string(),
        "MESSAGE_METHOD_UNKNOWN [VM.no_such_method]"
    );
    client.log_in("root", "secret").await.unwrap();
    client.ok("VM.get_all", &[]).await;
}

/// One random write through a handle.
#[derive(Debug, Clone)]
enum Act {
    Create(usize, usize),
    Point(usize, usize),
    Share(usize, Vec<usize>),
    Delete(bool, usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..9usize, 0..9usize).prop_map(|(a, b)| Act::Create(a, b)),
        (0..9usize, 0..9usize).prop_map(|(a, b)| Act::Point(a, b)),
        (0..9usize, prop::collection::vec(0..9usize, 0..4)).prop_map(|(a, b)| Act::Share(a, b)),
        (any::<bool>(), 0..9usize).prop_map(|(vm, at)| Act::Delete(vm, at)),
    ]
}

/// Every reference that a relation's written end holds to a living object is listed there, and nothing else is.
fn both_ends_agree(pool: &PoolHandle) {
    for relation in schema::relations() {
        let Some(kind) =
            schema::class(relation.other_class).and_then(|class| class.field(relation.other_field))
        else {
            continue;
        };
        let itself = relation.class == relation.other_class && relation.field == relation.other_field;
        if !matches!(kind.kind, Type::Set(_)) || itself {
            continue;
        }
        let holders = pool.records(relation.class);
        for target in pool.records(relation.other_class) {
            let points = |value: Option<&Value>| match value {
                Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(&target.reference)),
                Some(one) => one.as_str() == Some(&target.reference),
                None => false,
            };
            let mut expected: Vec<&str> = holders
                .iter()
                .filter(|holder| points(holder.get(relation.field)))
                .map(|holder| holder.reference.as_str())
                .collect();
            let listed = target.get(relation.other_field).and_then(Value::as_array).unwrap_or_default();
            let mut listed: Vec<&str> = listed.iter().filter_map(Value::as_str).collect();
            expected.sort_unstable();
            listed.sort_unstable();
            assert_eq!(listed, expected, "{}.{}", relation.other_class, relation.other_field);
        }
    }
}

#[test]
fn the_made_up_pool_is_consistent() {
    let pool = Simulator::builtin(client::options()).unwrap().pool();
    both_ends_agree(&pool);
    // Every reference in every record leads somewhere.
    for class in schema::classes().iter().filter(|class| class.in_database) {
        for record in pool.records(class.name) {
            for field in class.fields {
                let other = match &field.kind {
                    Type::Ref(other) | Type::Set(Type::Ref(other)) => other,
                    _ => continue,
                };
                let value = record.get(field.name).unwrap().clone();
                let targets = match &value {
                    Value::Array(all) => all.clone(),
                    one => vec![one.clone()],
                };
                for target in targets.iter().filter_map(Value::as_str).filter(|target| *target != NULL_REF) {
                    assert!(pool.record(other, target).is_some(), "{}.{}: {target}", class.name, field.name);
                }
            }
        }
    }
    let again = Simulator::builtin(client::options()).unwrap().pool();
    let names = |pool: &PoolHandle| -> Vec<_> {
        pool.records("VM").into_iter().map(|vm| (vm.reference.clone(), vm.text("uuid").to_owned())).collect()
    };
    assert_eq!(names(&pool), names(&again), "the same for the same seed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn relations_hold_whatever_is_written(acts in prop::collection::vec(act(), 1..30)) {
        let pool = Simulator::builtin(client::options()).unwrap().pool();
        let vms: Vec<_> = pool.records("VM").into_iter().map(|vm| vm.reference).take(6).collect();
        let mut groups = Vec::new();
        for _ in 0..3 {
            groups.push(pool.create("VM_group", Struct::new()).unwrap());
        }
        let vdis: Vec<_> = pool.records("VDI").into_iter().map(|vdi| vdi.reference).take(6).collect();
        let mut vbds = vec![pool.records("VBD")[0].reference.clone()];
        let pick = |all: &[smol_str::SmolStr], at: usize| all.get(at).map_or(NULL_REF.into(), |one| Value::from(one.as_str()));
        for act in acts {
            // What is already deleted is refused, and that is fine.
            match act {
                Act::Create(vm, vdi) => {
                    let fields = [("VM".into(), pick(&vms, vm)), ("VDI".into(), pick(&vdis, vdi))];
                    vbds.push(pool.create("VBD", fields.into_iter().collect()).unwrap());
                }
                Act::Point(vbd, vm) => _ = pool.set("VBD", &vbds[vbd % vbds.len()], "VM", pick(&vms, vm)),
                Act::Share(vm, members) => {
                    let mut members: Vec<Value> = members.into_iter().map(|at| pick(&groups, at % 3)).collect();
                    members.dedup();
                    _ = pool.set("VM", &vms[vm % vms.len()], "groups", Value::Array(members));
                }
                Act::Delete(true, at) => _ = pool.delete("VM", &vms[at % vms.len()]),
                Act::Delete(false, at) => _ = pool.delete("VBD", &vbds[at % vbds.len()]),
            }
        }
        both_ends_agree(&pool);
    }
}
