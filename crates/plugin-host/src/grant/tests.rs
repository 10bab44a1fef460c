//! The grant decision: a table of cases, what a grant file's mistakes look like, and a property test against a slow
//! reference that follows the words of the rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use xapi::Struct;

use super::*;
use crate::manifest::Manifest;

fn allow(call: &[&str], on: Option<&str>) -> RawAllow {
    RawAllow { call: call.iter().map(|&text| text.to_owned()).collect(), on: on.map(str::to_owned) }
}

fn read(class: &[&str], fields: &[&str]) -> RawRead {
    let own = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    RawRead { class: own(class), fields: own(fields) }
}

fn raw(allow: Vec<RawAllow>, read: Vec<RawRead>) -> RawGrant {
    RawGrant { file: "plugins/test.toml".into(), allow, read }
}

fn grant(allow: Vec<RawAllow>) -> Grant {
    Grant::compile(&raw(allow, Vec::new())).unwrap()
}

fn record(class: &str, reference: &str, uuid: &str, tags: &[&str]) -> Arc<Record> {
    let mut fields = Struct::new();
    fields.insert("uuid", uuid);
    fields.insert("name_label", format!("name of {uuid}"));
    fields.insert("tags", tags.iter().map(|&tag| Value::from(tag)).collect::<Vec<_>>());
    Arc::new(Record::new(class, reference, fields))
}

fn world() -> World {
    let mut world = World::new();
    world.insert(record("VM", "OpaqueRef:kept", "u-kept", &["keepalive"]));
    world.insert(record("VM", "OpaqueRef:bare", "u-bare", &[]));
    world.insert(record("host", "OpaqueRef:host", "u-host", &["rack-1"]));
    world
}

fn decide(grant: &Grant, name: &str, arguments: &[Value]) -> Decision {
    let (class, method) = schema::method(name).unwrap();
    grant.decide(class, method, arguments, &world())
}

fn start(reference: &str) -> Vec<Value> {
    vec![reference.into(), false.into(), false.into()]
}

fn reason(decision: Decision) -> Result<usize, Reason> {
    match decision {
        Decision::Allowed { rule } => Ok(rule),
        Decision::Denied(denial) => Err(denial.reason),
    }
}

#[test]
fn calls_are_decided_by_method_and_object() {
    let tagged = Some("\"keepalive\" in self.tags");
    let kept = start("OpaqueRef:kept");
    let bare = start("OpaqueRef:bare");
    let on_host = vec![Value::from("OpaqueRef:host")];
    for (rules, method, arguments, expected) in [
        (vec![], "VM.start", &kept, Err(Reason::NoRule)),
        (vec![allow(&["VM.start"], None)], "VM.start", &bare, Ok(0)),
        (vec![allow(&["VM.clean_shutdown"], None)], "VM.start", &kept, Err(Reason::NoRule)),
        (vec![allow(&["VM.start"], tagged)], "VM.start", &kept, Ok(0)),
        (vec![allow(&["VM.start"], tagged)], "VM.start", &bare, Err(Reason::OtherObjects)),
        (vec![allow(&["VM.start"], tagged), allow(&["VM.*"], None)], "VM.start", &bare, Ok(1)),
        (vec![allow(&["VM.get_*"], None)], "VM.get_tags", &kept, Ok(0)),
        (vec![allow(&["VM.get_*"], None)], "VM.start", &kept, Err(Reason::NoRule)),
        (vec![allow(&["*.get_tags"], None)], "host.get_tags", &on_host, Ok(0)),
        (vec![allow(&["*.*"], None)], "VM.start", &kept, Ok(0)),
        (vec![allow(&["host.*"], None)], "host.destroy", &on_host, Err(Reason::NeedsItsName)),
        (vec![allow(&["*.*"], None)], "host.call_plugin", &on_host, Err(Reason::NeedsItsName)),
        (vec![allow(&["host.destroy"], None)], "host.destroy", &on_host, Ok(0)),
        (vec![allow(&["host.destroy"], tagged)], "host.destroy", &on_host, Err(Reason::OtherObjects)),
        (vec![allow(&["VM.start"], None)], "VM.start", &start("OpaqueRef:gone"), Err(Reason::UnknownObject)),
        (vec![allow(&["VM.start"], None)], "VM.start", &start(NULL_REF), Ok(0)),
        (vec![allow(&["VM.start"], tagged)], "VM.start", &start(NULL_REF), Err(Reason::OtherObjects)),
        (vec![allow(&["VM.get_all"], None)], "VM.get_all", &vec![], Ok(0)),
        (vec![allow(&["VM.start", "VM.get_all"], tagged)], "VM.get_all", &vec![], Err(Reason::OtherObjects)),
        (vec![allow(&["VM.start"], Some("args.start_paused"))], "VM.start", &kept, Err(Reason::OtherObjects)),
        (vec![allow(&["VM.start"], Some("!args.start_paused"))], "VM.start", &kept, Ok(0)),
        // What cannot be evaluated does not hold.
        (
            vec![allow(&["VM.start"], Some("self.other_config[\"x\"] == \"y\""))],
            "VM.start",
            &kept,
            Err(Reason::OtherObjects),
        ),
    ] {
        let decision = decide(&grant(rules.clone()), method, arguments);
        assert_eq!(reason(decision.clone()), expected, "{rules:?} {method} {arguments:?}: {decision:?}");
    }
}

