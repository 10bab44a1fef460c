use serde_json::json as j;

use super::*;

fn vm(field: &str) -> &'static Type {
    &schema::class("VM").unwrap().field(field).unwrap().kind
}

fn task(field: &str) -> &'static Type {
    &schema::class("task").unwrap().field(field).unwrap().kind
}

fn shown(kind: Option<&Type>, value: impl Into<Value>) -> String {
    let mut handles = Handles::new(1, 1);
    format!("{:?}", outward(kind, &value.into(), &mut handles, Age::Seen))
}

fn list(texts: &[&str]) -> Value {
    Value::Array(texts.iter().map(|&text| text.into()).collect())
}

fn map(members: &[(&str, &str)]) -> Value {
    Value::Struct(members.iter().map(|&(name, value)| (name.into(), value.into())).collect())
}

#[test]
fn values_go_out_by_their_type() {
    for (kind, value, expected) in [
        (Some(vm("name_label")), Value::from("web"), "Value::Text(\"web\")"),
        (Some(vm("power_state")), "Running".into(), "Value::Text(\"Running\")"),
        (Some(vm("memory_target")), 5_i64.into(), "Value::Whole(5)"),
        (Some(vm("is_a_template")), true.into(), "Value::Truth(true)"),
        (
            Some(vm("snapshot_time")),
            Value::DateTime("20260821T02:00:23Z".into()),
            "Value::Moment(\"2026-08-21T02:00:23Z\")",
        ),
        (Some(vm("resident_on")), "OpaqueRef:h".into(), "Value::Reference(\"ref:1.1.1\")"),
        (Some(vm("resident_on")), NULL_REF.into(), "Value::Nothing"),
        (Some(vm("resident_on")), "".into(), "Value::Nothing"),
        (
            Some(vm("VBDs")),
            list(&["OpaqueRef:a", "OpaqueRef:b"]),
            "Value::References([\"ref:1.1.1\", \"ref:1.1.2\"])",
        ),
        (Some(vm("tags")), list(&["a"]), "Value::Texts([\"a\"])"),
        (Some(vm("tags")), list(&[]), "Value::Texts([])"),
        (Some(vm("other_config")), map(&[("a", "b")]), "Value::Pairs([(\"a\", \"b\")])"),
        (Some(vm("blobs")), map(&[("a", "OpaqueRef:b")]), "Value::Json(\"{\\\"a\\\":\\\"ref:1.1.1\\\"}\")"),
        (Some(&Type::Void), "".into(), "Value::Nothing"),
        // Without a schema the shape decides, and a reference is still never told.
        (None, "OpaqueRef:h".into(), "Value::Reference(\"ref:1.1.1\")"),
        (None, "text".into(), "Value::Text(\"text\")"),
        (None, list(&["OpaqueRef:a"]), "Value::Json(\"[\\\"ref:1.1.1\\\"]\")"),
        (None, map(&[("k", "OpaqueRef:a")]), "Value::Json(\"{\\\"k\\\":\\\"ref:1.1.1\\\"}\")"),
        // What the schema calls text may hold references: the shape stays, and they become handles.
        (
            Some(vm("current_operations")),
            map(&[("OpaqueRef:t", "clean_shutdown"), ("OpaqueRef:u", "snapshot")]),
            "Value::Pairs([(\"ref:1.1.1\", \"clean_shutdown\"), (\"ref:1.1.2\", \"snapshot\")])",
        ),
        (
            Some(task("error_info")),
            list(&["HANDLE_INVALID", "VM", "OpaqueRef:a", NULL_REF]),
            "Value::Texts([\"HANDLE_INVALID\", \"VM\", \"ref:1.1.1\", \"\"])",
        ),
        (
            Some(task("result")),
            "<value>OpaqueRef:a</value>".into(),
            "Value::Text(\"<value>ref:1.1.1</value>\")",
        ),
        (Some(vm("name_label")), "OpaqueRef:a".into(), "Value::Text(\"ref:1.1.1\")"),
        (Some(vm("name_label")), NULL_REF.into(), "Value::Text(\"\")"),
        (Some(vm("other_config")), map(&[("a", "OpaqueRef:b")]), "Value::Pairs([(\"a\", \"ref:1.1.1\")])"),
        (Some(vm("memory_target")), "OpaqueRef:a".into(), "Value::Text(\"ref:1.1.1\")"),
        (None, map(&[("a OpaqueRef:k", "b")]), "Value::Pairs([(\"a ref:1.1.1\", \"b\")])"),
        (None, list(&["a OpaqueRef:k"]), "Value::Texts([\"a ref:1.1.1\"])"),
        // What is not as the schema says goes out as it is.
        (Some(vm("memory_target")), "many".into(), "Value::Text(\"many\")"),
    ] {
        assert_eq!(shown(kind, value.clone()), expected, "{kind:?} {value:?}");
    }
}

