//! `GET /pool/xmldbdump`: the whole state of the pool, for whoever has a session or came by the Unix socket.

use hyper::body::Incoming;
use hyper::header::COOKIE;
use hyper::{Request as HttpRequest, Response};

use super::responses::{self, Body};
use crate::dispatch::Door;
use crate::shell::Shared;
use crate::state_db;

/// Where the state is asked for.
pub(super) const PATH: &str = "/pool/xmldbdump";

/// Answers with the state, or asks for a session.
pub(super) fn answer(shared: &Shared, door: &Door, request: &HttpRequest<Incoming>) -> Response<Body> {
    let admitted = shared.with(|pool| {
        pool.answers_at(door)
            && (*door == Door::Local || session(request).is_some_and(|session| pool.admit(&session).is_ok()))
    });
    if !admitted {
        return responses::unauthorised();
    }
    responses::stream("text/xml", shared.read(|pool| state_db::dump(&pool.database)))
}

/// The session that the query or the cookie names.
pub(super) fn session(request: &HttpRequest<Incoming>) -> Option<String> {
    let named = |text: &str| {
        form_urlencoded::parse(text.as_bytes())
            .find(|(name, _)| name == "session_id")
            .map(|(_, value)| value.into_owned())
    };
    let cookie = || {
        let cookies = request.headers().get(COOKIE)?.to_str().ok()?;
        cookies.split(';').find_map(|cookie| named(cookie.trim()))
    };
    request.uri().query().and_then(named).or_else(cookie)
}
