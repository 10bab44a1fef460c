//! The session of a pool: a lease with a number, opened by whoever needs it first, and ended.

use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};

use super::Client;
use super::exchange::Request;
use super::login::{Entered, coordinator_named};
use super::transports::Transports;
use crate::backoff;
use crate::error::Error;
use crate::value::Value;

/// How long a logout may take before we leave it to xapi's own collection of sessions.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether there is a session, and when a login may be tried where there is none.
#[derive(Debug, Default)]
pub(super) struct Session {
    lease: Option<Lease>,
    logins: u64,
    failures: u32,
    refused: Option<Refused>,
    /// What an administrator has been told loudly, so that it is told once.
    complained: Option<String>,
}

/// The last login, where it failed.
#[derive(Debug)]
struct Refused {
    /// When the next may be tried.
    due: Instant,
    /// What it ended with.
    last: String,
    /// Whether that was a certificate that is not believed.
    untrusted: bool,
}

/// A session that was open when asked for.
#[derive(Clone)]
pub struct Lease {
    pub(super) reference: SecretString,
    pub(super) number: u64,
}

impl Lease {
    /// Grows with every login.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Lease({})", self.number)
    }
}

impl Client {
    /// The open session, after a login where there is none. One login at a time, whoever asks.
    ///
    /// # Errors
    /// [`Error::Login`] when it was tried and failed, [`Error::Waiting`] when the next try is not due yet.
    ///
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// let lease = client.lease().await?;
    /// assert_eq!(client.lease().await?.number(), lease.number(), "one session for all");
    /// # Ok(()) });
    /// ```
    pub async fn lease(&self) -> Result<Lease, Error> {
        if let Some(lease) = &self.inner.session.lock().await.lease {
            return Ok(lease.clone());
        }
        // A caller that goes away in the middle must not leave a session behind that nobody knows of.
        let client = self.clone();
        match tokio::spawn(async move { client.open_session().await }).await {
            Ok(outcome) => outcome,
            Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
            // The runtime is ending, and this caller with it.
            Err(_) => std::future::pending().await,
        }
    }

    async fn open_session(&self) -> Result<Lease, Error> {
        let mut session = self.inner.session.lock().await;
        // Another caller may have been quicker.
        if let Some(lease) = &session.lease {
            return Ok(lease.clone());
        }
        if let Some(refused) = &session.refused {
            let after = refused.due.saturating_duration_since(Instant::now());
            if !after.is_zero() {
                return Err(Error::Waiting {
                    endpoint: self.endpoint().to_string(),
                    after,
                    last: refused.last.clone(),
                    untrusted: refused.untrusted,
                });
            }
        }
        match self.log_in().await {
            Ok(entered) => {
                self.get_acquainted(&entered).await;
                Ok(session.opened(self, entered))
            }
            Err(source) => {
                session.failed(&source);
                // The next try begins where the last session was, for that was the pool, or where the administrator
                // pointed; the others are asked when it does not answer.
                Err(Error::Login {
                    endpoint: self.endpoint().to_string(),
                    user: self.inner.settings.user.clone(),
                    source: Box::new(source),
                })
            }
        }
    }

    /// How long until a login may be tried again; zero when it may be tried now.
    pub async fn login_due(&self) -> Duration {
        let session = self.inner.session.lock().await;
        let refused = session.refused.as_ref();
        refused.map_or(Duration::ZERO, |refused| refused.due.saturating_duration_since(Instant::now()))
    }

    /// Gives a session up whose member does not answer any more; the next [`Client::lease`] looks for the coordinator
    /// among all known members. Does nothing when there is a newer session already. Must be called on a tokio runtime:
    /// the session is ended there in the background, for as far as its member can still be reached.
    pub async fn abandon(&self, lease: u64) {
        let given_up = {
            let mut session = self.inner.session.lock().await;
            session.lease.take_if(|open| open.number == lease)
        };
        if let Some(given_up) = given_up {
            let (client, transports) = (self.clone(), self.transports());
            tokio::spawn(async move { client.end(&transports, &given_up).await });
        }
    }

    /// Ends the session, if there is one. Failures do not matter: xapi collects what is left behind.
    ///
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// client.call("pool.get_all", &[]).await?;
    /// client.logout().await;
    /// # Ok(()) });
    /// ```
    pub async fn logout(&self) {
        // With the session goes the right to clean up.
        _ = tokio::time::timeout(LOGOUT_TIMEOUT, self.inner.waiting.sweep(self)).await;
        // A login that hangs is not waited for.
        let session = tokio::time::timeout(LOGOUT_TIMEOUT, self.inner.session.lock()).await;
        let Some(lease) = session.ok().and_then(|mut session| session.lease.take()) else { return };
        self.end(&self.transports(), &lease).await;
    }

    pub(crate) async fn has_session(&self) -> bool {
        self.inner.session.lock().await.lease.is_some()
    }

    pub(super) async fn end(&self, transports: &Transports, lease: &Lease) {
        let arguments = with_session(lease, &[]);
        let request = Request::new("session.logout", &arguments, LOGOUT_TIMEOUT);
        match self.exchange(&transports.calls, &request).await {
            Ok(_) => tracing::debug!(endpoint = %transports.endpoint(), "logged out"),
            Err(error) => tracing::debug!(error = error.chain(), "logging out"),
        }
    }

    /// Whether `error` says that the session is over; then it is forgotten, unless a newer one is there already.
    pub(super) async fn session_ended(&self, error: &Error, lease: &Lease) -> Result<bool, Error> {
        let moved = coordinator_named(error);
        if !error.is("SESSION_INVALID") && moved.is_none() {
            return Ok(false);
        }
        let mut session = self.inner.session.lock().await;
        if session.lease.as_ref().is_some_and(|open| open.number == lease.number) {
            session.lease = None;
            if let Some(coordinator) = moved {
                self.move_to(self.led_to(&self.endpoint(), coordinator)?);
            }
        }
        Ok(true)
    }
}

impl Session {
    fn opened(&mut self, client: &Client, entered: Entered) -> Lease {
        client.move_to(entered.transports);
        self.logins += 1;
        self.failures = 0;
        self.refused = None;
        self.complained = None;
        let lease = Lease { reference: entered.reference, number: self.logins };
        self.lease = Some(lease.clone());
        lease
    }

    /// Notes when to try again; tells loudly, once, what only a person can mend.
    fn failed(&mut self, error: &Error) {
        self.failures += 1;
        let pause = backoff::pause(error, self.failures, rand::random());
        let why = error.chain();
        if let Some(advice) = backoff::advice(error)
            && self.complained.as_ref() != Some(&why)
        {
            tracing::error!(
                error = why,
                again_in_s = pause.as_secs(),
                "the pool does not let us in: {advice}"
            );
            self.complained = Some(why.clone());
        }
        self.refused = Some(Refused { due: Instant::now() + pause, last: why, untrusted: error.untrusted() });
    }
}

pub(super) fn with_session(lease: &Lease, arguments: &[Value]) -> Vec<Value> {
    std::iter::once(Value::from(lease.reference.expose_secret())).chain(arguments.iter().cloned()).collect()
}
