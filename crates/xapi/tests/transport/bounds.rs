//! Bytes, time and connections have bounds, whatever a peer does.

use std::time::{Duration, Instant};

use xapi::transport::{Post, REQUEST_BYTES_MAX, REQUEST_HEAD_BYTES_MAX, Setup, Transport, TransportError};

use super::plain;
use super::server::{Act, Server, ok};

fn transport(server: &Server, connections: usize, reply_bytes_max: usize) -> Transport {
    let setup = Setup {
        user_agent: "tests/1".into(),
        reply_bytes_max,
        connections,
        connect_timeout: Duration::from_secs(5),
        learned: std::sync::Arc::default(),
    };
    Transport::new(&plain(server.address), setup).unwrap()
}

fn post<'a>(body: &str, headers: &'a [(String, String)], timeout: Duration) -> Post<'a> {
    Post { path: "/jsonrpc", content_type: "application/json", body: body.into(), headers, timeout }
}

const MINUTE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_request_is_as_xapi_wants_it_and_its_head_is_measured_before_it_is_sent() {
    let server = Server::start(|_| Act::Answer(ok("text/xml; charset=utf-8", "fine"))).await;
    let transport = transport(&server, 1, 1000);
    let tag = |length| [("X-Http-Other-Config-Made-By".to_owned(), "x".repeat(length))];
    let answer = transport.post(post("body", &tag(0), MINUTE)).await.unwrap();
    assert_eq!((&*answer.content_type, &answer.body[..]), ("text/xml", &b"fine"[..]));
    let head = |request: &str| request.find("\r\n\r\n").unwrap() + 4;
    let request = server.requests()[0].clone();
    let lines = request.to_ascii_lowercase();
    assert!(lines.contains("content-length: 4\r\n") && lines.ends_with("\r\n\r\nbody"), "{request}");
    for never in ["transfer-encoding", "expect", "accept-encoding"] {
        assert!(!lines.contains(never), "{request}");
    }

    // Exactly as much as fits goes out, one byte more does not.
    let room = REQUEST_HEAD_BYTES_MAX - head(&request);
    transport.post(post("body", &tag(room), MINUTE)).await.unwrap();
    assert_eq!(head(&server.requests()[1]), REQUEST_HEAD_BYTES_MAX);
    let error = transport.post(post("body", &tag(room + 1), MINUTE)).await.unwrap_err();
    assert!(error.nothing_sent(), "{error}");
    assert_eq!(
        error.to_string(),
        "the head of the request is 1000 bytes long and xapi takes at most 999: shorten its headers"
    );

    let long = "x".repeat(REQUEST_BYTES_MAX + 1);
    let error = transport.post(post(&long, &[], MINUTE)).await.unwrap_err();
    assert!(matches!(error, TransportError::RequestTooLong { bytes: 307_201 }) && error.nothing_sent());
    let broken = [("X-Http-Other-Config-Made-By".to_owned(), "two\r\nlines: 1".to_owned())];
    let error = transport.post(post("body", &broken, MINUTE)).await.unwrap_err();
    assert!(matches!(error, TransportError::Prepare { .. }) && error.nothing_sent());
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn no_more_connections_than_allowed_and_who_waits_too_long_has_sent_nothing() {
    let server = Server::start(|_| Act::Wait(ok("text/xml", "done"))).await;
    let transport = transport(&server, 4, 1000);
    let calls: Vec<_> = (0..12)
        .map(|_| {
            let transport = transport.clone();
            tokio::spawn(async move { transport.post(post("body", &[], MINUTE)).await })
        })
        .collect();
    server.until(|seen| seen.requests.len() == 4).await;
    let error = transport.post(post("body", &[], SOON)).await.unwrap_err();
    assert!(matches!(error, TransportError::Busy { connections: 4, .. }) && error.nothing_sent(), "{error}");
    server.go_on.add_permits(12);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let seen = server.seen.lock().unwrap();
    assert_eq!((seen.requests.len(), seen.most, seen.opened), (12, 4, 4));
}

#[tokio::test]
async fn a_call_that_is_given_up_gives_its_connection_back() {
    let server = Server::start(|_| Act::Wait(ok("text/xml", "done"))).await;
    let transport = transport(&server, 1, 1000);
    let (first, given_up) = (transport.clone(), post("first", &[], MINUTE));
    let call = tokio::spawn(async move { first.post(given_up).await });
    server.until(|seen| seen.requests.len() == 1).await;
    call.abort();
    server.go_on.add_permits(2);
    transport.post(post("second", &[], MINUTE)).await.unwrap();
    assert!(server.requests()[1].ends_with("second"));
}

#[tokio::test]
async fn an_endless_answer_is_cut_where_the_limit_is_and_the_connection_closed() {
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    let server = Server::start(move |_| Act::Endless { start: head.clone(), again: chunk.clone() }).await;
    let before = resident();
    let transport = transport(&server, 1, 8 * 1024 * 1024);
    for _ in 0..4 {
        let error = transport.post(post("body", &[], MINUTE)).await.unwrap_err();
        assert!(matches!(error, TransportError::ReplyTooLong { limit: 8_388_608, .. }), "{error}");
    }
    server.until(|seen| seen.open == 0).await;
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes more are in use");
}

#[tokio::test]
async fn an_answer_that_says_it_is_too_long_is_not_read() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 5000000000\r\n\r\n".to_vec();
    let server = Server::start(move |_| Act::Endless { start: head.clone(), again: vec![b'x'; 1000] }).await;
    let error = transport(&server, 1, 1000).post(post("body", &[], MINUTE)).await.unwrap_err();
    assert!(matches!(error, TransportError::ReplyTooLong { limit: 1000, .. }), "{error}");
    server.until(|seen| seen.open == 0).await;
}

