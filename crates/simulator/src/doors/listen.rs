//! Listening, and one task a connection. All end with the listener, and connections with their host's toolstack or when
//! the network is told to cut them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use smol_str::SmolStr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::place::{Address, Place, Socket};
use super::{DoorError, identity, network, requests};
use crate::dispatch::Door;
use crate::shell::Shared;
use crate::toolstack::{Phase, Toolstack};
use crate::trouble::{Network, Reach};

/// Connections that a network door serves at once; more wait, as with xapi.
const CONNECTIONS_MAX: usize = 800;
/// The same for the Unix socket.
const LOCAL_CONNECTIONS_MAX: usize = 1024;
/// The first request's head must be there by then.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// A TLS handshake must be done by then.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// After something failed for want of file descriptors and the like.
const PAUSE: Duration = Duration::from_millis(50);

/// Opens plain HTTP.
pub(crate) fn open_http(
    shared: Arc<Shared>,
    address: SocketAddr,
    host: SmolStr,
) -> Result<(SocketAddr, JoinHandle<()>), DoorError> {
    open_at(shared, address, host, None)
}

/// Opens HTTPS.
pub(crate) fn open_https(
    shared: Arc<Shared>,
    address: SocketAddr,
    host: SmolStr,
) -> Result<(SocketAddr, JoinHandle<()>), DoorError> {
    let front = TlsAcceptor::from(identity::server_config(shared.clone(), host.clone())?);
    open_at(shared, address, host, Some(front))
}

/// Opens a Unix socket, in place of one that lies there unused.
pub(crate) fn open_unix(shared: Arc<Shared>, path: &Path) -> Result<JoinHandle<()>, DoorError> {
    let place = Socket(path.to_owned());
    let refused = |source| DoorError::Listen { place: path.display().to_string(), source };
    let listener = place.claim().and_then(|claim| place.listen(claim)).map_err(refused)?;
    let doorway = Doorway { shared, door: Door::Local, front: None };
    Ok(tokio::spawn(Arc::new(doorway).keep(place, listener, LOCAL_CONNECTIONS_MAX)))
}

fn open_at(
    shared: Arc<Shared>,
    address: SocketAddr,
    host: SmolStr,
    front: Option<TlsAcceptor>,
) -> Result<(SocketAddr, JoinHandle<()>), DoorError> {
    let refused = |source| DoorError::Listen { place: address.to_string(), source };
    let place = Address(address);
    let listener = place.claim().and_then(|claim| place.listen(claim)).map_err(refused)?;
    // Port 0 has become a real one, and that is to be kept.
    let address = listener.local_addr().map_err(refused)?;
    let doorway = Doorway { shared, door: Door::Network(host), front };
    let task = tokio::spawn(Arc::new(doorway).keep(Address(address), listener, CONNECTIONS_MAX));
    Ok((address, task))
}

/// What opens and closes a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Weather {
    toolstack: Toolstack,
    /// Always good for the Unix socket, which is no network.
    network: Network,
}

/// One door of one host.
struct Doorway {
    shared: Arc<Shared>,
    door: Door,
    /// The TLS front, which may be there without xapi behind it.
    front: Option<TlsAcceptor>,
}

impl Doorway {
    /// Opens and closes with the host's toolstack and with the network, for ever.
    async fn keep<P: Place>(self: Arc<Self>, place: P, listener: P::Listener, connections_max: usize) {
        let mut listener = Some(listener);
        let mut claim = None;
        loop {
            let now = self.weather();
            let phase = now.toolstack.phase;
            let open = match phase {
                _ if now.network.reach == Reach::Refused => false,
                Phase::Answering => true,
                Phase::Loading => self.front.is_some(),
                Phase::Stopped => false,
            };
            if open {
                let listening = match listener.take() {
                    Some(listening) => listening,
                    None => listen(&place, claim.take()).await,
                };
                let mut connections = JoinSet::new();
                tokio::select! {
                    () = self.clone().take::<P>(&listening, connections_max, phase, &mut connections) => {}
                    () = self.changed(now) => {}
                }
                // Whoever waits for an answer gets none.
                connections.shutdown().await;
                listener = Some(listening);
            } else {
                drop(listener.take());
                if claim.is_none() {
                    claim = place.claim().map_err(|error| tracing::warn!(%error, "cannot keep a place")).ok();
                }
                self.changed(now).await;
            }
        }
    }

    /// Takes connections for ever and serves each in its own task; beyond the limit they wait.
    async fn take<P: Place>(
        self: Arc<Self>,
        listener: &P::Listener,
        connections_max: usize,
        phase: Phase,
        connections: &mut JoinSet<()>,
    ) {
        let room = Arc::new(Semaphore::new(connections_max));
        // The semaphore is never closed.
        while let Ok(place) = room.clone().acquire_owned().await {
            match P::accept(listener).await {
                Ok(stream) => {
                    let doorway = self.clone();
                    connections.spawn(async move {
                        doorway.serve(stream, phase).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    }

    /// Serves one connection to its end. Without xapi there is nothing behind the TLS front; on a silent network nothing
    /// is ever heard.
    async fn serve<S>(&self, stream: S, phase: Phase)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if self.weather().network.reach == Reach::Silent {
            return network::swallow(stream).await;
        }
        let Some(front) = &self.front else { return self.speak(stream).await };
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, front.accept(stream)).await {
            Ok(Ok(stream)) if phase == Phase::Answering => self.speak(stream).await,
            Ok(Ok(_)) => tracing::debug!("a connection found no xapi"),
            // A client that does not trust us hangs up here; that is its right.
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn speak<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request| requests::answer(&self.shared, self.door.clone(), request));
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "a connection ended early");
        }
    }

    fn weather(&self) -> Weather {
        let toolstack = self.shared.read(|pool| pool.toolstack(&self.door));
        let network = match self.door {
            Door::Local => Network::default(),
            Door::Network(_) => *self.shared.network().borrow(),
        };
        Weather { toolstack, network }
    }

    /// Returns when what is open is to be closed, or the other way round: the toolstack is another one or in another
    /// phase, or the network refuses, lets in again or cuts. One that falls silent keeps its connections.
    async fn changed(&self, before: Weather) {
        let (mut stirs, mut network) = (self.shared.stirs(), self.shared.network());
        let shut = |weather: Weather| (weather.network.reach == Reach::Refused, weather.network.cuts);
        loop {
            let now = self.weather();
            if now.toolstack != before.toolstack || shut(now) != shut(before) {
                return;
            }
            // The senders live as long as the pool, so this cannot fail.
            tokio::select! {
                _ = stirs.changed() => {}
                _ = network.changed() => {}
            }
        }
    }
}

/// Listens again, however often it takes.
async fn listen<P: Place>(place: &P, mut claim: Option<P::Claim>) -> P::Listener {
    loop {
        let claimed = claim.take().map_or_else(|| place.claim(), Ok);
        match claimed.and_then(|claim| place.listen(claim)) {
            Ok(listener) => return listener,
            Err(error) => {
                tracing::warn!(%error, "cannot listen again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
