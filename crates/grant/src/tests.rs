//! The decision: tables of cases, and what a grant file's mistakes look like. `tests/decisions.rs` compares it with a slow
//! reference.

use std::collections::BTreeSet;
use std::sync::Arc;

use xapi::model::{Record, World, schema};
use xapi::{Struct, Value};

use super::*;

fn allow(call: &[&str], on: Option<&str>) -> RawAllow {
    let call = call.iter().map(|&text| text.to_owned()).collect();
    RawAllow { call, on: on.map(str::to_owned), ..RawAllow::default() }
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
    decide_in(grant, name, arguments, &world())
}

fn decide_in(grant: &Grant, name: &str, arguments: &[Value], world: &World) -> Decision {
    let (class, method) = schema::method(name).unwrap();
    grant.decide(&Question::of(Call { class, method, arguments }, world))
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
        (vec![allow(&["VM.get_all", "VM.start"], None)], "VM.get_all", &vec![], Ok(0)),
        (vec![allow(&["VM.get_all"], None)], "VM.get_all", &vec![], Ok(0)),
        (
            vec![allow(&["*.get_resident_VMs"], None)],
            "host.get_resident_VMs",
            &on_host,
            Err(Reason::HiddenResult),
        ),
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
        "[[allow]] 1 of plugins/test.toml does not cover this call: `\"keepalive\" in self.tags` does not hold; to \
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
            allow(&["VM.get_all"], Some("self.uuid == \"x\"")),
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
        "[[allow]] 3, `on`: none of the methods acts on an object; leave `self` out",
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
    let mut world = World::new();
    world.insert(record("PBD", "OpaqueRef:p", "p", &[]));
    let decide = |rule: &str, name: &str| {
        let grant = grant(vec![allow(&[rule, "PBD.get_host", "host.get_uuid"], None)]);
        reason(decide_in(&grant, name, &["OpaqueRef:p".into()], &world))
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

fn wired() -> World {
    let mut world = world();
    let mut add = |class: &str, reference: &str, uuid: &str, tags: &[&str], leads: &[(&str, &str)]| {
        let mut made = (*record(class, reference, uuid, tags)).clone();
        for (field, to) in leads {
            made.set(field, *to);
        }
        world.insert(Arc::new(made));
    };
    add("SR", "OpaqueRef:sr", "u-sr", &["lab"], &[]);
    add("VDI", "OpaqueRef:vdi", "u-vdi", &[], &[("SR", "OpaqueRef:sr")]);
    add("VBD", "OpaqueRef:vbd", "u-vbd", &[], &[("VM", "OpaqueRef:kept"), ("VDI", "OpaqueRef:vdi")]);
    add("VBD", "OpaqueRef:empty", "u-empty", &[], &[("VM", "OpaqueRef:bare"), ("VDI", NULL_REF)]);
    add("VBD", "OpaqueRef:lost", "u-lost", &[], &[("VM", "OpaqueRef:gone"), ("VDI", "OpaqueRef:gone")]);
    world
}

#[test]
fn a_rule_looks_at_what_the_call_really_touches() {
    let world = wired();
    let vbd = |name: &str| vec![Value::from(format!("OpaqueRef:{name}"))];
    let of_kept = "\"keepalive\" in self.VM.tags";
    let start_on = |host: &str| vec!["OpaqueRef:kept".into(), Value::from(host), false.into(), false.into()];
    let mut device = Struct::new();
    device.insert("VM", "OpaqueRef:kept");
    device.insert("VDI", "OpaqueRef:vdi");
    let create = vec![Value::Struct(device)];
    for (method, on, arguments, expected) in [
        ("VBD.plug", of_kept, vbd("vbd"), Ok(0)),
        ("VBD.plug", of_kept, vbd("empty"), Err(Reason::OtherObjects)),
        ("VBD.plug", of_kept, vbd("lost"), Err(Reason::OtherObjects)),
        ("VBD.plug", "self.VDI.SR.uuid == \"u-sr\"", vbd("vbd"), Ok(0)),
        ("VBD.plug", "self.VDI.SR.uuid == \"u-sr\"", vbd("empty"), Err(Reason::OtherObjects)),
        ("VBD.plug", "!has(self.VDI.uuid)", vbd("empty"), Ok(0)),
        // A reference that no dot follows reads as a uuid, or as nothing where it points nowhere.
        ("VBD.plug", "self.VM == \"u-kept\" && self.VDI != \"\"", vbd("vbd"), Ok(0)),
        ("VBD.plug", "self.VDI == \"\"", vbd("empty"), Ok(0)),
        ("VM.start_on", "\"rack-1\" in args.host.tags", start_on("OpaqueRef:host"), Ok(0)),
        ("VM.start_on", "args.host == \"u-host\"", start_on("OpaqueRef:host"), Ok(0)),
        ("VM.start_on", "args.host == \"u-host\"", start_on(NULL_REF), Err(Reason::OtherObjects)),
        ("VM.start_on", "args.vm.uuid == self.uuid", start_on("OpaqueRef:host"), Ok(0)),
        ("VBD.create", "\"keepalive\" in args.args.VM.tags", create.clone(), Ok(0)),
        ("VBD.create", "\"lab\" in args.args.VDI.SR.tags", create.clone(), Ok(0)),
        ("VBD.create", "\"x\" in args.args.VM.tags", create, Err(Reason::OtherObjects)),
    ] {
        let mut written = raw(vec![allow(&[method], Some(on))], vec![read(&["VBD"], &["uuid"])]);
        let grant = Grant::compile(&written).unwrap_or_else(|problems| panic!("{on}: {problems:?}"));
        let decision = decide_in(&grant, method, &arguments, &world);
        assert_eq!(reason(decision.clone()), expected, "{method} {on}: {decision:?}");
        written.read.clear();
    }
}

#[test]
fn each_argument_can_have_a_condition_of_its_own() {
    let with = |args: &[(&str, &str)]| {
        let args = args.iter().map(|(name, source)| ((*name).to_owned(), (*source).to_owned())).collect();
        RawAllow { args, ..allow(&["VM.add_tags", "VM.start"], None) }
    };
    let add = |tag: &str| vec![Value::from("OpaqueRef:kept"), tag.into()];
    let auto = with(&[("value", "value.matches(\"^auto/[a-z]+$\")")]);
    for (rule, method, arguments, expected) in [
        (&auto, "VM.add_tags", add("auto/web"), Ok(0)),
        (&auto, "VM.add_tags", add("prod"), Err(Reason::OtherObjects)),
        // Not given, so nothing is known of it.
        (&auto, "VM.add_tags", vec!["OpaqueRef:kept".into()], Err(Reason::OtherObjects)),
        (&auto, "VM.start", start("OpaqueRef:kept"), Err(Reason::OtherObjects)),
        (&with(&[("value", "value != self.name_label")]), "VM.add_tags", add("x"), Ok(0)),
        (&with(&[("self", "\"keepalive\" in value.tags")]), "VM.add_tags", add("x"), Ok(0)),
    ] {
        let decision = decide(&grant(vec![rule.clone()]), method, &arguments);
        assert_eq!(reason(decision.clone()), expected, "{rule:?} {method}: {decision:?}");
    }
    let Decision::Denied(denial) = decide(&grant(vec![auto]), "VM.add_tags", &add("prod")) else {
        panic!("it is allowed")
    };
    assert!(denial.advice.contains("args.value: `value.matches("), "{}", denial.advice);
}

#[test]
fn mistakes_in_arguments_and_budgets_are_told() {
    let with = |name: &str, source: &str| RawAllow {
        args: [(name.to_owned(), source.to_owned())].into(),
        ..allow(&["VM.add_tags"], None)
    };
    for (rule, expected) in [
        (
            with("valeu", "true"),
            "[[allow]] 1, `args.valeu`: none of the methods has an argument `valeu`; did you mean `value`?",
        ),
        (
            with("value", "vaule == \"x\""),
            "[[allow]] 1, `args.value`: the expression `vaule == \"x\"` is wrong at line 1, column 1: nothing is named `vaule`; did you mean `value`?",
        ),
        (
            with("value", "value + 1 == 2"),
            "[[allow]] 1, `args.value`: the expression `value + 1 == 2` is wrong",
        ),
        (
            allow(&["VM.start"], Some("args.start_pausd")),
            "[[allow]] 1, `on`: the expression `args.start_pausd` is wrong at line 1, column 5: no method here has an argument `start_pausd`; did you mean `start_paused`?",
        ),
        (
            allow(&["VBD.plug"], Some("\"x\" in self.VM.tag")),
            "[[allow]] 1, `on`: the expression `\"x\" in self.VM.tag` is wrong at line 1, column 15: VM has no field `tag`; did you mean `tags`?",
        ),
        (
            allow(&["VBD.plug"], Some("self.VM.tags")),
            "[[allow]] 1, `on`: the expression `self.VM.tags` is wrong at line 1, column 1: unexpected type: got 'list', want 'bool'",
        ),
        (
            RawAllow { per_event: Some(0), ..allow(&["VM.start"], None) },
            "[[allow]] 1, `per_event`: with 0 the rule allows nothing",
        ),
        (RawAllow { per_minute: Some(0), ..allow(&["VM.start"], None) }, "[[allow]] 1, `per_minute`: with 0"),
        (
            RawAllow { objects_per_hour: Some(3), ..allow(&["VM.create"], None) },
            "[[allow]] 1, `objects_per_hour`: none of the methods acts on an object",
        ),
    ] {
        let problems = Grant::compile(&raw(vec![rule.clone()], Vec::new())).unwrap_err();
        let found = problems[0].to_string();
        assert!(
            found.to_lowercase().starts_with(&expected.to_lowercase()),
            "{rule:?}\ngot  {found}\nwant {expected}"
        );
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
}

const SECOND: i64 = 1_000_000;

/// Asks at a time, and counts what is allowed.
fn ask(grant: &Grant, spent: &mut Spent, run: &mut Run, object: &str, now: i64) -> Result<usize, Denial> {
    let (class, method) = schema::method("VM.start").unwrap();
    let world = world();
    let arguments = start(object);
    let question = Question {
        run: &run.clone(),
        spent: &spent.clone(),
        now,
        ..Question::of(Call { class, method, arguments: &arguments }, &world)
    };
    match grant.decide(&question) {
        Decision::Allowed { rule } => {
            run.count(rule);
            spent.spend(rule, grant.rules()[rule].budget(), question.object(), now);
            Ok(rule)
        }
        Decision::Denied(denial) => Err(denial),
    }
}

#[test]
fn a_budget_that_is_used_up_refuses_and_says_when_it_has_room() {
    let kept = "OpaqueRef:kept";
    let budgeted = |rule: RawAllow| RawGrant {
        allow: vec![RawAllow { line: 12, call: vec!["VM.start".into()], ..rule }],
        ..raw(Vec::new(), Vec::new())
    };
    let by_minute =
        Grant::compile(&budgeted(RawAllow { per_minute: Some(2), ..RawAllow::default() })).unwrap();
    let (mut spent, mut run) = (Spent::new(), Run::new());
    assert_eq!(ask(&by_minute, &mut spent, &mut run, kept, 0), Ok(0));
    assert_eq!(ask(&by_minute, &mut spent, &mut run, kept, 10 * SECOND), Ok(0));
    let denial = ask(&by_minute, &mut spent, &mut run, kept, 20 * SECOND).unwrap_err();
    assert_eq!(
        (denial.reason, denial.exhausted),
        (Reason::OverBudget, Some(Exhausted { rule: 0, bound: Bound::PerMinute(2), again: Some(MINUTE) }))
    );
    assert_eq!(
        denial.advice,
        "[[allow]] 1 of plugins/test.toml:12 covers the call and allows 2 calls a minute, and no more: it may be tried again \
         in 40 s; to allow more, raise `per_minute = 2` there"
    );
    assert_eq!(
        ask(&by_minute, &mut spent, &mut run, kept, MINUTE),
        Ok(0),
        "the first one has left the window"
    );

    let by_run = Grant::compile(&budgeted(RawAllow { per_event: Some(1), ..RawAllow::default() })).unwrap();
    let (mut spent, mut run) = (Spent::new(), Run::new());
    assert_eq!(ask(&by_run, &mut spent, &mut run, kept, 0), Ok(0));
    let denial = ask(&by_run, &mut spent, &mut run, kept, HOUR).unwrap_err();
    assert_eq!(denial.exhausted, Some(Exhausted { rule: 0, bound: Bound::PerEvent(1), again: None }));
    assert!(
        denial.advice.contains("allows 1 call for one event, and no more: there is no more room in this run")
    );
    assert_eq!(ask(&by_run, &mut spent, &mut Run::new(), kept, HOUR), Ok(0), "another run");
    assert_eq!(spent, Spent::new(), "nothing is kept that no budget asks for");

    let by_hour =
        Grant::compile(&budgeted(RawAllow { objects_per_hour: Some(1), ..RawAllow::default() })).unwrap();
    let (mut spent, mut run) = (Spent::new(), Run::new());
    assert_eq!(ask(&by_hour, &mut spent, &mut run, kept, 0), Ok(0));
    assert_eq!(ask(&by_hour, &mut spent, &mut run, kept, 30 * MINUTE), Ok(0), "the same object");
    let denial = ask(&by_hour, &mut spent, &mut run, "OpaqueRef:bare", 45 * MINUTE).unwrap_err();
    assert_eq!(
        denial.exhausted,
        Some(Exhausted { rule: 0, bound: Bound::ObjectsPerHour(1), again: Some(90 * MINUTE) }),
        "an hour after it was acted on last"
    );
    assert!(denial.advice.contains("allows 1 different object an hour"), "{}", denial.advice);
    assert_eq!(ask(&by_hour, &mut spent, &mut run, "OpaqueRef:bare", 90 * MINUTE), Ok(0));
}

#[test]
fn a_rule_with_room_stands_in_for_one_without_and_of_several_the_soonest_is_told() {
    let rule =
        |minute, hour| RawAllow { per_minute: minute, objects_per_hour: hour, ..allow(&["VM.start"], None) };
    let grant = grant(vec![rule(None, Some(1)), rule(Some(1), None)]);
    let (mut spent, mut run) = (Spent::new(), Run::new());
    assert_eq!(ask(&grant, &mut spent, &mut run, "OpaqueRef:kept", 0), Ok(0));
    assert_eq!(ask(&grant, &mut spent, &mut run, "OpaqueRef:bare", 0), Ok(1));
    let denial = ask(&grant, &mut spent, &mut run, "OpaqueRef:bare", SECOND).unwrap_err();
    assert_eq!(
        denial.exhausted,
        Some(Exhausted { rule: 1, bound: Bound::PerMinute(1), again: Some(MINUTE) })
    );
}

#[test]
fn a_clock_that_went_back_gives_no_room() {
    let grant = grant(vec![RawAllow { per_minute: Some(1), ..allow(&["VM.start"], None) }]);
    let (mut spent, mut run) = (Spent::new(), Run::new());
    assert_eq!(ask(&grant, &mut spent, &mut run, "OpaqueRef:kept", HOUR), Ok(0));
    let denial = ask(&grant, &mut spent, &mut run, "OpaqueRef:kept", 0).unwrap_err();
    assert_eq!(denial.reason, Reason::OverBudget);
}

#[test]
fn references_that_lead_nowhere_for_the_plugin_are_not_asked_for() {
    let of_vm = vec![Value::from("OpaqueRef:kept")];
    for (rules, seen, method, arguments, expected) in [
        (&["VM.get_resident_on"][..], &[][..], "VM.get_resident_on", &of_vm, Err(Reason::HiddenResult)),
        (&["VM.get_resident_on"], &["host"], "VM.get_resident_on", &of_vm, Ok(0)),
        // A handle that may be passed to another call is of use.
        (&["VM.get_resident_on", "VM.start_on"], &[], "VM.get_resident_on", &of_vm, Ok(0)),
        (&["VM.get_VBDs"], &[], "VM.get_VBDs", &of_vm, Err(Reason::HiddenResult)),
        (&["VM.clone"], &[], "VM.clone", &vec!["OpaqueRef:kept".into(), "copy".into()], Ok(0)),
        (&["host.get_all_records"], &[], "host.get_all_records", &vec![], Ok(0)),
        (&["VM.get_resident_on", "host.get_all"], &[], "VM.get_resident_on", &of_vm, Ok(0)),
        // What stands in a record is left out of it one by one.
        (&["VM.get_record"], &[], "VM.get_record", &of_vm, Ok(0)),
    ] {
        let grant = Grant::compile(&raw(
            vec![allow(rules, None)],
            seen.iter().map(|class| read(&[class], &["uuid"])).collect(),
        ))
        .unwrap();
        let decision = decide(&grant, method, arguments);
        assert_eq!(reason(decision.clone()), expected, "{rules:?} {seen:?} {method}");
        if let Decision::Denied(denial) = decision {
            let (_, lines) = denial.advice.split_once(".toml:\n").unwrap();
            let pasted: RawGrant = toml::from_str(lines).unwrap();
            let grant = Grant::compile(&raw(vec![allow(rules, None)], pasted.read)).unwrap();
            assert_eq!(reason(decide(&grant, method, arguments)), Ok(0), "{lines}");
        }
    }
}

#[test]
fn what_a_condition_follows_must_be_known() {
    let classes = |call: &str, on: &str| grant(vec![allow(&[call], Some(on))]).classes();
    assert_eq!(classes("VBD.plug", "self.VDI.SR.uuid == \"x\""), ["SR", "VBD", "VDI"].into());
    assert_eq!(classes("VBD.plug", "self.VM == \"x\""), ["VBD", "VM"].into());
    assert_eq!(classes("VM.start_on", "args.host.uuid == \"x\""), ["VM", "host"].into());
    let argument = RawAllow {
        args: [("host".to_owned(), "value == \"x\"".to_owned())].into(),
        ..allow(&["VM.start_on"], None)
    };
    assert_eq!(grant(vec![argument]).classes(), ["VM", "host"].into());
}

#[test]
fn every_method_that_takes_a_password_or_another_session_is_dangerous() {
    for class in schema::classes() {
        for method in class.methods {
            let name = format!("{}.{}", class.name, method.name);
            let takes = parameters(method).any(|parameter| {
                parameter.name.contains("password") || parameter.kind == xapi::model::Type::Ref("session")
            });
            if takes || method.secret {
                assert!(is_dangerous(&name), "{name}");
            }
        }
    }
}

#[test]
fn a_rule_is_known_again_by_its_words_wherever_it_stands() {
    let rule =
        |line, per_minute| RawAllow { line, per_minute, ..allow(&["VM.start"], Some("\"a\" in self.tags")) };
    let (one, other) = (grant(vec![rule(3, None)]), grant(vec![rule(9, Some(4))]));
    assert_eq!(one.rules()[0].text(), other.rules()[0].text());
    assert_eq!(one.rules()[0].text(), r#"call = ["VM.start"], on = "\"a\" in self.tags""#);
    assert_eq!(
        (one.rules()[0].place(), other.rules()[0].place()),
        ("plugins/test.toml:3", "plugins/test.toml:9")
    );
}
