//! One pool's calls over one session: logs in when it must, follows the coordinator, never hammers.
//!
//! A session is a lease with a number. Whoever keeps something that dies with a session (an event token) compares
//! numbers: a new number means that everything must be read anew.

mod exchange;
mod options;
mod wire;

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;

use self::exchange::Request;
pub use self::options::CallOptions;
pub use self::wire::Wire;
use crate::backoff;
use crate::codec::Limits;
use crate::error::Error;
use crate::task::Waiting;
use crate::transport::{Endpoint, Setup, Transport, TransportError};
use crate::value::Value;

/// How long xapi may take for a login: several failure paths sleep 5 s, and logins are throttled.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a logout may take before we leave it to xapi's own collection of sessions.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(5);
/// Calls that may be on their way at once, each on a connection of its own; further ones wait for their turn.
const CALL_CONNECTIONS: usize = 4;
/// Event polls that may be open at once, each on a connection of its own.
const POLL_CONNECTIONS: usize = 4;
/// The API version that we were written against; servers ignore it.
const API_VERSION: &str = "2.20";

/// How to reach a pool and as whom.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The member to begin with.
    pub endpoint: Endpoint,
    /// The account.
    pub user: String,
    /// Where its password comes from, asked at every login. Anything on the local socket, where root needs none.
    pub password: Arc<dyn Password>,
    /// Further members, tried when the first does not answer.
    pub members: Vec<Endpoint>,
    /// Names us in xapi's own limits and records, so that nobody else's leaked sessions evict ours.
    pub originator: String,
    /// `name/version`, at most 64 characters to be shown by `host.get_tracked_user_agents`.
    pub user_agent: String,
    /// For a call as a whole.
    pub call_timeout: Duration,
    /// Bounds on answers.
    pub limits: Limits,
    /// Which of XAPI's two wires to speak.
    pub wire: Wire,
}

/// Where a password comes from.
pub trait Password: std::fmt::Debug + Send + Sync {
    /// The password as it is now.
    ///
    /// # Errors
    /// When it cannot be had; nothing is sent then.
    fn read(&self) -> Result<SecretString, Box<dyn std::error::Error + Send + Sync>>;
}

impl Password for SecretString {
    fn read(&self) -> Result<SecretString, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.clone())
    }
}

/// A pool. Clones share the session.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    /// Calls and event polls never share a connection: xapi serves one connection's requests one after another.
    transports: RwLock<Arc<Transports>>,
    session: Mutex<Session>,
    /// Who waits for which task.
    waiting: Waiting,
    /// What each member speaks.
    spoken: wire::Spoken,
}

#[derive(Debug)]
struct Transports {
    calls: Transport,
    polls: Transport,
}

#[derive(Debug)]
struct Session {
    lease: Option<Lease>,
    logins: u64,
    failures: u32,
    not_before: Option<(Instant, String)>,
}

/// A session that was open when asked for.
#[derive(Clone)]
pub struct Lease {
    reference: SecretString,
    number: u64,
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
    /// Prepares a client; nothing is connected yet.
    ///
    /// # Errors
    /// When the endpoint cannot be used, for example an authority file without certificates.
    pub fn new(settings: Settings) -> Result<Self, TransportError> {
        let transports = Transports::to(&settings.endpoint, &settings)?;
        let session = Session { lease: None, logins: 0, failures: 0, not_before: None };
        Ok(Client {
            inner: Arc::new(Inner {
                settings,
                transports: RwLock::new(Arc::new(transports)),
                session: Mutex::new(session),
                waiting: Waiting::default(),
                spoken: wire::Spoken::default(),
            }),
        })
    }

