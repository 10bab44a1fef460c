//! The connections to the member that we talk to now: calls and event polls never share one, since xapi serves the
//! requests on a connection one after another.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::{Client, Settings};
use crate::error::Error;
use crate::transport::{Endpoint, LearnedPins, Setup, Transport, TransportError};

/// Calls that may be on their way at once, each on a connection of its own; further ones wait for their turn.
const CALL_CONNECTIONS: usize = 4;
/// Event polls that may be open at once, each on a connection of its own.
const POLL_CONNECTIONS: usize = 4;
/// How long to wait for a TCP and TLS connection. A member that is up answers at once; one that is not should not keep
/// us from asking the others.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The ways to one member.
#[derive(Debug)]
pub(super) struct Transports {
    pub(super) calls: Transport,
    pub(super) polls: Transport,
}

impl Transports {
    pub(super) fn to(
        endpoint: &Endpoint,
        settings: &Settings,
        learned: &Arc<LearnedPins>,
    ) -> Result<Self, TransportError> {
        let new = |connections| {
            let setup = Setup {
                user_agent: settings.user_agent.clone(),
                reply_bytes_max: settings.limits.bytes,
                connections,
                connect_timeout: CONNECT_TIMEOUT,
                learned: Arc::clone(learned),
            };
            Transport::new(endpoint, setup)
        };
        Ok(Transports { calls: new(CALL_CONNECTIONS)?, polls: new(POLL_CONNECTIONS)? })
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        self.calls.endpoint()
    }
}

impl Client {
    /// The member that we talk to now.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        self.transports().endpoint().clone()
    }

    pub(super) fn transports(&self) -> Arc<Transports> {
        let current = self.inner.transports.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    /// The ways to a member; those that we have, if it is the one that we talk to.
    pub(super) fn transports_to(&self, endpoint: &Endpoint) -> Result<Arc<Transports>, Error> {
        let here = self.transports();
        if here.endpoint() == endpoint {
            return Ok(here);
        }
        Transports::to(endpoint, &self.inner.settings, &self.inner.learned)
            .map(Arc::new)
            .map_err(|source| Error::Transport { method: super::login::METHOD.to_owned(), source })
    }

    pub(super) fn move_to(&self, transports: Arc<Transports>) {
        *self.inner.transports.write().unwrap_or_else(PoisonError::into_inner) = transports;
    }
}
