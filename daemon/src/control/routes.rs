//! What can be asked and done, and by whom.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use journal::By;
use tokio::sync::oneshot;

use super::access::Role;
use super::door::Peer;
use super::sources::{PluginState, Reload, Sources};
use super::types::{
    ActionLine, AuditLine, AuditNoted, AuditQuery, AuditVerified, DeadDetail, DeadLine, DeliveryDetail,
    DeliveryLine, Done, EventDetail, EventQuery, Events, GapLine, JournalStatus, OfPlugin, PluginDetail,
    PluginStatus, Prune, Pruned, Reason, Refused, Reloaded, Status,
};
use super::{metrics, records};
use crate::router::Steering;

/// The longest that a request for events may wait; a client asks again.
const WAIT_MAX: Duration = Duration::from_secs(25);
/// The longest reason that is kept, in characters.
const REASON_MAX: usize = 1000;

type Shared = State<Arc<Sources>>;
type Answer<T> = Result<Json<T>, Trouble>;

/// Everything, for the control socket. Whoever gets here may look; what changes something asks for more.
pub(super) fn all(sources: Arc<Sources>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/events", get(events))
        .route("/v1/events/{sequence}", get(event))
        .route("/v1/deliveries", get(deliveries))
        .route("/v1/deliveries/{plugin}/{sequence}", get(delivery))
        .route("/v1/dead", get(dead))
        .route("/v1/dead/{id}", get(dead_letter))
        .route("/v1/dead/{id}/retry", post(retry))
        .route("/v1/dead/{id}/drop", post(drop_letter))
        .route("/v1/plugins", get(plugins))
        .route("/v1/plugins/{name}", get(plugin))
        .route("/v1/plugins/{name}/disable", post(disable))
        .route("/v1/plugins/{name}/enable", post(enable))
        .route("/v1/plugins/{name}/reload", post(reload_plugin))
        .route("/v1/reload", post(reload_all))
        .route("/v1/audit", get(audit))
        .route("/v1/audit/verify", get(verify_audit))
        .route("/v1/journal", get(journal_holds))
        .route("/v1/journal/actions", get(actions))
        .route("/v1/journal/gaps", get(gaps))
        .route("/v1/journal/prune", post(prune))
        .route("/metrics", get(metrics_text))
        .fallback(nowhere)
        .with_state(sources)
}

/// Metrics alone, for TCP.
pub(super) fn metrics_only(sources: Arc<Sources>) -> Router {
    Router::new().route("/metrics", get(metrics_text)).fallback(nowhere).with_state(sources)
}

/// An answer that is no success.
struct Trouble(StatusCode, String);

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        (self.0, Json(Refused { error: self.1 })).into_response()
    }
}