    /// The member that we talk to now.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        self.transports().calls.endpoint().clone()
    }

    /// The open session, after a login where there is none. One login at a time, whoever asks.
    ///
    /// # Errors
    /// [`Error::Login`] when it was tried and failed, [`Error::Waiting`] when the next try is not due yet.
    pub async fn lease(&self) -> Result<Lease, Error> {
        let mut session = self.inner.session.lock().await;
        if let Some(lease) = &session.lease {
            return Ok(lease.clone());
        }
        if let Some((due, last)) = &session.not_before {
            let after = due.saturating_duration_since(Instant::now());
            if !after.is_zero() {
                return Err(Error::Waiting {
                    endpoint: self.endpoint().to_string(),
                    after,
                    last: last.clone(),
                });
            }
        }
        match self.login().await {
            Ok(reference) => {
                session.logins += 1;
                session.failures = 0;
                session.not_before = None;
                let lease = Lease { reference, number: session.logins };
                session.lease = Some(lease.clone());
                Ok(lease)
            }
            Err(source) => {
                session.failures += 1;
                let pause = backoff::pause(&source, session.failures, rand::random());
                session.not_before = Some((Instant::now() + pause, source.chain()));
                // Where we were led may be gone; the next try begins where the administrator pointed.
                self.move_to(&self.inner.settings.endpoint)?;
                Err(Error::Login {
                    endpoint: self.inner.settings.endpoint.to_string(),
                    user: self.inner.settings.user.clone(),
                    source: Box::new(source),
                })
            }
        }
    }

    /// How long until a login may be tried again; zero when it may be tried now.
    pub async fn login_due(&self) -> Duration {
        let session = self.inner.session.lock().await;
        session
            .not_before
            .as_ref()
            .map_or(Duration::ZERO, |(due, _)| due.saturating_duration_since(Instant::now()))
    }

    /// Calls any method; the session is put in front of the arguments. A session that has ended is replaced and the
    /// call made once more, which is safe: xapi checks the session before anything else.
    ///
    /// # Errors
    /// xapi's refusal, or why there is no answer; see [`Error::nothing_done`].
    pub async fn call(&self, method: &str, arguments: &[Value]) -> Result<Value, Error> {
        self.call_with(method, arguments, &CallOptions::default()).await
    }

    /// As [`Client::call`], with a mark, a time or a parent task of its own.
    ///
    /// # Errors
    /// As for [`Client::call`].
    pub async fn call_with(
        &self,
        method: &str,
        arguments: &[Value],
        options: &CallOptions,
    ) -> Result<Value, Error> {
        let headers = options.headers();
        let timeout = options.timeout().unwrap_or(self.inner.settings.call_timeout);
        for last_try in [false, true] {
            let lease = self.lease().await?;
            let transports = self.transports();
            let arguments = with_session(&lease, arguments);
            let request = Request { method, arguments: &arguments, headers: &headers, timeout };
            match self.exchange(&transports.calls, &request).await {
                Err(error) if !last_try && self.session_ended(&error, &lease).await? => {}
                outcome => return outcome,
            }
        }
        unreachable!("the second round always returns")
    }

    /// Polls for events over the connection that is kept for it, with a session that the caller has. Unlike
    /// [`Client::call`] it does not go on silently with a new session: tokens die with the old one.
    ///
    /// `wait` is how long xapi may hold the answer back. Beside the answer is the moment when its last byte was in.
    ///
    /// # Errors
    /// As for [`Client::call`]; after SESSION_INVALID the next [`Client::lease`] is a new one.
    pub async fn poll(
        &self,
        lease: &Lease,
        classes: &[Value],
        token: &str,
        wait: Duration,
    ) -> Result<(Value, Instant), Error> {
        let arguments = [Value::Array(classes.to_vec()), token.into(), wait.as_secs_f64().into()];
        let timeout = wait * 2 + Duration::from_secs(15);
        let transports = self.transports();
        let arguments = with_session(lease, &arguments);
        let sent = self.send(&transports.polls, &Request::new("event.from", &arguments, timeout)).await;
        let received = Instant::now();
        let outcome = sent.and_then(|reply| self.read("event.from", &reply));
        if let Err(error) = &outcome {
            self.session_ended(error, lease).await?;
        }
        outcome.map(|value| (value, received))
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
    pub async fn logout(&self) {
        // With the session goes the right to clean up.
        _ = tokio::time::timeout(LOGOUT_TIMEOUT, self.inner.waiting.sweep(self)).await;
        let Some(lease) = self.inner.session.lock().await.lease.take() else { return };
        self.end(&self.transports(), &lease).await;
    }

    pub(crate) async fn has_session(&self) -> bool {
        self.inner.session.lock().await.lease.is_some()
    }

    pub(crate) fn waiting(&self) -> &Waiting {
        &self.inner.waiting
    }

    async fn end(&self, transports: &Transports, lease: &Lease) {
        let ended = self
            .exchange(
                &transports.calls,
                &Request::new("session.logout", &with_session(lease, &[]), LOGOUT_TIMEOUT),
            )
            .await;
        match ended {
            Ok(_) => tracing::debug!(endpoint = %transports.calls.endpoint(), "logged out"),
            Err(error) => tracing::debug!(error = error.chain(), "logging out"),
        }
    }

    /// Logs in where we are, or where the first of the known members that answers leads.
    async fn login(&self) -> Result<SecretString, Error> {
        let settings = &self.inner.settings;
        let password = settings
            .password
            .read()
            .map_err(|source| Error::Password { user: settings.user.clone(), source })?;
        let here = self.endpoint();
        let others = std::iter::once(&settings.endpoint)
            .chain(&settings.members)
            .filter(|endpoint| **endpoint != here);
        let mut outcome = self.login_at(&here, &password).await;
        for endpoint in others {
            match &outcome {
                Err(Error::Transport { source, .. })
                    if !matches!(source, TransportError::Untrusted { .. }) =>
                {
                    tracing::info!(tried = %self.endpoint(), next = %endpoint, "no answer, trying another member");
                    outcome = self.login_at(endpoint, &password).await;
                }
                _ => break,
            }
        }
        outcome
    }

    /// Logs in at one member; when it names the coordinator, there, once.
    async fn login_at(&self, endpoint: &Endpoint, password: &SecretString) -> Result<SecretString, Error> {
        self.move_to(endpoint)?;
        let settings = &self.inner.settings;
        let method = "session.login_with_password";
        let arguments = [
            settings.user.as_str().into(),
            password.expose_secret().into(),
            API_VERSION.into(),
            settings.originator.as_str().into(),
        ];
        for last_try in [false, true] {
            let transports = self.transports();
            match self.exchange(&transports.calls, &Request::new(method, &arguments, LOGIN_TIMEOUT)).await {
                Ok(reference) => {
                    let reference = reference.as_str().unwrap_or_default().to_owned();
                    tracing::debug!(endpoint = %transports.calls.endpoint(), user = settings.user, "logged in");
                    return Ok(reference.into());
                }
                Err(error) => {
                    let Some(coordinator) = coordinator_named(&error).filter(|_| !last_try) else {
                        return Err(error);
                    };
                    let endpoint = self.led_to(coordinator)?;
                    tracing::info!(coordinator = %endpoint, "this member is not the coordinator");
                    self.move_to(&endpoint)?;
                }
            }
        }
        unreachable!("the second round always returns")
    }

    /// Whether `error` says that the session is over; then it is forgotten, unless a newer one is there already.
    async fn session_ended(&self, error: &Error, lease: &Lease) -> Result<bool, Error> {
        let moved = coordinator_named(error);
        if !error.is("SESSION_INVALID") && moved.is_none() {
            return Ok(false);
        }
        let mut session = self.inner.session.lock().await;
        if session.lease.as_ref().is_some_and(|open| open.number == lease.number) {
            session.lease = None;
            if let Some(coordinator) = moved {
                let endpoint = self.led_to(coordinator)?;
                self.move_to(&endpoint)?;
            }
        }
        Ok(true)
    }

    fn transports(&self) -> Arc<Transports> {
        let current = self.inner.transports.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(&current)
    }

    /// Where a member says that the coordinator is.
    fn led_to(&self, coordinator: &str) -> Result<Endpoint, Error> {
        let here = self.endpoint();
        here.at(coordinator).map_err(|source| Error::Transport {
            method: "session.login_with_password".to_owned(),
            source: TransportError::Prepare {
                endpoint: format!("{coordinator:?}, the coordinator that {here} names"),
                source: source.into(),
            },
        })
    }

    fn move_to(&self, endpoint: &Endpoint) -> Result<(), Error> {
        if self.endpoint() == *endpoint {
            return Ok(());
        }
        let transports = Transports::to(endpoint, &self.inner.settings)
            .map_err(|source| Error::Transport { method: "session.login_with_password".into(), source })?;
        *self.inner.transports.write().unwrap_or_else(std::sync::PoisonError::into_inner) =
            Arc::new(transports);
        Ok(())
    }
}

impl Transports {
    fn to(endpoint: &Endpoint, settings: &Settings) -> Result<Self, TransportError> {
        let new = |connections| {
            let setup = Setup {
                user_agent: settings.user_agent.clone(),
                reply_bytes_max: settings.limits.bytes,
                connections,
            };
            Transport::new(endpoint, setup)
        };
        Ok(Transports { calls: new(CALL_CONNECTIONS)?, polls: new(POLL_CONNECTIONS)? })
    }
}

fn with_session(lease: &Lease, arguments: &[Value]) -> Vec<Value> {
    std::iter::once(Value::from(lease.reference.expose_secret())).chain(arguments.iter().cloned()).collect()
}

fn coordinator_named(error: &Error) -> Option<&str> {
    error
        .failure()
        .filter(|failure| failure.code == "HOST_IS_SLAVE")?
        .parameters
        .first()
        .map(|address| &**address)
}
