//! Trouble on purpose does what it says, and ends when it should.

use std::time::Duration;

use simulator::{FailingCalls, Latency, Methods, Often, Reach, Spoil};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use xapi::Value;
use xapi::codec::{Failure, Limits, xml};

use crate::client::{self, SOON};

#[tokio::test]
async fn answers_are_spoilt_as_told_and_then_whole_again() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let call = || xml::encode_call("VM.get_all", std::slice::from_ref(&client.session));
    pool.spoil_next(1, Some("VM.start"), Spoil::Close);
    for spoil in [Spoil::ServerError, Spoil::Garbage, Spoil::Malformed, Spoil::Truncated, Spoil::Close] {
        pool.spoil_next(1, Some("VM.get_all"), spoil);
        let response = client.send("/", call(), &[]).await;
        match spoil {
            Spoil::ServerError => assert_eq!(response.unwrap().status(), 500),
            Spoil::Garbage => assert!(response.unwrap().text().await.unwrap().contains("neither of the two")),
            Spoil::Malformed => {
                let text = response.unwrap().text().await.unwrap();
                let error = xml::decode_reply(text.as_bytes(), &Limits::default()).unwrap_err();
                assert!(text.ends_with("</methodResponse>"), "well-formed: {error}");
            }
            Spoil::Truncated => {
                let response = response.unwrap();
                assert_eq!(response.status(), 200);
                assert!(response.text().await.is_err(), "half a body");
            }
            Spoil::Close => assert!(response.is_err()),
            Spoil::Silence | Spoil::Drip | Spoil::Endless => unreachable!("they have tests of their own"),
        }
        client.ok("VM.get_all", &[]).await;
    }
    pool.spoil_next(2, None, Spoil::ServerError);
    for status in [500, 500, 200] {
        assert_eq!(client.send("/", call(), &[]).await.unwrap().status(), status);
    }
}

#[tokio::test]
async fn logins_are_refused_counted_and_delayed() {
    let (running, mut client) = client::fast().await;
    running.pool().refuse_logins(2);
    for _ in 0..2 {
        let began = std::time::Instant::now();
        let refused = client.log_in("root", "secret").await.unwrap_err();
        assert_eq!(refused.code, "SESSION_AUTHENTICATION_FAILED");
        assert!(began.elapsed() >= Duration::from_millis(50), "five seconds at speed 100");
    }
    client.log_in("root", "secret").await.unwrap();
    let calls = running.pool().calls();
    assert_eq!(calls.of("session.login_with_password"), 4);
    assert_eq!(calls.logins.len(), 4);
    assert!(calls.logins.is_sorted());
}

#[tokio::test]
async fn a_member_and_an_emergency_answer_nothing_else() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    pool.answer_as_slave_of(Some("10.20.0.99"));
    for method in ["VM.get_all", "session.login_with_password"] {
        assert_eq!(client.refused(method, &[]).await, "HOST_IS_SLAVE [10.20.0.99]");
    }
    pool.answer_as_slave_of(None);
    client.ok("VM.get_all", &[]).await;
    pool.answer_with(Some(Failure::new::<&str>("HOST_STILL_BOOTING", [])));
    assert_eq!(client.refused("VM.get_all", &[]).await, "HOST_STILL_BOOTING");
    let body = client
        .post("/jsonrpc", r#"{"jsonrpc":"2.0","method":"VM.get_all","params":["x"],"id":5}"#.into(), &[])
        .await;
    assert_eq!(body, r#"{"jsonrpc":"2.0","error":["HOST_STILL_BOOTING"],"id":0}"#);
    pool.answer_with(None);
    client.ok("VM.get_all", &[]).await;
}

#[tokio::test]
async fn held_answers_come_when_let_go() {
    let (running, client) = client::fast().await;
    running.pool().hold(true);
    let answer = client.call("VM.get_all", &[]);
    tokio::pin!(answer);
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut answer).await.is_err());
    assert_eq!(running.pool().calls().of("VM.get_all"), 1, "it was taken");
    running.pool().hold(false);
    answer.await.unwrap();
}

/// Sends a call on a connection of its own, which is given back.
async fn sent(client: &client::Client, running: &simulator::Running) -> TcpStream {
    let mut stream = TcpStream::connect(running.http_address().unwrap()).await.unwrap();
    let body = xml::encode_call("VM.get_all", std::slice::from_ref(&client.session));
    let request = format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// A connection on which a call was answered.
async fn answered(client: &client::Client, running: &simulator::Running) -> TcpStream {
    let mut stream = sent(client, running).await;
    let mut text = Vec::new();
    while !text.ends_with(b"</methodResponse>") {
        assert_ne!(stream.read_buf(&mut text).await.unwrap(), 0);
    }
    stream
}

/// What came on a connection after a while, and whether it is still open.
async fn came(stream: &mut TcpStream, after: Duration) -> (usize, bool) {
    let mut bytes = Vec::new();
    let open = tokio::time::timeout(after, stream.read_to_end(&mut bytes)).await.is_err();
    (bytes.len(), open)
}

#[tokio::test]
async fn an_answer_never_comes_drips_or_does_not_end() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let whole =
        client.post("/", xml::encode_call("VM.get_all", std::slice::from_ref(&client.session)), &[]).await;
    let while_ = Duration::from_millis(400);

    pool.spoil_next(1, None, Spoil::Silence);
    let mut stream = sent(&client, &running).await;
    assert_eq!(came(&mut stream, while_).await, (0, true));
    assert_eq!(pool.calls().of("VM.get_all"), 2, "the call was done");

    pool.spoil_next(1, None, Spoil::Drip);
    let mut stream = sent(&client, &running).await;
    let (bytes, open) = came(&mut stream, while_).await;
    assert!(open && bytes > 0 && bytes < whole.len(), "{bytes} of {}", whole.len());

    pool.spoil_next(1, None, Spoil::Endless);
    let mut stream = sent(&client, &running).await;
    let mut much = vec![0; 4 << 20];
    stream.read_exact(&mut much).await.unwrap();
    drop(stream);
    client.ok("VM.get_all", &[]).await;
}

