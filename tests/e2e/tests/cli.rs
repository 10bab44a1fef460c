//! The command line: what it prints and how it ends.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::process::Output;

use e2e::{Daemon, LIMIT, PASSWORD, World, run, until};

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn it_says_its_version_and_what_it_can_do() {
    let version = run(&["--version"]);
    assert_eq!((code(&version), said(&version).trim()), (0, concat!("xapiary ", env!("CARGO_PKG_VERSION"))));
    let help = run(&["--help"]);
    assert_eq!(code(&help), 0);
    for command in ["run", "check", "simulate", "demo", "Exit codes"] {
        assert!(said(&help).contains(command), "{command} is missing in: {}", said(&help));
    }
    for command in ["run", "check", "simulate", "demo"] {
        let help = run(&[command, "--help"]);
        assert_eq!(code(&help), 0);
        assert!(said(&help).lines().count() > 8, "{}", said(&help));
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in [
        &[][..],
        &["fly"],
        &["run", "--fast"],
        &["check", "surplus"],
        &["simulate", "--http", "here"],
        &["simulate", "--unix", "/nowhere/xapi", "--role-user", "ada:king"],
        &[
            "simulate",
            "--unix",
            "/nowhere/xapi",
            "--role-user",
            "ada:vm-admin",
            "--role-user",
            "ada:read-only",
        ],
        &["simulate", "--unix", "/nowhere/xapi", "--role-user", "root:read-only"],
        &["simulate", "--unix", "/nowhere/xapi", "--crash-every", "0s"],
        &["simulate", "--unix", "/nowhere/xapi", "--spare-hosts", "1"],
        &["simulate", "--http", "127.0.0.1:0", "--spare-hosts", "0"],
        &["simulate", "--unix", "/nowhere/xapi", "--scenario", "/nowhere/scenario.toml"],
        &["simulate", "--unix", "/nowhere/xapi", "--state", "/nowhere/state.db"],
    ] {
        let output = run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    for (command, expected) in [("run", 2), ("check", 1)] {
        let output = run(&[command, "--config", "/nowhere/xapiary.toml"]);
        assert_eq!(code(&output), expected, "{}", said(&output));
        assert!(said(&output).contains("/nowhere/xapiary.toml"), "{}", said(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_all_that_is_wrong_at_once() {
    let world = World::builtin().await;
    let mut config = world.config();
    let good = config.write(world.folder());
    let good = good.to_str().unwrap();
    let output = run(&["check", "--config", good]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(said(&output).contains("is good: 1 pool, 1 plugin"), "{}", said(&output));

    let output = run(&["check", "--connect", "--config", good]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(
        said(&output).contains(&format!("pool lab: logged in to https://{}", world.https())),
        "{}",
        said(&output)
    );
    assert_eq!(world.pool().sessions(), 0, "it logs out again");

    config.pools[0].password = "wrong".into();
    let output = run(&["check", "--connect", "--config", config.write(world.folder()).to_str().unwrap()]);
    assert_eq!(code(&output), 3, "{}", said(&output));
    assert!(said(&output).contains("pool lab: ") && said(&output).contains("SESSION_AUTHENTICATION_FAILED"));

    config.pools[0].url = "http://10.0.0.1".into();
    config.pools[0].user = String::new();
    config.grants[0].rules = "[[allow]]\ncall = [\"VM.strat\"]\non = 'self.tags =='\n".into();
    let output = run(&["check", "--config", config.write(world.folder()).to_str().unwrap()]);
    assert_eq!(code(&output), 1);
    for words in ["pool.lab.url", "pool.lab.user"] {
        assert!(said(&output).contains(words), "{words} is missing in: {}", said(&output));
    }
    config.pools = world.config().pools;
    let output = run(&["check", "--config", config.write(world.folder()).to_str().unwrap()]);
    assert_eq!(code(&output), 1);
    for words in ["vm-keepalive.toml:4:9: ", "vm-keepalive.toml:5:6: ", "`VM.start`"] {
        assert!(said(&output).contains(words), "{words} is missing in: {}", said(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_pool_as_a_process_is_followed_by_a_daemon_as_another() {
    // A world for its folder and its ways; the pool is the process's.
    let world = World::builtin().await;
    let password = world.folder().join("simulated.password");
    std::fs::write(&password, PASSWORD).unwrap();
    std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let socket = world.folder().join("simulated");
    let mut simulate = std::process::Command::new(e2e::xapiary());
    simulate.args(["simulate", "--https", "127.0.0.1:0", "--http", "127.0.0.1:0", "--speed", "100"]);
    simulate.args(["--crash-every", "200ms", "--user", "somebody"]);
    simulate.arg("--password-file").arg(&password).arg("--unix").arg(&socket);
    let simulate = Daemon::start_as(simulate, world.folder());
    let output = world.folder().join("daemon-1.out");
    let facts = until(LIMIT, "it says where its doors are", || {
        let text = std::fs::read_to_string(&output).unwrap();
        if text.contains("\nunix: ") && text.ends_with('\n') { Ok(text) } else { Err(text) }
    })
    .await;
    let fact = |name: &str| facts.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    assert!(facts.contains("2 hosts, "), "{facts}");

    let mut config = world.config();
    config.pools[0].user = "somebody".into();
    config.pools[0].url = fact("https: ");
    config.pools[0].trust = Some(format!("{{ pin = [\"{}\"] }}", fact("fingerprint: ")));
    let daemon = world.start(&config);
    daemon.following().await;
    let started = daemon.wait_for("what crashes is started", |line| {
        line.message() == "the pool answered" && line.text("method") == "VM.start"
    });
    started.await;
    assert!(daemon.terminate().await.status.success());
    assert!(simulate.terminate().await.status.success());
    assert!(!socket.exists(), "the socket is left behind");
}

fn shows_a_demo(arguments: &[&str]) {
    let plugin = e2e::vm_keepalive();
    let mut all = vec!["demo", "--plugin", plugin.to_str().unwrap()];
    all.extend(arguments);
    let output = run(&all);
    let text = said(&output);
    assert_eq!(code(&output), 0, "{text}");
    for words in [
        "objects read, compared and journaled",
        "crashes",
        "Running -> Halted",
        "vm-keepalive gets event",
        "vm-keepalive calls VM.start on",
        "refused  vm-keepalive may not call VM.start",
        "runs again",
        "[[allow]]",
        "stays Halted",
        "calls refused by the grant",
        "dead letters",
        "crash to running again",
    ] {
        assert!(text.contains(words), "{words:?} is missing in: {text}");
    }
    for words in [" 0 hosts", " 0 VMs", " 0 disks", " 0 storage", " 0 networks"] {
        assert!(!text.contains(words), "{words:?} is in: {text}");
    }
    assert!(!text.contains('\u{1b}'), "there is no terminal to colour: {text:?}");
}

#[test]
fn the_demo_shows_everything_on_the_built_in_pool() {
    shows_a_demo(&[]);
}

#[test]
fn the_demo_shows_everything_on_a_real_pools_state() {
    let Some(file) = e2e::real_pools("boston-db.xml") else { return };
    shows_a_demo(&["--state", file.to_str().unwrap()]);
}
