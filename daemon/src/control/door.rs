//! The sockets: opened, closed to whom they must be, bounded, and put away at the end.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::access::{Person, Role};
use super::types::Refused;
use super::{Sources, routes};
use crate::config;

/// Connections at once on each socket: enough for people and a few scrapers, far from what the process may open.
const CONNECTIONS_MAX: usize = 64;
/// How long a stranger may take to say what it wants, and to read that it may not.
const STRANGER_TIMEOUT: Duration = Duration::from_secs(2);
/// A stranger's request is read up to here.
const STRANGER_BYTES: usize = 8 * 1024;
/// How long answers that are under way may take at a stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause after a connection could not be taken, as when the process has too many files open.
const ACCEPT_RETRY: Duration = Duration::from_millis(200);

/// The open control socket.
pub(crate) struct Control {
    /// What is to be removed at the end.
    socket: Option<PathBuf>,
    settings: watch::Receiver<config::Control>,
    stop: watch::Sender<bool>,
    servers: JoinSet<io::Result<()>>,
}

/// Why the control socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DoorError {
    /// Another daemon listens there.
    #[error("the control socket {} is in use by another daemon: choose another one with [control] socket", .socket.display())]
    InUse {
        /// The socket.
        socket: PathBuf,
    },
    /// Something else lies at its place.
    #[error("{} is no socket and was left as it is: choose another place with [control] socket", .socket.display())]
    NoSocket {
        /// Its place.
        socket: PathBuf,
    },
    /// The system refused.
    #[error("opening the control socket {}", .socket.display())]
    Socket {
        /// The socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system refused.
    #[error("opening {address} for metrics, as [control] metrics asks for")]
    Metrics {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Control {
    /// Opens the socket, and the address for metrics if there is to be one, and answers from now on. Without a chosen
    /// socket a daemon also runs where the usual one cannot be; the log says so.
    pub(crate) async fn open(sources: Sources) -> Result<Self, DoorError> {
        let changing = sources.control.subscribe();
        let settings = changing.borrow().clone();
        let sources = Arc::new(sources);
        let stop = watch::Sender::new(false);
        let mut servers = JoinSet::new();
        let socket = match bind(&settings) {
            Ok(listener) => {
                tracing::info!(socket = %settings.socket.display(), "the control socket is open");
                let app = routes::all(Arc::clone(&sources)).into_make_service_with_connect_info::<Peer>();
                let serve = axum::serve(Door::open(listener, changing.clone()), app);
                let ended = asked(&stop);
                servers.spawn(async move { serve.with_graceful_shutdown(ended).await });
                Some(settings.socket.clone())
            }
            Err(error) if !settings.chosen => {
                let why = crate::router::chain(&error);
                tracing::warn!(
                    error = why,
                    "there is no control socket; choose a place with [control] socket"
                );
                None
            }
            Err(error) => return Err(error),
        };
        if let Some(address) = settings.metrics {
            let failed = |source| DoorError::Metrics { address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            tracing::info!(%address, "metrics are served");
            let app = routes::metrics_only(sources).into_make_service_with_connect_info::<Held>();
            let serve = axum::serve(Bounded { listener, permits: permits() }, app);
            let ended = asked(&stop);
            servers.spawn(async move { serve.with_graceful_shutdown(ended).await });
        }
        Ok(Control { socket, settings: changing, stop, servers })
    }

    /// Opens or closes the socket to others than its owner, as the people say who are named now.
    pub(crate) fn admit(&self) {
        if let Some(socket) = &self.socket
            && let Err(error) = open_to(socket, &self.settings.borrow().people)
        {
            tracing::warn!(socket = %socket.display(), %error, "changing who may connect to the control socket");
        }
    }

    /// Takes no more requests and removes the socket.
    pub(crate) async fn close(mut self) {
        if let Some(socket) = &self.socket
            && let Err(error) = std::fs::remove_file(socket)
        {
            tracing::debug!(socket = %socket.display(), %error, "removing the control socket");
        }
        self.stop.send_replace(true);
        let ended = async { while self.servers.join_next().await.is_some() {} };
        // A request that waits for events goes on for longer than anybody would wait for it.
        _ = tokio::time::timeout(STOP_TIMEOUT, ended).await;
        self.servers.shutdown().await;
    }
}

fn asked(stop: &watch::Sender<bool>) -> impl Future<Output = ()> + Send + 'static {
    let mut stop = stop.subscribe();
    async move {
        // Either it says stop, or whoever could say so is gone.
        _ = stop.wait_for(|stop| *stop).await;
    }
}

fn bind(settings: &config::Control) -> Result<UnixListener, DoorError> {
    let socket = &settings.socket;
    let failed = |source| DoorError::Socket { socket: socket.clone(), source };
    clear(socket)?;
    let listener = UnixListener::bind(socket).map_err(failed)?;
    open_to(socket, &settings.people).map_err(failed)?;
    Ok(listener)
}

/// Where others are named everybody may knock, and the kernel tells who it is.
fn open_to(socket: &Path, people: &config::People) -> io::Result<()> {
    let config::People { observe, operate, administer } = people;
    let others = [observe, operate, administer].iter().any(|people| !people.is_empty());
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(if others { 0o666 } else { 0o600 }))
}

/// Removes a socket that a daemon left behind which did not live to do so.
fn clear(socket: &Path) -> Result<(), DoorError> {
    let failed = |source| DoorError::Socket { socket: socket.to_owned(), source };
    match std::fs::symlink_metadata(socket) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(DoorError::NoSocket { socket: socket.to_owned() });
        }
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(socket) {
        Ok(_) => Err(DoorError::InUse { socket: socket.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(socket).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

fn permits() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(CONNECTIONS_MAX))
}

/// Who made a connection, and the place that it takes.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) person: Arc<Person>,
    pub(super) role: Role,
    _place: Held,
}

/// The place that a connection takes, for as long as it lasts.
#[derive(Debug, Clone)]
pub(super) struct Held {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.remote_addr().clone()
    }
}

