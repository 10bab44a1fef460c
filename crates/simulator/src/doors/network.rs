//! The network between clients and a door, as far as it was told to misbehave.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::shell::Shared;
use crate::trouble::Reach;

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
pub(super) async fn swallow(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    if let Err(error) = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await {
        tracing::debug!(%error, "a half-open connection ended");
    }
}
