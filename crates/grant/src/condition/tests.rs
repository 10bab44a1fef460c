//! Conditions on records, mistakes in them, and texts that mean harm.

use super::*;
use xapi::{Struct, Value};

fn scope_of_vm() -> Scope<'static> {
    static VM: LazyLock<[&Class; 1]> = LazyLock::new(|| [schema::class("VM").unwrap()]);
    Scope { classes: &*VM, calls: &[], argument: None, nesting: 2 }
}

/// References as they are.
const RAW: Wording<'static> = Wording { reference: &|_, reference| reference.to_owned(), world: None };

fn vm() -> Record {
    let mut fields = Struct::new();
    fields.insert("name_label", "web");
    fields.insert("tags", vec![Value::from("keepalive"), Value::from("x")]);
    fields.insert("memory_target", 1024_i64);
    fields.insert("is_a_template", false);
    fields.insert("resident_on", "OpaqueRef:host");
    let mut other = Struct::new();
    other.insert("owner", "ann");
    fields.insert("other_config", other);
    fields.push("snapshot_time".into(), Value::DateTime("20260101T00:00:00Z".into()));
    Record::new("VM", "OpaqueRef:vm", fields)
}

fn holds(source: &str) -> Result<bool, String> {
    Condition::compile(source, &scope_of_vm()).map_err(|error| error.to_string())?.holds(
        &vm(),
        &|_| true,
        &RAW,
    )
}

