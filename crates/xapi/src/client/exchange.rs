//! One request and its answer on the wire: values to bytes, bytes to values, failures with the session taken out.
//! Knows no login and no retry.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Client;
use super::wire::{self, Choice, Format};
use crate::codec::{DecodeError, Failure, json, xml};
use crate::error::Error;
use crate::events::Batch;
use crate::transport::{Answer, Identity, Post, Transport, TransportError};
use crate::value::Value;

/// Answers come in the order of the requests, one on a connection at a time, so they need no name.
const JSON_ID: i64 = 1;

/// What is sent: the session, where there is one, is the first argument.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) arguments: &'a [Value],
    /// Further HTTP headers, such as the marks that xapi copies into the task of the call.
    pub(super) headers: &'a [(String, String)],
    /// For the exchange as a whole.
    pub(super) timeout: Duration,
}

impl<'a> Request<'a> {
    pub(super) fn new(method: &'a str, arguments: &'a [Value], timeout: Duration) -> Self {
        Request { method, arguments, headers: &[], timeout }
    }
}

impl Client {
    pub(super) async fn exchange(
        &self,
        transport: &Transport,
        request: &Request<'_>,
    ) -> Result<Value, Error> {
        let reply = self.send(transport, request).await?;
        let outcome = self.read(request.method, &reply);
        match transport.endpoint().identity() {
            Some(identity) if is_login(request.method) => outcome.map_err(|error| by(identity, error)),
            _ => outcome,
        }
    }

    /// Sends a request on the wire that the member speaks. Where that is not known yet, a login finds it out: it is the
    /// first thing that a member is asked, and the only one that may be asked twice.
    pub(super) async fn send(&self, transport: &Transport, request: &Request<'_>) -> Result<Received, Error> {
        let wire = self.inner.settings.wire;
        let address = transport.endpoint().address();
        match self.inner.spoken.choose(wire, address, is_login(request.method)) {
            Choice::Settled(format) => post(transport, request, format, request.timeout).await,
            Choice::Open => {
                let asked = Instant::now();
                let answer = ask(transport, request, Format::Json, request.timeout).await?;
                if wire::spoken(&answer) != Some(Format::Xml) {
                    if wire::spoken(&answer) == Some(Format::Json) {
                        self.inner.spoken.remember(address, Format::Json);
                    }
                    return received(request, Format::Json, answer);
                }
                tracing::debug!(endpoint = %transport.endpoint(), "no JSON-RPC here, speaking XML-RPC");
                self.inner.spoken.remember(address, Format::Xml);
                post(transport, request, Format::Xml, request.timeout.saturating_sub(asked.elapsed())).await
            }
        }
    }

    pub(super) fn read(&self, method: &str, reply: &Received) -> Result<Value, Error> {
        let limits = &self.inner.settings.limits;
        decoded(
            method,
            reply,
            match reply.format {
                Format::Xml => xml::decode_reply(&reply.body, limits),
                Format::Json => json::decode_reply(&reply.body, limits),
            },
        )
    }

    /// The answer to `event.from`, typed while it is read.
    pub(super) fn read_batch(&self, method: &str, reply: &Received) -> Result<Batch, Error> {
        let limits = &self.inner.settings.limits;
        decoded(
            method,
            reply,
            match reply.format {
                Format::Xml => Batch::decode_xml(&reply.body, limits),
                Format::Json => {
                    let mut seen = self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
                    Batch::decode_json_again(&reply.body, limits, &mut seen)
                }
            },
        )
    }
}

fn decoded<T>(
    method: &str,
    reply: &Received,
    outcome: Result<Result<T, Failure>, DecodeError>,
) -> Result<T, Error> {
    let not_json = reply.format == Format::Json && wire::looks_like_xml(&reply.body);
    let told = |error: DecodeError| DecodeError {
        what: if not_json {
            "XML instead of JSON: this member does not speak JSON-RPC, choose the wire auto or xml".into()
        } else {
            error.what
        },
        position: error.position,
    };
    outcome
        .map_err(|error| Error::Decode { method: method.to_owned(), source: told(error) })?
        .map_err(|failure| Error::Xapi { method: method.to_owned(), failure: without_session(failure) })
}

/// An answer and how it is written.
#[derive(Debug)]
pub(super) struct Received {
    format: Format,
    body: Bytes,
}

/// Why a login with a client certificate failed: a pool that does not know it says that the password is wrong.
fn by(identity: &Identity, error: Error) -> Error {
    if !error.is("SESSION_AUTHENTICATION_FAILED") {
        return error;
    }
    Error::Certificate { certificate: identity.fingerprint(), source: Box::new(error) }
}

fn is_login(method: &str) -> bool {
    matches!(method, "session.login_with_password" | "session.slave_local_login_with_password")
}

async fn post(
    transport: &Transport,
    request: &Request<'_>,
    format: Format,
    timeout: Duration,
) -> Result<Received, Error> {
    let answer = ask(transport, request, format, timeout).await?;
    received(request, format, answer)
}

/// The outer error means that there was nothing to ask.
async fn ask(
    transport: &Transport,
    request: &Request<'_>,
    format: Format,
    timeout: Duration,
) -> Result<Result<Answer, TransportError>, Error> {
    let Request { method, arguments, headers, .. } = *request;
    let (path, content_type, body) = match format {
        Format::Xml => {
            if let Some(index) = arguments.iter().position(|argument| !xml::carries(argument)) {
                return Err(Error::Unwritable { method: method.to_owned(), index });
            }
            ("/", "text/xml", xml::encode_call(method, arguments))
        }
        Format::Json => ("/jsonrpc", "application/json", json::encode_call(method, arguments, JSON_ID)),
    };
    Ok(transport.post(Post { path, content_type, body, headers, timeout }).await)
}

fn received(
    request: &Request<'_>,
    format: Format,
    answer: Result<Answer, TransportError>,
) -> Result<Received, Error> {
    match answer {
        Ok(answer) => Ok(Received { format, body: answer.body }),
        Err(source) => Err(Error::Transport { method: request.method.to_owned(), source }),
    }
}

/// Session references are secrets, and xapi quotes them in some errors.
fn without_session(mut failure: Failure) -> Failure {
    if failure.code.starts_with("SESSION_") {
        for parameter in &mut failure.parameters {
            if parameter.starts_with("OpaqueRef:") {
                *parameter = "(the session)".into();
            }
        }
    }
    failure
}
