//! Tasks: synchronous ones pass by, asynchronous ones stay; the status is written last; they can be cancelled.

use std::time::Duration;

use simulator::{Options, PoolHandle, Simulator};
use xapi::codec::{Limits, xml};
use xapi::{Struct, Value};

use crate::client::{self, SOON};

fn status(pool: &PoolHandle, task: &str) -> String {
    pool.record("task", task).map(|task| task.text("status").to_owned()).unwrap_or_default()
}

async fn settled(pool: &PoolHandle, task: &Value) {
    let task = task.as_str().unwrap();
    assert!(pool.wait_until(SOON, |pool| status(pool, task) != "pending").await, "{}", status(pool, task));
}

#[tokio::test]
async fn an_asynchronous_call_leaves_a_task_with_its_result() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let vm = client.vm("lab").await;
    let arguments = [client.session.clone(), vm.clone(), "copy".into()];
    let body = xml::encode_call("Async.VM.clone", &arguments);
    let reply = client.post("/", body, &[("X-Http-Other-Config-Made-By", "test 1")]).await;
    let task = xml::decode_reply(reply.as_bytes(), &Limits::default()).unwrap().unwrap();
    settled(&pool, &task).await;
    let record = pool.record("task", task.as_str().unwrap()).unwrap();
    assert_eq!(record.text("name_label"), "Async.VM.clone");
    assert_eq!(record.text("status"), "success");
    assert_eq!(record.get("progress"), Some(&Value::Float(1.0)));
    assert_eq!(record.get("error_info"), Some(&Value::Array(Vec::new())));
    let other_config = record.get("other_config").unwrap().as_struct().unwrap();
    assert_eq!(other_config.get("http:made-by"), Some(&"test 1".into()));
    let copy = xml::decode_value(record.text("result"), &Limits::default()).unwrap();
    assert_eq!(client.field("VM", &copy, "name_label").await, "copy".into());
    client.ok("task.destroy", std::slice::from_ref(&task)).await;
    assert!(client.refused("task.get_record", &[task]).await.starts_with("HANDLE_INVALID [task, "));

    let task = client.ok("Async.VM.start", &[client.vm("web-1").await, false.into(), false.into()]).await;
    settled(&pool, &task).await;
    let record = pool.record("task", task.as_str().unwrap()).unwrap();
    assert_eq!(record.text("status"), "failure");
    assert_eq!(record.get("error_info").unwrap().as_array().unwrap()[0], "VM_BAD_POWER_STATE".into());
    // What is wrong with the call itself is answered at once.
    let refused = client.refused("Async.VM.start", &[]).await;
    assert_eq!(refused, "MESSAGE_PARAMETER_COUNT_MISMATCH [VM.start, 3, 0]");
    let refused = client.refused("Async.VM.nosuch", &["x".into()]).await;
    assert_eq!(refused, "MESSAGE_METHOD_UNKNOWN [VM.nosuch]");
}

#[tokio::test]
async fn a_task_is_told_from_pending_to_its_last_write() {
    let simulator = Simulator::builtin(Options { speed: 10.0, ..client::options() }).unwrap();
    let (_running, client) = client::open(simulator).await;
    let vm = client.vm("lab").await;
    let mut token = client.events_within(&["task"], "", 0.0).await.token;
    let task = client.ok("Async.VM.start", &[vm, false.into(), false.into()]).await;
    let mut seen: Vec<(String, String, f64)> = Vec::new();
    while seen.last().is_none_or(|(_, status, _)| status == "pending") {
        let batch = client.events(&["task"], &token).await;
        token.clone_from(&batch.token);
        for told in batch.events.iter().filter(|told| Value::from(told.reference.as_str()) == task) {
            let status = told.get("status").unwrap().as_str().unwrap().to_owned();
            let progress = told.get("progress").unwrap().as_float().unwrap();
            seen.push((told.operation.clone(), status, progress));
        }
    }
    assert_eq!(seen[0], ("add".to_owned(), "pending".to_owned(), 0.0));
    assert!(seen.iter().any(|(_, status, progress)| status == "pending" && *progress == 0.5), "{seen:?}");
    assert_eq!(seen.last().unwrap(), &("mod".to_owned(), "success".to_owned(), 1.0));
    assert!(seen.iter().map(|(_, _, progress)| *progress).is_sorted());
}

#[tokio::test]
async fn a_synchronous_call_has_a_task_that_passes_by() {
    let simulator = Simulator::builtin(Options { speed: 20.0, ..client::options() }).unwrap();
    let (running, client) = client::open(simulator).await;
    let vm = client.vm("lab").await;
    let token = client.events_within(&["task"], "", 0.0).await.token;
    let arguments = [vm, false.into(), false.into()];
    let (_, batch) = tokio::join!(client.ok("VM.start", &arguments), client.events(&["task"], &token));
    assert_eq!(batch.lines(), ["add task VM.start"]);
    assert!(running.pool().records("task").is_empty(), "gone when the call returns");
    let last = client.events(&["task"], &batch.token).await;
    assert_eq!(last.events.last().unwrap().operation, "del");
    // Getters and calls on tasks leave no trace.
    client.ok("VM.get_all", &[]).await;
    client.ok("task.create", &["mine".into(), "".into()]).await;
    assert_eq!(client.events(&["task"], &last.token).await.lines(), ["add task mine"]);
}

