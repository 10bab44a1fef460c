//! The page on which hosts come from one simulated pool to another; see [`handover`](crate::membership::handover).

use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::{Method, Request as HttpRequest, Response};
use xapi::codec::Failure;
use xapi::model::schema;

use super::responses::{self, Body, Wire};
use super::{requests, state};
use crate::dispatch::Door;
use crate::failures::session_invalid;
use crate::membership::handover::{FORM, Greeting, Standing, Taken};
use crate::pool::Pool;
use crate::roles;
use crate::shell::Shared;
use crate::state_db;

/// A whole pool of one as a state database, in bytes.
const STATE_MAX: usize = 64 << 20;
/// A host that asks again and again what it is hears so at least this often, whether or not that has changed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers a request to the page.
pub(super) async fn answer(shared: &Shared, door: &Door, request: HttpRequest<Incoming>) -> Response<Body> {
    match (request.method(), secret(&request)) {
        (&Method::GET, Some(secret)) => said(&follow(shared, &secret, seen(&request).as_ref()).await),
        (&Method::GET, None) => said(&Greeting { simulated_pool: FORM }),
        (&Method::PUT, _) => {
            let session = state::session(&request).unwrap_or_default();
            if let Err(failure) = shared.with(|pool| admit(pool, door, &session)) {
                return said(&Taken::from(Err(failure)));
            }
            let bytes = match requests::body(request, STATE_MAX).await {
                Ok(bytes) => bytes,
                Err(why) => return responses::server_error(why),
            };
            match state_db::load(&bytes) {
                Ok((joiner, _)) => said(&Taken::from(shared.with(|pool| {
                    // The session may have ended while the state came in.
                    admit(pool, door, &session)?;
                    pool.take_in(joiner)
                }))),
                Err(error) => responses::server_error(&error.to_string()),
            }
        }
        _ => responses::not_found(),
    }
}

/// Lets whoever may call `pool.join` pass, at the door of the coordinator.
fn admit(pool: &mut Pool, door: &Door, session: &str) -> Result<(), Failure> {
    if !pool.answers_at(door) {
        return Err(Failure::new("HOST_IS_SLAVE", [pool.coordinator_address()]));
    }
    pool.admit(session)?;
    match (pool.role(session), schema::method("pool.join")) {
        (None, _) => Ok(()),
        (Some(role), Some((_, method))) => roles::permit(role, "pool.join", method),
        (Some(_), None) => Err(session_invalid(session)),
    }
}

/// Waits until what a host is to the pool is not what it has seen.
async fn follow(shared: &Shared, secret: &str, seen: Option<&Standing>) -> Standing {
    let standing = || shared.read(|pool| pool.standing(secret));
    shared.wait_until(PATIENCE, || Some(&standing()) != seen).await;
    standing()
}

fn seen(request: &HttpRequest<Incoming>) -> Option<Standing> {
    let mut parameters = form_urlencoded::parse(request.uri().query()?.as_bytes());
    let (_, seen) = parameters.find(|(name, _)| name == "seen")?;
    serde_json::from_str(&seen).ok()
}

fn secret(request: &HttpRequest<Incoming>) -> Option<String> {
    let given = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    given.strip_prefix("Bearer ").map(str::to_owned)
}

fn said(words: &impl serde::Serialize) -> Response<Body> {
    match serde_json::to_string(words) {
        Ok(text) => responses::rpc(Wire::Json, text),
        Err(error) => responses::server_error(&error.to_string()),
    }
}
