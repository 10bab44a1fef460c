//! The client library's tasks against a pool with real sockets: started, waited for, cancelled, lost, found again.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use simulator::{Doors, Options, PoolHandle, Running, Simulator, Spoil};
use xapi::codec::{Limits, xml};
use xapi::events::Ending;
use xapi::model::Record;
use xapi::transport::{Endpoint, Trust};
use xapi::{CallOptions, Client, Error, Failure, Mark, Settings, Struct, Task, TaskState, Value};

use crate::client::SOON;

/// A pool with its plain HTTP open, at this speed, and a client of it.
async fn pool(speed: f64) -> (Running, Client) {
    let options = Options { password: "secret".into(), speed, ..Options::default() };
    let doors = Doors { http: Some(([127, 0, 0, 1], 0).into()), ..Doors::default() };
    let running = Simulator::builtin(options).unwrap().open(doors).await.unwrap();
    let client = client(&running);
    (running, client)
}

fn client(running: &Running) -> Client {
    let address = running.http_address().unwrap();
    let endpoint = Endpoint::new(format!("http://{address}").parse().unwrap(), Trust::None).unwrap();
    Client::new(Settings {
        endpoint,
        user: "root".into(),
        password: Arc::new(SecretString::from("secret")),
        members: Vec::new(),
        pool_uuid: None,
        originator: "tasks-test".into(),
        user_agent: "tasks-test/1".into(),
        call_timeout: Duration::from_secs(20),
        limits: Limits::default(),
        wire: xapi::Wire::Auto,
    })
    .unwrap()
}

fn vm(pool: &PoolHandle, name: &str) -> Value {
    Value::String(pool.find_vm(name).unwrap_or_else(|| panic!("no VM {name}")))
}

/// `VM.start` of a VM that is halted.
async fn start(client: &Client, vm: &Value) -> Task {
    start_with(client, vm, &CallOptions::default()).await
}

async fn start_with(client: &Client, vm: &Value, options: &CallOptions) -> Task {
    client.start("VM.start", &[vm.clone(), false.into(), false.into()], options).await.unwrap()
}

fn ended(state: Result<TaskState, Error>) -> Ending {
    match state.unwrap() {
        TaskState::Ended(ending) => ending,
        TaskState::Going(progress) => panic!("still going, at {progress}"),
    }
}

/// The pool has no task left.
async fn clean(pool: &PoolHandle) {
    let none = |pool: &PoolHandle| pool.records("task").is_empty();
    assert!(pool.wait_until(SOON, none).await, "{:?}", pool.records("task"));
}