impl From<journal::Error> for Trouble {
    fn from(error: journal::Error) -> Self {
        let status = match &error {
            journal::Error::UnknownDeadLetter { .. } | journal::Error::UnknownPlugin { .. } => {
                StatusCode::NOT_FOUND
            }
            error if error.is_passing() => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Trouble(status, crate::router::chain(&error))
    }
}

impl From<records::Asked> for Trouble {
    fn from(asked: records::Asked) -> Self {
        match asked {
            records::Asked::Wrong(what) => Trouble(StatusCode::BAD_REQUEST, what),
            records::Asked::Journal(error) => error.into(),
        }
    }
}

fn unknown(what: impl Into<String>) -> Trouble {
    Trouble(StatusCode::NOT_FOUND, what.into())
}

async fn nowhere() -> Trouble {
    unknown("this daemon answers nothing there: is the command of another version?")
}

/// Who does something and why, if that one may.
fn by(sources: &Sources, peer: &Peer, needed: Role, reason: &Reason) -> Result<By, Trouble> {
    if peer.role < needed {
        let refusal = peer.person.refusal(needed, &sources.control.borrow());
        tracing::warn!(person = %peer.person, needed = needed.key(), "refused at the control socket");
        return Err(Trouble(StatusCode::FORBIDDEN, refusal));
    }
    if reason.reason.chars().count() > REASON_MAX {
        let what = format!("the reason is longer than {REASON_MAX} characters");
        return Err(Trouble(StatusCode::BAD_REQUEST, what));
    }
    Ok(By {
        who: peer.person.to_string(),
        reason: reason.reason.trim().to_owned(),
        at_micros: Timestamp::now().as_microsecond(),
    })
}

async fn status(State(sources): Shared) -> Answer<Status> {
    Ok(Json(sources.status().await?))
}

async fn events(State(sources): Shared, Query(query): Query<EventQuery>) -> Answer<Events> {
    let listings = sources.journal.listings();
    if let (Some(after), Some(wait)) = (query.after, query.wait_s) {
        let mut last = sources.journal.watch();
        let more = last.wait_for(|last| *last > after);
        // Nothing new within the time is an answer too.
        _ = tokio::time::timeout(Duration::from_secs(wait).min(WAIT_MAX), more).await;
    }
    Ok(Json(records::events(listings, query).await?))
}

async fn event(State(sources): Shared, Path(sequence): Path<u64>) -> Answer<EventDetail> {
    let found = records::event(sources.journal.listings(), sequence).await?;
    found.map(Json).ok_or_else(|| unknown(format!("the journal has no event {sequence}")))
}

async fn deliveries(State(sources): Shared, Query(of): Query<OfPlugin>) -> Answer<Vec<DeliveryLine>> {
    Ok(Json(sources.deliveries(of).await?))
}

async fn delivery(
    State(sources): Shared,
    Path((plugin, sequence)): Path<(String, u64)>,
) -> Answer<DeliveryDetail> {
    let found = records::delivery(sources.journal.listings(), &plugin, sequence).await?;
    found
        .map(Json)
        .ok_or_else(|| unknown(format!("the journal knows no event {sequence} for plugin {plugin}")))
}

async fn dead(State(sources): Shared, Query(of): Query<OfPlugin>) -> Answer<Vec<DeadLine>> {
    Ok(Json(records::dead(sources.journal.listings(), of).await?))
}

async fn dead_letter(State(sources): Shared, Path(id): Path<u64>) -> Answer<DeadDetail> {
    let found = records::dead_letter(sources.journal.listings(), id).await?;
    found.map(Json).ok_or_else(|| unknown(format!("dead letter {id} is not in the journal")))
}

async fn retry(
    State(sources): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(id): Path<u64>,
    Json(reason): Json<Reason>,
) -> Answer<Done> {
    let by = by(&sources, &peer, Role::Operate, &reason)?;
    let letter = sources.journal.revive(id, by).await?;
    let (plugin, sequence) = (&letter.plugin, letter.sequence);
    let attempt = letter.attempts + 1;
    tracing::info!(plugin, sequence, attempt, person = %peer.person, "a dead letter is to come again");
    let source = sources.plugin(plugin);
    let when = match source.as_ref().map(|source| &source.state) {
        Some(PluginState::Loaded { steering, .. }) => {
            if !steering.come_again(sequence) {
                "when the daemon has been started anew"
            } else if steering.is_enabled() {
                "now"
            } else {
                "when the plugin is enabled"
            }
        }
        _ => "when the plugin runs",
    };
    Ok(Json(Done { done: format!("event {sequence} comes to {plugin} again {when}, as attempt {attempt}") }))
}

async fn drop_letter(
    State(sources): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(id): Path<u64>,
    Json(reason): Json<Reason>,
) -> Answer<Done> {
    let by = by(&sources, &peer, Role::Operate, &reason)?;
    if by.reason.is_empty() {
        return Err(Trouble(StatusCode::BAD_REQUEST, "say why the letter is dropped: --reason".to_owned()));
    }
    let why = by.reason.clone();
    let letter = sources.journal.discard(id, by).await?;
    let (plugin, sequence) = (&letter.plugin, letter.sequence);
    tracing::info!(plugin, sequence, person = %peer.person, reason = why, "a dead letter is dropped");
    Ok(Json(Done { done: format!("dead letter {id} is dropped: event {sequence} for {plugin}") }))
}

async fn plugins(State(sources): Shared) -> Answer<Vec<PluginStatus>> {
    Ok(Json(sources.plugins().await?))
}

async fn plugin(State(sources): Shared, Path(name): Path<String>) -> Answer<PluginDetail> {
    let found = sources.plugin_detail(&name).await?;
    found.map(Json).ok_or_else(|| no_plugin(&sources, &name))
}

fn no_plugin(sources: &Sources, name: &str) -> Trouble {
    let present = sources.present();
    let names: Vec<&str> = present.iter().map(|plugin| plugin.grant.name.as_str()).collect();
    unknown(format!("no plugin is called {name}; plugins are {}", names.join(", ")))
}

/// The reins of a plugin that is loaded.
fn steering(sources: &Sources, name: &str) -> Result<Steering, Trouble> {
    let plugin = sources.plugin(name).ok_or_else(|| no_plugin(sources, name))?;
    match &plugin.state {
        PluginState::Loaded { steering, .. } => Ok(steering.clone()),
        PluginState::Off => {
            let grant = plugin.grant.path.display();
            let what = format!(
                "{grant} says enabled = false: change it there, then `xapiary plugins reload {name}`"
            );
            Err(Trouble(StatusCode::CONFLICT, what))
        }
        PluginState::LeftOut(why) => {
            let what = format!(
                "plugin {name} could not be loaded; mend that, then `xapiary plugins reload {name}`: {why}"
            );
            Err(Trouble(StatusCode::CONFLICT, what))
        }
    }
}

async fn disable(
    State(sources): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(name): Path<String>,
    Json(reason): Json<Reason>,
) -> Answer<Done> {
    switch(&sources, &peer, &name, &reason, false).await
}

async fn enable(
    State(sources): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(name): Path<String>,
    Json(reason): Json<Reason>,
) -> Answer<Done> {
    switch(&sources, &peer, &name, &reason, true).await
}

/// Lets deliveries to a plugin begin or not: on record first, then for its worker.
async fn switch(sources: &Sources, peer: &Peer, name: &str, reason: &Reason, on: bool) -> Answer<Done> {
    let by = by(sources, peer, Role::Operate, reason)?;
    let steering = steering(sources, name)?;
    let (state, what_now) = if on {
        sources.journal.enable(name, by).await?;
        ("enabled", " and goes on where it was")
    } else {
        sources.journal.disable(name, by).await?;
        ("disabled", "; its events wait for it, also over a restart")
    };
    steering.enable(on);
    tracing::info!(plugin = name, person = %peer.person, "the plugin is {state}");
    Ok(Json(Done { done: format!("{name} is {state}{what_now}") }))
}

async fn reload_all(
    State(sources): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(reason): Json<Reason>,
) -> Answer<Reloaded> {
    reload(&sources, &peer, None, &reason).await
}

async fn reload_plugin(
    State(sources): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(name): Path<String>,
    Json(reason): Json<Reason>,
) -> Answer<Reloaded> {
    reload(&sources, &peer, Some(name), &reason).await
}

async fn reload(sources: &Sources, peer: &Peer, only: Option<String>, reason: &Reason) -> Answer<Reloaded> {
    let by = by(sources, peer, Role::Operate, reason)?;
    let (answer, answered) = oneshot::channel();
    let stops = || Trouble(StatusCode::SERVICE_UNAVAILABLE, "the daemon is about to stop".to_owned());
    sources.reload.send(Reload { only, by, answer }).await.map_err(|_| stops())?;
    let reloaded = answered.await.map_err(|_| stops())?;
    reloaded.map(Json).map_err(|wrong| Trouble(StatusCode::CONFLICT, wrong))
}

async fn audit(State(sources): Shared, Query(query): Query<AuditQuery>) -> Answer<Vec<AuditLine>> {
    Ok(Json(records::audit(sources.journal.listings(), query).await?))
}

async fn verify_audit(State(sources): Shared, Query(asked): Query<AuditNoted>) -> Answer<AuditVerified> {
    Ok(Json(records::verify_audit(sources.journal.listings(), asked.noted.as_deref()).await?))
}

async fn journal_holds(State(sources): Shared) -> Answer<JournalStatus> {
    Ok(Json(records::journal(sources.journal.listings()).await?))
}

async fn actions(State(sources): Shared, Query(of): Query<OfPlugin>) -> Answer<Vec<ActionLine>> {
    Ok(Json(records::actions(sources.journal.listings(), of.limit).await?))
}

async fn gaps(State(sources): Shared, Query(of): Query<OfPlugin>) -> Answer<Vec<GapLine>> {
    Ok(Json(records::gaps(sources.journal.listings(), of).await?))
}

async fn prune(
    State(sources): Shared,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(asked): Json<Prune>,
) -> Answer<Pruned> {
    let by = by(&sources, &peer, Role::Administer, &Reason { reason: asked.reason })?;
    let micros = i64::try_from(Duration::from_secs(asked.older_than_s).as_micros()).unwrap_or(i64::MAX);
    let before = by.at_micros.saturating_sub(micros);
    let pruned = sources.journal.prune(before, by).await?;
    tracing::info!(events = pruned.events, person = %peer.person, "old events were removed");
    Ok(Json(Pruned { events: pruned.events, calls: pruned.effects, held_by: pruned.held_by }))
}

async fn metrics_text(State(sources): Shared) -> Result<Response, Trouble> {
    let status = sources.status().await?;
    let text = metrics::text(&status, &sources.latency).map_err(|error| {
        Trouble(StatusCode::INTERNAL_SERVER_ERROR, format!("writing the metrics: {error}"))
    })?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}