#[test]
fn a_record_goes_out_as_json_with_handles() {
    let mut fields = Struct::new();
    fields.insert("resident_on", "OpaqueRef:h");
    fields.insert("affinity", NULL_REF);
    fields.insert("snapshot_info", map(&[("a", "b")]));
    fields.insert("memory_target", 5_i64);
    fields.push("start_time".into(), Value::Float(f64::NAN));
    let mut handles = Handles::new(1, 1);
    let kind = Type::Record("VM");
    assert_eq!(
        json(Some(&kind), &fields.clone().into(), &mut handles, Age::Fresh(Some(&reaching(&["host"])))),
        j!({"resident_on": "ref:1.1.1", "affinity": null, "snapshot_info": {"a": "b"}, "memory_target": 5, "start_time": "NaN"})
    );
    assert!(handles.resolve("ref:1.1.1").unwrap().fresh);
    let hidden =
        json(Some(&kind), &fields.into(), &mut Handles::new(1, 1), Age::Fresh(Some(&reaching(&["VM"]))));
    assert_eq!(hidden["resident_on"], j!(null), "the grant does not reach hosts");
}

fn reaching(classes: &[&str]) -> Grant {
    let class = classes.iter().map(|&class| class.to_owned()).collect();
    let read = vec![grant::RawRead { class, fields: vec!["uuid".to_owned()] }];
    Grant::compile(&grant::RawGrant { read, ..grant::RawGrant::default() }).unwrap()
}

#[test]
fn json_holds_no_reference_of_xapi_s_wherever_it_stands() {
    let mut operations = Struct::new();
    operations.insert("OpaqueRef:t", "start");
    operations.insert("OpaqueRef:n", NULL_REF);
    let mut fields = Struct::new();
    fields.insert("current_operations", operations.clone());
    fields.insert("name_label", "OpaqueRef:x");
    fields.insert("tags", list(&["OpaqueRef:t"]));
    fields.insert("brand_new", operations);
    let mut handles = Handles::new(1, 1);
    let kind = Type::Record("VM");
    assert_eq!(
        json(Some(&kind), &fields.into(), &mut handles, Age::Seen),
        j!({
            "current_operations": {"ref:1.1.1": "start", "ref:1.1.2": ""},
            "name_label": "ref:1.1.3",
            "tags": ["ref:1.1.1"],
            "brand_new": {"ref:1.1.1": "start", "ref:1.1.2": null},
        })
    );
}

#[test]
fn texts_with_references_come_back_as_they_were() {
    let mut handles = Handles::new(1, 1);
    let written = map(&[("import_task", "OpaqueRef:t"), ("OpaqueRef:k", "see OpaqueRef:t, please")]);
    let set = list(&["OpaqueRef:t", "x"]);
    for (kind, value) in [
        (vm("other_config"), written.clone()),
        (vm("tags"), set),
        (vm("name_label"), "of OpaqueRef:t".into()),
    ] {
        let given = outward(Some(kind), &value, &mut handles, Age::Seen);
        assert!(!format!("{given:?}").contains("OpaqueRef:"), "{given:?}");
        assert_eq!(inward(kind, &given, &handles), Ok(value.clone()), "{given:?}");
        let given = Given::Json(json(Some(kind), &value, &mut handles, Age::Seen).to_string());
        assert_eq!(inward(kind, &given, &handles), Ok(value), "{given:?}");
    }
}

