//! Tasks: synchronous ones pass by, asynchronous ones stay; the status is written last; they can be cancelled.

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
