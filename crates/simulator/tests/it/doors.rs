//! Doors: all three at once, both wires, limits, and what is no call.

use simulator::{Doors, Simulator};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use xapi::Value;

use crate::client::{self, Client};

#[tokio::test]
async fn all_doors_answer_and_show_the_same_pool() {
    let simulator = Simulator::builtin(client::options()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("xapi");
    let here = ([127, 0, 0, 1], 0).into();
    let doors = Doors { http: Some(here), https: Some(here), unix: Some(socket.clone()) };
    let running = simulator.open(doors).await.unwrap();
    client::provider();
    let trust = reqwest::Certificate::from_pem(simulator.certificate_pem().as_bytes()).unwrap();
    let https = reqwest::Client::builder().tls_certs_only([trust]).build().unwrap();
    let local = reqwest::Client::builder().unix_socket(socket.clone()).build().unwrap();
    let mut clients = [
        Client::new(client::plain(), format!("http://{}", running.http_address().unwrap())),
        Client::new(https, format!("https://{}", running.https_address().unwrap())),
        Client::new(local, "http://localhost".into()),
    ];
    let mut seen = Vec::new();
    for client in &mut clients {
        client.log_in("root", "secret").await.unwrap();
        let all = client.ok("VM.get_all_records", &[]).await;
        assert_eq!(client.json("VM.get_all", &[]).await.unwrap().as_array().unwrap().len(), 48);
        seen.push(all.as_struct().unwrap().len());
    }
    assert_eq!(seen, [48, 48, 48], "40 VMs, 2 control domains, 4 templates, 2 snapshots");
    // Whoever reaches the socket is root, with any password; over the network nobody is.
    clients[2].log_in("anybody", "anything").await.unwrap();
    let refused = clients[0].log_in("root", "wrong").await.unwrap_err();
    assert_eq!(refused.to_string(), "SESSION_AUTHENTICATION_FAILED [root, Authentication failure]");
    assert_eq!(running.pool().calls().logins.len(), 5);
    running.stop().await;
    assert!(!socket.exists(), "the socket is taken away");
    assert!(clients[0].send("/", String::new(), &[]).await.is_err(), "the door is closed");
}

#[tokio::test]
async fn a_pool_opens_again_where_it_was_and_a_taken_address_is_refused() {
    let simulator = Simulator::builtin(client::options()).unwrap();
    let first =
        simulator.open(Doors { http: Some(([127, 0, 0, 1], 0).into()), ..Doors::default() }).await.unwrap();
    let doors = Doors { http: first.http_address(), ..Doors::default() };
    let error = simulator.open(doors.clone()).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot listen on 127.0.0.1:"), "{error}");
    let vm = first.pool().find_vm("web-1").unwrap();
    first.pool().set("VM", &vm, "name_label", "renamed").unwrap();
    first.stop().await;
    let second = simulator.open(doors).await.unwrap();
    assert_eq!(second.pool().find_vm("renamed"), Some(vm));
    second.stop().await;
}

#[tokio::test]
async fn both_versions_of_json_and_what_is_no_call() {
    let (running, client) = client::fast().await;
    let session = client.session.as_str().unwrap();
    let one = client
        .post(
            "/jsonrpc",
            client::json_one("VM.get_by_name_label", &serde_json::json!([session, "none"])),
            &[],
        )
        .await;
    assert_eq!(one, r#"{"result":[],"error":null,"id":"x"}"#);
    let one =
        client.post("/jsonrpc", client::json_one("VM.get_all", &serde_json::json!(["nobody"])), &[]).await;
    assert_eq!(one, r#"{"result":null,"error":["SESSION_INVALID","nobody"],"id":"x"}"#);
    for (path, body) in [
        ("/", "<methodCall><methodName>VM.get"),
        ("/", ""),
        ("/RPC2", "{}"),
        ("/jsonrpc", "{\"jsonrpc\":\"2.0\",\"method\""),
        ("/jsonrpc", "[{\"jsonrpc\":\"2.0\",\"method\":\"VM.get_all\",\"params\":[],\"id\":1}]"),
        ("/jsonrpc", "{\"jsonrpc\":\"2.0\",\"method\":\"VM.get_all\",\"params\":[]}"),
        ("/jsonrpc", "{\"method\":\"VM.get_all\",\"params\":{},\"id\":1}"),
    ] {
        let response = client.send(path, body.into(), &[]).await.unwrap();
        assert_eq!(response.status(), 500, "{body}");
        assert_eq!(response.headers()["content-type"], "text/html");
        assert_eq!(response.headers()["connection"], "close");
        assert!(!response.headers().contains_key("date"));
        assert!(response.text().await.unwrap().starts_with("<html>"));
    }
    assert_eq!(running.pool().calls().malformed, 7);
    let huge = format!(
        "<methodCall><methodName>x</methodName><params>{}</params></methodCall>",
        " ".repeat(300 * 1024)
    );
    assert_eq!(client.send("/", huge, &[]).await.unwrap().status(), 500);
    let long: &'static str = Box::leak("x".repeat(1100).into_boxed_str());
    assert_eq!(client.send("/", String::new(), &[("x-padding", long)]).await.unwrap().status(), 500);
    let methods = client.raw("system.listMethods", &[]).await.unwrap();
    assert!(methods.as_array().unwrap().contains(&Value::from("VM.start")));
}

#[tokio::test]
async fn a_body_without_length_is_refused_and_connections_are_kept() {
    let (running, _client) = client::fast().await;
    let mut stream = tokio::net::TcpStream::connect(running.http_address().unwrap()).await.unwrap();
    let call = "<methodCall><methodName>VM.get_all</methodName><params/></methodCall>";
    for _ in 0..2 {
        let request = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{call}", call.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        while !text.contains("</methodResponse>") {
            let mut piece = [0; 4096];
            let count = stream.read(&mut piece).await.unwrap();
            assert!(count > 0, "{text}");
            text.push_str(std::str::from_utf8(&piece[..count]).unwrap());
        }
        let head = text.split("\r\n\r\n").next().unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("connection: keep-alive"), "{head}");
        assert!(text.contains("<value>MESSAGE_PARAMETER_COUNT_MISMATCH</value><value>VM.get_all</value><value>0</value><value>-1</value>"));
    }
    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{call}\r\n0\r\n\r\n",
        call.len()
    );
    stream.write_all(chunked.as_bytes()).await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.starts_with("HTTP/1.1 500 Internal Error\r\n"), "{rest}");
}

#[tokio::test]
async fn nothing_shows_the_password_or_a_session() {
    let simulator = Simulator::builtin(client::options()).unwrap();
    let shown_before = format!("{simulator:?} {:?}", client::options());
    let (running, client) = client::open(simulator).await;
    let shown = format!("{shown_before} {running:?} {:?} {:?}", running.pool(), running.pool().calls());
    assert!(!shown.contains("secret") && !shown.contains(client.session.as_str().unwrap()), "{shown}");
}
