//! Trouble on purpose does what it says, and ends when it should.

use std::time::Duration;

use simulator::Spoil;
use xapi::codec::{Failure, xml};

use crate::client;

#[tokio::test]
async fn answers_are_spoilt_as_told_and_then_whole_again() {
    let (running, client) = client::fast().await;
    let pool = running.pool();
    let call = || xml::encode_call("VM.get_all", std::slice::from_ref(&client.session));
    pool.spoil_next(1, Some("VM.start"), Spoil::Close);
    for spoil in [Spoil::ServerError, Spoil::Garbage, Spoil::Truncated, Spoil::Close] {
        pool.spoil_next(1, Some("VM.get_all"), spoil);
        let response = client.send("/", call(), &[]).await;
        match spoil {
            Spoil::ServerError => assert_eq!(response.unwrap().status(), 500),
            Spoil::Garbage => assert!(response.unwrap().text().await.unwrap().contains("neither of the two")),
            Spoil::Truncated => {
                let response = response.unwrap();
                assert_eq!(response.status(), 200);
                assert!(response.text().await.is_err(), "half a body");
            }
            Spoil::Close => assert!(response.is_err()),
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
