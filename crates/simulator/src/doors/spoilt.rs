//! Answers that were ordered to be spoilt.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::StreamBody;
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{CONTENT_LENGTH, HeaderValue};

use super::responses::{self, Body, Refused, Wire};
use crate::trouble::Spoil;

/// Between two bytes of an answer that drips.
const DRIP: Duration = Duration::from_millis(100);
/// One piece of an answer that does not end, in bytes.
const PIECE: usize = 64 * 1024;

/// What goes out in place of the right answer with this body.
pub(super) async fn response(spoil: Spoil, wire: Wire, body: String) -> Result<Response<Body>, Refused> {
    match spoil {
        Spoil::Garbage => Ok(responses::rpc(wire, "\u{1}\u{2} certainly neither of the two <".into())),
        Spoil::Malformed => Ok(responses::rpc(wire, no_reply(wire).into())),
        Spoil::ServerError => Ok(responses::server_error("Stdlib.Not_found")),
        Spoil::Truncated => Ok(truncated(wire, body)),
        Spoil::Close => Err(Refused),
        Spoil::Silence => std::future::pending().await,
        Spoil::Drip => Ok(dripping(wire, body)),
        Spoil::Endless => Ok(endless(wire)),
    }
}

/// Well-formed, and no reply.
fn no_reply(wire: Wire) -> &'static str {
    match wire {
        Wire::Xml => {
            "<?xml version=\"1.0\"?><methodResponse><params><param><value><struct><member><name>Status</name>\
             <value>Success</value></member></struct></value></param></params></methodResponse>"
        }
        Wire::Json => "{\"jsonrpc\":\"2.0\",\"outcome\":[]}",
    }
}

/// The head that the answer should have, half of its body, and then nothing.
fn truncated(wire: Wire, body: String) -> Response<Body> {
    let length = body.len();
    let half = Bytes::from(body).slice(..length / 2);
    // Without a pause between the two, nothing would be sent at all.
    let end = async {
        tokio::task::yield_now().await;
        Err(Refused)
    };
    let parts = stream::iter([Ok(Frame::data(half))]).chain(stream::once(end));
    with_length(wire, length, Body::new(StreamBody::new(parts)))
}

fn dripping(wire: Wire, body: String) -> Response<Body> {
    let length = body.len();
    let parts = stream::unfold(Bytes::from(body), |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(DRIP).await;
        let byte = rest.split_to(1);
        Some((Ok(Frame::data(byte)), rest))
    });
    with_length(wire, length, Body::new(StreamBody::new(parts)))
}

fn endless(wire: Wire) -> Response<Body> {
    let piece = Bytes::from(vec![b' '; PIECE]);
    let parts = stream::repeat_with(move || Ok(Frame::data(piece.clone())));
    let mut response = Response::new(Body::new(StreamBody::new(parts)));
    responses::head(&mut response, wire);
    response
}

fn with_length(wire: Wire, length: usize, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    responses::head(&mut response, wire);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}