#[test]
fn a_refusal_shows_the_lines_that_would_allow_it() {
    let advice = |rules, method: &str, arguments: &[Value]| match decide(&grant(rules), method, arguments) {
        Decision::Denied(denial) => denial.advice,
        Decision::Allowed { rule } => panic!("allowed by {rule}"),
    };
    assert_eq!(
        advice(vec![], "VM.start", &start("OpaqueRef:kept")),
        "to allow it, add to plugins/test.toml:\n[[allow]]\ncall = [\"VM.start\"]\n"
    );
    assert_eq!(
        advice(
            vec![allow(&["VM.start"], Some("\"keepalive\" in self.tags"))],
            "VM.start",
            &start("OpaqueRef:bare")
        ),
        "[[allow]] 1 of plugins/test.toml does not cover this object: `\"keepalive\" in self.tags` does not hold; to \
         allow it, add to plugins/test.toml:\n[[allow]]\ncall = [\"VM.start\"]\non = 'self.uuid == \"u-bare\"'\n"
    );
    let dangerous = advice(vec![allow(&["host.*"], None)], "host.destroy", &["OpaqueRef:host".into()]);
    assert!(
        dangerous.contains("dangerous") && dangerous.ends_with("call = [\"host.destroy\"]\n"),
        "{dangerous}"
    );
}

#[test]
fn pasting_the_advice_allows_the_call() {
    for (rules, method, arguments) in [
        (vec![], "VM.start", start("OpaqueRef:bare")),
        (vec![allow(&["VM.start"], Some("\"keepalive\" in self.tags"))], "VM.start", start("OpaqueRef:bare")),
        (vec![allow(&["host.*"], None)], "host.destroy", vec!["OpaqueRef:host".into()]),
        (vec![allow(&["VM.start"], Some("self.name_label == \"x\""))], "VM.start", start(NULL_REF)),
    ] {
        let Decision::Denied(denial) = decide(&grant(rules.clone()), method, &arguments) else {
            panic!("{method} is allowed already")
        };
        let (_, lines) = denial.advice.split_once(".toml:\n").unwrap();
        let pasted: RawGrant = toml::from_str(lines).unwrap();
        let all = rules.into_iter().chain(pasted.allow).collect();
        assert!(matches!(decide(&grant(all), method, &arguments), Decision::Allowed { .. }), "{lines}");
    }
}

