//! One pool's calls over one session: logs in when it must, follows the coordinator, never hammers.
//!
//! A session is a lease with a number. Whoever keeps something that dies with a session (an event token) compares
//! numbers: a new number means that everything must be read anew.

mod acquaintance;
mod exchange;
mod login;
mod members;
mod options;
mod session;
mod transports;
mod wire;

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use smol_str::SmolStr;
use tokio::sync::Mutex as AsyncMutex;

use self::exchange::Request;
use self::members::Members;
pub use self::options::CallOptions;
pub use self::session::Lease;
use self::session::{Session, with_session};
use self::transports::Transports;
pub use self::wire::Wire;
use crate::codec::Limits;
use crate::error::Error;
use crate::events::{Batch, Seen};
use crate::model::schema;
use crate::task::Waiting;
use crate::transport::{Endpoint, LearnedPins, TransportError};
use crate::value::Value;

/// How long an answer to a poll may take beyond the time that xapi was asked to hold it back: the whole picture of a large pool comes
/// within seconds, and a connection that is dead without a word is not waited for much longer.
const POLL_PATIENCE: Duration = Duration::from_secs(15);

/// How to reach a pool and as whom.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The member to begin with.
    pub endpoint: Endpoint,
    /// The account.
    pub user: String,
    /// Where its password comes from, asked at every login. Anything on the local socket, where root needs none.
    pub password: Arc<dyn Password>,
    /// Further members, tried when the first does not answer. Those that the pool names come by themselves.
    pub members: Vec<Endpoint>,
    /// Which pool is meant, where that is known from an earlier time: a member of another one is left at once. Without
    /// it, the first pool that lets us in is the one.
    pub pool_uuid: Option<SmolStr>,
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
    /// To the member that we talk to now.
    transports: RwLock<Arc<Transports>>,
    /// Held for as long as a login takes, so that there is one at a time.
    session: AsyncMutex<Session>,
    /// The uuid of the pool.
    pool: Mutex<Option<SmolStr>>,
    members: Mutex<Members>,
    /// Certificates that the pool announced.
    learned: Arc<LearnedPins>,
    /// Objects that polls brought before.
    seen: Mutex<Seen>,
    /// Who waits for which task.
    waiting: Waiting,
    /// What each member speaks.
    spoken: wire::Spoken,
}

impl Client {
    /// Prepares a client; nothing is connected yet.
    ///
    /// # Errors
    /// When the endpoint cannot be used, for example an authority file without certificates.
    pub fn new(settings: Settings) -> Result<Self, TransportError> {
        let learned = Arc::new(LearnedPins::default());
        let transports = Transports::to(&settings.endpoint, &settings, &learned)?;
        let members = Members::new(&settings.endpoint, &settings.members);
        let pool = settings.pool_uuid.clone();
        Ok(Client {
            inner: Arc::new(Inner {
                settings,
                transports: RwLock::new(Arc::new(transports)),
                session: AsyncMutex::default(),
                pool: Mutex::new(pool),
                members: Mutex::new(members),
                learned,
                seen: Mutex::default(),
                waiting: Waiting::default(),
                spoken: wire::Spoken::default(),
            }),
        })
    }

    /// Calls any method; the session is put in front of the arguments. A session that has ended is replaced and the
    /// call made once more, which is safe: xapi checks the session before anything else.
    ///
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// let lab = client.find_class("VM")?.by_name_label("lab").await?.remove(0);
    /// let state = client.call("VM.get_power_state", &[lab.as_str().into()]).await?;
    /// assert_eq!(state.as_str(), Some("Halted"));
    ///
    /// let error = client.call("VM.get_power_state", &["OpaqueRef:gone".into()]).await.unwrap_err();
    /// assert!(error.is("HANDLE_INVALID"));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// xapi's refusal, or why there is no answer; see [`Error::nothing_done`].
    pub async fn call(&self, method: &str, arguments: &[Value]) -> Result<Value, Error> {
        self.call_with(method, arguments, &CallOptions::default()).await
    }

    /// As [`Client::call`], with a mark, a time or a parent task of its own.
    ///
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// use std::time::Duration;
    /// use xapi::{CallOptions, Mark};
    ///
    /// let lab = client.find_class("VM")?.by_name_label("lab").await?.remove(0);
    /// let options = CallOptions::marked(Mark::new("nightly", "lab/start")?).within(Duration::from_secs(120));
    /// let arguments = [lab.as_str().into(), false.into(), false.into()];
    /// // While it lasts, everybody can see the mark on the call's task.
    /// client.call_with("VM.start", &arguments, &options).await?;
    /// # Ok(()) });
    /// ```
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
            let arguments =
                if wants_session(method) { with_session(&lease, arguments) } else { arguments.to_vec() };
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
    /// ```
    /// # mod stage { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stage/mod.rs")); }
    /// # stage::example(|client| async move {
    /// let lease = client.lease().await?;
    /// let (picture, _) = client.poll(&lease, &["host".into()], "", std::time::Duration::ZERO).await?;
    /// assert_eq!(picture.events.len(), 2, "the made-up pool has two hosts");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As for [`Client::call`]; after SESSION_INVALID the next [`Client::lease`] is a new one.
    pub async fn poll(
        &self,
        lease: &Lease,
        classes: &[Value],
        token: &str,
        wait: Duration,
    ) -> Result<(Batch, Instant), Error> {
        let arguments = [Value::Array(classes.to_vec()), token.into(), wait.as_secs_f64().into()];
        let timeout = wait + POLL_PATIENCE;
        let transports = self.transports();
        let arguments = with_session(lease, &arguments);
        let sent = self.send(&transports.polls, &Request::new("event.from", &arguments, timeout)).await;
        let received = Instant::now();
        let outcome = sent.and_then(|reply| self.read_batch("event.from", &reply));
        if let Ok(picture) = &outcome
            && token.is_empty()
        {
            let classes: Vec<&str> = classes.iter().filter_map(Value::as_str).collect();
            self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner).keep_only(picture, &classes);
        }
        if let Err(error) = &outcome {
            self.session_ended(error, lease).await?;
        }
        outcome.map(|batch| (batch, received))
    }

    pub(crate) fn waiting(&self) -> &Waiting {
        &self.inner.waiting
    }
}

/// Whether the session goes in front of the arguments. A method that the schema does not know is one of a newer pool.
fn wants_session(method: &str) -> bool {
    let first = schema::method(method).and_then(|(_, known)| known.parameters.first());
    !method.starts_with("system.") && first.is_none_or(|parameter| parameter.name == "session_id")
}
