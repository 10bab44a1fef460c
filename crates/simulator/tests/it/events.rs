//! `event.from` and `event.inject`: what is told, in which order, and what is not.

use std::time::{Duration, Instant};

use simulator::{Options, Simulator};
use xapi::{NULL_REF, Struct, Value};

use crate::client;

#[tokio::test]
async fn the_first_picture_is_every_object_once() {
    let (running, client) = client::fast().await;
    let all = client.events(&["*"], "").await;
    let mut order: Vec<&str> = Vec::new();
    for told in &all.events {
        assert_eq!(told.operation, "add");
        if order.last() != Some(&told.class.as_str()) {
            order.push(&told.class);
        }
    }
    assert_eq!(
        &order[..4],
        ["pool", "vm", "vm_metrics", "vm_guest_metrics"],
        "in the order of the datamodel"
    );
    assert!(!order.contains(&"session"), "sessions are never told");
    for (class, count) in running.pool().counts() {
        let name = class.to_ascii_lowercase();
        assert_eq!(all.counts.get(&name).and_then(Value::as_int), Some(count.try_into().unwrap()), "{class}");
        if class != "session" {
            assert_eq!(all.events.iter().filter(|told| told.class == name).count(), count, "{class}");
        }
    }
    assert_eq!(all.counts.get("message"), Some(&Value::Int(0)));
    assert_eq!(all.token.len(), 41);
    // References within a class come in their order.
    let vms: Vec<&str> =
        all.events.iter().filter(|t| t.class == "vm").map(|t| t.reference.as_str()).collect();
    assert!(vms.is_sorted());
}

#[tokio::test]
async fn changes_fold_into_one_event_an_object() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let token = client.events(&["vm", "vbd", "vdi", "network"], "").await.token;
    let vm = pool.find_vm("web-1").unwrap();
    let reference = Value::from(vm.as_str());

    // Three writes are one event, and the same again is none.
    for text in ["a", "b", "c"] {
        client.ok("VM.set_name_description", &[reference.clone(), text.into()]).await;
    }
    let batch = client.events(&["vm"], &token).await;
    assert_eq!(batch.lines(), ["mod vm web-1"]);
    assert_eq!(batch.events[0].get("name_description"), Some(&"c".into()));
    assert_eq!(batch.events[0].id, pool.generation());
    client.ok("VM.set_name_description", &[reference.clone(), "c".into()]).await;
    assert_eq!(client.events_within(&["vm"], &batch.token, 0.2).await.lines(), [""; 0]);

    // A new disk changes the VM and the image at the other ends of its relations; what may be done with disk and
    // drive is written after.
    let vdi = pool.create("VDI", [("name_label".into(), "new".into())].into_iter().collect()).unwrap();
    let fields: Struct =
        [("VM".into(), reference.clone()), ("VDI".into(), vdi.as_str().into())].into_iter().collect();
    let vbd = pool.create("VBD", fields).unwrap();
    let batch = client.events(&["vm", "vbd", "vdi"], &batch.token).await;
    let mut lines = batch.lines();
    lines.sort();
    assert_eq!(lines, ["add vbd -", "add vdi new", "mod vm web-1"]);
    let changed = batch.events.iter().find(|told| told.class == "vm").unwrap();
    assert!(changed.get("VBDs").unwrap().as_array().unwrap().contains(&vbd.as_str().into()));

    // Modified and deleted is deleted; created and deleted is nothing.
    client.ok("VBD.set_bootable", &[vbd.as_str().into(), true.into()]).await;
    client.ok("VBD.destroy", &[vbd.as_str().into()]).await;
    let brief = pool.create("VDI", Struct::new()).unwrap();
    pool.delete("VDI", &brief).unwrap();
    let batch = client.events(&["*"], &batch.token).await;
    let lines: Vec<String> = batch.lines().into_iter().filter(|line| !line.contains(" task ")).collect();
    assert_eq!(lines, ["mod vm web-1", "mod vdi new", "del vbd -"]);
    assert_eq!(batch.events.last().unwrap().snapshot, None);
}

