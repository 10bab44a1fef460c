//! The network between clients and a door, as far as it was told to misbehave: connections refused, cut, half-open.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::listen::{ACCEPT_PAUSE, CONNECTIONS_MAX, keep_accepting};
use crate::shell::Shared;
use crate::trouble::{Network, Reach};

/// Keeps one network door: takes connections while they reach it, lets go of the address while they are refused, and
/// closes all that are open when they are cut.
pub(super) async fn keep_open<Serving>(
    mut network: watch::Receiver<Network>,
    listener: TcpListener,
    address: SocketAddr,
    serve_one: impl Fn(TcpStream) -> Serving + Clone + Send + 'static,
) where
    Serving: Future<Output = ()> + Send + 'static,
{
    let mut listener = Some(Arc::new(listener));
    loop {
        let now = *network.borrow_and_update();
        if now.reach == Reach::Refused {
            listener = None;
            // The pool that orders this lives longer than its doors.
            _ = network.wait_for(|network| network.reach != Reach::Refused).await;
            continue;
        }
        let open = match listener.take() {
            Some(open) => open,
            None => match TcpListener::bind(address).await {
                Ok(bound) => Arc::new(bound),
                Err(error) => {
                    tracing::warn!(%address, %error, "cannot listen again yet");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        listener = Some(open.clone());
        let (reached, serve_one) = (network.clone(), serve_one.clone());
        let serve = move |stream| {
            let (silent, serve_one) = (reached.borrow().reach == Reach::Silent, serve_one.clone());
            async move { if silent { swallow(stream).await } else { serve_one(stream).await } }
        };
        let cut = |after: &Network| after.cuts != now.cuts || after.reach == Reach::Refused;
        tokio::select! {
            // When this future is let go, every connection that it serves closes.
            () = keep_accepting(CONNECTIONS_MAX, move || accept(open.clone()), serve) => {}
            _ = network.wait_for(cut) => {}
        }
    }
}

/// Lets a call or its answer pass, after so long. On a network that is silent nothing ever does; the Unix socket is no
/// network.
pub(super) async fn pass(shared: &Shared, local: bool, delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if !local && shared.network().borrow().reach == Reach::Silent {
        std::future::pending::<()>().await;
    }
}

/// Takes a connection on which nothing is ever said; it ends when the client gives up.
async fn swallow(mut stream: TcpStream) {
    if let Err(error) = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await {
        tracing::debug!(%error, "a half-open connection ended");
    }
}

async fn accept(listener: Arc<TcpListener>) -> std::io::Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