impl Connected<IncomingStream<'_, Bounded>> for Held {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        stream.remote_addr().clone()
    }
}

/// Connections by those who may at least look. Who may not is answered before it gets to the rest.
pub(super) struct Door {
    let_in: mpsc::Receiver<(UnixStream, Peer)>,
    _greeting: JoinSet<()>,
}

impl Door {
    fn open(listener: UnixListener, settings: watch::Receiver<config::Control>) -> Door {
        let (sender, let_in) = mpsc::channel(1);
        let mut greeting = JoinSet::new();
        greeting.spawn(greet_all(listener, settings, sender));
        Door { let_in, _greeting: greeting }
    }
}

async fn greet_all(
    listener: UnixListener,
    settings: watch::Receiver<config::Control>,
    let_in: mpsc::Sender<(UnixStream, Peer)>,
) {
    let permits = permits();
    // Ends with whoever is being greeted when the door is dropped.
    let mut greeted = JoinSet::new();
    loop {
        // Never fails: the semaphore is not closed.
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let held = Held { _permit: Arc::new(permit) };
                let settings = settings.borrow().clone();
                greeted.spawn(greet(stream, held, settings, let_in.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "taking a connection on the control socket");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
        while greeted.try_join_next().is_some() {}
    }
}

async fn greet(
    stream: UnixStream,
    place: Held,
    settings: config::Control,
    let_in: mpsc::Sender<(UnixStream, Peer)>,
) {
    let credentials = match stream.peer_cred() {
        Ok(credentials) => credentials,
        Err(error) => {
            tracing::warn!(%error, "the kernel does not tell who is at the control socket");
            return;
        }
    };
    // The directory of users may be on another machine.
    let Ok(person) = tokio::task::spawn_blocking(move || Person::look_up(credentials)).await else { return };
    match person.role(&settings.people) {
        Some(role) => {
            let peer = Peer { person: Arc::new(person), role, _place: place };
            // The other end is gone only when the daemon stops.
            _ = let_in.send((stream, peer)).await;
        }
        None => {
            tracing::warn!(%person, "refused at the control socket");
            let refusal = person.refusal(Role::Observe, &settings);
            // A stranger that does not listen is no trouble of ours.
            _ = tokio::time::timeout(STRANGER_TIMEOUT, refuse(stream, refusal)).await;
        }
    }
}

/// Answers a stranger, whatever it asks for.
async fn refuse(mut stream: UnixStream, why: String) -> io::Result<()> {
    let mut asked = Vec::new();
    while !asked.windows(4).any(|window| window == b"\r\n\r\n") && asked.len() < STRANGER_BYTES {
        if stream.read_buf(&mut asked).await? == 0 {
            break;
        }
    }
    let body = serde_json::to_string(&Refused { error: why })?;
    let head = format!(
        "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

impl Listener for Door {
    type Io = UnixStream;
    type Addr = Peer;

    async fn accept(&mut self) -> (UnixStream, Peer) {
        match self.let_in.recv().await {
            Some(greeted) => greeted,
            // Only when the greeting failed by a panic; nobody comes any more.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Connections over TCP, not too many at once.
pub(super) struct Bounded {
    listener: TcpListener,
    permits: Arc<Semaphore>,
}

impl Listener for Bounded {
    type Io = TcpStream;
    type Addr = Held;

    async fn accept(&mut self) -> (TcpStream, Held) {
        loop {
            // Never fails: the semaphore is not closed.
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
                return std::future::pending().await;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => return (stream, Held { _permit: Arc::new(permit) }),
                Err(error) => {
                    tracing::warn!(%error, "taking a connection for metrics");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Held> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
