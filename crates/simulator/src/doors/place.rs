//! Places to listen at: an address or a path, which a host gives up while its toolstack is down and takes again.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};

/// Connections that wait to be taken.
const BACKLOG: u32 = 1024;

/// A place to listen at.
pub(super) trait Place: Send + Sync + 'static {
    /// What keeps others out while nobody listens.
    type Claim: Send;
    /// Who listens.
    type Listener: Send + Sync;
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Takes the place without listening: whoever connects is refused.
    fn claim(&self) -> io::Result<Self::Claim>;
    /// Begins to listen.
    fn listen(&self, claim: Self::Claim) -> io::Result<Self::Listener>;
    /// Takes one connection.
    fn accept(listener: &Self::Listener) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// An address.
pub(super) struct Address(pub(super) SocketAddr);

impl Place for Address {
    type Claim = TcpSocket;
    type Listener = TcpListener;
    type Stream = TcpStream;

    /// The port stays ours: a bound socket that does not listen refuses, and nobody is given its port.
    fn claim(&self) -> io::Result<TcpSocket> {
        let socket = if self.0.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Connections of before may linger.
        socket.set_reuseaddr(true)?;
        socket.bind(self.0)?;
        Ok(socket)
    }

    fn listen(&self, claim: TcpSocket) -> io::Result<TcpListener> {
        claim.listen(BACKLOG)
    }

    async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// A Unix socket.
pub(super) struct Socket(pub(super) PathBuf);

impl Place for Socket {
    type Claim = ();
    type Listener = UnixListener;
    type Stream = UnixStream;

    /// The file that lies there refuses by itself.
    fn claim(&self) -> io::Result<()> {
        Ok(())
    }

    /// In place of a socket that lies there unused.
    fn listen(&self, (): ()) -> io::Result<UnixListener> {
        use std::os::unix::fs::{FileTypeExt, PermissionsExt};
        if std::fs::symlink_metadata(&self.0).is_ok_and(|found| found.file_type().is_socket()) {
            if std::os::unix::net::UnixStream::connect(&self.0).is_ok() {
                return Err(io::Error::from(io::ErrorKind::AddrInUse));
            }
            std::fs::remove_file(&self.0)?;
        }
        let listener = UnixListener::bind(&self.0)?;
        // Whoever gets in is root of the pool.
        std::fs::set_permissions(&self.0, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    }

    async fn accept(listener: &UnixListener) -> io::Result<UnixStream> {
        listener.accept().await.map(|(stream, _)| stream)
    }
}
