//! A pool that knows one answer: whoever logs in gets the recorded reply to every `event.from`, on the wire asked on.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context as _, Result, ensure};
use xapi::codec::{Call, Failure, Limits, Reply, json, xml};
use xapi::{Struct, Value};

use crate::recorded;

/// Listens on a port of its own for as long as this process lives.
pub(super) fn start() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening")?;
    let address = listener.local_addr().context("asking for the port")?;
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                if let Err(error) = serve(&connection) {
                    println!("    a client was cut off: {error:#}");
                }
            });
        }
    });
    Ok(address)
}

/// Answers requests until the client closes the connection.
fn serve(connection: &TcpStream) -> Result<()> {
    connection.set_nodelay(true).context("setting up the connection")?;
    let mut incoming = BufReader::new(connection);
    while let Some((path, body)) = request(&mut incoming)? {
        let limits = Limits::default();
        let (kind, answer) = if path == "/jsonrpc" {
            let call = json::decode_call(&body, &limits).context("reading a request")?;
            let whole = (call.method == "event.from").then(recorded::json_body).transpose()?;
            let answer = match whole {
                Some(recorded) => recorded.to_vec(),
                None => json::encode_reply(&reply(&call), 0).into_bytes(),
            };
            ("application/json", answer)
        } else {
            let call = xml::decode_call(&body, &limits).context("reading a request")?;
            let whole = (call.method == "event.from").then(recorded::xml_body).transpose()?;
            let answer = match whole {
                Some(recorded) => recorded.to_vec(),
                None => xml::encode_reply(&reply(&call)).into_bytes(),
            };
            ("text/xml", answer)
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: keep-alive\r\ncontent-type: {kind}\r\n\r\n",
            answer.len()
        );
        let mut outgoing = connection;
        outgoing.write_all(&[head.as_bytes(), &answer].concat()).context("answering")?;
    }
    Ok(())
}

/// Path and body of the next request; none when the client is done.
fn request(incoming: &mut BufReader<&TcpStream>) -> Result<Option<(String, Vec<u8>)>> {
    let mut line = String::new();
    if incoming.read_line(&mut line).unwrap_or(0) == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).context("a request without path")?.to_owned();
    let mut length = 0;
    loop {
        line.clear();
        ensure!(incoming.read_line(&mut line).context("reading a request's head")? > 0, "half a request");
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().context("a request's length")?;
        }
    }
    let mut body = vec![0; length];
    incoming.read_exact(&mut body).context("reading a request's body")?;
    Ok(Some((path, body)))
}

/// What clients ask before they poll.
fn reply(call: &Call) -> Reply {
    match call.method.as_str() {
        "session.login_with_password" => Ok("OpaqueRef:session".into()),
        "session.logout" => Ok(Value::VOID),
        "pool.get_all_records" => Ok(Value::Struct([pool()].into_iter().collect())),
        "system.listMethods" => Ok(vec!["VM.get_all_records".into()].into()),
        method => Err(Failure::new("MESSAGE_METHOD_UNKNOWN", [method])),
    }
}

fn pool() -> (smol_str::SmolStr, Value) {
    let fields: Struct =
        [("uuid".into(), "u".into()), ("master".into(), "OpaqueRef:host".into())].into_iter().collect();
    ("OpaqueRef:pool".into(), fields.into())
}
