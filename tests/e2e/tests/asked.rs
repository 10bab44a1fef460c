//! What an administrator asks before anything runs: what a component wants, and what a grant allows.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::process::Output;

use e2e::{Config, Grant, World, guest, run, vm_keepalive};
use serde_json::{Value, json};

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn answer(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

fn inspected(path: &std::path::Path, options: &[&str]) -> Output {
    run(&[&["plugin", "inspect", path.to_str().unwrap()][..], options].concat())
}

#[test]
fn a_component_says_what_it_is_and_wants() {
    let output = inspected(&vm_keepalive(), &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let about = answer(&output);
    assert_eq!((&about["name"], &about["contract"]), (&json!("vm-keepalive"), &json!("0.1.0")));
    assert_eq!(about["subscriptions"][0], json!({"name": "stopped", "hears": "VM modified in power_state"}));
    assert_eq!(about["requests"][0]["call"], "VM.start");
    let settings = about["settings"].as_array().unwrap();
    let tag = settings.iter().find(|setting| setting["name"] == "tag").unwrap();
    assert_eq!((&tag["type"], &tag["default"]), (&json!("string"), &json!("keepalive")));
    assert!(about["digest"].as_str().unwrap().starts_with("sha256:"), "{about}");
    let imports: Vec<&str> = about["imports"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(imports.contains(&"xapiary:plugin/calls@0.1.0"), "{imports:?}");

    for (plugin, words) in [
        ("clockwork", "the clock: * * * * * Europe/Berlin"),
        ("herald", "alerts of priority 1 or more pressing"),
        ("herald", "alerts VM_CRASHED"),
        ("joined", "VM modified in power_state, with guest_metrics"),
        ("confidant", "for the tests, which look for it everywhere"),
    ] {
        let output = inspected(&guest(plugin), &[]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(said(&output).contains(words), "{words} is missing in {}", said(&output));
    }
    // One that asks the pool for nothing imports nothing to do so.
    let about = answer(&inspected(&guest("no_op"), &["--json"]));
    assert!(!about["imports"].to_string().contains("xapiary:plugin/calls"), "{about}");
}

#[test]
fn a_file_that_is_no_plugin_is_refused_with_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let component = std::fs::read(guest("no_op")).unwrap();
    for (name, bytes, words) in [
        ("text", &b"hello"[..], "this is no WebAssembly file"),
        ("empty", b"", "this is no WebAssembly file"),
        ("core", b"\0asm\x01\0\0\0", "this is a core module and no component"),
        ("cut", &component[..component.len() / 2], "the WebAssembly is not valid at byte"),
        ("bare", b"\0asm\x0d\0\x01\0", "the component has no manifest"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let output = inspected(&path, &[]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", said(&output));
        assert!(said(&output).contains(words) && said(&output).contains(name), "{name}: {}", said(&output));
    }
    let output = inspected(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("reading the component"), "{}", said(&output));
}

const RULES: &str = r#"
[[allow]]
call = ["VM.get_*"]

[[allow]]
call = ["VM.start", "VM.add_tags", "VM.destroy"]
on = 'self.name_label == "web-1"'

[[allow]]
call = ["VM.set_*"]
on = 'args.value == "good"'

[[read]]
class = ["VM"]
fields = ["*"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_says_which_line_allows_or_refuses_a_call() {
    let world = World::builtin().await;
    let config = Config { grants: vec![Grant::keepalive(RULES)], ..world.config() };
    let daemon = world.start(&config);
    daemon.following().await;
    let file = config.write(world.folder());
    let asked = |words: &[&str]| {
        run(&[&["grant", "test", "vm-keepalive", "--config", file.to_str().unwrap()][..], words].concat())
    };
    let pool = world.pool();
    let uuid = pool.record("VM", &pool.find_vm("web-1").unwrap()).unwrap().text("uuid").to_owned();

    // While the daemon runs, and after it.
    let allowed = asked(&["--call", "VM.start", "--on", "web-1", "--json"]);
    assert_eq!(allowed.status.code(), Some(0), "{}", said(&allowed));
    let verdict = answer(&allowed);
    assert_eq!(
        (&verdict["allowed"], &verdict["rule"], &verdict["line"]),
        (&json!(true), &json!(2), &json!(7))
    );
    assert_eq!(verdict["object"], json!({"pool": "lab", "class": "VM", "uuid": uuid, "name": "web-1"}));
    assert!(daemon.terminate().await.status.success());
    let calls = pool.calls();
    assert_eq!((calls.of("VM.start"), calls.of("Async.VM.start")), (0, 0), "nothing was called");

    for (words, code, expected) in [
        (&["--call", "VM.start", "--on", &*uuid][..], 0, "plugins/vm-keepalive.toml:7: [[allow]] 2"),
        (&["--call", "Async.VM.start", "--on", "web-1"], 0, "allowed: VM.start on VM web-1"),
        (&["--call", "VM.start", "--on", "web-2"], 1, "[[allow]] 2 of"),
        (&["--call", "VM.start", "--on", "web-2"], 1, "`self.name_label == \"web-1\"` does not hold"),
        (&["--call", "VM.suspend", "--on", "web-1"], 1, "(no-rule)"),
        (&["--call", "VM.suspend", "--on", "web-1"], 1, "call = [\"VM.suspend\"]"),
        (&["--call", "VM.get_uuid", "--on", "web-2"], 0, "[[allow]] 1"),
        (
            &["--call", "VM.set_name_description", "--on", "web-1", "--args", "{\"value\": \"good\"}"],
            0,
            "[[allow]] 3",
        ),
        (
            &["--call", "VM.set_name_description", "--on", "web-1", "--args", "{\"value\": \"bad\"}"],
            1,
            "does not hold",
        ),
        (&["--call", "VM.set_name_description", "--on", "web-1"], 1, "cannot be evaluated"),
        (
            &["--call", "VM.set_name_description", "--on", "web-1", "--args", "{\"vaule\": 1}"],
            2,
            "did you mean \"value\"?",
        ),
        (
            &["--call", "VM.set_name_description", "--on", "web-1", "--args", "{\"value\": 1}"],
            2,
            "put it into quotes",
        ),
        (&["--call", "VM.strat", "--on", "web-1"], 2, "did you mean \"VM.start\"?"),
        (&["--call", "VM.start"], 2, "say on which with --on"),
        (&["--call", "VM.start", "--on", "web-111"], 2, "the journal has no VM \"web-111\""),
        (
            &["--call", "VM.start", "--on", "web-1", "--pool", "prod"],
            2,
            "knows no pool that vm-keepalive serves",
        ),
    ] {
        let output = asked(words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", said(&output));
        assert!(said(&output).contains(expected), "{words:?}: {expected} is missing in {}", said(&output));
    }
    let other =
        run(&["grant", "test", "vm-keepalice", "--config", file.to_str().unwrap(), "--call", "VM.start"]);
    assert!(said(&other).contains("did you mean \"vm-keepalive\"?"), "{}", said(&other));
}