#[test]
fn reading_is_closed_until_a_line_opens_it() {
    let grant = Grant::compile(&raw(
        Vec::new(),
        vec![
            read(&["VM", "host"], &["uuid", "tags"]),
            read(&["VM"], &["power_state"]),
            read(&["SR"], &["*"]),
        ],
    ))
    .unwrap();
    let shows = |class: &str, field: &str| grant.visible(class).is_some_and(|visible| visible.shows(field));
    assert!(
        shows("VM", "tags") && shows("VM", "power_state") && shows("host", "uuid") && shows("SR", "uuid")
    );
    assert!(!shows("VM", "name_label") && !shows("host", "power_state") && !shows("VDI", "uuid"));
    assert_eq!(grant.readable().collect::<BTreeSet<_>>(), ["SR", "VM", "host"].into());
    assert_eq!(Grant::nothing("x").visible("VM"), None);
}

#[test]
fn every_mistake_of_a_grant_is_told_with_its_place() {
    let problems: Vec<String> = Grant::compile(&raw(
        vec![
            allow(&["VM.strat", "Async.VM.start", "VM.frob_*"], None),
            allow(&["VM.start"], Some("self.powerstate == \"Halted\"")),
            allow(&["VM.get_all"], Some("true")),
            allow(&[], None),
            allow(&["VM.start"], Some("self.tags[")),
        ],
        vec![read(&["vm", "Host"], &["uuid"]), read(&["VM"], &["tag"]), read(&[], &[])],
    ))
    .unwrap_err()
    .iter()
    .map(ToString::to_string)
    .collect();
    let expected = [
        "[[allow]] 1, `call`: XAPI has no method `VM.strat`; did you mean `VM.start`?",
        "[[allow]] 1, `call`: `Async.VM.start`: leave `Async.` out, `VM.start` covers both forms",
        "[[allow]] 1, `call`: `VM.frob_*` matches no method of XAPI",
        "[[allow]] 2, `on`: the expression `self.powerstate == \"Halted\"` is wrong at line 1, column 5: VM has no field \
         `powerstate`; did you mean `power_state`?",
        "[[allow]] 3, `on`: none of the methods acts on an object; leave `on` out",
        "[[allow]] 4, `call`: it is empty: name methods such as \"VM.start\"",
        "[[allow]] 5, `on`: the expression `self.tags[` is wrong at line 1",
        "[[read]] 1, `class`: XAPI has no class `vm`; did you mean `VM`?",
        "[[read]] 1, `class`: XAPI has no class `Host`; did you mean `host`?",
        "[[read]] 2, `fields`: VM has no field `tag`; did you mean `tags`?",
        "[[read]] 3, `class`: it is empty: name classes such as \"VM\"",
        "[[read]] 3, `fields`: it is empty: name fields, or write [\"*\"] for all",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "got  {problem}\nwant {expected}");
    }
}

#[test]
fn unknown_keys_of_a_grant_are_refused() {
    assert!(toml::from_str::<RawGrant>("[[allow]]\ncall = [\"VM.start\"]\nwhere = \"true\"\n").is_err());
}

#[test]
fn every_dangerous_pattern_names_methods() {
    for pattern in DANGEROUS {
        Pattern::parse(pattern).unwrap_or_else(|problem| panic!("{problem}"));
    }
    for name in [
        "session.logout",
        "host.call_plugin",
        "pool.eject",
        "VM.import",
        "pool.rotate_secret",
        "PBD.get_device_config",
        "PBD.get_record",
        "PBD.get_all_records",
    ] {
        assert!(is_dangerous(name), "{name}");
    }
    for name in [
        "VM.start",
        "VM.get_record",
        "host.get_name_label",
        "pool.sync_database",
        "VM.clean_shutdown",
        "PBD.plug",
        "PBD.get_all",
        "PBD.get_SR",
    ] {
        assert!(!is_dangerous(name), "{name}");
    }
}