#[tokio::test]
async fn a_task_can_be_cancelled_and_its_vm_is_as_before() {
    let simulator = Simulator::builtin(Options { speed: 1.0, ..client::options() }).unwrap();
    let (running, client) = client::open(simulator).await;
    let pool = running.pool();
    let vm = client.vm("lab").await;
    let task = client.ok("Async.VM.start", &[vm.clone(), false.into(), false.into()]).await;
    let name = task.as_str().unwrap();
    let cancellable = |pool: &PoolHandle| {
        pool.record("task", name).unwrap().get("allowed_operations")
            == Some(&Value::Array(vec!["cancel".into()]))
    };
    assert!(pool.wait_until(SOON, cancellable).await);
    // Destroying what is pending only marks it.
    client.ok("task.destroy", std::slice::from_ref(&task)).await;
    assert_eq!(status(&pool, name), "pending");
    client.ok("task.cancel", std::slice::from_ref(&task)).await;
    settled(&pool, &task).await;
    let record = pool.record("task", name).unwrap();
    assert_eq!(record.text("status"), "cancelled");
    assert_eq!(record.get("error_info"), Some(&Value::Array(vec!["TASK_CANCELLED".into(), name.into()])));
    let vm = pool.record("VM", vm.as_str().unwrap()).unwrap();
    assert_eq!((vm.text("power_state"), vm.text("scheduled_to_be_resident_on")), ("Halted", xapi::NULL_REF));
    assert_eq!(vm.get("current_operations"), Some(&Value::Struct(Struct::new())));
}

#[tokio::test]
async fn tasks_of_ones_own_are_written_by_hand() {
    let (_running, client) = client::fast().await;
    let task = client.ok("task.create", &["label".into(), "description".into()]).await;
    client.ok("task.set_progress", &[task.clone(), 0.5.into()]).await;
    client.ok("task.set_other_config", &[task.clone(), Value::Struct(Struct::new())]).await;
    client.ok("task.set_status", &[task.clone(), "success".into()]).await;
    assert_eq!(client.field("task", &task, "progress").await, Value::Float(0.5));
    let wrong = client.refused("task.set_status", &[task.clone(), "done".into()]).await;
    assert!(wrong.starts_with("INTERNAL_ERROR [Failure("), "{wrong}");
    client.ok("task.destroy", &[task]).await;
}

#[tokio::test]
async fn the_last_writes_come_in_their_order_and_the_status_after_all() {
    // So slow that the status can be seen missing.
    let simulator = Simulator::builtin(Options { speed: 0.02, ..client::options() }).unwrap();
    let (running, client) = client::open(simulator).await;
    let pool = running.pool();
    let running_vm = client.vm("web-1").await;
    let task = client.ok("Async.VM.start", &[running_vm, false.into(), false.into()]).await;
    let name = task.as_str().unwrap();
    let told = |pool: &PoolHandle| pool.record("task", name).unwrap();
    let complete = |pool: &PoolHandle| told(pool).get("progress") == Some(&Value::Float(1.0));
    assert!(pool.wait_until(SOON, complete).await);
    let record = told(&pool);
    assert_eq!(record.text("status"), "pending", "progress 1.0 is not the end");
    assert!(
        !record.get("error_info").unwrap().as_array().unwrap().is_empty(),
        "what went wrong is there before"
    );
    assert_ne!(record.get("finished"), Some(&Value::DateTime("19700101T00:00:00Z".into())));
    // Who settles it by hand is left alone.
    client.ok("task.set_status", &[task.clone(), "success".into()]).await;
    client.ok("task.destroy", &[client.ok("task.create", &["other".into(), "".into()]).await]).await;
    let over = |pool: &PoolHandle| pool.records("task").iter().any(|task| task.text("name_label") == "other");
    assert!(pool.wait_until(SOON, over).await);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
    client.ok("VM.get_all", &[]).await;
    assert_eq!(status(&pool, name), "success");
}

#[tokio::test]
async fn a_call_becomes_the_child_of_the_task_that_its_header_names() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let parent = client.ok("task.create", &["parent".into(), "".into()]).await;
    let header: &'static str = Box::leak(parent.as_str().unwrap().to_owned().into_boxed_str());
    let token = client.events_within(&["task"], "", 0.0).await.token;
    let arguments = [client.session.clone(), client.vm("lab").await, "copy".into()];
    let headers = [("subtask-of", header), ("X-Http-Other-Config-Source", "me")];
    let reply = client.post("/", xml::encode_call("Async.VM.clone", &arguments), &headers).await;
    let child = xml::decode_reply(reply.as_bytes(), &Limits::default()).unwrap().unwrap();
    // The first that is told of it has all this already.
    let batch = client.events(&["task"], &token).await;
    let told = batch.events.iter().find(|told| child == told.reference.as_str().into()).unwrap();
    assert_eq!(told.operation, "add");
    assert_eq!(told.get("subtask_of"), Some(&parent));
    assert_eq!(told.get("other_config"), Some(&client::record([("http:source", "me".into())])));
    assert_eq!(client.field("task", &parent, "subtasks").await, Value::Array(vec![child.clone()]));
    settled(&pool, &child).await;
    client.ok("task.destroy", &[child]).await;
    assert_eq!(client.field("task", &parent, "subtasks").await, Value::Array(Vec::new()));
}

