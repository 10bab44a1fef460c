//! Listening, and one task a connection, all of which end with the listener.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use smol_str::SmolStr;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::{DoorError, identity, network, requests};
use crate::dispatch::Door;
use crate::shell::Shared;

/// Connections that a network door serves at once; more wait, as with xapi.
pub(super) const CONNECTIONS_MAX: usize = 800;
/// The same for the Unix socket.
const LOCAL_CONNECTIONS_MAX: usize = 1024;
/// The first request's head must be there by then.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// A TLS handshake must be done by then.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// After a connection could not be taken, such as for want of file descriptors.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Opens plain HTTP.
pub(crate) async fn open_http(
    shared: Arc<Shared>,
    address: SocketAddr,
    host: SmolStr,
) -> Result<(SocketAddr, JoinHandle<()>), DoorError> {
    let (listener, address) = bind(address).await?;
    let network = shared.network();
    let serve_one = move |stream| serve(shared.clone(), stream, Door::Network(host.clone()));
    Ok((address, tokio::spawn(network::keep_open(network, listener, address, serve_one))))
}

/// Opens HTTPS.
pub(crate) async fn open_https(
    shared: Arc<Shared>,
    address: SocketAddr,
    host: SmolStr,
) -> Result<(SocketAddr, JoinHandle<()>), DoorError> {
    let acceptor = TlsAcceptor::from(identity::server_config(shared.clone(), host.clone())?);
    let (listener, address) = bind(address).await?;
    let network = shared.network();
    let serve_one = move |stream| serve_tls(shared.clone(), acceptor.clone(), stream, host.clone());
    Ok((address, tokio::spawn(network::keep_open(network, listener, address, serve_one))))
}

/// Opens a Unix socket, in place of one that lies there unused.
pub(crate) async fn open_unix(shared: Arc<Shared>, path: &Path) -> Result<JoinHandle<()>, DoorError> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    let refused = |source| DoorError::Listen { place: path.display().to_string(), source };
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        if tokio::net::UnixStream::connect(path).await.is_ok() {
            return Err(refused(std::io::Error::from(std::io::ErrorKind::AddrInUse)));
        }
        std::fs::remove_file(path).map_err(refused)?;
    }
    let listener = Arc::new(UnixListener::bind(path).map_err(refused)?);
    // Whoever gets in is root of the pool.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(refused)?;
    let accept_one = move || {
        let listener = listener.clone();
        async move { listener.accept().await.map(|(stream, _)| stream) }
    };
    let serve_one = move |stream| serve(shared.clone(), stream, Door::Local);
    Ok(tokio::spawn(keep_accepting(LOCAL_CONNECTIONS_MAX, accept_one, serve_one)))
}

/// Takes connections for ever and serves each in its own task; beyond the limit they wait.
pub(super) async fn keep_accepting<S, Accepting, Serving>(
    connections_max: usize,
    accept_one: impl Fn() -> Accepting,
    serve_one: impl Fn(S) -> Serving,
) where
    Accepting: Future<Output = std::io::Result<S>>,
    Serving: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(connections_max));
    let mut connections = JoinSet::new();
    // The semaphore is never closed.
    while let Ok(place) = room.clone().acquire_owned().await {
        match accept_one().await {
            Ok(stream) => {
                let serving = serve_one(stream);
                connections.spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), DoorError> {
    let refused = |source| DoorError::Listen { place: address.to_string(), source };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

async fn serve_tls(shared: Arc<Shared>, acceptor: TlsAcceptor, stream: TcpStream, host: SmolStr) {
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => serve(shared, stream, Door::Network(host)).await,
        // A client that does not trust us hangs up here; that is its right.
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn serve<S>(shared: Arc<Shared>, stream: S, door: Door)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| requests::answer(&shared, door.clone(), request));
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