#[test]
fn reading_a_storage_s_passwords_needs_the_method_s_name() {
    let decide = |rule: &str, name: &str| {
        let (class, method) = schema::method(name).unwrap();
        let record = record("PBD", "OpaqueRef:p", "p", &[]);
        reason(grant(vec![allow(&[rule], None)]).decide_on(class, method, &[], Target::Known(&record)))
    };
    for name in ["PBD.get_device_config", "PBD.get_record", "PBD.get_all_records"] {
        for rule in ["*.*", "PBD.*", "PBD.get_*", "*.get_*"] {
            assert_eq!(decide(rule, name), Err(Reason::NeedsItsName), "{rule} {name}");
        }
        assert_eq!(decide(name, name), Ok(0));
    }
    assert_eq!(decide("PBD.get_*", "PBD.get_host"), Ok(0));
}

#[test]
fn what_a_manifest_asks_beyond_the_grant_is_told_as_lines() {
    let manifest = Manifest::parse(
        r#"
name = "m"
version = "1.0.0"
contract = "0.1.0"
description = "d"
[[subscribe]]
name = "s"
class = "VM"
[[request]]
call = "VM.start"
reason = "to start it"
[[request]]
call = "host.destroy"
reason = "why not"
"#,
    )
    .unwrap();
    let missing = |allow, read| Grant::compile(&raw(allow, read)).unwrap().missing(&manifest);
    assert_eq!(
        missing(vec![], vec![]).unwrap(),
        "# to start it\n[[allow]]\ncall = [\"VM.start\"]\n# why not\n[[allow]]\ncall = [\"host.destroy\"]\n# to see what it \
         is told of\n[[read]]\nclass = [\"VM\"]\nfields = [\"*\"]\n"
    );
    let rest = missing(vec![allow(&["VM.*", "host.*"], None)], vec![read(&["VM"], &["uuid"])]).unwrap();
    assert_eq!(
        rest, "# why not\n[[allow]]\ncall = [\"host.destroy\"]\n",
        "a pattern does not reach dangerous methods"
    );
    assert_eq!(
        missing(vec![allow(&["VM.start", "host.destroy"], None)], vec![read(&["VM"], &["uuid"])]),
        None
    );
}

#[test]
fn ends_of_tasks_ask_for_the_class_task_once() {
    let manifest = Manifest::parse(
        r#"
name = "m"
version = "1.0.0"
contract = "0.1.0"
description = "d"
[[subscribe]]
name = "ends"
task = true
[[subscribe]]
name = "changes"
class = "task"
[[subscribe]]
name = "connection"
connection = true
"#,
    )
    .unwrap();
    let missing = |read| Grant::compile(&raw(vec![], read)).unwrap().missing(&manifest);
    assert_eq!(
        missing(vec![]).unwrap(),
        "# to see what it is told of\n[[read]]\nclass = [\"task\"]\nfields = [\"*\"]\n"
    );
    assert_eq!(missing(vec![read(&["task"], &["name_label"])]), None);
}

#[test]
fn the_target_is_the_first_reference_that_is_no_session() {
    for (name, expected) in [
        ("VM.start", Some((0, "VM"))),
        ("VM.get_all", None),
        ("VM.get_by_uuid", None),
        ("VM.start_on", Some((0, "VM"))),
        ("session.get_uuid", Some((0, "session"))),
        ("VDI.copy", Some((0, "VDI"))),
    ] {
        let (_, method) = schema::method(name).unwrap();
        assert_eq!(target_parameter(method), expected, "{name}");
    }
}

// The slow reference: the words of the rules, one after the other, with its own matcher.

/// Whether `*` in the pattern can be filled so that it spells the text.
fn spells(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|taken| spells(rest, &text[taken..])),
        Some((letter, rest)) => text.first() == Some(letter) && spells(rest, &text[1..]),
    }
}

fn covers(pattern: &str, name: &str) -> bool {
    let ((class, method), (of, named)) = (pattern.split_once('.').unwrap(), name.split_once('.').unwrap());
    spells(class.as_bytes(), of.as_bytes()) && spells(method.as_bytes(), named.as_bytes())
}

