//! From an HTTP request to its response: limits, the wire by path, the call, its answer.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::{Method, Request as HttpRequest, Response};
use smol_str::{SmolStr, format_smolstr};
use xapi::codec::{Call, Limits, json, xml};

use super::responses::{self, Body, Refused, Wire};
use super::{member, network, spoilt, state};
use crate::dispatch::{Door, Request};
use crate::membership::handover;
use crate::shell::{Answered, Shared};
use crate::tasks::Origin;
use crate::toolstack::Phase;

/// The whole head of a request, in bytes.
const HEAD_MAX: usize = 1024;
/// The body of a call, in bytes.
const BODY_MAX: usize = 300 * 1024;
/// Headers whose rest names a key of the task's `other_config`.
const OTHER_CONFIG: &str = "x-http-other-config-";

/// Answers one request. An error closes the connection without an answer, as happens to every call whose toolstack went
/// down before its answer was out.
pub(super) async fn answer(
    shared: &Shared,
    door: Door,
    request: HttpRequest<Incoming>,
) -> Result<Response<Body>, Refused> {
    let (dark, toolstack) = shared.read(|pool| (pool.is_dark(&door), pool.toolstack(&door)));
    // A connection may slip in before the door is closed.
    if dark || toolstack.phase != Phase::Answering {
        return Err(Refused);
    }
    if head_length(&request) > HEAD_MAX {
        return Ok(responses::server_error("Http_svr.Too_large"));
    }
    if request.uri().path() == handover::PATH {
        return Ok(member::answer(shared, &door, request).await);
    }
    if request.method() == Method::OPTIONS {
        return Ok(responses::preflight());
    }
    if request.method() == Method::GET && request.uri().path() == state::PATH {
        return Ok(state::answer(shared, &door, &request));
    }
    if request.method() != Method::POST {
        return Ok(responses::not_found());
    }
    let wire = if request.uri().path().starts_with("/jsonrpc") { Wire::Json } else { Wire::Xml };
    let origin = origin(&request);
    let body = match body(request, BODY_MAX).await {
        Ok(body) => body,
        Err(why) => {
            shared.with(|pool| pool.calls.malformed += 1);
            return Ok(responses::server_error(why));
        }
    };
    let (call, envelope) = match decode(wire, &body) {
        Ok(decoded) => decoded,
        Err(why) => {
            shared.with(|pool| pool.calls.malformed += 1);
            return Ok(responses::server_error(&why));
        }
    };
    let method = call.method.clone();
    // The method is no secret, the arguments may be.
    tracing::debug!(%method, "call");
    let local = door == Door::Local;
    let fate = shared.with(|pool| pool.trouble.fate(&method));
    network::pass(shared, local, fate.delay).await;
    let request = Request { call, door, origin };
    let answered = shared.call(&request).await;
    shared.unheld().await;
    network::pass(shared, local, fate.delay).await;
    if shared.read(|pool| pool.toolstack(&request.door)) != toolstack {
        return Err(Refused);
    }
    let body = match &answered {
        Answered::Reply(reply) => envelope.reply(reply, &method),
        Answered::Bare(value) => envelope.bare(value),
        Answered::Early(failure) => envelope.early(failure),
        Answered::Never => return Err(Refused),
    };
    match fate.spoil {
        None => Ok(responses::rpc(wire, body)),
        Some(spoil) => spoilt::response(spoil, wire, body).await,
    }
}

fn decode(wire: Wire, body: &Bytes) -> Result<(Call, responses::Envelope), String> {
    let limits = Limits { bytes: BODY_MAX, ..Limits::default() };
    match wire {
        Wire::Xml => {
            let call = xml::decode_call(body, &limits).map_err(|error| format!("Xmlm.Error({error})"))?;
            Ok((call, responses::Envelope::Xml))
        }
        Wire::Json => {
            let envelope = responses::Envelope::of_json(body)?;
            let call =
                json::decode_call(body, &limits).map_err(|error| format!("Yojson.Json_error({error})"))?;
            Ok((call, envelope))
        }
    }
}

/// The body of a request, if it is no longer than so many bytes.
pub(super) async fn body(request: HttpRequest<Incoming>, most: usize) -> Result<Bytes, &'static str> {
    if request.headers().contains_key(TRANSFER_ENCODING) || !request.headers().contains_key(CONTENT_LENGTH) {
        return Err("Http_svr.Client_requested_unsupported_transfer");
    }
    match Limited::new(request.into_body(), most).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err("Http_svr.Body_too_large"),
        Err(_) => Err("End_of_file"),
    }
}

/// The length of the head as it came, or as near as can be told after parsing.
fn head_length(request: &HttpRequest<Incoming>) -> usize {
    let line =
        request.method().as_str().len() + request.uri().to_string().len() + " HTTP/1.1\r\n\r\n".len() + 1;
    let headers = request.headers().iter();
    line + headers.map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum::<usize>()
}

fn origin(request: &HttpRequest<Incoming>) -> Origin {
    let text = |value: &hyper::header::HeaderValue| value.to_str().ok().map(SmolStr::new);
    let tagged = request.headers().iter().filter_map(|(name, value)| {
        let key = name.as_str().strip_prefix(OTHER_CONFIG)?;
        Some((format_smolstr!("http:{key}"), text(value)?))
    });
    Origin { other_config: tagged.collect(), subtask_of: request.headers().get("subtask-of").and_then(text) }
}