#[tokio::test]
async fn calls_take_longer_and_logins_longest() {
    let (running, mut client) = client::fast().await;
    let pool = running.pool();
    let millis = Duration::from_millis;
    let latency =
        |pattern, least| Latency { methods: Methods::of(pattern), min: millis(least), max: millis(least) };
    pool.slow_down(latency("*", 60));
    let logins = pool.slow_down(latency("session.login*", 250));
    for (least, login) in [(60, false), (250, true)] {
        let began = std::time::Instant::now();
        if login {
            client.log_in("root", "secret").await.unwrap();
        } else {
            client.ok("VM.get_all", &[]).await;
        }
        assert!(began.elapsed() >= millis(least), "{:?}", began.elapsed());
    }
    pool.end(logins);
    client.log_in("root", "secret").await.unwrap();
}

#[tokio::test]
async fn calls_fail_as_told_at_once_or_in_their_task() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let vm = Value::from(pool.find_vm("backup").unwrap().as_str());
    let failing = |methods, often| FailingCalls {
        methods: Methods::of(methods),
        failure: Failure::new("VDI_NOT_AVAILABLE", ["$1"]),
        often,
    };
    let rule = pool.fail_calls(failing("VM.start", Often::Nth(1)));
    let start = [vm.clone(), false.into(), false.into()];
    let said = format!("VDI_NOT_AVAILABLE [{}]", vm.as_str().unwrap());
    assert_eq!(client.refused("VM.start", &start).await, said);
    let task = client.ok("Async.VM.start", &start).await;
    let ended = |pool: &simulator::PoolHandle| {
        pool.record("task", task.as_str().unwrap()).is_some_and(|task| task.text("status") == "failure")
    };
    assert!(pool.wait_until(SOON, ended).await);
    let told = pool.record("task", task.as_str().unwrap()).unwrap();
    let words = [Value::from("VDI_NOT_AVAILABLE"), vm.clone()];
    assert_eq!(told.get("error_info"), Some(&Value::Array(words.into())));
    assert_eq!(pool.record("VM", vm.as_str().unwrap()).unwrap().text("power_state"), "Halted");
    pool.end(rule);
    client.ok("VM.start", &start).await;

    // What follows from the datamodel, and what is answered by dispatching itself, can fail, too.
    for (methods, method) in
        [("VM.get_*", "VM.get_all"), ("event.from", "event.from"), ("session.*", "session.logout")]
    {
        let rule = pool.fail_calls(failing(methods, Often::Nth(2)));
        let arguments = if method == "event.from" {
            vec![Value::Array(vec!["vm".into()]), "".into(), Value::Float(0.0)]
        } else {
            Vec::new()
        };
        if method != "session.logout" {
            client.ok(method, &arguments).await;
            assert!(client.refused(method, &arguments).await.starts_with("VDI_NOT_AVAILABLE"), "{method}");
        }
        pool.end(rule);
    }
}

#[tokio::test]
async fn connections_are_dropped_refused_and_swallowed() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let address = running.http_address().unwrap();

    let mut idle = answered(&client, &running).await;
    pool.drop_connections();
    assert_eq!(came(&mut idle, SOON).await, (0, false));
    client.ok("VM.get_all", &[]).await;

    let mut idle = answered(&client, &running).await;
    pool.set_reach(Reach::Refused);
    assert_eq!(came(&mut idle, SOON).await, (0, false));
    let refused = |result: std::io::Result<TcpStream>| {
        result.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    };
    assert!(refused(TcpStream::connect(address).await));
    pool.set_reach(Reach::Open);
    let again = async {
        while TcpStream::connect(address).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, again).await.unwrap();
    client.ok("VM.get_all", &[]).await;

    // One connection is open before, one is made during the silence: neither gets an answer, neither is closed.
    let mut before = answered(&client, &running).await;
    pool.set_reach(Reach::Silent);
    let body = xml::encode_call("VM.get_all", std::slice::from_ref(&client.session));
    let request = format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    before.write_all(request.as_bytes()).await.unwrap();
    let mut during = sent(&client, &running).await;
    for stream in [&mut before, &mut during] {
        assert_eq!(came(stream, Duration::from_millis(200)).await, (0, true));
    }
    pool.set_reach(Reach::Open);
    assert_eq!(came(&mut during, Duration::from_millis(200)).await, (0, true), "it stays half-open");
    client.ok("VM.get_all", &[]).await;
}

#[tokio::test]
async fn forgotten_deletions_are_not_told() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let first = client.events_within(&["task"], "", 0.0).await;
    let task = client.ok("task.create", &["a".into(), "b".into()]).await;
    let told = client.events_within(&["task"], &first.token, 0.0).await;
    pool.delete("task", task.as_str().unwrap()).unwrap();
    pool.forget_deletions(Some("VM"));
    let dels = client.events_within(&["task"], &told.token, 0.0).await;
    assert_eq!(dels.events.iter().map(|event| event.operation.as_str()).collect::<Vec<_>>(), ["del"]);
    pool.forget_deletions(Some("task"));
    let dels = client.events_within(&["task"], &told.token, 0.0).await;
    assert!(dels.events.is_empty());
}
