//! A person looks at the daemon and steers it, over the control socket.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "../../skipped.rs"]
mod skipped;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use e2e::{Grant, KEEPALIVE_GRANT, LIMIT, Operator, PASSWORD, World, until};
use serde_json::{Value, json};

const READ: &str = "[[read]]\nclass = [\"VM\", \"task\"]\nfields = [\"*\"]\n";

/// Waits until the daemon says that all is well.
async fn well(operator: &Operator) -> Value {
    until(LIMIT, "all is well", || match operator.status() {
        (0, status) => Ok(status),
        (code, status) => Err(format!("{code}: {status}")),
    })
    .await
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_how_a_pool_does_while_it_is_there_and_when_it_is_gone() {
    let mut world = World::builtin().await;
    let daemon = world.start(&world.config());
    let operator = world.operator();
    daemon.following().await;
    let status = until(LIMIT, "a change of our own came round", || match operator.status() {
        (0, status) if status["pools"][0]["canary_age_s"].is_f64() => Ok(status),
        (code, status) => Err(format!("{code}: {status}")),
    })
    .await;
    let pool = &status["pools"][0];
    assert_eq!(
        (&pool["name"], &pool["state"], &pool["why"]),
        (&json!("lab"), &json!("following"), &json!(null))
    );
    assert_eq!(pool["endpoint"], json!(format!("https://{}", world.https())));
    assert_eq!(pool["objects"].as_u64(), status["journal"]["objects"].as_u64());
    assert!(pool["lag_s"].as_f64().unwrap() < 30.0, "{status}");
    assert_eq!(pool["events"], status["journal"]["last"], "all events of a new journal are this pool's");
    let plugin = &status["plugins"][0];
    assert_eq!((&plugin["name"], &plugin["state"]), (&json!("vm-keepalive"), &json!("on")));
    assert_eq!(status["process"], json!(daemon.process()));
    let table = operator.run(&["status"]).good();
    for part in ["all is well", "lab", "following", "vm-keepalive", "journal: "] {
        assert!(table.contains(part), "{part} is missing in {table}");
    }

    world.close().await;
    let status = until(LIMIT, "the pool is lost", || match operator.status() {
        (1, status) if status["pools"][0]["state"] == "lost" => Ok(status),
        (code, status) => Err(format!("{code}: {status}")),
    })
    .await;
    let problem = list(&status, "problems")[0].as_str().unwrap();
    assert!(problem.starts_with("pool lab is lost: "), "{problem}");
    assert!(!status.to_string().contains(PASSWORD));
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_looked_at_retried_and_dropped() {
    let world = World::builtin().await;
    let mut config = world.config();
    config.grants = vec![Grant::guest("give_up", READ)];
    let daemon = world.start(&config);
    daemon.following().await;
    let operator = world.operator();
    let pool = world.pool();
    let vm = pool.find_vm("web-1").unwrap();
    pool.set("VM", &vm, "name_description", "changed").unwrap();
    let letters = until(LIMIT, "a dead letter", || match operator.ask(&["dead", "list"]) {
        Value::Array(letters) if !letters.is_empty() => Ok(letters),
        other => Err(other.to_string()),
    })
    .await;
    let letter = letters[0].clone();
    let (id, sequence) = (letter["id"].to_string(), letter["sequence"].to_string());
    assert_eq!((letter["plugin"].as_str(), letter["attempts"].as_u64()), (Some("give_up"), Some(1)));
    let (code, status) = operator.status();
    assert_eq!(code, 1, "{status}");
    assert!(status["problems"].to_string().contains("xapiary dead list"), "{status}");
    let shown = operator.ask(&["dead", "show", &id]);
    assert_eq!((&shown["dead"], &shown["event"]["name"]), (&letter, &json!("web-1")));
    assert_eq!(operator.ask(&["deliveries", "show", "give_up", &sequence])["delivery"]["state"], "dead");

    let done = operator.run(&["dead", "retry", &id, "--reason", "mended"]).good();
    assert!(done.contains("comes to give_up again now, as attempt 2"), "{done}");
    let again = until(LIMIT, "it dies again", || match operator.ask(&["dead", "list"]) {
        Value::Array(letters) if letters.len() == 1 && letters[0]["attempts"] == 2 => Ok(letters[0].clone()),
        other => Err(other.to_string()),
    })
    .await;
    assert_eq!(again["sequence"], letter["sequence"]);
    let new_id = again["id"].to_string();
    assert_ne!(new_id, id);

    let gone = operator.run(&["dead", "retry", &id]);
    assert_eq!(gone.code, 1, "{gone:?}");
    assert!(gone.error.contains(&format!("dead letter {id} is not in the journal")), "{gone:?}");
    let reasonless = operator.run(&["dead", "drop", &new_id]);
    assert_eq!(reasonless.code, 2, "{reasonless:?}");
    let blank = operator.run(&["dead", "drop", &new_id, "--reason", " "]);
    assert_eq!(blank.code, 1, "{blank:?}");
    let _ = operator.run(&["dead", "drop", &new_id, "--reason", "done by hand"]).good();
    assert_eq!(operator.ask(&["dead", "list"]), json!([]));
    let actions = operator.ask(&["journal", "actions"]);
    let told: Vec<(&str, &str)> = actions
        .as_array()
        .unwrap()
        .iter()
        .map(|action| (action["verb"].as_str().unwrap(), action["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("dead drop", "done by hand"), ("dead retry", "mended")]);
    assert!(
        actions[0]["subject"].as_str().unwrap().contains(&format!("event {sequence} for give_up")),
        "{actions}"
    );
    assert!(well(&operator).await["problems"].as_array().unwrap().is_empty());
    assert!(daemon.terminate().await.status.success());
}

/// The story of a person who mends a grant: what was given up is done after all, and the plugin goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_done_when_the_grant_is_mended_and_the_letter_retried() {
    let world = World::builtin().await;
    let mut config = world.config();
    config.grants = vec![Grant::keepalive(READ)];
    let daemon = world.start(&config);
    daemon.following().await;
    let pool = world.pool();
    let vm = pool.find_vm("web-1").unwrap();
    pool.crash(&vm).unwrap();
    let operator = world.operator();
    let id = until(LIMIT, "a dead letter", || {
        let letters = operator.ask(&["dead", "list"]);
        letters[0]["id"].as_u64().ok_or_else(|| letters.to_string())
    })
    .await
    .to_string();
    world.settled("vm-keepalive").await;
    assert!(daemon.terminate().await.status.success());

    config.grants = vec![Grant::keepalive(KEEPALIVE_GRANT)];
    let daemon = world.start(&config);
    daemon.following().await;
    let _ = operator.run(&["dead", "retry", &id]).good();
    let runs =
        |pool: &simulator::PoolHandle| pool.record("VM", &vm).unwrap().text("power_state") == "Running";
    assert!(pool.wait_until(LIMIT, runs).await, "web-1 is not started");
    let told = daemon.wait_for("it is delivered", |line| {
        line.message() == "delivered" && line.number("attempt") == Some(2)
    });
    let sequence = told.await.number("sequence").unwrap().to_string();
    let shown = operator.ask(&["deliveries", "show", "vm-keepalive", &sequence]);
    assert_eq!(shown["delivery"]["state"], "settled", "{shown}");
    let calls: Vec<(&str, u64)> = list(&shown, "calls")
        .iter()
        .map(|call| (call["method"].as_str().unwrap(), call["attempt"].as_u64().unwrap()))
        .collect();
    assert_eq!(calls, [("VM.start", 2)], "{shown}");
    world.settled("vm-keepalive").await;
    well(&operator).await;
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_plugin_keeps_its_queue_and_order_also_over_a_restart() {
    let world = World::builtin().await;
    let mut config = world.config();
    config.grants = vec![Grant::guest("no_op", READ)];
    let mut daemon = world.start(&config);
    daemon.following().await;
    world.settled("no_op").await;
    let operator = world.operator();
    let before = world.stored().last();
    let done = operator.run(&["plugins", "disable", "no_op", "--reason", "too loud"]).good();
    assert!(done.contains("no_op is disabled"), "{done}");

    let pool = world.pool();
    let vm = pool.find_vm("web-1").unwrap();
    let change = async |number: usize| {
        let text = format!("change {number}");
        pool.set("VM", &vm, "name_description", text.as_str()).unwrap();
        world.alike().await;
    };
    for number in 0..3 {
        change(number).await;
    }
    let waiting = |operator: &Operator| {
        let plugin = operator.ask(&["plugins", "list"])[0].clone();
        if plugin["state"] == "disabled" && plugin["waiting"].as_u64() >= Some(3) && plugin["running"] == 0 {
            Ok(plugin)
        } else {
            Err(plugin.to_string())
        }
    };
    let plugin = until(LIMIT, "its events wait", || waiting(&operator)).await;
    assert!(plugin["why"].as_str().unwrap().contains("too loud"), "{plugin}");
    let listed = operator.ask(&["deliveries", "list", "--plugin", "no_op"]);
    let queue: Vec<(u64, &Value)> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["sequence"].as_u64().unwrap(), &line["state"]))
        .collect();
    assert_eq!(queue.len() as u64, plugin["waiting"].as_u64().unwrap(), "{listed}");
    assert!(queue.iter().all(|(sequence, state)| *sequence > before && **state == "waiting"), "{listed}");
    assert!(queue.is_sorted_by_key(|(sequence, _)| *sequence), "{listed}");
    let first = operator.ask(&["deliveries", "list", "-n", "1"]);
    assert_eq!(first, json!([listed[0]]));
    assert_eq!(operator.status().0, 0, "what a person did on purpose is no problem");
    let ended = daemon.terminate().await;
    assert!(ended.status.success());
    let delivered = |lines: &[e2e::Line]| -> Vec<u64> {
        let of = lines.iter().filter(|line| line.message() == "delivered");
        of.filter_map(|line| line.number("sequence")).filter(|sequence| *sequence > before).collect()
    };
    assert_eq!(delivered(&ended.lines), [0; 0]);

    daemon = world.start(&config);
    daemon.following().await;
    change(3).await;
    until(LIMIT, "its events wait after a restart too", || waiting(&operator)).await;
    let _ = operator.run(&["plugins", "enable", "no_op"]).good();
    world.settled("no_op").await;
    assert_eq!(operator.ask(&["plugins", "list"])[0]["state"], "on");
    let lines = daemon.terminate().await.lines;
    let of_vm: Vec<u64> = world
        .stored()
        .changes_of("VM", &vm)
        .iter()
        .map(|change| change.sequence)
        .filter(|sequence| *sequence > before)
        .collect();
    let mut told = delivered(&lines);
    told.retain(|sequence| of_vm.contains(sequence));
    assert!(of_vm.len() >= 4, "{of_vm:?}");
    assert_eq!(told, of_vm, "each once, in order");

    let unknown = operator.run(&["plugins", "disable", "no_op"]);
    assert_eq!(unknown.code, 3, "the daemon does not run: {unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_not_loaded_is_shown_with_why_and_cannot_be_switched() {
    let world = World::builtin().await;
    let mut config = world.config();
    config.grants.push(Grant::guest("no_op", "enabled = false\n"));
    let broken = world.folder().join("broken.wasm");
    std::fs::write(&broken, "no component").unwrap();
    config.grants.push(Grant { name: "broken".into(), component: broken, rules: String::new() });
    let daemon = world.start(&config);
    daemon.following().await;
    let operator = world.operator();
    let (code, status) = operator.status();
    assert_eq!(code, 1, "{status}");
    assert!(status["problems"].to_string().contains("plugin broken is left out: "), "{status}");
    let states: Vec<&str> =
        list(&status, "plugins").iter().map(|plugin| plugin["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["left out", "off", "on"], "{status}");
    for (name, words) in
        [("broken", "could not be loaded"), ("no_op", "enabled = false"), ("nope", "plugins are")]
    {
        let refused = operator.run(&["plugins", "enable", name]);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.error.contains(words), "{refused:?}");
    }
    let shown = operator.run(&["plugins", "show", "vm-keepalive"]).good();
    for part in ["vm-keepalive.toml", "VM.start on \"keepalive\" in self.tags", "CURSOR"] {
        assert!(shown.contains(part), "{part} is missing in {shown}");
    }
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_the_journal_is_read_and_nothing_is_done() {
    let world = World::builtin().await;
    let mut config = world.config();
    config.grants = vec![Grant::guest("give_up", READ)];
    let daemon = world.start(&config);
    daemon.following().await;
    let operator = world.operator();
    let pool = world.pool();
    let vm = pool.find_vm("web-1").unwrap();
    pool.set("VM", &vm, "name_description", "changed").unwrap();
    world.alike().await;
    world.settled("give_up").await;
    let questions = [
        &["events", "list"][..],
        &["events", "list", "--class", "vm", "-n", "1"],
        &["events", "show", "1"],
        &["deliveries", "list"],
        &["deliveries", "show", "give_up", "1"],
        &["dead", "list"],
        &["dead", "show", "1"],
        &["journal", "actions"],
    ];
    let answers: Vec<Value> = questions.iter().map(|question| operator.ask(question)).collect();
    let shown = operator.ask(&["plugins", "show", "give_up"]);
    assert!(daemon.terminate().await.status.success());
    assert!(!operator.socket().exists(), "the socket goes with the daemon");

    for (question, answer) in questions.iter().zip(answers) {
        if question[0] == "events" && question[1] == "list" {
            // The end of the session may have been told meanwhile.
            assert!(!operator.ask(question).as_array().unwrap().is_empty());
        } else {
            assert_eq!(operator.ask(question), answer, "{question:?}");
        }
    }
    let listed = operator.run(&["events", "list"]);
    assert!(listed.error.contains("the daemon does not run: nobody listens at"), "{listed:?}");
    assert!(listed.error.contains("reading the journal in"), "{listed:?}");
    let (code, status) = operator.status();
    assert_eq!(code, 3, "{status}");
    assert!(status["problems"][0].as_str().unwrap().starts_with("the daemon does not run"), "{status}");
    assert_eq!(
        (&status["plugins"][0]["state"], &status["plugins"][0]["dead"]),
        (&json!("not running"), &status["journal"]["dead"])
    );
    for command in [
        &["dead", "retry", "1"][..],
        &["dead", "drop", "1", "--reason", "x"],
        &["plugins", "disable", "give_up"],
    ] {
        let refused = operator.run(command);
        assert_eq!(refused.code, 3, "{refused:?}");
        assert!(refused.error.contains("the daemon does not run"), "{refused:?}");
    }
    let configured = operator.ask(&["plugins", "show", "give_up"]);
    for key in
        ["grant", "component", "description", "subscriptions", "allow", "missing", "pools", "concurrency"]
    {
        assert_eq!(configured[key], shown[key], "{key}");
    }
    let status = &configured["status"];
    assert_eq!((&status["state"], &status["mode"]), (&json!("not running"), &json!("enforce")), "{status}");
    assert_eq!(
        (&status["version"], &status["dead"]),
        (&shown["status"]["version"], &shown["status"]["dead"])
    );
    let unknown = operator.run(&["plugins", "show", "giveup"]);
    assert!(unknown.code == 1 && unknown.error.contains("give_up"), "{unknown:?}");
    let missing = operator.run(&["events", "show", "999999"]);
    assert_eq!(missing.code, 1, "{missing:?}");
    // Reading left the journal as the daemon needs it.
    let daemon = world.start(&config);
    daemon.following().await;
    assert_eq!(operator.ask(&["dead", "list"])[0]["id"], 1);
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_refused_with_the_line_that_would_allow_it() {
    if !rustix::process::geteuid().is_root() {
        skipped::skipped("only root can become somebody else");
        return;
    }
    let world = World::builtin().await;
    std::fs::set_permissions(world.folder(), PermissionsExt::from_mode(0o755)).unwrap();
    let mut config = world.config();
    config.grants = vec![Grant::guest("give_up", READ)];
    let mut start = async |control: &str| {
        config.control = control.to_owned();
        let daemon = world.start(&config);
        daemon.following().await;
        daemon
    };
    let operator = world.operator();
    let daemon = start("").await;
    let closed = operator.run_as_nobody(&["status"]);
    assert_eq!((closed.code, closed.output.as_str()), (3, ""), "{closed:?}");
    assert!(closed.error.contains("[control] observe = [\"user:NAME\"]"), "{closed:?}");
    assert!(daemon.terminate().await.status.success());

    let daemon = start("observe = [\"user:4711\"]").await;
    let refused = operator.run_as_nobody(&["status"]);
    assert_eq!((refused.code, refused.output.as_str()), (3, ""), "{refused:?}");
    let line = format!(
        "[control] of {}: observe = [\"user:nobody\"]",
        world.folder().join("xapiary.toml").display()
    );
    assert!(refused.error.contains("may not observe") && refused.error.contains(&line), "{refused:?}");
    daemon.wait_for_message("refused at the control socket").await;
    assert!(daemon.terminate().await.status.success());

    let daemon = start("observe = [\"group:65534\"]").await;
    let _ = operator.run_as_nobody(&["events", "list"]).good();
    let refused = operator.run_as_nobody(&["plugins", "disable", "give_up"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.error.contains("operate = [\"user:nobody\"]"), "{refused:?}");
    assert_eq!(operator.ask(&["plugins", "list"])[0]["state"], "on");
    assert!(daemon.terminate().await.status.success());

    let daemon = start("operate = [\"user:nobody\"]").await;
    let _ = operator.run_as_nobody(&["plugins", "disable", "give_up"]).good();
    assert_eq!(operator.ask(&["plugins", "list"])[0]["state"], "disabled");
    let actions = operator.ask(&["journal", "actions"]);
    assert_eq!(actions[0]["who"], "nobody (uid 65534)");
    assert!(daemon.terminate().await.status.success());
}

/// The body of an answer over TCP.
fn scrape(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_on_the_socket_and_where_the_configuration_says() {
    let world = World::builtin().await;
    let mut config = world.config();
    config.control = "metrics = \"127.0.0.1:0\"".into();
    let daemon = world.start(&config);
    daemon.following().await;
    let operator = world.operator();
    let address = daemon.wait_for_message("metrics are served").await.text("address").to_owned();
    well(&operator).await;
    world.settled("vm-keepalive").await;
    let samples = [
        "xapiary_pool_following{pool=\"lab\"} 1.0\n",
        "xapiary_pool_canary_age_seconds{pool=\"lab\"} ",
        "xapiary_events_total{pool=\"lab\"} ",
        "xapiary_plugin_on{plugin=\"vm-keepalive\"} 1.0\n",
        "xapiary_plugin_behind_events{plugin=\"vm-keepalive\"} 0.0\n",
        "xapiary_attempts_total{plugin=\"vm-keepalive\",outcome=\"dead\"} 0\n",
        "xapiary_dead_letters{plugin=\"vm-keepalive\"} 0.0\n",
        "xapiary_journal_size_bytes ",
        "xapiary_uptime_seconds ",
        "xapiary_problems 0.0\n",
        "# TYPE xapiary_delivery_start_seconds histogram\n",
        "xapiary_delivery_start_seconds_bucket{le=\"+Inf\"} ",
        concat!("xapiary_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1.0\n"),
    ];
    until(LIMIT, "all samples are there", || {
        let pages = [operator.raw("/metrics"), scrape(&address, "/metrics")];
        for page in &pages {
            assert!(
                page.starts_with("HTTP/1.1 200 OK\r\n")
                    && page.contains("content-type: text/plain; version=0.0.4")
            );
            assert!(!page.contains(PASSWORD) && !page.contains("OpaqueRef:"), "{page}");
        }
        match samples.iter().find(|sample| pages.iter().any(|page| !page.contains(**sample))) {
            Some(missing) => Err(format!("{missing} is missing in {}", pages[0])),
            None => Ok(()),
        }
    })
    .await;
    for path in ["/v1/status", "/v1/plugins", "/"] {
        assert!(scrape(&address, path).starts_with("HTTP/1.1 404 "), "{path} is nobody's business over TCP");
    }
    assert!(operator.raw("/v1/status").starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_shown_as_they_come_and_no_name_moves_the_cursor() {
    let world = World::builtin().await;
    let daemon = world.start(&world.config());
    daemon.following().await;
    let operator = world.operator();
    let shown = world.folder().join("tail.out");
    let mut tail = Command::new(e2e::xapiary())
        .args(["events", "tail", "--kind", "change", "--class", "VM", "-n", "0", "--socket"])
        .arg(operator.socket())
        .stdout(std::fs::File::create(&shown).unwrap())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let pool = world.pool();
    let vm = pool.find_vm("web-1").unwrap();
    let mut changes = 0;
    until(LIMIT, "what comes now is shown", || {
        changes += 1;
        pool.set("VM", &vm, "name_description", format!("change {changes}").as_str()).unwrap();
        let text = std::fs::read_to_string(&shown).unwrap();
        if text.is_empty() { Err(format!("nothing of {changes} changes")) } else { Ok(()) }
    })
    .await;
    pool.set("VM", &vm, "name_label", "evil\u{9b}2J\n\u{7f}name").unwrap();
    let text = until(LIMIT, "the change is shown", || {
        let text = std::fs::read_to_string(&shown).unwrap();
        if text.contains("evil") { Ok(text) } else { Err(text) }
    })
    .await;
    tail.kill().unwrap();
    tail.wait().unwrap();
    assert!(text.contains("evil\\u{9b}2J\\n\\u{7f}name") && text.contains("name_label"), "{text}");
    let renamed = world.stored().changes_of("VM", &vm).into_iter().find(|change| {
        change.new.as_ref().is_some_and(|record| record.text("name_label").starts_with("evil"))
    });
    let sequence = renamed.unwrap().sequence.to_string();
    for command in [
        &["events", "list"][..],
        &["events", "show", &sequence],
        &["status"],
        &["events", "list", "--kind", "change", "--json"],
    ] {
        let output = operator.run(command).good();
        let escaped =
            output.chars().filter(|character| *character != '\n').all(|character| !character.is_control());
        assert!(escaped, "{output:?}");
    }
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_was_left_behind_is_taken_over_and_one_in_use_is_not() {
    let world = World::builtin().await;
    let config = world.config();
    let daemon = world.start(&config);
    daemon.following().await;
    let operator = world.operator();
    let other = World::builtin().await;
    let mut colliding = other.config();
    colliding.control = String::new();
    let path = colliding.write(other.folder());
    let text = std::fs::read_to_string(&path).unwrap();
    let own = e2e::socket(other.folder()).display().to_string();
    std::fs::write(&path, text.replace(&own, &operator.socket().display().to_string())).unwrap();
    let refused = e2e::Daemon::start(&path, other.folder()).ended(LIMIT).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.everything().contains("is in use by another daemon"), "{}", refused.everything());
    well(&operator).await;

    daemon.kill();
    assert!(operator.socket().exists());
    assert_eq!(operator.status().0, 3, "nobody listens there");
    let daemon = world.start(&config);
    daemon.following().await;
    well(&operator).await;
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_is_checked_copied_and_pruned_while_the_daemon_runs() {
    let world = World::builtin().await;
    let mut config = world.config();
    config.grants = vec![Grant::guest("no_op", READ)];
    let daemon = world.start(&config);
    daemon.following().await;
    world.settled("no_op").await;
    let operator = world.operator();
    let checked = operator.ask(&["journal", "check"]);
    assert_eq!(checked["faults"], json!([]), "{checked}");
    let copy = world.folder().join("copy");
    std::fs::create_dir(&copy).unwrap();
    let file = copy.join("journal.db").display().to_string();
    let made = operator.ask(&["journal", "backup", &file]);
    assert!(made["last"].as_u64() > Some(0) && made["bytes"].as_u64() > Some(0), "{made}");
    let again = operator.run(&["journal", "backup", &file]);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.error.contains("is there already and was left as it is"), "{again:?}");
    assert!(daemon.terminate().await.status.success());

    // The copy is a journal that a daemon goes on with.
    config.state = copy;
    let daemon = world.start(&config);
    daemon.following().await;
    let pool = world.pool();
    let vm = pool.find_vm("web-1").unwrap();
    pool.set("VM", &vm, "name_description", "changed").unwrap();
    let pruned = until(LIMIT, "everything is settled and goes", || {
        let pruned = operator.ask(&["journal", "prune", "--older-than", "0s", "--reason", "room"]);
        let status = operator.status().1;
        if status["journal"]["events"] == 0 { Ok(pruned) } else { Err(format!("{pruned}, {status}")) }
    })
    .await;
    assert_eq!(pruned["held_by"], json!(null), "{pruned}");
    let kept = operator.run(&["journal", "prune", "--older-than", "1d"]).good();
    assert!(kept.starts_with("removed 0 events and 0 recorded calls"), "{kept}");
    pool.set("VM", &vm, "name_description", "changed again").unwrap();
    until(LIMIT, "it goes on", || match operator.ask(&["events", "list", "--class", "VM"]) {
        Value::Array(events) if !events.is_empty() => Ok(()),
        other => Err(other.to_string()),
    })
    .await;
    assert_eq!(operator.ask(&["journal", "check"])["faults"], json!([]));
    assert!(daemon.terminate().await.status.success());
}