#[tokio::test]
async fn wishes_show_in_current_operations() {
    let (_running, client) = client::fast().await;
    let task = client.ok("task.create", &["mine".into(), "".into()]).await;
    client.ok("task.cancel", std::slice::from_ref(&task)).await;
    let operations = client.field("task", &task, "current_operations").await;
    let (by, word) = operations.as_struct().unwrap().iter().next().unwrap();
    assert!(by.starts_with("DummyRef:|") && by.ends_with("|task.cancel"), "{by}");
    assert_eq!(word, &"cancel".into());
    // A wish is all it was: nobody works on this task.
    assert_eq!(client.field("task", &task, "status").await, "pending".into());
    client.ok("task.set_status", &[task.clone(), "success".into()]).await;
    client.ok("task.cancel", std::slice::from_ref(&task)).await;
    assert_eq!(client.field("task", &task, "status").await, "success".into(), "no error, no effect");
}

/// Lets the pool's time pass, in which it collects what nobody needs.
async fn later(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

/// Tasks of these names that are left.
fn left(pool: &PoolHandle) -> Vec<String> {
    let mut names: Vec<String> =
        pool.records("task").iter().map(|task| task.text("name_label").to_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn old_tasks_go_and_pending_ones_when_they_stand_still() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let vm = client.vm("lab").await;
    let ended = client.ok("Async.VM.clone", &[vm, "copy".into()]).await;
    settled(&pool, &ended).await;
    let make = async |name: &str| client.ok("task.create", &[name.into(), "".into()]).await;
    let (moving, _standing, marked) = (make("moving").await, make("standing").await, make("marked").await);
    client.ok("task.destroy", std::slice::from_ref(&marked)).await;
    assert_eq!(left(&pool), ["Async.VM.clone", "marked", "moving", "standing"]);
    later(3880).await;
    client.ok("VM.get_all", &[]).await;
    assert_eq!(left(&pool).len(), 4, "65 minutes are not over");
    later(60).await;
    let three = |pool: &PoolHandle| left(pool) == ["marked", "moving", "standing"];
    assert!(pool.wait_until(SOON, three).await, "{:?}", left(&pool));

    // Marked while pending, a task goes once it has ended.
    client.ok("task.set_status", &[marked, "success".into()]).await;
    later(31).await;
    assert!(pool.wait_until(SOON, |pool| left(pool) == ["moving", "standing"]).await);

    // After a day a pending one must have come on between two looks.
    later(24 * 3600 - 3971 - 20).await;
    assert_eq!(left(&pool).len(), 2, "a day is not over");
    for step in 1..=6 {
        later(20).await;
        client.ok("task.set_progress", &[moving.clone(), (f64::from(step) / 10.0).into()]).await;
    }
    assert!(pool.wait_until(SOON, |pool| left(pool) == ["moving"]).await, "{:?}", left(&pool));
}

#[tokio::test]
async fn too_many_tasks_cost_the_finished_ones() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let finished = pool.records("host")[0].reference.clone();
    let task = |name: String, status: &str, minute: usize| {
        let date = jiff::Timestamp::now().strftime("%Y%m%dT%H:").to_string();
        let fields: Struct = [
            ("name_label".into(), Value::from(name)),
            ("status".into(), status.into()),
            ("finished".into(), Value::DateTime(format!("{date}{minute:02}:00Z").into())),
            ("created".into(), Value::DateTime(format!("{date}00:00Z").into())),
            ("resident_on".into(), finished.as_str().into()),
        ]
        .into_iter()
        .collect();
        pool.create("task", fields).unwrap();
    };
    for number in 0..150 {
        task(format!("pending {number}"), "pending", 0);
    }
    for number in 0..60 {
        task(format!("done {number:02}"), "success", number);
    }
    // 210 are ten too many, and yet only as many finished ones stay as there is room for beside them all.
    later(31).await;
    let counted = |pool: &PoolHandle| left(pool).iter().filter(|name| name.starts_with("done")).count();
    assert_eq!(counted(&pool), 60, "200 less 60 leave room for 140");
    for number in 60..150 {
        task(format!("done {number}"), "success", 59);
    }
    later(31).await;
    assert!(pool.wait_until(SOON, |pool| counted(pool) == 50).await, "{}", counted(&pool));
    let kept = left(&pool);
    let went = (0..59).all(|number| !kept.contains(&format!("done {number:02}")));
    assert!(went, "the oldest went first: {kept:?}");
    for number in 150..350 {
        task(format!("done {number}"), "success", 59);
    }
    later(31).await;
    assert!(pool.wait_until(SOON, |pool| counted(pool) == 0).await, "more than 200 finished ones all go");
    assert_eq!(left(&pool).len(), 150);
    client.ok("VM.get_all", &[]).await;
}
