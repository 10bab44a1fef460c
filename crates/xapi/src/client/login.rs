//! Logging in: where we are; else at whichever known member answers first, all of them asked at once.
//!
//! ```text
//!   here ── refused ─────────────────────────────────▶ error (a wrong password is tried once, at one member)
//!    │ │ no answer, not its time, another pool
//!    │ └──▶ all others at once ──▶ the first session wins, later ones are ended
//!    └ HOST_IS_SLAVE ──▶ the coordinator named, once in a round
//! ```

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use secrecy::{ExposeSecret as _, SecretString};

use super::exchange::Request;
use super::transports::Transports;
use super::{Client, Lease};
use crate::error::Error;
use crate::failure::{Failure, Kind};
use crate::transport::{Address, Endpoint, TransportError};

pub(super) const METHOD: &str = "session.login_with_password";
/// How long xapi may take for a login: several failure paths sleep 5 s, and logins are throttled.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The API version that we were written against; servers ignore it.
const API_VERSION: &str = "2.20";
/// Members that are asked at once; a pool has at most 64.
const PROBES: usize = 16;

/// A session that has been opened, and where.
pub(super) struct Entered {
    pub(super) reference: SecretString,
    pub(super) transports: Arc<Transports>,
}

/// One search for the coordinator.
struct Round {
    password: SecretString,
    /// Members that were asked, those that others named too: many name the same coordinator, and a password that is wrong
    /// there must not be tried as often as there are members.
    asked: Mutex<HashSet<Address>>,
    /// Whether a session has been found or there can be none.
    over: AtomicBool,
}

/// Attempts under way; each is none when there was no need to go on with it.
type Probes = Pin<Box<dyn Stream<Item = Option<Result<Entered, Error>>> + Send>>;

impl Client {
    /// Opens a session.
    pub(super) async fn log_in(&self) -> Result<Entered, Error> {
        let settings = &self.inner.settings;
        let password = settings
            .password
            .read()
            .map_err(|source| Error::Password { user: settings.user.clone(), source })?;
        let round = Arc::new(Round { password, asked: Mutex::default(), over: AtomicBool::new(false) });
        let here = self.transports();
        let first = match self.enter(Arc::clone(&here), &round).await {
            Some(Err(error)) if others_may_help(&error) => error,
            Some(outcome) => return outcome,
            // Only a coordinator that was asked already is passed over.
            None => unreachable!("the first member of a round"),
        };
        let others = self.inner.members.lock().unwrap_or_else(PoisonError::into_inner).but(here.endpoint());
        if others.is_empty() {
            return Err(first);
        }
        tracing::info!(tried = %here.endpoint(), others = others.len(), error = first.chain(), "asking the other members");
        self.probe(others, round, first).await
    }

    /// Asks all at once. The first session wins; what else comes is ended.
    async fn probe(&self, others: Vec<Endpoint>, round: Arc<Round>, first: Error) -> Result<Entered, Error> {
        let client = self.clone();
        let shared = Arc::clone(&round);
        let mut probes: Probes = Box::pin(
            stream::iter(others)
                .map(move |endpoint| {
                    let (client, round) = (client.clone(), Arc::clone(&shared));
                    async move {
                        match client.transports_to(&endpoint) {
                            Ok(transports) => client.enter(transports, &round).await,
                            Err(error) => Some(Err(error)),
                        }
                    }
                })
                .buffer_unordered(PROBES),
        );
        let mut gravest = first;
        while let Some(outcome) = probes.next().await {
            match outcome {
                None => {}
                Some(Ok(entered)) => {
                    round.over.store(true, Ordering::Release);
                    tokio::spawn(self.clone().end_all(probes));
                    return Ok(entered);
                }
                Some(Err(error)) => {
                    if error.untrusted() {
                        tracing::warn!(error = error.chain(), "a member is not what it was");
                    }
                    if gravity(&error) > gravity(&gravest) {
                        gravest = error;
                    }
                    // The coordinator has said no; nobody else may say yes.
                    if gravity(&gravest) == Gravity::Refused {
                        round.over.store(true, Ordering::Release);
                    }
                }
            }
        }
        Err(gravest)
    }

    async fn end_all(self, mut probes: Probes) {
        while let Some(outcome) = probes.next().await {
            if let Some(Ok(entered)) = outcome {
                self.end(&entered.transports, &Lease { reference: entered.reference, number: 0 }).await;
            }
        }
    }

