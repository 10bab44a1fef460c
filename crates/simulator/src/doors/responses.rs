//! Responses as xapi writes them: headers, envelopes of both wires, the page that stands for every internal error.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::ext::ReasonPhrase;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONNECTION, CONTENT_TYPE,
    HeaderValue, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode, Version};
use xapi::Value;
use xapi::codec::{Failure, Reply, json, xml};

/// What a response carries.
pub(super) type Body = BoxBody<Bytes, Refused>;

/// The connection is to be closed without more.
#[derive(Debug, thiserror::Error)]
#[error("the simulator was told to hang up")]
pub(super) struct Refused;

/// The two wires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Xml,
    Json,
}

/// How the reply to one request is wrapped.
#[derive(Debug)]
pub(super) enum Envelope {
    Xml,
    /// Version 1.0, with the id as it came.
    Json1(String),
    /// Version 2.0, with the id as it came.
    Json2(String),
}

impl Envelope {
    /// What a JSON request asks for. The error is what xapi puts on its page.
    pub(super) fn of_json(body: &[u8]) -> Result<Self, String> {
        let request: serde_json::Value =
            serde_json::from_slice(body).map_err(|error| format!("Yojson.Json_error({error})"))?;
        let malformed = || "Jsonrpc.Malformed_method_request(\"Invalid request body\")".to_owned();
        let request = request.as_object().ok_or_else(malformed)?;
        let id = match request.get("id") {
            Some(id) if id.is_i64() || id.is_string() => id.to_string(),
            _ => return Err(malformed()),
        };
        match request.get("jsonrpc").and_then(serde_json::Value::as_str) {
            Some("2.0") => Ok(Envelope::Json2(id)),
            _ if request.get("params").is_some_and(serde_json::Value::is_array) => Ok(Envelope::Json1(id)),
            _ => Err(malformed()),
        }
    }

    /// The body of a reply.
    pub(super) fn reply(&self, reply: &Reply, method: &str) -> String {
        match (self, reply) {
            (Envelope::Xml, reply) => {
                let text = xml::encode_reply(reply);
                if method == "event.from" { counts_typed(&text) } else { text }
            }
            (Envelope::Json1(id), Ok(value)) => {
                format!("{{\"result\":{},\"error\":null,\"id\":{id}}}", json::encode_value(value))
            }
            (Envelope::Json1(id), Err(failure)) => {
                format!("{{\"result\":null,\"error\":{},\"id\":{id}}}", list(failure))
            }
            (Envelope::Json2(id), Ok(value)) => {
                format!("{{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":{id}}}", json::encode_value(value))
            }
            (Envelope::Json2(id), Err(failure)) => {
                let code = json::encode_value(&Value::String(failure.code.clone()));
                let data = json::encode_value(&Value::Array(
                    failure.parameters.iter().map(|parameter| Value::String(parameter.clone())).collect(),
                ));
                format!(
                    "{{\"jsonrpc\":\"2.0\",\"error\":{{\"code\":1,\"message\":{code},\"data\":{data}}},\"id\":{id}}}"
                )
            }
        }
    }

    /// The body of a value without XAPI's own envelope.
    pub(super) fn bare(&self, value: &Value) -> String {
        match self {
            Envelope::Xml => xml::encode_bare_reply(value),
            Envelope::Json1(_) | Envelope::Json2(_) => self.reply(&Ok(value.clone()), ""),
        }
    }

    /// The body of an error raised before any dispatch: over JSON a list, and the id 0 whatever was asked.
    pub(super) fn early(&self, failure: &Failure) -> String {
        match self {
            Envelope::Xml => xml::encode_reply(&Err(failure.clone())),
            Envelope::Json1(_) => format!("{{\"result\":null,\"error\":{},\"id\":0}}", list(failure)),
            Envelope::Json2(_) => format!("{{\"jsonrpc\":\"2.0\",\"error\":{},\"id\":0}}", list(failure)),
        }
    }
}

/// The answer to a call.
pub(super) fn rpc(wire: Wire, body: String) -> Response<Body> {
    let mut response = Response::new(whole(body));
    head(&mut response, wire);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("keep-alive"));
    response
}

/// xapi's page for everything that goes wrong before a call is one; the connection closes.
pub(super) fn server_error(why: &str) -> Response<Body> {
    let why = why.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let page = format!(
        "<html><body><h1>HTTP 500 internal server error</h1>The request could not be handled.\
         <h1> Additional information </h1>{why}</body></html>"
    );
    let mut response = Response::new(whole(page));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.extensions_mut().insert(ReasonPhrase::from_static(b"Internal Error"));
    html(&mut response);
    response
}

/// Bytes whose number is not told: they end with the connection, as xapi's own handlers do it.
pub(super) fn stream(kind: &'static str, bytes: String) -> Response<Body> {
    let parts = stream::iter([Ok(Frame::data(Bytes::from(bytes)))]);
    let mut response = Response::new(BoxBody::new(StreamBody::new(parts)));
    // Version 1.1 would put lengths between the parts.
    *response.version_mut() = Version::HTTP_10;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    response
}

/// Whoever asks must say who he is.
pub(super) fn unauthorised() -> Response<Body> {
    let mut response =
        Response::new(whole("<html><body><h1>HTTP 401 unauthorised</h1></body></html>".into()));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    html(&mut response);
    let realm = HeaderValue::from_static("Basic realm=\"xapi\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, realm);
    response
}

/// There is nothing to GET here.
pub(super) fn not_found() -> Response<Body> {
    let mut response = Response::new(whole("<html><body><h1>HTTP 404 not found</h1></body></html>".into()));
    *response.status_mut() = StatusCode::NOT_FOUND;
    html(&mut response);
    response
}

/// The answer to a browser's question whether it may call.
pub(super) fn preflight() -> Response<Body> {
    let mut response = Response::new(whole(String::new()));
    cross_origin(&mut response);
    response
}

pub(super) fn head(response: &mut Response<Body>, wire: Wire) {
    let kind = match wire {
        Wire::Xml => "text/xml",
        Wire::Json => "application/json",
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    cross_origin(response);
}

fn html(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
}

fn cross_origin(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("X-Requested-With"));
}

fn whole(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {}).boxed()
}

fn list(failure: &Failure) -> String {
    let words = std::iter::once(&failure.code).chain(&failure.parameters);
    json::encode_value(&Value::Array(words.map(|word| Value::String(word.clone())).collect()))
}

/// `valid_ref_counts` holds the only integers that XAPI sends with their type.
fn counts_typed(text: &str) -> String {
    const START: &str = "<name>valid_ref_counts</name><value><struct>";
    let Some(index) = text.rfind(START) else { return text.to_owned() };
    let (before, rest) = text.split_at(index + START.len());
    let (counts, after) = rest.split_at(rest.find("</struct>").unwrap_or(rest.len()));
    let counts = counts
        .replace("</name><value>", "</name><value><i4>")
        .replace("</value></member>", "</i4></value></member>");
    format!("{before}{counts}{after}")
}