#[test]
fn conditions_read_records() {
    for (source, expected) in [
        (r#""keepalive" in self.tags"#, true),
        (r#""other" in self.tags"#, false),
        (r#"self.name_label == "web" && !self.is_a_template"#, true),
        (r#"self.name_label.startsWith("we")"#, true),
        (r#"self.name_label.matches("^w.b$")"#, true),
        (r#"self.tags.exists(tag, tag.startsWith("keep"))"#, true),
        (r#"self.memory_target > 512 && self.memory_target < 2048"#, true),
        (r#"self.other_config["owner"] == "ann""#, true),
        (r#""owner" in self.other_config && self.other_config.owner != "bob""#, true),
        (r#"has(self.name_label)"#, true),
        (r#"self["name_label"] == "web""#, true),
        (r#"self.resident_on == "OpaqueRef:host""#, true),
        (r#"self.snapshot_time < "2026-06-01T00:00:00Z""#, true),
    ] {
        assert_eq!(holds(source), Ok(expected), "{source}");
    }
}

#[test]
fn what_cannot_be_evaluated_is_an_error_and_never_true() {
    assert!(holds(r#"self.other_config["missing"] == "x""#).is_err());
    assert!(holds("self.name_description == \"x\"").is_err(), "the record lacks it");
}

#[test]
fn mistakes_are_found_when_compiling() {
    let error = |source: &str| Condition::compile(source, &scope_of_vm()).unwrap_err();
    for (source, what) in [
        ("self.powerstate == \"Halted\"", "VM has no field `powerstate`; did you mean `power_state`?"),
        ("power_state == \"Halted\"", "nothing is named `power_state`; did you mean `self.power_state`?"),
        ("selv.power_state == \"Halted\"", "nothing is named `selv`; did you mean `self`?"),
        ("self.tags.exists(t, self.tags.exists(u, self.tags.exists(v, t == v)))", "loops are nested"),
        ("self.name_label", "got 'string', want 'bool'"),
        ("self.name_label + 1 == 2", "nsupported"),
        ("frobnicate(self.name_label)", "frobnicate"),
    ] {
        let found = error(source);
        assert!(found.what.contains(what), "{source}: {found}");
    }
    let found = error("self.name_label ==\n  == 3");
    assert_eq!(found.line, 2, "{found}");
    let found = error("true && self.powerstate == \"x\"");
    assert_eq!((found.line, found.column), (1, 13), "{found}");
}

#[test]
fn only_named_fields_are_read_unless_self_is_used_whole() {
    let uses = |source: &str| Condition::compile(source, &scope_of_vm()).unwrap().fields().clone();
    assert_eq!(
        uses("\"a\" in self.tags && has(self.uuid)"),
        Uses::Named(["tags".to_owned(), "uuid".to_owned()].into())
    );
    assert_eq!(uses("size(self) > 3"), Uses::Everything);
    assert_eq!(uses("self[\"uuid\"] == \"\""), Uses::Everything);
}

#[test]
fn hidden_fields_are_not_there() {
    let condition = Condition::compile("self.name_label == \"web\"", &scope_of_vm()).unwrap();
    assert!(condition.holds(&vm(), &|field| field != "name_label", &RAW).is_err());
}

#[test]
fn references_in_keys_and_texts_are_worded_by_the_caller() {
    let mut fields = Struct::new();
    let mut operations = Struct::new();
    operations.insert("OpaqueRef:task", "start");
    fields.insert("current_operations", operations);
    fields.insert("tags", vec![Value::from("OpaqueRef:x")]);
    fields.insert("name_label", "of OpaqueRef:x");
    fields.insert("resident_on", "OpaqueRef:x");
    let vm = Record::new("VM", "OpaqueRef:vm", fields);
    for source in [
        r#"self.current_operations.exists(key, key == "<task>")"#,
        r#"self.current_operations["<task>"] == "start""#,
        r#"self.tags == ["<x>"]"#,
        r#"self.name_label == "of <x>""#,
        r#"self.resident_on == "<x>""#,
    ] {
        let condition = Condition::compile(source, &scope_of_vm()).unwrap();
        let worded = |_: &str, raw: &str| format!("<{}>", raw.strip_prefix("OpaqueRef:").unwrap());
        let wording = Wording { reference: &worded, world: None };
        assert_eq!(condition.holds(&vm, &|_| true, &wording), Ok(true), "{source}");
    }
}

/// Each shape at every size: an answer, on stacks as small as the ones that evaluate.
#[test]
fn hostile_texts_overflow_no_stack() {
    for size in [50, 100, 400, 4000] {
        let times = |text: &str, each: usize| text.repeat(size / each);
        for text in [
            format!("{}true{}", times("(", 2), times(")", 2)),
            format!("{}true", times("!", 1)),
            format!("{}1 == 1", times("-", 1)),
            format!("true{}", times("||true", 6)),
            format!("true{}", times("&&true||false", 13)),
            format!("1{} == 1", times("+1", 2)),
            format!("1{} == 1", times("-1", 2)),
            format!("{}1{} == []", times("[", 2), times("]", 2)),
            format!("self{} == 1", times("[0]", 3)),
            format!("self.tags{} == 1", times(".a", 2)),
            format!("self.tags{} == 1", times(".a()", 4)),
            format!("{}true", times("true?true:", 10)),
            format!("1{} == 1", times(" in 1", 5)),
            format!("{}1{} == 1", times("{1:", 4), times("}", 4)),
            format!("1{}", times("==1", 3)),
            format!("{}1{} == 1", times("size(", 6), times(")", 6)),
            format!("{}true{}", times("[1].all(x,", 11), times(")", 11)),
        ] {
            if let Ok(condition) = Condition::compile(&text, &scope_of_vm()) {
                let evaluate = || drop(condition.holds(&vm(), &|_| true, &RAW));
                std::thread::scope(|threads| {
                    let small = std::thread::Builder::new().stack_size(1024 * 1024);
                    small.spawn_scoped(threads, evaluate).unwrap().join().unwrap();
                });
            }
        }
    }
}

#[test]
fn long_lists_of_words_are_welcome() {
    let words: Vec<String> = (0..60).map(|number| format!("\"5f0c-11aa-22bb-{number}\"")).collect();
    assert_eq!(holds(&format!("self.name_label in [{}]", words.join(", "))), Ok(false));
}

#[test]
fn patterns_are_written_out_and_bounded() {
    for (source, what) in [
        (r#"self.name_label.matches("(\\pL{50}){40}")"#.to_owned(), "is too large"),
        (r#"matches(self.name_label, "((a{100}){100}){100}")"#.to_owned(), "is too large"),
        (r#".matches(self.name_label, "\\w{200}")"#.to_owned(), "is too large"),
        (r#"self.tags.exists(tag, tag.matches("\\pL{999}"))"#.to_owned(), "is too large"),
        (format!("self.name_label.matches(\"{}\")", "a".repeat(201)), "longer than 200 characters"),
        (format!("self.name_label.matches(\"{}\")", "(".repeat(60) + &")".repeat(60)), "is wrong"),
        (r#"self.name_label.matches("[a")"#.to_owned(), "is wrong"),
        (r#"self.name_label.matches(self.uuid)"#.to_owned(), "written out"),
        (r#"self.name_label.matches("(a{1000})" + "{1000}")"#.to_owned(), "written out"),
        (r#"["(a{9})"].exists(pattern, self.name_label.matches(pattern))"#.to_owned(), "written out"),
        (r#"self.name_label.matches()"#.to_owned(), "written out"),
        (
            (0..11).map(|n| format!("self.name_label.matches(\"{n}\")")).collect::<Vec<_>>().join(" || "),
            "more than 10 patterns",
        ),
    ] {
        match Condition::compile(&source, &scope_of_vm()) {
            Err(found) => assert!(found.what.contains(what), "{source}: {found}"),
            Ok(_) => panic!("{source}"),
        }
    }
    for (source, expected) in [
        (r#"matches(self.name_label, "^w.b$")"#, true),
        (r#"self.name_label.matches(r"^\w+$")"#, true),
        (r#"self.name_label.matches("^[a-z0-9]{1,63}([.-][a-z0-9]{1,63})*$")"#, true),
        (r#"self.tags.all(tag, tag.matches("^(keepalive|x)$") && !tag.matches("^y"))"#, true),
        (r#"self.name_label.matches("^eb")"#, false),
    ] {
        assert_eq!(holds(source), Ok(expected), "{source}");
    }
    assert!(Condition::compile(r#"self.memory_target.matches("1")"#, &scope_of_vm()).is_err());
}

#[test]
fn one_evaluation_searches_so_much_text_and_no_more() {
    let condition = Condition::compile(r#"self.name_label.matches("^a+$")"#, &scope_of_vm()).unwrap();
    for (length, expected) in [(60 * 1024, Some(true)), (65 * 1024, None)] {
        let mut fields = Struct::new();
        fields.insert("name_label", "a".repeat(length));
        let vm = Record::new("VM", "OpaqueRef:vm", fields);
        // Each evaluation starts anew.
        for _ in 0..2 {
            let found = condition.holds(&vm, &|_| true, &RAW);
            assert_eq!(found.as_ref().ok(), expected.as_ref(), "{length}: {found:?}");
        }
    }
    let list = vec!["0"; 1500].join(",");
    let many = format!("[{list}].all(n, self.name_label.matches(\"^w.b$\"))");
    assert_eq!(holds(&many), Ok(true));
    let list = vec!["0"; 1900].join(",");
    let loops =
        format!("[{list}].all(n, self.other_config.owner.matches(\"n\") && self.tags[0].matches(\"e\")) ");
    assert_eq!(holds(&loops), Ok(true));
    let (list, text) = (vec!["0"; 1000].join(","), "a".repeat(100));
    let much = format!("[{list}].all(n, \"{text}\".matches(\"^a\"))");
    assert!(holds(&much).unwrap_err().contains("text to search"));
}
