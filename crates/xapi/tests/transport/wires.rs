//! Which wire is spoken, as members of all ages answer.

use xapi::codec::{Failure, json, xml};
use xapi::{Client, Error, Value, Wire};

use super::server::{Act, Server, answer, ok};
use super::{client, plain, settings};

const PAGE: &str = "<html><body><h1>HTTP 500 internal server error</h1>Xmlm.Error(1:1)</body></html>";

/// What a client asks by itself after each login.
const ABOUT_THE_POOL: [&str; 2] = ["pool.get_all_records", "host.get_all_records"];

fn method(request: &str) -> &'static str {
    let known = ["session.login_with_password", "session.logout", "VM.get_name_label", "VM.start"];
    known.into_iter().chain(ABOUT_THE_POOL).find(|method| request.contains(method)).unwrap()
}

/// A member that speaks both.
fn new(request: &str) -> Act {
    // Without the dot, so that no request with a session looks like a login.
    let value = Value::from(method(request).replace('.', " "));
    Act::Answer(if request.starts_with("POST /jsonrpc ") {
        ok("application/json", &json::encode_reply(&Ok(value), 1))
    } else {
        ok("text/xml", &xml::encode_reply(&Ok(value)))
    })
}

/// A member that takes everything for XML-RPC, and answers `refusal` to what is none.
fn old(refusal: &'static [u8]) -> impl Fn(&str) -> Act {
    move |request| {
        if request.contains("<methodCall>") { new(request) } else { Act::Answer(refusal.to_vec()) }
    }
}

/// What was asked where, without what the client asks by itself.
fn paths(server: &Server) -> Vec<String> {
    let line = |request: &String| {
        let path = request.split(' ').nth(1).unwrap().to_owned();
        format!("{path} {}", method(request))
    };
    let meant = |request: &&String| !ABOUT_THE_POOL.contains(&method(request));
    server.requests().iter().filter(meant).map(line).collect()
}

async fn ask(client: &Client) -> Value {
    client.call("VM.get_name_label", &["OpaqueRef:a".into()]).await.unwrap()
}

#[tokio::test]
async fn json_is_spoken_where_it_is_known() {
    let server = Server::start(new).await;
    let client = client(server.address);
    assert_eq!(ask(&client).await, "VM get_name_label".into());
    client.logout().await;
    assert_eq!(
        paths(&server),
        ["/jsonrpc session.login_with_password", "/jsonrpc VM.get_name_label", "/jsonrpc session.logout"]
    );
}

#[tokio::test]
async fn an_old_member_is_spoken_to_in_xml_and_only_its_login_is_asked_twice() {
    for refusal in [
        answer("500 Internal Error", "text/html", PAGE),
        answer("404 Not Found", "text/html", PAGE),
        answer("405 Method Not Allowed", "", ""),
        ok("text/xml", &xml::encode_reply(&Err(Failure::new("MESSAGE_METHOD_UNKNOWN", ["?"])))),
    ] {
        let server = Server::start(old(refusal.leak())).await;
        let client = client(server.address);
        assert_eq!(ask(&client).await, "VM get_name_label".into());
        client.call("VM.start", &["OpaqueRef:a".into()]).await.unwrap();
        assert_eq!(
            paths(&server),
            [
                "/jsonrpc session.login_with_password",
                "/ session.login_with_password",
                "/ VM.get_name_label",
                "/ VM.start"
            ]
        );
    }
}

#[tokio::test]
async fn a_refused_password_is_not_sent_a_second_time() {
    let refused = |request: &str| {
        let failure = Err(Failure::new("SESSION_AUTHENTICATION_FAILED", ["root", "Authentication failure"]));
        assert!(request.starts_with("POST /jsonrpc "));
        Act::Answer(ok("application/json", &json::encode_reply(&failure, 1)))
    };
    let server = Server::start(refused).await;
    let error = client(server.address).lease().await.unwrap_err();
    assert!(error.is("SESSION_AUTHENTICATION_FAILED"), "{}", error.chain());
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_member_without_its_pool_is_understood_and_no_gateway_changes_the_wire() {
    let booting = r#"{"result":null,"error":["HOST_STILL_BOOTING"],"id":0}"#;
    let server = Server::start(move |_| Act::Answer(ok("application/json", booting))).await;
    let error = client(server.address).lease().await.unwrap_err();
    assert!(error.is("HOST_STILL_BOOTING"), "{}", error.chain());

    let server = Server::start(|_| Act::Answer(answer("503 Service Unavailable", "text/html", PAGE))).await;
    let error = client(server.address).lease().await.unwrap_err();
    assert!(error.chain().contains("answered HTTP 503"), "{}", error.chain());
    assert_eq!(paths(&server), ["/jsonrpc session.login_with_password"]);
}

#[tokio::test]
async fn a_write_is_never_asked_on_both_wires() {
    // It loses its JSON after the login, as a member that is rolled back would.
    let server = Server::start(|request| {
        if method(request) == "VM.start" {
            Act::Answer(answer("500 Internal Error", "text/html", PAGE))
        } else {
            new(request)
        }
    })
    .await;
    let error = client(server.address).call("VM.start", &["OpaqueRef:a".into()]).await.unwrap_err();
    assert!(!error.nothing_done(), "{}", error.chain());
    assert_eq!(paths(&server), ["/jsonrpc session.login_with_password", "/jsonrpc VM.start"]);
}

#[tokio::test]
async fn a_wire_that_is_set_is_kept_and_says_when_it_is_the_wrong_one() {
    let only = |server: &Server, wire| {
        Client::new(xapi::Settings { wire, ..settings(plain(server.address)) }).unwrap()
    };
    let server = Server::start(new).await;
    ask(&only(&server, Wire::Xml)).await;
    assert_eq!(paths(&server), ["/ session.login_with_password", "/ VM.get_name_label"]);

    let failure = xml::encode_reply(&Err(Failure::new("MESSAGE_METHOD_UNKNOWN", ["?"])));
    let server = Server::start(old(ok("text/xml", &failure).leak())).await;
    let error = only(&server, Wire::Json).lease().await.unwrap_err();
    assert!(
        error.chain().contains("does not speak JSON-RPC, choose the wire auto or xml"),
        "{}",
        error.chain()
    );
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn what_xml_cannot_carry_is_not_sent_half() {
    let server = Server::start(new).await;
    let client = Client::new(xapi::Settings { wire: Wire::Xml, ..settings(plain(server.address)) }).unwrap();
    let error = client.call("VM.start", &["a\u{1}b".into()]).await.unwrap_err();
    assert!(matches!(error, Error::Unwritable { index: 1, .. }) && error.nothing_done(), "{}", error.chain());
    assert_eq!(paths(&server), ["/ session.login_with_password"]);
}
