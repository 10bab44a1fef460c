//! The doors of a pool: HTTP, HTTPS and a Unix socket. They know requests and responses, not what calls mean.

mod identity;
mod listen;
mod member;
mod members;
mod network;
mod place;
mod requests;
mod responses;
mod spoilt;
mod state;

pub(crate) use identity::Identity;
pub(crate) use listen::{open_http, open_https, open_unix};
pub use members::MemberDoor;
pub(crate) use members::{beside, open_members};

/// Why a door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The address or path cannot be taken.
    #[error("cannot listen on {place}")]
    Listen {
        /// The address or path.
        place: String,
        /// Why.
        source: std::io::Error,
    },
    /// Other hosts have no address beside the coordinator's.
    #[error(
        "cannot open doors for other hosts beside {place}: the coordinator must be at an IPv4 loopback address"
    )]
    Members {
        /// Where the coordinator listens.
        place: String,
    },
    /// No certificate can be made.
    #[error("cannot make a certificate")]
    Certificate(#[source] rcgen::Error),
    /// The certificate cannot be used.
    #[error("cannot set up TLS")]
    Tls(#[source] tokio_rustls::rustls::Error),
}
