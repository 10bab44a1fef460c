//! A pool that knows one answer to `event.from`, on the wire asked on: the recorded picture of a pool, the same each time
//! or with other objects each time, which are as like each other as recorded or not at all.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use xapi::codec::{Call, Failure, Limits, Reply, json, xml};
use xapi::{Struct, Value};

use crate::picture;
use crate::recorded;

/// What a client meets in two answers, one after the other.
#[derive(Clone, Copy)]
pub(super) enum Objects {
    /// The same bytes.
    Same,
    /// References and uuids that were in no answer before; all else is the same.
    New,
    /// The same, and no object has anything in common with the one before but references to nothing, truth values, and what
    /// is empty or zero.
    Unlike,
}

/// The copy of the pool that an answer is written down with.
const WRITTEN: usize = 0x7fff_ffff;

/// The answer on both wires.
struct Answer {
    xml: String,
    json: String,
    objects: Objects,
}

impl Answer {
    fn new(objects: Objects) -> Result<Self> {
        let count = recorded::batch()?.events.len();
        let picture = |recorded| -> Result<Reply> {
            let picture = picture::value(recorded, WRITTEN * count..(WRITTEN + 1) * count)?;
            Ok(Ok(if matches!(objects, Objects::Unlike) { picture::unlike(picture)? } else { picture }))
        };
        let xml = xml::encode_reply(&picture(recorded::value()?)?);
        let json = json::encode_reply(&picture(recorded::json_value()?)?, 0);
        Ok(Answer { xml, json, objects })
    }

    /// The bytes that a client gets when it polls for the `count`th time.
    fn bytes(&self, written: &str, count: usize) -> Vec<u8> {
        match self.objects {
            Objects::Same => written.to_owned().into_bytes(),
            Objects::New | Objects::Unlike => {
                written.replace(&picture::prefix(WRITTEN), &picture::prefix(count)).into_bytes()
            }
        }
    }
}

/// Listens on a port of its own for as long as this process lives.
pub(super) fn start(objects: Objects) -> Result<SocketAddr> {
    let answer = Arc::new(Answer::new(objects)?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening")?;
    let address = listener.local_addr().context("asking for the port")?;
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || {
                if let Err(error) = serve(&connection, &answer) {
                    println!("    a client was cut off: {error:#}");
                }
            });
        }
    });
    Ok(address)
}

/// Answers requests until the client closes the connection.
fn serve(connection: &TcpStream, picture: &Answer) -> Result<()> {
    connection.set_nodelay(true).context("setting up the connection")?;
    let mut incoming = BufReader::new(connection);
    let mut polls = 0;
    while let Some((path, body)) = request(&mut incoming)? {
        let limits = Limits::default();
        let json = path == "/jsonrpc";
        let decoded = if json { json::decode_call(&body, &limits) } else { xml::decode_call(&body, &limits) };
        let call = decoded.context("reading a request")?;
        let kind = if json { "application/json" } else { "text/xml" };
        let answer = if call.method == "event.from" {
            polls += 1;
            picture.bytes(if json { &picture.json } else { &picture.xml }, polls)
        } else if json {
            json::encode_reply(&reply(&call), 0).into_bytes()
        } else {
            xml::encode_reply(&reply(&call)).into_bytes()
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