#[tokio::test]
async fn only_what_was_asked_for_wakes_a_waiter() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let web = pool.find_vm("web-1").unwrap();
    let other = pool.find_vm("web-2").unwrap();
    let token = client.events(&["vm"], "").await.token;
    let only = format!("VM/{web}");
    let wanted = [only.as_str()];
    let waiting = client.events(&wanted, &token);
    let changing = async {
        pool.set("VM", &other, "name_description", "not asked for").unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        pool.set("VM", &web, "name_description", "asked for").unwrap();
    };
    let (batch, ()) = tokio::join!(waiting, changing);
    assert_eq!(batch.lines(), ["mod vm web-1"]);

    for (classes, seconds) in [(&["nonsense"][..], 0.1), (&[][..], 0.1), (&["vm"][..], 0.0)] {
        let began = Instant::now();
        let later = pool.generation();
        let quiet = client.events_within(classes, &format!("{later:020},{:020}", 0), seconds).await;
        assert_eq!(quiet.events.len(), 0, "{classes:?}");
        assert!(began.elapsed() >= Duration::from_secs_f64(seconds));
        assert!(quiet.token.starts_with(&format!("{later:020},")), "the token stays");
    }
}

#[tokio::test]
async fn an_injected_mark_comes_back_beyond_its_token() {
    let (running, client) = client::fast().await;
    let pool = client.ok("pool.get_all", &[]).await.as_array().unwrap()[0].clone();
    let token = client.events(&["pool"], "").await.token;
    let mark = client.ok("event.inject", &["pool".into(), pool.clone()]).await;
    let batch = client.events(&["pool"], &token).await;
    assert_eq!(batch.lines(), ["mod pool cellar"]);
    assert!(batch.token.as_str() > mark.as_str().unwrap(), "{} {mark:?}", batch.token);
    assert_eq!(running.pool().generation(), batch.events[0].id + 1);
    let wrong = client.refused("event.inject", &["Pool".into(), pool]).await;
    assert!(wrong.starts_with("HANDLE_INVALID [Pool, "), "{wrong}");
    let session = client.session.clone();
    client.ok("event.inject", &["session".into(), session]).await;
}

#[tokio::test]
async fn deletions_are_remembered_for_a_while_only() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let made: Vec<_> = (0..600).map(|_| pool.create("VDI", Struct::new()).unwrap()).collect();
    let first = client.events(&["vdi"], "").await;
    for vdi in &made {
        pool.delete("VDI", vdi).unwrap();
    }
    let batch = client.events(&["vdi"], &first.token).await;
    let told = batch.events.iter().filter(|told| told.operation == "del").count();
    assert!((256..=511).contains(&told), "{told} of 600 deletions told");
    assert_eq!(batch.events[0].reference, made[599], "newest first");
    let left = first.events.len() - 600;
    assert_eq!(
        batch.counts.get("vdi").and_then(Value::as_int),
        Some(i64::try_from(left).unwrap()),
        "counts tell the rest"
    );
}

#[tokio::test]
async fn alerts_come_as_add_and_del_without_number() {
    let (running, client) = client::fast().await;
    let vm = running.pool().find_vm("web-1").unwrap();
    let uuid = running.pool().record("VM", &vm).unwrap().text("uuid").to_owned();
    let arguments =
        ["MADE_UP".into(), 3i64.into(), "VM".into(), uuid.as_str().into(), "<body>a & b</body>".into()];
    let token = client.events_within(&["message"], "", 0.1).await.token;
    let message = client.ok("message.create", &arguments).await;
    let batch = client.events(&["message"], &token).await;
    assert_eq!(batch.lines(), ["add message -"]);
    assert_eq!(batch.events[0].id, 0);
    assert_eq!(batch.events[0].get("body"), Some(&"<body>a & b</body>".into()));
    assert_ne!(&batch.token[21..], "0".repeat(20));
    client.ok("message.destroy", std::slice::from_ref(&message)).await;
    assert_eq!(client.events(&["message"], &batch.token).await.lines(), ["del message -"]);
    // Whoever does not ask for messages gets a token that says nothing of them.
    assert!(client.events_within(&["vm"], &batch.token, 0.1).await.token.ends_with(&"0".repeat(20)));
    let refused = client.refused("message.destroy", &[message]).await;
    assert!(refused.starts_with("HANDLE_INVALID [message, "), "{refused}");
}

