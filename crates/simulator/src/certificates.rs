//! A host gets another certificate.

use std::time::Duration;

use xapi::codec::Failure;

use crate::doors::{DoorError, Identity};
use crate::pool::{Pool, Step};

/// Why a host got no other certificate.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// There is no such host.
    #[error("there is no such host")]
    Host(#[source] Failure),
    /// No certificate could be made.
    #[error(transparent)]
    Certificate(#[from] DoorError),
}

impl Pool {
    /// Gives a host another certificate: with notice the record comes first and the door follows so much later, without
    /// the door changes at once and no record tells of it. Gives the new fingerprint.
    pub(crate) fn rotate_certificate(
        &mut self,
        host: &str,
        notice: Option<Duration>,
    ) -> Result<String, RotationError> {
        self.known("host", host).map_err(RotationError::Host)?;
        let identity = Identity::new(self.database.text("host", host, "address"))?;
        let fingerprint = identity.fingerprint.clone();
        match notice {
            None => _ = self.identities.insert(host.into(), identity),
            Some(notice) => {
                identity.publish(self, host);
                self.schedule.add(self.clock.now() + notice, Step::Serve(host.into(), Box::new(identity)));
            }
        }
        Ok(fingerprint)
    }
}
