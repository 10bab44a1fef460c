//! Why there is no answer, and whether the request may have been done all the same.

use std::time::Duration;

use super::{REQUEST_BYTES_MAX, REQUEST_HEAD_BYTES_MAX};

/// Why there is no answer. [`TransportError::nothing_sent`] tells whether asking again can do harm.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The endpoint cannot be used as configured, or a header cannot be written. Nothing was sent. Asking again does
    /// not help: correct the settings that the cause names.
    #[error("preparing the connection to {endpoint}")]
    Prepare {
        /// Where to.
        endpoint: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The member's certificate is not one that we trust. Nothing was sent. Compare its fingerprint with what the member
    /// itself shows, then change the pin or the authority; or find out who stands in between.
    #[error("{endpoint} shows a certificate that is not trusted ({why}); no password was sent")]
    Untrusted {
        /// Where to.
        endpoint: String,
        /// What rustls says.
        why: String,
    },
    /// No connection came about. Nothing was sent. Try again later, or another member.
    #[error("connecting to {endpoint}")]
    Connect {
        /// Where to.
        endpoint: String,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// All connections were in use until the time was up. Nothing was sent. Ask again later, ask less at once, or find
    /// out which calls take so long.
    #[error("all {connections} connections to {endpoint} were busy for {:.0} s", .waited.as_secs_f64())]
    Busy {
        /// Where to.
        endpoint: String,
        /// How many connections there are.
        connections: usize,
        /// How long we waited for one.
        waited: Duration,
    },
    /// The connection broke after the request may have been sent. Look whether it was done before it is sent again.
    #[error("waiting for an answer from {endpoint}")]
    Interrupted {
        /// Where to.
        endpoint: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The time was up before the answer was complete; the connection was closed. The request may have been sent: look
    /// whether it was done before it is sent again.
    #[error("no complete answer from {endpoint} within {:.0} s", .after.as_secs_f64())]
    TimedOut {
        /// Where to.
        endpoint: String,
        /// How long we waited.
        after: Duration,
    },
    /// An answer that is not HTTP 200. xapi answers HTTP 500 to what it cannot read, and something in between may answer
    /// whatever it likes. Whether it was done is unknown.
    #[error("{endpoint} answered HTTP {status} instead of a reply: {excerpt}")]
    Status {
        /// Where to.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// The start of the body, control characters and markup taken out.
        excerpt: String,
    },
    /// The request's body is longer than xapi takes. Nothing was sent. Pass less at once.
    #[error("the request is {bytes} bytes long and xapi takes at most {REQUEST_BYTES_MAX}")]
    RequestTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The request's head is longer than xapi takes. Nothing was sent. Shorten the headers or the name of the host.
    #[error(
        "the head of the request is {bytes} bytes long and xapi takes at most {REQUEST_HEAD_BYTES_MAX}: shorten \
         its headers"
    )]
    RequestHeadTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The answer is longer than we take; the rest was not read and the connection was closed. The call was done. Ask for
    /// less, or raise [`Limits::bytes`](crate::codec::Limits::bytes).
    #[error("the answer from {endpoint} is longer than {limit} bytes")]
    ReplyTooLong {
        /// Where to.
        endpoint: String,
        /// The limit.
        limit: usize,
    },
}

impl TransportError {
    /// Whether the request certainly never reached xapi.
    #[must_use]
    pub fn nothing_sent(&self) -> bool {
        matches!(
            self,
            TransportError::Prepare { .. }
                | TransportError::Untrusted { .. }
                | TransportError::Connect { .. }
                | TransportError::Busy { .. }
                | TransportError::RequestTooLong { .. }
                | TransportError::RequestHeadTooLong { .. }
        )
    }
}
