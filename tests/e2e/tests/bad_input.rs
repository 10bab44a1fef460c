//! What is wrong around the daemon: it says what and where, loses nothing, harms nobody, and goes on by itself.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::{
    Config, Daemon, Grant, KEEPALIVE_GRANT, LIMIT, Line, PASSWORD, SmallDisk, World, differences, until,
};
use simulator::{PoolHandle, Spoil};
use smol_str::{SmolStr, format_smolstr};
use xapi::{Struct, Value};

fn no_answer(line: &Line) -> bool {
    line.message() == "the pool cannot be followed for now"
}

fn describe(pool: &PoolHandle, name: &str, text: &str) -> SmolStr {
    let vm = pool.find_vm(name).unwrap();
    assert!(pool.set("VM", &vm, "name_description", text).unwrap(), "{text} was there before");
    vm
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_away_is_told_and_followed_once_it_is_there() {
    let mut world = World::builtin().await;
    let config = world.config();
    let address = world.https();
    world.close().await;
    let mut daemon = world.start(&config);
    let told = daemon.wait_for("the pool is away", no_answer).await;
    assert_eq!(told.level(), "WARN");
    assert_eq!(told.text("pool"), "lab");
    assert!(told.text("error").contains(&address.to_string()), "{}", told.raw);
    assert!(told.text("error").contains("refused"), "{}", told.raw);
    assert!(daemon.runs());
    daemon.wait_for_message("ready").await;

    world.open(Some(address)).await;
    daemon.following().await;
    world.alike().await;
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_goes_away_is_told_and_what_it_did_meanwhile_too() {
    let mut world = World::builtin().await;
    let config = world.config();
    let (pool, address) = (world.pool(), world.https());
    let daemon = world.start(&config);
    daemon.following().await;
    world.close().await;
    daemon.wait_for("the pool is away", no_answer).await;
    let vm = describe(&pool, "web-1", "changed unseen");
    world.open(Some(address)).await;
    world.alike().await;
    let ended = daemon.terminate().await;
    assert!(ended.status.success());

    let stored = world.stored();
    let told = stored.payloads("connection");
    let states: Vec<&str> = told.iter().filter_map(|(_, told)| told.get("state")?.as_str()).collect();
    assert_eq!(states, ["connected", "lost", "connected"]);
    let changes = stored.changes_of("VM", &vm);
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0].changed, ["name_description"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_tried_once_and_then_left_for_long() {
    const WRONG: &str = "wrong-battery-91b2e7";
    let world = World::builtin().await;
    let mut config = world.config();
    config.pools[0].password = WRONG.into();
    let pool = world.pool();
    let mut daemon = world.start(&config);
    let told = daemon.wait_for("the pool refuses", no_answer).await;
    let error = told.text("error");
    assert_eq!(told.text("pool"), "lab");
    assert!(error.contains("\"root\"") && error.contains("SESSION_AUTHENTICATION_FAILED"), "{}", told.raw);
    assert!(told.number("again_in_s").unwrap() >= 40, "{}", told.raw);

    let again = pool.wait_until(Duration::from_secs(4), |pool| pool.calls().logins.len() > 1).await;
    assert!(!again, "it hammers: {:?}", pool.calls().logins);
    assert_eq!(pool.calls().logins.len(), 1);
    assert!(daemon.runs());
    let ended = daemon.terminate().await;
    assert!(ended.status.success());
    assert!(!ended.everything().contains(WRONG), "the password is in the output");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_pin_keeps_the_password_here() {
    let world = World::builtin().await;
    let mut config = world.config();
    let pinned = "ab".repeat(32);
    config.pools[0].trust = Some(format!("{{ pin = [\"{pinned}\"] }}"));
    let daemon = world.start(&config);
    let told = daemon.wait_for("the certificate is not believed", no_answer).await;
    assert_eq!(told.text("pool"), "lab");
    assert!(plain(told.text("error")).contains(&plain(world.fingerprint())), "{}", told.raw);
    assert!(told.text("error").contains("neither pinned nor announced"), "{}", told.raw);
    assert!(told.number("again_in_s").unwrap() >= 40, "it is no matter of a moment: {}", told.raw);
    assert!(daemon.terminate().await.status.success());
    let calls = world.pool().calls();
    assert!(calls.by_method.is_empty() && calls.malformed == 0, "something was sent: {calls:?}");
}

/// Fingerprints are written in several ways.
fn plain(text: &str) -> String {
    text.replace(':', "").to_lowercase()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_none_cost_nothing_but_a_moment() {
    let world = World::builtin().await;
    let pool = world.pool();
    let daemon = world.start(&world.config());
    daemon.following().await;
    world.alike().await;
    let mut vm = SmolStr::default();
    let spoils = [
        (Spoil::Garbage, "reading the answer to event.from"),
        (Spoil::Truncated, "waiting for an answer"),
        (Spoil::ServerError, "HTTP 500"),
        (Spoil::Close, "waiting for an answer"),
    ];
    for (spoil, words) in spoils {
        pool.spoil_next(1, Some("event.from"), spoil);
        // The poll that waits already is answered well; the next one is not.
        describe(&pool, "web-1", &format!("before {spoil:?}"));
        world.alike().await;
        let heard = daemon.heard();
        vm = describe(&pool, "web-1", &format!("with {spoil:?}"));
        let told = daemon.wait_after(heard, "the answer is none", no_answer).await;
        assert!(told.text("error").contains(words), "{}", told.raw);
        assert!(!told.text("error").contains('<'), "{}", told.raw);
        world.alike().await;
    }
    assert!(daemon.terminate().await.status.success());

    assert_eq!(pool.calls().logins.len(), 1, "the session was still good");
    let stored = world.stored();
    assert_eq!(stored.count("resync"), 1, "nothing had to be read anew");
    let changes = stored.changes_of("VM", &vm);
    assert_eq!(changes.len(), 2 * spoils.len(), "{changes:?}");
    assert!(changes.iter().all(|change| !change.gap), "{changes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_answered_by_nonsense_is_tried_again() {
    let world = World::builtin().await;
    let pool = world.pool();
    let login = "session.login_with_password";
    pool.spoil_next(1, Some(login), Spoil::ServerError);
    pool.spoil_next(1, Some(login), Spoil::Garbage);
    let daemon = world.start(&world.config());
    daemon.following().await;
    world.alike().await;
    assert_eq!(pool.calls().logins.len(), 3);
    assert!(daemon.terminate().await.status.success());
}

/// The shipped plugin, also let look at networks.
fn with_networks() -> String {
    format!("{KEEPALIVE_GRANT}\n[[read]]\nclass = [\"network\"]\nfields = [\"*\"]\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_is_replaced_once_and_the_gap_is_marked() {
    let world = World::builtin().await;
    let pool = world.pool();
    let config = Config { grants: vec![Grant::keepalive(&with_networks())], ..world.config() };
    let daemon = world.start(&config);
    daemon.following().await;
    world.alike().await;
    let (seen, unseen) = ("seen to change", "changed in the gap");
    let vm = describe(&pool, "web-1", seen);
    world.alike().await;
    let network =
        pool.records("network").into_iter().find(|network| network.text("bridge") != "xenapi").unwrap();

    let heard = daemon.heard();
    pool.restart_toolstack();
    describe(&pool, "web-1", unseen);
    pool.set("network", &network.reference, "name_description", "the network too").unwrap();
    let mut fields = Struct::new();
    fields.insert("name_label", "made in the gap");
    let made = pool.create("network", fields).unwrap();

    daemon
        .wait_after(heard, "everything is read anew", |line| line.message() == "compared the whole pool")
        .await;
    world.alike().await;
    assert_eq!(pool.calls().logins.len(), 2, "one new login, no more");
    let stored = world.stored();
    let changes = stored.changes_of("VM", &vm);
    let gaps: Vec<(bool, &str)> = changes
        .iter()
        .map(|change| (change.gap, change.new.as_ref().unwrap().text("name_description")))
        .collect();
    assert_eq!(gaps, [(false, seen), (true, unseen)]);
    let made = stored.changes_of("network", &made);
    assert_eq!(made.len(), 1);
    assert!(made[0].operation == "added" && made[0].gap, "{made:?}");
    assert_eq!(stored.payloads("resync").len(), 2);
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_ended_at_every_turn_lose_nothing() {
    let world = World::builtin().await;
    let pool = world.pool();
    let daemon = world.start(&world.config());
    daemon.following().await;
    let mut vm = SmolStr::default();
    for round in 1..=5 {
        pool.end_sessions();
        vm = describe(&pool, "web-1", &format!("round {round}"));
        world.alike().await;
    }
    assert!(daemon.terminate().await.status.success());
    assert_eq!(world.stored().changes_of("VM", &vm).len(), 5);
    assert_eq!(pool.sessions(), 0, "the last session was not closed");
}

#[test]
fn a_state_file_that_is_none_is_refused_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.db");
    for (bytes, words) in [
        (&b"SQLite format 3\0"[..], "not a state database"),
        (b"<database><table name=\"VM\">", "it ends early"),
        (b"", "it holds no pool"),
        (b"\x1f\x8b\x08\0", "gunzip"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let output = e2e::run(&["simulate", "--http", "127.0.0.1:0", "--state", file.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains(file.to_str().unwrap()) && said.contains(words) && said.contains("line "),
            "{said}"
        );
    }
}

/// Files that are no plugin for this host, each with what must be said about it.
fn broken_plugins(folder: &Path) -> Vec<(&'static str, PathBuf, &'static str)> {
    let good = std::fs::read(e2e::guest("no_op")).unwrap();
    let (mark, other) = (b"contract = \"0.1.0\"", b"contract = \"0.7.0\"");
    let mut foreign = good.clone();
    let places: Vec<usize> =
        (0..good.len() - mark.len()).filter(|at| good[*at..].starts_with(mark)).collect();
    assert!(!places.is_empty(), "the manifest is written in another way");
    for at in places {
        foreign[at..at + mark.len()].copy_from_slice(other);
    }
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(format!("{name}.wasm"));
        std::fs::write(&path, bytes).unwrap();
        path
    };
    vec![
        ("broken", write("broken", &good[..good.len() / 2]), "not valid at byte"),
        ("module", write("module", b"\0asm\x01\0\0\0"), "core module"),
        ("foreign", write("foreign", &foreign), "contract 0.7.0 and this host runs 0.1.0"),
        ("text", write("text", b"hello"), "no WebAssembly file"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_that_are_none_are_left_out_and_the_others_run() {
    let world = World::builtin().await;
    let mut config = world.config();
    let broken = broken_plugins(world.folder());
    for (name, component, _) in &broken {
        config.grants.push(Grant {
            name: (*name).into(),
            component: component.clone(),
            rules: String::new(),
        });
    }
    let path = config.write(world.folder());

    let checked = e2e::run(&["check", "--config", path.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&checked.stderr);
    assert_eq!(checked.status.code(), Some(1), "{said}");
    for (name, _, words) in &broken {
        assert!(said.contains(&format!("{name}.toml:")) && said.contains(words), "{name}: {words}: {said}");
    }
    assert!(said.contains("4 errors"), "{said}");

    let daemon = Daemon::start(&path, world.folder());
    for (name, _, words) in &broken {
        let told = daemon.wait_for("it is left out", |line| line.text("plugin") == *name).await;
        assert_eq!(told.level(), "ERROR");
        assert!(told.message().contains("left out") && told.message().contains(words), "{}", told.raw);
    }
    let ready = daemon.wait_for_message("ready").await;
    assert_eq!(ready.number("plugins"), Some(1));
    daemon.following().await;
    let pool = world.pool();
    let vm = pool.find_vm("web-1").unwrap();
    pool.crash(&vm).unwrap();
    let runs = |pool: &PoolHandle| pool.record("VM", &vm).unwrap().text("power_state") == "Running";
    assert!(pool.wait_until(LIMIT, runs).await, "the good plugin did not act");
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_named_with_its_line_and_what_was_meant() {
    let world = World::builtin().await;
    let mut config = world.config();
    config.head = "# a comment\nplugnis = \"plugins\"".into();
    config.grants[0].rules = format!("concurency = 2\n{KEEPALIVE_GRANT}");
    let path = config.write(world.folder());
    for (command, code) in [("check", 1), ("run", 2)] {
        let output = e2e::run(&[command, "--config", path.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(&format!("{}:2:1: plugnis", path.display())), "{said}");
        assert!(said.contains("`plugins`") || said.contains("\"plugins\""), "{said}");
        assert!(said.contains("vm-keepalive.toml:3:1: concurency") && said.contains("concurrency"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_pauses_the_intake_which_goes_on_by_itself() {
    let world = World::builtin().await;
    let pool = world.pool();
    let config = world.config().write(world.folder());
    let Some(disk) = SmallDisk::start(&config, &world.state(), "size=32m", world.folder()) else { return };
    let daemon = disk.daemon();
    daemon.following().await;
    disk.fill();

    // What the journal has in hand still takes something in; then it pauses.
    let paused = |line: &Line| line.message().contains("the intake waits until there is room");
    let mut writes = 0;
    let vm = pool.find_vm("web-1").unwrap();
    until(LIMIT, "the intake pauses", || {
        writes += 1;
        let text = format_smolstr!("write {writes}: {}", "x".repeat(2000));
        pool.set("VM", &vm, "name_description", text).unwrap();
        if daemon.lines().iter().any(paused) { Ok(()) } else { Err(format!("{writes} writes")) }
    })
    .await;
    let told = daemon.wait_for("the intake pauses", paused).await;
    assert_eq!((told.level(), told.text("pool")), ("ERROR", "lab"));
    let kept = pool.find_vm("web-2").unwrap();
    pool.crash(&kept).unwrap();
    for vm in ["app-1", "app-2", "app-3"] {
        describe(&pool, vm, "changed while there was no room");
    }

    disk.empty();
    daemon.wait_for("the intake goes on", |line| line.message().contains("there is room again")).await;
    let runs = |pool: &PoolHandle| pool.record("VM", &kept).unwrap().text("power_state") == "Running";
    assert!(pool.wait_until(LIMIT, runs).await, "the crash was lost");
    let copy = world.folder().join("copy");
    until(LIMIT, "everything has arrived", || {
        let differences = differences(&pool, &disk.stored(&copy));
        if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
    })
    .await;
    let ended = disk.into_daemon().terminate().await;
    assert!(ended.status.success());
    let compared = ended.lines.iter().filter(|line| line.message() == "compared the whole pool").count();
    assert_eq!(compared, 1, "nothing had to be read anew");
    assert_eq!(pool.calls().logins.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_that_cannot_be_written_to_is_named() {
    let world = World::builtin().await;
    let mut config = world.config();
    for (state, words) in [("a-file", "not a directory"), ("missing", "no such file or directory")] {
        config.state = world.folder().join(state);
        std::fs::write(world.folder().join("a-file"), "").unwrap();
        let path = config.write(world.folder());
        let output = e2e::run(&["run", "--config", path.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let names_it = said.contains(config.state.to_str().unwrap());
        assert!(names_it && said.to_lowercase().contains(words), "{said}");
    }

    config.state = world.state();
    let path = config.write(world.folder());
    let Some(disk) = SmallDisk::start(&path, &world.state(), "ro,size=1m", world.folder()) else { return };
    let ended = disk.into_daemon().ended(LIMIT).await;
    assert_eq!(ended.status.code(), Some(1));
    let said = ended.everything();
    assert!(
        said.contains(world.state().to_str().unwrap()) && said.contains("Read-only file system"),
        "{said}"
    );
    assert!(world.pool().calls().logins.is_empty(), "nothing is asked of a pool that cannot be written down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_the_same_journal_is_refused() {
    let world = World::builtin().await;
    let path = world.config().write(world.folder());
    let daemon = Daemon::start(&path, world.folder());
    daemon.following().await;
    let output = e2e::run(&["run", "--config", path.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is in use") && said.contains(&daemon.process().to_string()), "{said}");
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_output_ever_holds_a_secret() {
    let world = World::builtin().await;
    let pool = world.pool();
    let device = pool.records("PBD").into_iter().next().unwrap();
    let mut map = device.get("device_config").and_then(Value::as_struct).cloned().unwrap_or_default();
    map.insert("chappassword", "storage-secret-55d1");
    pool.set("PBD", &device.reference, "device_config", Value::Struct(map)).unwrap();
    let path = world.config().write(world.folder());
    let daemon = Daemon::start_with(&path, world.folder(), &[("XAPIARY_LOG", "trace")]);
    daemon.following().await;
    world.alike().await;
    let vm = pool.find_vm("web-1").unwrap();
    pool.crash(&vm).unwrap();
    let runs = |pool: &PoolHandle| pool.record("VM", &vm).unwrap().text("power_state") == "Running";
    assert!(pool.wait_until(LIMIT, runs).await);
    let sessions: Vec<SmolStr> =
        pool.records("session").into_iter().map(|session| session.reference).collect();
    assert_eq!(sessions.len(), 1);
    // Errors quote what they are about: one that is about the session, too.
    pool.end_sessions();
    describe(&pool, "web-2", "so that there is an answer");
    world.alike().await;
    let ended = daemon.terminate().await;
    let mut outputs = vec![("the output".to_owned(), ended.everything().into_bytes())];
    outputs.extend(world.state_files().into_iter().map(|(path, bytes)| (path.display().to_string(), bytes)));
    let secrets = [PASSWORD, "storage-secret-55d1"].into_iter().chain(sessions.iter().map(SmolStr::as_str));
    for secret in secrets {
        for (place, bytes) in &outputs {
            let found = bytes.windows(secret.len()).position(|window| window == secret.as_bytes());
            assert_eq!(found.map(|at| excerpt(bytes, at)), None, "{secret} is in {place}");
        }
    }
}

fn excerpt(bytes: &[u8], at: usize) -> String {
    let part = &bytes[at.saturating_sub(200)..bytes.len().min(at + 200)];
    String::from_utf8_lossy(part).into_owned()
}