    /// Logs in at one member; when it names the coordinator, there, once. Makes sure that it is the same pool. None when
    /// the round is over, or somebody else is asking that coordinator.
    async fn enter(&self, transports: Arc<Transports>, round: &Round) -> Option<Result<Entered, Error>> {
        if round.over.load(Ordering::Acquire) {
            return None;
        }
        let member = transports.endpoint().clone();
        round.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(member.address().clone());
        let transports = match self.log_in_at(&transports, round).await {
            Ok(reference) => return Some(self.checked(reference, transports).await),
            Err(error) => match coordinator_named(&error) {
                None => return Some(Err(error)),
                Some(coordinator) => match self.led_to(&member, coordinator) {
                    Ok(transports) => transports,
                    Err(error) => return Some(Err(error)),
                },
            },
        };
        let coordinator = transports.endpoint().clone();
        let new =
            round.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(coordinator.address().clone());
        if !new {
            return None;
        }
        tracing::info!(%member, %coordinator, "this member is not the coordinator");
        Some(match self.log_in_at(&transports, round).await {
            Ok(reference) => self.checked(reference, transports).await,
            Err(error) => Err(error),
        })
    }

    async fn checked(&self, reference: SecretString, transports: Arc<Transports>) -> Result<Entered, Error> {
        let entered = Entered { reference, transports };
        if let Err(error) = self.same_pool(&entered).await {
            self.end(&entered.transports, &Lease { reference: entered.reference, number: 0 }).await;
            return Err(error);
        }
        Ok(entered)
    }

    async fn log_in_at(&self, transports: &Transports, round: &Round) -> Result<SecretString, Error> {
        let settings = &self.inner.settings;
        let arguments = [
            settings.user.as_str().into(),
            round.password.expose_secret().into(),
            API_VERSION.into(),
            settings.originator.as_str().into(),
        ];
        let reference = self.exchange(&transports.calls, &Request::new(METHOD, &arguments, TIMEOUT)).await?;
        tracing::debug!(endpoint = %transports.endpoint(), user = settings.user, "logged in");
        Ok(reference.as_str().unwrap_or_default().into())
    }

    /// The way to where a member says that the coordinator is.
    pub(super) fn led_to(&self, member: &Endpoint, coordinator: &str) -> Result<Arc<Transports>, Error> {
        let endpoint = member.at(coordinator).map_err(|source| Error::Transport {
            method: METHOD.to_owned(),
            source: TransportError::Prepare {
                endpoint: format!("{coordinator:?}, the coordinator that {member} names"),
                source: source.into(),
            },
        })?;
        self.transports_to(&endpoint)
    }
}

/// The address that HOST_IS_SLAVE names.
pub(super) fn coordinator_named(error: &Error) -> Option<&str> {
    let failure = error.failure().filter(|failure| failure.code == "HOST_IS_SLAVE")?;
    failure.parameters.first().map(|address| &**address)
}

/// Whether another member may let us in where one did not. Not where the coordinator itself refuses us, and not after a
/// certificate that nobody announced: that is for an administrator to look at.
fn others_may_help(error: &Error) -> bool {
    gravity(error) < Gravity::Untrusted
}

/// How much an error tells of why there is no session; of several the gravest is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gravity {
    /// Nobody there.
    Silent,
    /// There, but not (yet) a coordinator, or nothing that can be read.
    NotReady,
    /// Another pool's.
    Astray,
    /// It may not even be the pool.
    Untrusted,
    /// The pool itself, believed, does not let us in.
    Refused,
}

fn gravity(error: &Error) -> Gravity {
    match error {
        Error::Transport { .. } if error.untrusted() => Gravity::Untrusted,
        Error::Transport { .. } => Gravity::Silent,
        Error::OtherPool { .. } => Gravity::Astray,
        Error::Decode { .. } => Gravity::NotReady,
        _ if error.failure().is_some_and(not_ready) => Gravity::NotReady,
        _ => Gravity::Refused,
    }
}

/// Whether a member says that it has no working pool just now, or is no coordinator. It may have one later.
fn not_ready(failure: &Failure) -> bool {
    matches!(failure.kind(), Kind::NotReady | Kind::HostIsSlave { .. })
}
