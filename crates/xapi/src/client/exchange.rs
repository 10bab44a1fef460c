//! One request and its answer on the wire: values to bytes, bytes to values, failures with the session taken out.
//! Knows no login and no retry.

use std::time::Duration;

use bytes::Bytes;

use super::Client;
use crate::codec::xml;
use crate::error::Error;
use crate::transport::Transport;
use crate::value::Value;

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
        self.read(request.method, &reply)
    }

    pub(super) async fn send(&self, transport: &Transport, request: &Request<'_>) -> Result<Bytes, Error> {
        let sent = transport
            .post("/", xml::encode_call(request.method, request.arguments), request.headers, request.timeout)
            .await;
        sent.map_err(|source| Error::Transport { method: request.method.to_owned(), source })
    }

    pub(super) fn read(&self, method: &str, reply: &[u8]) -> Result<Value, Error> {
        xml::decode_reply(reply, &self.inner.settings.limits)
            .map_err(|source| Error::Decode { method: method.to_owned(), source })?
            .map_err(|failure| Error::Xapi { method: method.to_owned(), failure: without_session(failure) })
    }
}

/// Session references are secrets, and xapi quotes them in some errors.
fn without_session(mut failure: crate::codec::Failure) -> crate::codec::Failure {
    if failure.code.starts_with("SESSION_") {
        for parameter in &mut failure.parameters {
            if parameter.starts_with("OpaqueRef:") {
                *parameter = "(the session)".into();
            }
        }
    }
    failure
}