#[tokio::test]
async fn a_session_that_ends_wakes_who_waits_on_it() {
    let (running, client) = client::fast().await;
    let token = client.events(&["vm"], "").await.token;
    let session = client.session.as_str().unwrap().to_owned();
    let arguments = [Value::Array(vec!["vm".into()]), token.as_str().into(), 60.0.into()];
    let began = Instant::now();
    let waiting = client.call("event.from", &arguments);
    let ending = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        running.pool().end_sessions();
    };
    let (reply, ()) = tokio::join!(waiting, ending);
    assert_eq!(reply.unwrap_err().to_string(), format!("SESSION_INVALID [{session}]"));
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn after_a_restart_everything_looks_new_and_nothing_was_deleted() {
    let (running, mut client) = client::fast().await;
    let pool = running.pool();
    let first = client.events(&["vm"], "").await;
    let vm = pool.find_vm("lab").unwrap();
    pool.delete("VM", &vm).unwrap();
    pool.restart_toolstack();
    client.answers().await;
    assert!(client.refused("VM.get_all", &[]).await.starts_with("SESSION_INVALID"));
    client.log_in("root", "secret").await.unwrap();
    let again = client.events(&["vm"], &first.token).await;
    assert!(again.events.iter().all(|told| told.operation == "add"));
    assert_eq!(again.events.len(), first.events.len() - 1);
    assert_eq!(
        again.counts.get("vm").and_then(Value::as_int),
        Some(i64::try_from(again.events.len()).unwrap())
    );
    assert_eq!(again.counts.get("session"), Some(&Value::Int(1)));
    assert_ne!(pool.record("VM", &pool.find_vm("web-1").unwrap()).unwrap().text("resident_on"), NULL_REF);
}

#[tokio::test]
async fn the_first_picture_of_alerts_has_those_that_are_gone_too() {
    let (running, client) = client::fast().await;
    let pool = running.pool().records("pool")[0].text("uuid").to_owned();
    let mut made = Vec::new();
    for name in ["first", "second", "third"] {
        let arguments = [name.into(), Value::Int(3), "Pool".into(), pool.as_str().into(), "".into()];
        made.push(client.ok("message.create", &arguments).await);
    }
    for gone in [&made[1], &made[0]] {
        client.ok("message.destroy", std::slice::from_ref(gone)).await;
    }
    let first = client.events_within(&["MESSAGE", "Pool"], "", 0.0).await;
    let told: Vec<(&str, &str)> =
        first.events.iter().map(|told| (told.operation.as_str(), told.reference.as_str())).collect();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    assert_eq!(told[0], ("del", text(&made[1]).as_str()), "in the order of their ends");
    assert_eq!(told[1], ("del", text(&made[0]).as_str()));
    assert_eq!(told[2], ("add", text(&made[2]).as_str()));
    assert_eq!(first.events[3].class, "pool", "objects come after alerts");
    assert_eq!(first.events.len(), 4);
}

