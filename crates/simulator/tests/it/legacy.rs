//! `event.register`, `next` and `unregister`: a log with a picture of every moment, of deletions too.

use std::time::{Duration, Instant};

use xapi::{Struct, Value};

use crate::client::{self, Client};

/// What one answer of `event.next` holds, as lines: `mod vm web-1`.
fn lines(answer: &Value) -> Vec<String> {
    let line = |event: &Value| {
        let event = event.as_struct().unwrap();
        let text = |name: &str| event.get(name).unwrap().as_str().unwrap().to_owned();
        let snapshot = event.get("snapshot").unwrap().as_struct().unwrap();
        let name = snapshot.get("name_label").or_else(|| snapshot.get("name")).and_then(Value::as_str);
        let seconds: i64 = text("timestamp").strip_suffix('.').unwrap().parse().unwrap();
        assert!((seconds - jiff::Timestamp::now().as_second()).abs() < 600, "{event:?}");
        assert!(text("ref").starts_with("OpaqueRef:"));
        format!("{} {} {}", text("operation"), text("class"), name.unwrap_or("-"))
    };
    answer.as_array().unwrap().iter().map(line).collect()
}

fn words(words: &[&str]) -> Value {
    Value::Array(words.iter().map(|word| Value::from(*word)).collect())
}

async fn next(client: &Client) -> Vec<String> {
    lines(&client.ok("event.next", &[]).await)
}

#[tokio::test]
async fn every_change_is_told_with_its_moment_and_deletions_with_their_last() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let refused = client.refused("event.next", &[]).await;
    assert!(refused.starts_with("SESSION_NOT_REGISTERED [trackid="), "{refused}");
    assert!(!refused.contains(client.session.as_str().unwrap()), "the session itself stays secret");

    client.ok("event.register", &[words(&["VDI", "message"])]).await;
    let begun = client.ok("event.get_current_id", &[]).await.as_int().unwrap();
    let fields: Struct = [("name_label".into(), "one".into())].into_iter().collect();
    let vdi = pool.create("VDI", fields).unwrap();
    for name in ["two", "three"] {
        pool.set("VDI", &vdi, "name_label", name).unwrap();
    }
    // Nobody asked for VMs, so they get no numbers.
    pool.set("VM", &pool.find_vm("web-1").unwrap(), "name_description", "unheard").unwrap();
    pool.delete("VDI", &vdi).unwrap();
    let told = client.ok("event.next", &[]).await;
    let mut names = lines(&told);
    names.retain(|line| !line.starts_with("mod vdi one"));
    assert_eq!(names, ["add vdi one", "mod vdi two", "mod vdi three", "del vdi three"]);
    let ids: Vec<i64> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event.as_struct().unwrap().get("id").unwrap().as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(ids[0], begun);
    assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{ids:?}");
    assert_eq!(client.ok("event.get_current_id", &[]).await.as_int(), ids.last().map(|last| last + 1));

    let uuid = pool.records("pool")[0].text("uuid").to_owned();
    let made = ["N".into(), Value::Int(3), "Pool".into(), uuid.as_str().into(), "".into()];
    let alert = client.ok("message.create", &made).await;
    client.ok("message.destroy", &[alert]).await;
    assert_eq!(next(&client).await, ["add message N", "del message N"]);
}

#[tokio::test]
async fn it_waits_and_only_for_what_is_registered() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let (one, two) = (pool.find_vm("web-1").unwrap(), pool.find_vm("web-2").unwrap());
    let only = format!("vm/{one}");
    client.ok("event.register", &[words(&[&only])]).await;
    client.ok("event.inject", &["VM".into(), two.as_str().into()]).await;
    client.ok("event.inject", &["VM".into(), one.as_str().into()]).await;
    let began = Instant::now();
    assert_eq!(next(&client).await, ["mod vm web-1"]);
    assert!(began.elapsed() >= Duration::from_millis(200), "it looks only so often");

    // Registered for nothing, a session waits until it ends.
    client.ok("event.unregister", &[words(&[&only])]).await;
    let waiting = client.call("event.next", &[]);
    let ending = async {
        while pool.calls().of("event.next") < 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        pool.set("VM", &one, "name_description", "no longer heard").unwrap();
        pool.end_sessions();
    };
    let (ended, ()) = tokio::join!(waiting, ending);
    assert_eq!(ended.unwrap_err().code, "SESSION_INVALID");
}

#[tokio::test]
async fn a_session_s_registration_is_its_own_and_begins_with_it() {
    let (running, client) = client::fast().await;
    let mut other = Client::new(client::plain(), format!("http://{}", running.http_address().unwrap()));
    other.log_in("root", "secret").await.unwrap();
    client.ok("event.register", &[words(&["*"])]).await;
    let pool = running.pool();
    let vm = pool.find_vm("web-1").unwrap();
    pool.set("VM", &vm, "name_description", "before").unwrap();
    other.ok("event.register", &[words(&["vm"])]).await;
    pool.set("VM", &vm, "name_description", "after").unwrap();
    let descriptions = |answer: Value| -> Vec<Value> {
        let events = answer.as_array().unwrap().iter().map(|event| event.as_struct().unwrap().clone());
        let vms = events.filter(|event| event.get("class") == Some(&"vm".into()));
        let snapshot = |event: Struct| event.get("snapshot").unwrap().as_struct().unwrap().clone();
        vms.map(|event| snapshot(event).get("name_description").unwrap().clone()).collect()
    };
    assert_eq!(descriptions(other.ok("event.next", &[]).await), ["after".into()]);
    assert_eq!(descriptions(client.ok("event.next", &[]).await), ["before".into(), "after".into()]);
}

#[tokio::test]
async fn the_sign_of_life_is_heard_in_the_old_way_alone() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    client.ok("event.register", &[words(&["pool"])]).await;
    let generation = pool.generation();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    assert_eq!(next(&client).await, ["mod pool cellar"]);
    assert_eq!(pool.generation(), generation, "nothing changed");
    let token = format!("{generation:020},{:020}", 0);
    assert_eq!(client.events_within(&["pool"], &token, 0.1).await.lines(), [""; 0]);
}