#[tokio::test]
async fn an_endless_refusal_is_quoted_from_its_start() {
    let head = b"HTTP/1.1 500 Internal Error\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let server =
        Server::start(move |_| Act::Endless { start: head.clone(), again: b"5\r\nwhy? \r\n".to_vec() }).await;
    let error = transport(&server, 1, 1000).post(post("body", &[], MINUTE)).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("answered HTTP 500 instead of a reply: why? why?") && text.len() < 400, "{text}");
}

#[tokio::test]
async fn an_endless_head_is_cut() {
    let server = Server::start(|_| Act::Endless {
        start: b"HTTP/1.1 200 OK\r\n".to_vec(),
        again: b"x-more: and more\r\n".to_vec(),
    })
    .await;
    let error = transport(&server, 1, 1000).post(post("body", &[], MINUTE)).await.unwrap_err();
    assert!(matches!(error, TransportError::Interrupted { .. }), "{error}");
    server.until(|seen| seen.open == 0).await;
}

#[tokio::test]
async fn an_answer_that_drips_is_given_up_when_the_time_is_up() {
    for start in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"] {
        // A byte every 10 ms would take a quarter of an hour; each of them resets what waits for silence.
        let bytes = [start.as_bytes(), &[b'x'; 100_000]].concat();
        let bytes = if start.is_empty() {
            [b"HTTP/1.1 200 OK\r\nx-slow: ".as_slice(), &bytes].concat()
        } else {
            bytes
        };
        let server =
            Server::start(move |_| Act::Drip { bytes: bytes.clone(), pause: Duration::from_millis(10) })
                .await;
        let started = Instant::now();
        let error = transport(&server, 1, 1_000_000).post(post("body", &[], SOON)).await.unwrap_err();
        assert!(matches!(error, TransportError::TimedOut { .. }) && !error.nothing_sent(), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        server.until(|seen| seen.open == 0).await;
    }
}

#[tokio::test]
async fn a_connection_that_is_closed_without_an_answer_may_have_done_it() {
    let server = Server::start(|_| Act::Close).await;
    let error = transport(&server, 1, 1000).post(post("body", &[], MINUTE)).await.unwrap_err();
    assert!(matches!(error, TransportError::Interrupted { .. }) && !error.nothing_sent(), "{error}");
    // hyper asks again by itself only where it knows that nothing was read; here the server has read it.
    assert_eq!(server.requests().len(), 1);
}

/// Bytes of memory that this process uses, as Linux counts them.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