#[test]
fn values_come_in_as_the_schema_wants_them() {
    let mut handles = Handles::new(1, 1);
    let handle = handles.issue("VM", "OpaqueRef:a");
    let set_of_maps = Type::Set(&Type::Map(&Type::String, &Type::Int));
    let references = Type::Map(&Type::Ref("VDI"), &Type::Ref("SR"));
    for (kind, given, expected) in [
        (&Type::String, Given::Text("x".into()), Value::from("x")),
        (&Type::Int, Given::Whole(3), 3_i64.into()),
        (&Type::Float, Given::Whole(3), 3.0.into()),
        (&Type::Float, Given::Json("\"inf\"".into()), f64::INFINITY.into()),
        (&Type::Bool, Given::Truth(true), true.into()),
        (
            &Type::DateTime,
            Given::Moment("2026-08-21T02:00:23Z".into()),
            Value::DateTime("20260821T02:00:23Z".into()),
        ),
        (&Type::Ref("VM"), Given::Reference(handle.clone()), "OpaqueRef:a".into()),
        (&Type::Ref("VM"), Given::Nothing, NULL_REF.into()),
        (&Type::Set(&Type::Ref("VM")), Given::References(vec![handle.clone()]), list(&["OpaqueRef:a"])),
        (&Type::Set(&Type::Ref("VM")), Given::Texts(vec![]), list(&[])),
        (&Type::Set(&Type::String), Given::Texts(vec!["a".into()]), list(&["a"])),
        (
            &Type::Map(&Type::String, &Type::String),
            Given::Pairs(vec![("a".into(), "b".into())]),
            map(&[("a", "b")]),
        ),
        (
            &references,
            Given::Pairs(vec![(handle.clone(), handle.clone())]),
            map(&[("OpaqueRef:a", "OpaqueRef:a")]),
        ),
        (
            &set_of_maps,
            Given::Json("[{\"a\": 1}]".into()),
            vec![Value::Struct([("a".into(), 1_i64.into())].into_iter().collect())].into(),
        ),
        (
            &Type::Record("VM"),
            Given::Json(format!(
                "{{\"affinity\": \"{handle}\", \"resident_on\": null, \"memory_target\": 4}}"
            )),
            Value::Struct(
                [
                    ("affinity".into(), "OpaqueRef:a".into()),
                    ("resident_on".into(), NULL_REF.into()),
                    ("memory_target".into(), 4_i64.into()),
                ]
                .into_iter()
                .collect(),
            ),
        ),
    ] {
        assert_eq!(inward(kind, &given, &handles), Ok(expected), "{kind:?} {given:?}");
    }
}

#[test]
fn what_does_not_fit_is_told() {
    let handles = Handles::new(1, 1);
    let wanted = |kind: &Type, given: Given| match inward(kind, &given, &handles) {
        Err(Misfit::Shape { wanted, given }) => format!("{wanted} / {given}"),
        other => format!("{other:?}"),
    };
    assert_eq!(wanted(&Type::Int, Given::Text("3".into())), "whole / text");
    assert_eq!(wanted(&Type::Ref("VM"), Given::Text("OpaqueRef:a".into())), "reference to VM / text");
    assert_eq!(
        wanted(&Type::Set(&Type::Int), Given::Texts(vec!["1".into()])),
        "json, a list of whole / texts"
    );
    assert_eq!(wanted(&Type::DateTime, Given::Moment("noon".into())), "moment (RFC 3339) / moment");
    assert!(
        wanted(&Type::Record("VM"), Given::Json("{\"afinity\": null}".into()))
            .contains("did you mean `affinity`?")
    );
    assert!(wanted(&Type::Bool, Given::Json("{".into())).contains("it is no JSON"));
    for given in [
        Given::Reference("ref:1.1.1".into()),
        Given::Reference("OpaqueRef:a".into()),
        Given::Json("\"ref:1.1.1\"".into()),
    ] {
        let found = inward(&Type::Ref("VM"), &given, &handles);
        assert!(matches!(found, Err(Misfit::Reference(_, HandleFault::Unknown))), "{given:?} {found:?}");
    }
}
