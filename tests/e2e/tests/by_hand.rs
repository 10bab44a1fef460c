//! A pool worked by hand: `xapiary call` and `xapiary objects`, over every transport and in every form.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Output, Stdio};

use e2e::{PASSWORD, World, run};
use serde_json::{Value, json};

/// Ways to a pool, as options of the commands.
struct Ways {
    world: World,
    config: String,
    password: String,
}

impl Ways {
    async fn new() -> Ways {
        Ways::of(World::builtin().await)
    }

    fn of(world: World) -> Ways {
        let config = world.config().write(world.folder()).to_str().unwrap().to_owned();
        let password = world.folder().join("by-hand.password");
        e2e::write_secret(&password, PASSWORD);
        Ways { world, config, password: password.to_str().unwrap().to_owned() }
    }

    /// Runs a command on the pool as the configuration names it.
    fn ask(&self, command: &str, arguments: &[&str]) -> Output {
        let head = [command, "lab", "--config", &self.config];
        run(&[&head, arguments].concat())
    }

    fn json(&self, command: &str, arguments: &[&str]) -> Value {
        let output = self.ask(command, &[arguments, &["--output", "json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", told(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn told(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transport_leads_to_the_same_pool() {
    let ways = Ways::new().await;
    let (https, http) = (format!("https://{}", ways.world.https()), format!("http://{}", ways.world.http()));
    let unix = format!("unix:{}", ways.world.folder().join("xapi").display());
    let pin = format!("sha256:{}", ways.world.fingerprint());
    let password = ["--password-file", ways.password.as_str()];
    let mut answers = Vec::new();
    for (place, options) in [
        ("lab", vec!["--config", ways.config.as_str()]),
        (https.as_str(), [&password[..], &["--pin", &pin]].concat()),
        (http.as_str(), password.to_vec()),
        (http.as_str(), [&password[..], &["--wire", "xml"]].concat()),
        (unix.as_str(), vec![]),
    ] {
        let output = run(&[&["call", place, "VM.get_by_name_label", "web-1"], &options[..]].concat());
        assert_eq!(output.status.code(), Some(0), "{place}: {}", told(&output));
        answers.push(text(&output.stdout));
    }
    let vm = ways.world.pool().find_vm("web-1").unwrap();
    assert!(answers.iter().all(|answer| *answer == format!("{vm}\n")), "{answers:?}");
    assert_eq!(ways.world.pool().sessions(), 0, "every one logged out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_is_called_with_names_and_its_result_is_typed() {
    let ways = Ways::new().await;
    let vm = ways.world.pool().find_vm("backup").unwrap();
    let started = ways.ask("call", &["VM.start", "backup", "force=false", "start_paused=false"]);
    assert_eq!((started.status.code(), told(&started)), (Some(0), String::new()));
    let record = ways.json("call", &["VM.get_record", "backup"]);
    assert_eq!(record["power_state"], "Running");
    assert!(record["memory_target"].is_i64() && record["is_a_template"].is_boolean(), "{record}");
    let tags = ways.ask("call", &["VM.set_tags", vm.as_str(), r#"["one", "two"]"#]);
    assert_eq!(tags.status.code(), Some(0), "{}", told(&tags));
    assert_eq!(ways.json("call", &["VM.get_tags", "backup"]), json!(["one", "two"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_is_started_as_a_task_which_leaves_nothing_behind() {
    let ways = Ways::new().await;
    let copied = ways.ask("call", &["VM.snapshot", "vm=web-1", "new_name=by-hand", "--async"]);
    assert_eq!(copied.status.code(), Some(0), "{}", told(&copied));
    assert!(text(&copied.stderr).starts_with("VM.snapshot is task OpaqueRef:"), "{}", text(&copied.stderr));
    let reference = text(&copied.stdout).trim().to_owned();
    assert_eq!(ways.world.pool().record("VM", &reference).unwrap().text("name_label"), "by-hand");
    assert_eq!(ways.world.pool().records("task"), []);

    let refused = ways.ask("call", &["VM.clone", "web-1", "new", "--async"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("VM_BAD_POWER_STATE"), "{}", text(&refused.stderr));
    assert_eq!(ways.world.pool().records("task"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_falls_silent_is_given_up_and_the_task_is_named() {
    for silence in ["no answers", "closed doors"] {
        let mut ways = Ways::of(World::at_speed(0.1).await);
        let mut command = std::process::Command::new(e2e::xapiary());
        let call = ["VM.clean_shutdown", "web-1", "--async", "--patience", "1s"];
        command.args(["call", "lab", "--config", &ways.config]).args(call).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        told.read_line(&mut first).unwrap();
        assert!(first.starts_with("VM.clean_shutdown is task OpaqueRef:"), "{first}");
        match silence {
            "no answers" => ways.world.pool().hold(true),
            _ => ways.world.close().await,
        }
        let mut rest = String::new();
        told.read_to_string(&mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(3), "{silence}: {rest}");
        assert!(rest.contains("which may go on"), "{silence}: {rest}");
        ways.world.pool().hold(false);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_found_and_chosen_and_shown() {
    let ways = Ways::new().await;
    let all = ways.json("objects", &["VM", "--fields", "uuid,name_label,power_state"]);
    assert_eq!(all.as_array().unwrap().len(), ways.world.pool().records("VM").len());
    let query = "power_state = 'Running' and is_control_domain = false";
    let some = ways.json("objects", &["VM", "--where", query, "--fields", "power_state"]);
    let some = some.as_array().unwrap().clone();
    assert!(!some.is_empty() && some.iter().all(|vm| *vm == json!({"power_state": "Running"})), "{some:?}");
    let table = ways.ask("objects", &["VM", "--where", "name_label = 'web-1'", "--output", "table"]);
    let table = text(&table.stdout);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["name_label", "power_state", "resident_on", "memory_target", "VCPUs_max", "uuid"]);
    assert_eq!((lines[1][0], lines[1][1]), ("web-1", "Running"));
    assert!(lines[1][2].starts_with("xen-"), "a host by its name: {table}");
    let none = ways.ask("objects", &["VM", "--where", "name_label = 'nobody'"]);
    assert_eq!((none.status.code(), text(&none.stdout)), (Some(1), String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn relations_are_walked_from_a_vm_to_its_storage_and_its_hosts() {
    let ways = Ways::new().await;
    let web = ["VM", "--where", "name_label = 'web-1'"];
    let walk =
        |path, fields| ways.json("objects", &[&web[..], &["--follow", path, "--fields", fields]].concat());
    let disks = walk("VBDs.VDI.SR.PBDs.host", "name_label");
    let disks = disks.as_array().unwrap();
    assert!(!disks.is_empty());
    let pool = ways.world.pool();
    for row in disks {
        let host = row["host.name_label"].as_str().unwrap();
        assert!(pool.records("host").iter().any(|record| record.text("name_label") == host), "{row}");
        let vdi = row["VDI"].as_str().unwrap();
        assert!(pool.records("VDI").iter().any(|record| record.text("uuid") == vdi), "{row}");
    }
    let nets = walk("VIFs.network.PIFs.host", "name_label,enabled");
    assert!(nets.as_array().unwrap().iter().all(|row| row["host.enabled"] == json!(true)), "{nets}");
    let table = ways.ask("objects", &[&web[..], &["--follow", "VBDs.VDI.SR", "--output", "table"]].concat());
    let table = text(&table.stdout);
    assert!(table.starts_with("VM") && table.contains("web-1 disk 0"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_with_what_to_do() {
    let ways = Ways::new().await;
    for (command, arguments, code, said) in [
        (
            "call",
            &["VM.strat", "web-1"][..],
            1,
            "the pool has no method VM.strat, did you mean \"VM.start\"?",
        ),
        ("call", &["VM.start", "web-1"], 2, "and start_paused is missing"),
        ("call", &["VM.start", "web-9", "false", "false"], 1, "the pool has no VM named \"web-9\""),
        ("call", &["VM.set_name_label", "web-1", "new", "--async"], 2, "has no asynchronous form"),
        ("call", &["VM.set_name_label", "web-1", "vlaue=new"], 2, "did you mean \"value\"?"),
        ("call", &["VM.start", "web-1", "--user", "other"], 2, "--user goes with an address"),
        ("objects", &["VN"], 2, "there is no class \"VN\""),
        ("objects", &["VM", "--where", "power_state > 3"], 2, "at character 13"),
        ("objects", &["VM", "--follow", "VBDs.VID"], 2, "VBD has no field \"VID\""),
        ("objects", &["VM", "--follow", "name_label"], 2, "is no reference"),
        ("objects", &["VM", "--where", "powerstate = 'x'"], 2, "did you mean \"power_state\"?"),
        (
            "objects",
            &["VM", "--where", "resident_on = 'xen-north'"],
            2,
            "is a reference, OpaqueRef:..., or null",
        ),
        ("objects", &["VM", "--where", "name_label = 'nobody'"], 1, "nothing found"),
        ("objects", &["VM", "--fields", "powerstate"], 2, "did you mean \"power_state\"?"),
    ] {
        let output = ways.ask(command, arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", told(&output));
        assert!(text(&output.stderr).contains(said), "{arguments:?}: {}", told(&output));
        assert!(!told(&output).contains(PASSWORD));
    }
    let nobody = run(&["call", "http://127.0.0.1:1", "pool.get_all", "--password-file", &ways.password]);
    assert_eq!(nobody.status.code(), Some(3), "{}", told(&nobody));
    let other = run(&["call", "elsewhere", "pool.get_all", "--config", &ways.config]);
    assert_eq!(other.status.code(), Some(2), "{}", told(&other));
    assert!(text(&other.stderr).contains("has no pool \"elsewhere\"; it has lab"), "{}", told(&other));
    let bare = run(&["call", "lab", "pool.get_all", "--config", "/nonexistent/xapiary.toml"]);
    assert_eq!(bare.status.code(), Some(2), "{}", told(&bare));
    assert!(text(&bare.stderr).contains("or give an address"), "{}", told(&bare));
    assert!(ways.world.pool().find_vm("web-1").is_some(), "no misspelt argument was written");
}