/// So many polls have come in. Calls are counted without stirring the pool, so this looks again and again.
async fn polls(pool: &PoolHandle, at_least: u64) {
    let come = async {
        while pool.calls().of("event.from") < at_least {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(SOON, come).await.unwrap_or_else(|_| panic!("{:?}", pool.calls()));
}

/// A task that no call is behind.
fn by_hand(pool: &PoolHandle, label: &str, status: &str, result: &str) -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H:%M:%SZ").to_string();
    let fields: [(_, Value); 5] = [
        ("created".into(), Value::DateTime(now.into())),
        ("name_label".into(), label.into()),
        ("status".into(), status.into()),
        ("result".into(), result.into()),
        ("progress".into(), Value::Float(0.25)),
    ];
    pool.create("task", Struct::from_iter(fields)).unwrap().to_string()
}

#[tokio::test]
async fn a_result_comes_typed_and_its_task_goes() {
    let (running, client) = pool(50.0).await;
    let pool = running.pool();
    let lab = vm(&pool, "lab");
    let copy =
        client.start("VM.clone", &[lab.clone(), "copy".into()], &CallOptions::default()).await.unwrap();
    assert_eq!((copy.method(), copy.mark()), ("VM.clone", None));
    let reference = copy.result().await.unwrap();
    assert_eq!(pool.record("VM", reference.as_str().unwrap()).unwrap().text("name_label"), "copy");
    clean(&pool).await;
    // Asked again, the handle still knows.
    assert_eq!(copy.result().await.unwrap(), reference);
    assert_eq!(copy.progress().await.unwrap(), 1.0);

    let started = start(&client, &lab).await;
    assert_eq!(ended(started.wait(SOON).await), Ending::Succeeded(Value::VOID));
    assert_eq!(pool.record("VM", lab.as_str().unwrap()).unwrap().text("power_state"), "Running");
    clean(&pool).await;
}

#[tokio::test]
async fn sets_and_records_are_decoded_as_their_method_says() {
    let (running, client) = pool(50.0).await;
    let pool = running.pool();
    let result = |label: &str, text: &str| client.task(by_hand(&pool, label, "success", text));
    let set = Value::Array(vec!["a".into(), "b".into()]);
    let task = result("Async.pool.certificate_list", &xml::encode_value(&set));
    assert_eq!(task.result().await.unwrap(), set);
    let number = |text: &str| format!("<value>{text}</value>");
    assert_eq!(
        result("Async.host.compute_free_memory", &number("42")).result().await.unwrap(),
        Value::Int(42)
    );
    let probed = "<value><array><data><value><struct>\
                  <member><name>complete</name><value><boolean>1</boolean></value></member>\
                  <member><name>sr</name><value><struct><member><name>free_space</name><value>12</value></member>\
                  </struct></value></member></struct></value></data></array></value>";
    let probed = result("Async.SR.probe_ext", probed).result().await.unwrap();
    let first = probed.as_array().unwrap()[0].as_struct().unwrap();
    assert_eq!(first.get("complete"), Some(&Value::Bool(true)));
    assert_eq!(first.get("sr").unwrap().as_struct().unwrap().get("free_space"), Some(&Value::Int(12)));
    let task = result("a script's own", "done, more or less");
    assert_eq!(ended(task.wait(SOON).await), Ending::Succeeded("done, more or less".into()));
    drop(task);
    client.logout().await;
    assert_eq!(pool.records("task").len(), 4, "what others made is theirs to destroy");
}

#[tokio::test]
async fn a_failed_task_tells_code_and_parameters() {
    let (running, client) = pool(50.0).await;
    let pool = running.pool();
    let web = vm(&pool, "web-1");
    let task = start(&client, &web).await;
    let error = task.result().await.unwrap_err();
    let failure = Failure::new("VM_BAD_POWER_STATE", [web.as_str().unwrap(), "halted", "running"]);
    assert_eq!(error.failure(), Some(&failure));
    assert_eq!(error.chain(), format!("xapi refused VM.start: {failure}"));
    assert_eq!(ended(task.wait(Duration::ZERO).await), Ending::Failed(failure));
    clean(&pool).await;
}

#[tokio::test]
async fn what_cannot_be_a_task_is_refused_before_it_is_sent() {
    let (running, client) = pool(50.0).await;
    let none = CallOptions::default();
    let error = client.start("VM.get_name_label", &["OpaqueRef:x".into()], &none).await.unwrap_err();
    assert_eq!(error.to_string(), "VM.get_name_label has no asynchronous form, it can only be called");
    assert!(error.nothing_done());
    assert_eq!(running.pool().calls().of("Async.VM.get_name_label"), 0);
    assert_eq!(running.pool().sessions(), 0);
    // The schema need not know everything.
    let error = client.start("VM.newer_than_us", &[], &none).await.unwrap_err();
    assert_eq!(error.failure().unwrap().to_string(), "MESSAGE_METHOD_UNKNOWN [VM.newer_than_us]");
    let error = client.start("Async.VM.start", &[], &none).await.unwrap_err();
    assert!(error.is("MESSAGE_PARAMETER_COUNT_MISMATCH"), "{}", error.chain());
}

#[tokio::test]
async fn progress_is_shown_as_it_comes() {
    let (running, client) = pool(4.0).await;
    let pool = running.pool();
    let task = start(&client, &vm(&pool, "lab")).await;
    let shown = Mutex::new(Vec::new());
    let state = task.wait_and_show(SOON, |progress| shown.lock().unwrap().push(progress)).await;
    assert_eq!(ended(state), Ending::Succeeded(Value::VOID));
    let shown = shown.into_inner().unwrap();
    assert_eq!(shown[0], 0.0, "{shown:?}");
    assert!(shown.contains(&0.5) && shown.is_sorted(), "{shown:?}");
    // By events, not by asking.
    assert_eq!(pool.calls().of("task.get_record"), 0);
    clean(&pool).await;
}

#[tokio::test]
async fn a_wait_ends_in_time_and_says_how_far_the_task_is() {
    let (running, client) = pool(0.01).await;
    let pool = running.pool();
    let task = start(&client, &vm(&pool, "lab")).await;
    let began = Instant::now();
    assert_eq!(task.wait(Duration::from_millis(300)).await.unwrap(), TaskState::Going(0.0));
    assert!(began.elapsed() >= Duration::from_millis(300) && began.elapsed() < Duration::from_secs(3));
    pool.set("task", task.reference(), "progress", 0.4).unwrap();
    assert_eq!(task.progress().await.unwrap(), 0.4);
    task.cancel().await.unwrap();
    assert_eq!(ended(task.wait(SOON).await), Ending::Cancelled);
    clean(&pool).await;
}

#[tokio::test]
async fn a_cancel_is_heeded_or_comes_too_late() {
    let (running, client) = pool(1.0).await;
    let pool = running.pool();
    let lab = vm(&pool, "lab");
    let task = start(&client, &lab).await;
    let cancellable = |pool: &PoolHandle| {
        let record = pool.record("task", task.reference()).unwrap();
        record.get("allowed_operations") == Some(&Value::Array(vec!["cancel".into()]))
    };
    assert!(pool.wait_until(SOON, cancellable).await);
    task.cancel().await.unwrap();
    assert!(task.result().await.unwrap_err().is("TASK_CANCELLED"));
    assert_eq!(pool.record("VM", lab.as_str().unwrap()).unwrap().text("power_state"), "Halted");
    clean(&pool).await;
    task.cancel().await.unwrap();

    let copy = client.start("VM.clone", &[lab, "copy".into()], &CallOptions::default()).await.unwrap();
    let done = |pool: &PoolHandle| pool.record("task", copy.reference()).unwrap().text("status") != "pending";
    assert!(pool.wait_until(SOON, done).await);
    copy.cancel().await.unwrap();
    assert!(matches!(ended(copy.wait(SOON).await), Ending::Succeeded(_)), "finished all the same");
    clean(&pool).await;
}

#[tokio::test]
async fn a_task_that_vanishes_is_lost_and_never_a_success() {
    let (running, client) = pool(0.01).await;
    let pool = running.pool();
    // While it was going, and waited for.
    let going = start(&client, &vm(&pool, "lab")).await;
    let reference = going.reference().clone();
    let waiting = going.wait(SOON);
    let vanishing = async {
        polls(&pool, 2).await;
        pool.delete("task", &reference).unwrap();
    };
    let (state, ()) = tokio::join!(waiting, vanishing);
    assert_eq!(ended(state), Ending::Lost);
    let error = going.result().await.unwrap_err();
    assert!(matches!(&error, Error::TaskLost { method, .. } if method == "VM.start"), "{error}");
    assert!(!error.nothing_done(), "it may have been done");

    // After it had succeeded, before anybody waited.
    let done = client.task(by_hand(&pool, "Async.VM.start", "success", "<value></value>"));
    pool.delete("task", done.reference()).unwrap();
    let began = Instant::now();
    assert_eq!(ended(done.wait(SOON).await), Ending::Lost);
    assert!(began.elapsed() < Duration::from_secs(5), "not found by silence");
    clean(&pool).await;
}

#[tokio::test]
async fn a_restart_of_the_toolstack_loses_all_tasks() {
    let (running, client) = pool(0.01).await;
    let pool = running.pool();
    let tasks = [start(&client, &vm(&pool, "lab")).await, start(&client, &vm(&pool, "build-3")).await];
    let restart = async {
        polls(&pool, 2).await;
        pool.restart_toolstack();
    };
    let (one, other, ()) = tokio::join!(tasks[0].wait(SOON), tasks[1].wait(SOON), restart);
    assert_eq!((ended(one), ended(other)), (Ending::Lost, Ending::Lost));
    assert_eq!(pool.calls().of("session.login_with_password"), 2, "one login for all");
    clean(&pool).await;
}

#[tokio::test]
async fn a_new_session_alone_loses_nothing() {
    let (running, client) = pool(2.0).await;
    let pool = running.pool();
    let task = start(&client, &vm(&pool, "lab")).await;
    let interruption = async {
        polls(&pool, 2).await;
        pool.end_sessions();
        pool.spoil_next(2, Some("event.from"), Spoil::ServerError);
        pool.spoil_next(1, Some("event.from"), Spoil::Garbage);
    };
    let (state, ()) = tokio::join!(task.wait(SOON), interruption);
    assert_eq!(ended(state), Ending::Succeeded(Value::VOID));
    clean(&pool).await;
}

#[tokio::test]
async fn fifty_waiters_share_one_poll() {
    let (running, client) = pool(0.01).await;
    let pool = running.pool();
    let references: Vec<String> =
        (0..50).map(|number| by_hand(&pool, &format!("task {number}"), "pending", "")).collect();
    let waits: Vec<_> = references
        .iter()
        .map(|reference| {
            let task = client.task(reference.as_str());
            tokio::spawn(async move { task.wait(SOON).await })
        })
        .collect();
    // The picture of all of them, and the poll that waits; one more where some came a moment late.
    polls(&pool, 2).await;
    let before = pool.calls().of("event.from");
    for reference in &references {
        pool.set("task", reference, "result", xml::encode_value(&Value::from(reference.as_str()))).unwrap();
        pool.set("task", reference, "status", "success").unwrap();
    }
    for (wait, reference) in waits.into_iter().zip(&references) {
        assert_eq!(ended(wait.await.unwrap()), Ending::Succeeded(reference.as_str().into()));
    }
    let polls = pool.calls().of("event.from");
    assert!(before <= 4, "{before} polls before anything happened");
    assert!(polls <= 50, "{polls} polls, as many as waiters");
    assert_eq!(pool.calls().of("task.get_record"), 0, "nobody asked one by one");
}

#[tokio::test]
async fn a_newcomer_does_not_wait_for_the_poll_of_others() {
    let (running, client) = pool(20.0).await;
    let pool = running.pool();
    let slow = client.task(by_hand(&pool, "slow", "pending", ""));
    let quick = async {
        polls(&pool, 2).await;
        let began = Instant::now();
        start(&client, &vm(&pool, "lab")).await.result().await.unwrap();
        let took = began.elapsed();
        pool.set("task", slow.reference(), "status", "failure").unwrap();
        took
    };
    let (state, took) = tokio::join!(slow.wait(SOON), quick);
    assert_eq!(ended(state), Ending::Failed(Failure::new::<&str>("INTERNAL_ERROR", [])));
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(pool.calls().of("task.get_record"), 0);
}

#[tokio::test]
async fn waiters_go_on_when_the_one_that_led_has_gone() {
    let (running, client) = pool(0.01).await;
    let pool = running.pool();
    let reference = by_hand(&pool, "shared", "pending", "");
    let (one, other) = (client.task(reference.as_str()), client.task(reference.as_str()));
    let leading = tokio::spawn(async move { one.wait(SOON).await });
    polls(&pool, 2).await;
    let following = tokio::spawn(async move { other.wait(SOON).await });
    leading.abort();
    assert!(leading.await.unwrap_err().is_cancelled());
    // It takes over.
    polls(&pool, 3).await;
    pool.set("task", &reference, "status", "cancelled").unwrap();
    assert_eq!(ended(following.await.unwrap()), Ending::Cancelled);
}

#[tokio::test]
async fn a_mark_is_found_again_by_another_client() {
    let (running, client) = pool(0.01).await;
    let pool = running.pool();
    let mark = Mark::new("tasks-test", "delivery/7:0").unwrap();
    let task = start_with(&client, &vm(&pool, "lab"), &CallOptions::marked(mark.clone())).await;
    // A synchronous call's task has it as well, for as long as the call takes.
    let other_mark = Mark::new("tasks-test", "delivery/7:1").unwrap();
    let call = {
        let (client, vm) = (client.clone(), vm(&pool, "web-1"));
        let options = CallOptions::marked(other_mark.clone());
        tokio::spawn(async move { client.call_with("VM.clean_shutdown", &[vm], &options).await })
    };
    assert!(pool.wait_until(SOON, |pool| pool.records("task").len() == 2).await);

    // The first process dies here: nothing is destroyed.
    let reference = task.keep();
    let again = self::client(&running);
    let mut found = again.marked("tasks-test").await.unwrap();
    found.sort_by_key(|task| task.mark().unwrap().value().to_owned());
    let marks: Vec<&Mark> = found.iter().filter_map(Task::mark).collect();
    assert_eq!(marks, [&mark, &other_mark]);
    assert_eq!((found[0].reference(), found[0].method()), (&reference, "VM.start"));
    assert_eq!(found[1].method(), "VM.clean_shutdown");
    assert!(again.marked("tasks").await.unwrap().is_empty(), "another key");
    found.pop().unwrap().cancel().await.unwrap();
    assert!(call.await.unwrap().unwrap_err().is("TASK_CANCELLED"));
    let found = found.pop().unwrap().own();
    found.cancel().await.unwrap();
    assert_eq!(ended(found.wait(SOON).await), Ending::Cancelled);
    clean(&pool).await;
}

#[tokio::test]
async fn a_dropped_handle_leaves_nothing_behind() {
    let (running, client) = pool(50.0).await;
    let pool = running.pool();
    let lab = vm(&pool, "lab");
    // Ended, and nobody read it.
    let task = start(&client, &lab).await;
    let done = |pool: &PoolHandle| pool.record("task", task.reference()).unwrap().text("status") == "success";
    assert!(pool.wait_until(SOON, done).await);
    drop(task);
    clean(&pool).await;
    // Dropped and logged out in one breath.
    let arguments = [vm(&pool, "build-3"), "copy".into()];
    let copy = client.start("VM.clone", &arguments, &CallOptions::default()).await.unwrap();
    let done = |pool: &PoolHandle| pool.record("task", copy.reference()).unwrap().text("status") == "success";
    assert!(pool.wait_until(SOON, done).await);
    drop(copy);
    client.logout().await;
    assert!(pool.records("task").is_empty(), "{:?}", pool.records("task"));
    assert_eq!(pool.sessions(), 0);
    assert_eq!(pool.calls().of("session.login_with_password"), 1, "cleaning up never logs in");
}

#[tokio::test]
async fn a_pending_task_that_is_dropped_or_released_goes_on_and_is_marked() {
    let (running, client) = pool(0.01).await;
    let pool = running.pool();
    let marked = |pool: &PoolHandle, task: &str| {
        let record: Record = pool.record("task", task).unwrap();
        assert_eq!(record.text("status"), "pending");
        record.get("current_operations").unwrap().as_struct().unwrap().get("task") == Some(&"destroy".into())
    };
    let dropped = start(&client, &vm(&pool, "lab")).await;
    let reference = dropped.reference().clone();
    drop(dropped);
    assert!(pool.wait_until(SOON, |pool| marked(pool, &reference)).await);
    let released = start(&client, &vm(&pool, "build-3")).await;
    let reference = released.reference().clone();
    released.release().await.unwrap();
    assert!(marked(&pool, &reference));
}

#[tokio::test]
async fn whoever_follows_tasks_wakes_the_waiters_without_a_poll() {
    let (running, client) = pool(0.01).await;
    let pool = running.pool();
    let feed = client.task_feed();
    let (one, other) = (start(&client, &vm(&pool, "lab")).await, start(&client, &vm(&pool, "build-3")).await);
    let record = |status: &str, progress: f64| {
        let fields: [(_, Value); 2] =
            [("status".into(), status.into()), ("progress".into(), progress.into())];
        Record::new("task", one.reference().clone(), Struct::from_iter(fields))
    };
    let shown = Mutex::new(Vec::new());
    let tell = async {
        feed.seen(&record("pending", 0.3));
        while shown.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        feed.seen(&record("success", 1.0));
        pool.delete("task", other.reference()).unwrap();
        feed.vanished(other.reference());
    };
    let show = |progress| shown.lock().unwrap().push(progress);
    let (state, lost, ()) = tokio::join!(one.wait_and_show(SOON, show), other.wait(SOON), tell);
    assert_eq!(ended(state), Ending::Succeeded(Value::VOID));
    assert_eq!(ended(lost), Ending::Lost);
    assert_eq!(*shown.lock().unwrap(), [0.3]);
    assert_eq!(pool.calls().of("event.from"), 0);
    assert_eq!(pool.calls().of("task.get_record"), 1, "for the one that was told to be gone");
    // When the feed ends, the client helps itself.
    let last = start(&client, &vm(&pool, "build-4")).await;
    drop(feed);
    last.cancel().await.unwrap();
    assert_eq!(ended(last.wait(SOON).await), Ending::Cancelled);
    assert!(pool.calls().of("event.from") > 0);
}

#[tokio::test]
async fn a_pool_that_does_not_answer_is_waited_for_but_not_beyond_the_time() {
    let (running, client) = pool(0.01).await;
    let pool = running.pool();
    let task = start(&client, &vm(&pool, "lab")).await;
    pool.answer_with(Some(Failure::new("HOST_BROKEN", ["x"])));
    let began = Instant::now();
    let error = task.wait(Duration::from_millis(500)).await.unwrap_err();
    assert!(error.is("HOST_BROKEN"), "{}", error.chain());
    assert!(began.elapsed() >= Duration::from_millis(500));
    pool.answer_with(None);
    task.cancel().await.unwrap();
    assert_eq!(ended(task.wait(SOON).await), Ending::Cancelled);
    clean(&pool).await;
}
