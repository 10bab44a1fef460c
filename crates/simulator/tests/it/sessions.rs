//! Sessions: whose they are, how long they last, and which go when there are too many.

use std::time::Duration;

use simulator::{Options, PoolHandle, Running, Simulator};
use xapi::Value;
use xapi::codec::{Limits, xml};
use xapi::model::schema::Role;

use crate::client::{self, Client, SOON};

fn at(running: &Running) -> Client {
    Client::new(client::plain(), format!("http://{}", running.http_address().unwrap()))
}

/// Logs in with an originator of its own and returns the session.
async fn log_in(client: &Client, user: &str, password: &str, originator: &str) -> Value {
    let arguments = [user.into(), password.into(), "2.23".into(), originator.into()];
    client.raw("session.login_with_password", &arguments).await.unwrap()
}

/// Lets the pool's time pass, in which it collects what nobody needs.
async fn later(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

/// How many sessions of an originator are left.
fn left(pool: &PoolHandle, originator: &str) -> usize {
    pool.records("session").iter().filter(|session| session.text("originator") == originator).count()
}

#[tokio::test]
async fn too_many_of_one_kind_lose_the_oldest_and_others_none() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let first = log_in(&client, "root", "secret", "").await;
    for _ in 0..402 {
        log_in(&client, "root", "secret", "").await;
    }
    for _ in 0..501 {
        log_in(&client, "root", "secret", "named").await;
    }
    later(31).await;
    assert!(pool.wait_until(SOON, |pool| left(pool, "") == 400).await, "{}", left(&pool, ""));
    assert!(pool.wait_until(SOON, |pool| left(pool, "named") == 500).await);
    assert_eq!(left(&pool, "test"), 1);
    let gone = client.raw("VM.get_all", &[first]).await.unwrap_err();
    assert_eq!(gone.code, "SESSION_INVALID");
}

#[tokio::test]
async fn users_count_by_name_whatever_their_originators() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    pool.add_user("ada", "engine", Role::PoolAdmin);
    for number in 0..502 {
        log_in(&client, "ada", "engine", &format!("tool-{number}")).await;
    }
    later(31).await;
    let hers = |pool: &PoolHandle| {
        pool.records("session").iter().filter(|session| session.text("auth_user_name") == "ada").count()
    };
    assert!(pool.wait_until(SOON, |pool| hers(pool) == 500).await, "{}", hers(&pool));
}

#[tokio::test]
async fn a_day_of_idleness_ends_a_session_but_not_one_whose_task_is_pending() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let busy = log_in(&client, "root", "secret", "busy").await;
    let task = client.raw("task.create", &[busy.clone(), "mine".into(), "".into()]).await.unwrap();
    let tasks = client.raw("session.get_tasks", &[busy.clone(), busy.clone()]).await.unwrap();
    assert_eq!(tasks, Value::Array(vec![task.clone()]));
    // Using a session is written down at most every ten minutes.
    let active = |pool: &PoolHandle| {
        let session = pool.record("session", client.session.as_str().unwrap()).unwrap();
        session.get("last_active").unwrap().clone()
    };
    let opened = active(&pool);
    later(599).await;
    client.ok("VM.get_all", &[]).await;
    assert_eq!(active(&pool), opened);
    later(2).await;
    client.ok("VM.get_all", &[]).await;
    assert_ne!(active(&pool), opened);

    let idle = log_in(&client, "root", "secret", "idle").await;
    later(24 * 3600 - 700).await;
    client.ok("VM.get_all", &[]).await;
    assert_eq!(pool.sessions(), 3);
    // A pending task that is a day old must come on between two looks, or it goes.
    for step in 1..=40 {
        later(20).await;
        client.ok("task.set_progress", &[task.clone(), (f64::from(step) / 100.0).into()]).await;
    }
    assert!(pool.wait_until(SOON, |pool| pool.sessions() == 2).await, "the idle one is gone");
    assert!(client.raw("VM.get_all", &[idle]).await.is_err());
    // Nothing is pending any more.
    later(100).await;
    assert!(pool.wait_until(SOON, |pool| pool.sessions() == 1).await, "the busy one is gone");
    assert!(client.raw("VM.get_all", &[busy]).await.is_err());
}