#[tokio::test]
async fn a_token_is_a_number_and_nothing_more() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    // It fits any subscription, whoever it was given to; case does not matter, and what is not known matches nothing.
    let token = client.events(&["pool"], "").await.token;
    let before: i64 = token[..20].parse().unwrap();
    let vm = pool.find_vm("web-1").unwrap();
    pool.set("VM", &vm, "name_description", "new").unwrap();
    let batch = client.events(&["Vm", "no_such"], &token).await;
    assert!(batch.lines().contains(&"mod vm web-1".to_owned()));
    assert!(batch.events.iter().all(|told| told.operation == "mod" || told.id > before));
    // It moves with what was asked for, and not with the rest.
    pool.create("VDI", Struct::new()).unwrap();
    let quiet = client.events_within(&["vm"], &batch.token, 0.05).await;
    assert_eq!((quiet.events.len(), &quiet.token), (0, &batch.token));
    // From the future it silences, until the present has passed it.
    let future = format!("{:020},{:020}", pool.generation() + 3, 0);
    for description in ["one", "two", "three"] {
        pool.set("VM", &vm, "name_description", description).unwrap();
        assert_eq!(client.events_within(&["vm"], &future, 0.05).await.lines(), [""; 0], "{description}");
    }
    pool.set("VM", &vm, "name_description", "four").unwrap();
    let batch = client.events(&["vm"], &future).await;
    assert_eq!(batch.lines(), ["mod vm web-1"]);
    assert_eq!(batch.events[0].get("name_description"), Some(&"four".into()));
    for wrong in ["x", "1", "1,x", "1,2,3"] {
        let arguments = [Value::Array(vec!["vm".into()]), wrong.into(), 0.0.into()];
        let refused = client.refused("event.from", &arguments).await;
        assert_eq!(refused, format!("EVENT_FROM_TOKEN_PARSE_FAILURE [{wrong}]"));
    }
}

#[tokio::test]
async fn what_comes_quickly_comes_together_and_tasks_come_at_once() {
    // xapi's own pauses, which a quick pool shortens.
    let simulator = Simulator::builtin(Options { speed: 1.0, ..client::options() }).unwrap();
    let (running, client) = client::open(simulator).await;
    let pool = running.pool();
    let began = Instant::now();
    client.events(&["vm"], "").await;
    assert!(began.elapsed() >= Duration::from_millis(50), "{:?}", began.elapsed());
    // On a busy machine a call may be late; that every one is late by the pause is what cannot be.
    client.ok("task.create", &["mine".into(), "".into()]).await;
    let mut quickest = Duration::MAX;
    for _ in 0..20 {
        let began = Instant::now();
        client.events(&["task"], "").await;
        quickest = quickest.min(began.elapsed());
    }
    assert!(quickest < Duration::from_millis(50), "{quickest:?}");

    let (one, two) = (pool.find_vm("web-1").unwrap(), pool.find_vm("web-2").unwrap());
    let token = format!("{:020},{:020}", pool.generation(), 0);
    let waiting = client.events(&["vm"], &token);
    let writing = async {
        while pool.calls().of("event.from") < 22 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for round in 0..100 {
            pool.set("VM", &one, "name_description", format!("{round}")).unwrap();
            pool.set("VM", &two, "name_description", format!("{round}")).unwrap();
        }
    };
    let (batch, ()) = tokio::join!(waiting, writing);
    let mut lines = batch.lines();
    lines.sort();
    assert_eq!(lines, ["mod vm web-1", "mod vm web-2"]);
    assert!(batch.events.iter().all(|told| told.get("name_description") == Some(&"99".into())));
}

#[tokio::test]
async fn a_negative_time_is_a_day() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    for seconds in [-1.0, f64::NAN, 1e9] {
        let token = format!("{:020},{:020}", pool.generation(), 0);
        let waiting = client.events_within(&["pool"], &token, seconds);
        tokio::pin!(waiting);
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err(), "{seconds}");
        let reference = pool.records("pool")[0].reference.clone();
        client.ok("event.inject", &["pool".into(), reference.as_str().into()]).await;
        assert_eq!(waiting.await.lines(), ["mod pool cellar"]);
    }
}

#[tokio::test]
async fn deleted_alerts_are_remembered_for_a_while_only() {
    let (running, client) = client::fast().await;
    let pool = running.pool().records("pool")[0].text("uuid").to_owned();
    let token = client.events_within(&["message"], "", 0.1).await.token;
    for index in 0..1024 {
        let made =
            [format!("N{index}").into(), Value::Int(3), "Pool".into(), pool.as_str().into(), "".into()];
        let alert = client.ok("message.create", &made).await;
        client.ok("message.destroy", &[alert]).await;
    }
    let told = client.events(&["message"], &token).await.events;
    assert!(told.iter().all(|told| told.operation == "del"), "made and gone in between is still told");
    assert_eq!(told.len(), 512, "one beyond 1023 makes it forget the older half");
}