/// The `on` of the property test asks for one tag.
fn reference_decision(
    rules: &[(Vec<String>, Option<String>)],
    name: &str,
    target: &Target<'_>,
) -> Result<usize, Reason> {
    if let Target::Unknown { .. } = target {
        return Err(Reason::UnknownObject);
    }
    let dangerous = DANGEROUS.iter().any(|pattern| covers(pattern, name));
    let holds = |tag: &Option<String>| match (tag, target) {
        (None, _) => true,
        (Some(tag), Target::Known(record)) => record
            .get("tags")
            .and_then(Value::as_array)
            .is_some_and(|tags| tags.contains(&tag.as_str().into())),
        (Some(_), _) => false,
    };
    let named = |calls: &[String]| {
        if dangerous {
            calls.iter().any(|call| call == name)
        } else {
            calls.iter().any(|call| covers(call, name))
        }
    };
    if let Some(rule) = rules.iter().position(|(calls, tag)| named(calls) && holds(tag)) {
        return Ok(rule);
    }
    if rules.iter().any(|(calls, _)| named(calls)) {
        return Err(Reason::OtherObjects);
    }
    if rules.iter().any(|(calls, _)| calls.iter().any(|call| covers(call, name))) {
        return Err(Reason::NeedsItsName);
    }
    Err(Reason::NoRule)
}

const METHODS: &[&str] = &[
    "VM.start",
    "VM.start_on",
    "VM.clean_shutdown",
    "VM.get_tags",
    "VM.import",
    "host.destroy",
    "host.get_tags",
    "host.enable",
    "host.call_plugin",
    "pool.eject",
];

fn pattern() -> impl Strategy<Value = String> {
    // A real method with some of its letters replaced by stars, so that it always names something.
    (prop::sample::select(METHODS), any::<[bool; 2]>(), 0_usize..12, 0_usize..12).prop_map(
        |(name, [stars, whole], from, length)| {
            let (class, method) = name.split_once('.').unwrap();
            let method = if stars {
                let from = from.min(method.len());
                let to = (from + length).min(method.len());
                format!("{}*{}", &method[..from], &method[to..])
            } else {
                method.to_owned()
            };
            format!("{}.{method}", if whole { "*" } else { class })
        },
    )
}

fn rule() -> impl Strategy<Value = (Vec<String>, Option<String>)> {
    let tag = prop::option::of(prop::sample::select(vec!["a".to_owned(), "b".to_owned()]));
    (prop::collection::vec(pattern(), 1..3), tag)
}

proptest! {
    #[test]
    fn decisions_agree_with_the_slow_reference(
        rules in prop::collection::vec(rule(), 0..5),
        method in prop::sample::select(METHODS),
        kind in 0_u8..4,
        tags in prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..3),
    ) {
        let written = rules
            .iter()
            .map(|(calls, tag)| RawAllow {
                call: calls.clone(),
                on: tag.as_ref().map(|tag| format!("\"{tag}\" in self.tags")),
            })
            .collect();
        // A rule whose methods have no tagged object is refused when compiling, rightly; all of these have one.
        let grant = Grant::compile(&raw(written, Vec::new())).unwrap();
        let (class, called) = schema::method(method).unwrap();
        let of = target_parameter(called).map_or("VM", |(_, class)| class);
        let known = record(of, "OpaqueRef:x", "u-x", &tags);
        let target = match kind {
            0 => Target::None,
            1 => Target::Null,
            2 => Target::Unknown { class: of },
            _ => Target::Known(&known),
        };
        let expected = reference_decision(&rules, method, &target);
        prop_assert_eq!(reason(grant.decide_on(class, called, &[], target)), expected);
    }

    #[test]
    fn any_text_as_pattern_or_condition_is_an_answer_and_no_panic(text in "\\PC{0,40}") {
        let _ = Pattern::parse(&text);
        let _ = Grant::compile(&raw(vec![allow(&["VM.start"], Some(&text))], Vec::new()));
        let _ = Manifest::parse(&text);
    }
}