#[tokio::test]
async fn somebody_s_sessions_can_be_ended_all_but_the_asking_one() {
    let (running, root) = client::fast().await;
    let pool = running.pool();
    pool.add_user("ada", "engine", Role::PoolAdmin);
    pool.add_user("bob", "builder", Role::ReadOnly);
    let (mut ada, mut again, mut bob) = (at(&running), at(&running), at(&running));
    for (client, user, password) in
        [(&mut ada, "ada", "engine"), (&mut again, "ada", "engine"), (&mut bob, "bob", "builder")]
    {
        client.log_in(user, password).await.unwrap();
    }
    let record = ada.ok("session.get_record", std::slice::from_ref(&ada.session)).await;
    let record = record.as_struct().unwrap();
    assert_eq!(record.get("auth_user_name"), Some(&"ada".into()));
    assert_eq!(record.get("is_local_superuser"), Some(&false.into()));
    let permissions = bob.ok("session.get_rbac_permissions", std::slice::from_ref(&bob.session)).await;
    assert!(permissions.as_array().unwrap().contains(&"vm.get_all".into()));
    assert!(!permissions.as_array().unwrap().contains(&"vm.start".into()));

    let sid = record.get("auth_user_sid").unwrap().clone();
    let sids = root.ok("session.get_all_subject_identifiers", &[]).await;
    assert_eq!(sids.as_array().unwrap().len(), 2);
    assert!(sids.as_array().unwrap().contains(&sid));
    let denied = bob.call("session.logout_subject_identifier", std::slice::from_ref(&sid)).await;
    assert_eq!(denied.unwrap_err().code, "RBAC_PERMISSION_DENIED");
    ada.ok("session.logout_subject_identifier", std::slice::from_ref(&sid)).await;
    ada.ok("VM.get_all", &[]).await;
    bob.ok("VM.get_all", &[]).await;
    assert!(again.refused("VM.get_all", &[]).await.starts_with("SESSION_INVALID"));
    root.ok("session.logout_subject_identifier", &[sid]).await;
    assert!(ada.refused("VM.get_all", &[]).await.starts_with("SESSION_INVALID"));
}

#[tokio::test]
async fn a_role_may_touch_its_own_tasks_and_a_strong_one_all() {
    let (running, root) = client::fast().await;
    let pool = running.pool();
    pool.add_user("ada", "engine", Role::PoolOperator);
    pool.add_user("bob", "builder", Role::ReadOnly);
    let (mut ada, mut bob, mut twin) = (at(&running), at(&running), at(&running));
    ada.log_in("ada", "engine").await.unwrap();
    bob.log_in("bob", "builder").await.unwrap();
    twin.log_in("bob", "builder").await.unwrap();
    let of_root = root.ok("task.create", &["root's".into(), "".into()]).await;
    let of_bob = bob.ok("task.create", &["bob's".into(), "".into()]).await;
    for (method, rest) in [
        ("task.cancel", None),
        ("task.destroy", None),
        ("task.set_progress", Some(Value::Float(0.5))),
        ("task.set_other_config", Some(client::record([]))),
    ] {
        let arguments: Vec<Value> = std::iter::once(of_root.clone()).chain(rest).collect();
        let denied = bob.call(method, &arguments).await.unwrap_err();
        assert_eq!(
            (denied.code.as_str(), denied.parameters[0].as_str()),
            ("RBAC_PERMISSION_DENIED", "task.destroy/any")
        );
    }
    twin.ok("task.set_status", &[of_bob.clone(), "success".into()]).await;
    ada.ok("task.set_progress", &[of_root.clone(), 0.5.into()]).await;
    // When the session that made it is over, a task is nobody's.
    bob.ok("session.logout", &[]).await;
    let denied = twin.call("task.destroy", std::slice::from_ref(&of_bob)).await.unwrap_err();
    assert_eq!(denied.code, "RBAC_PERMISSION_DENIED");
    root.ok("task.destroy", &[of_bob]).await;
    root.ok("task.destroy", std::slice::from_ref(&of_root)).await;
    assert_eq!(root.field("task", &of_root, "progress").await, Value::Float(0.5), "pending: marked only");
}

#[tokio::test]
async fn a_refused_synchronous_call_has_its_passing_task_too() {
    // So slow that the task's last two writes can be told apart.
    let simulator = Simulator::builtin(Options { speed: 0.02, ..client::options() }).unwrap();
    let (running, root) = client::open(simulator).await;
    running.pool().add_user("bob", "builder", Role::ReadOnly);
    let mut bob = at(&running);
    bob.log_in("bob", "builder").await.unwrap();
    let vm = root.vm("lab").await;
    let token = root.events_within(&["task"], "", 0.0).await.token;
    let start = [bob.session.clone(), vm, false.into(), false.into()];
    let (body, batch) = tokio::join!(
        bob.post("/", xml::encode_call("VM.start", &start), &[]),
        root.events(&["task"], &token)
    );
    let refused = xml::decode_reply(body.as_bytes(), &Limits::default()).unwrap().unwrap_err();
    assert_eq!(refused.code, "RBAC_PERMISSION_DENIED");
    assert_eq!(batch.lines(), ["add task VM.start"]);
}
