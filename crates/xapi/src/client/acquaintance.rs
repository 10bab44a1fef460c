//! What a client remembers of its pool: which one it is, where its members are, and which certificates they show.

use std::sync::PoisonError;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use smol_str::SmolStr;

use super::Client;
use super::exchange::Request;
use super::login::Entered;
use crate::error::Error;
use crate::model::Record;
use crate::transport::{Fingerprint, Trust};
use crate::value::Value;

/// How long the pool may take to describe itself after a login.
const TIMEOUT: Duration = Duration::from_secs(30);

impl Client {
    /// The uuid of the pool, once a session has been opened.
    #[must_use]
    pub fn pool_uuid(&self) -> Option<SmolStr> {
        self.inner.pool.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over the addresses of the pool's hosts in place of those before: they are the members that are tried when the
    /// coordinator is lost, beside the configured ones. The client asks for them after each login by itself; whoever
    /// follows the pool's events tells it of changes in between.
    pub fn learn_hosts<'r>(&self, hosts: impl IntoIterator<Item = &'r Record>) {
        let addresses = hosts.into_iter().map(|host| host.text("address").to_owned());
        let addresses: Vec<String> = addresses.filter(|address| !address.is_empty()).collect();
        // A pool without a host has not told yet.
        if !addresses.is_empty() {
            self.inner.members.lock().unwrap_or_else(PoisonError::into_inner).name(addresses);
        }
    }

    /// Takes over the pool's `Certificate` records in place of those before. Where certificates are pinned, those that
    /// hosts show are believed from now on beside the configured ones: the pool has announced them over a connection that
    /// was believed. A certificate that was never announced stays untrusted. Nothing of this outlives the client.
    ///
    /// The client asks for them after each login by itself; whoever follows the pool's events tells it of changes in
    /// between, so that a certificate that is renewed is known before it is shown.
    pub fn learn_certificates<'r>(&self, certificates: impl IntoIterator<Item = &'r Record>) {
        let Trust::Pinned(pinned) = self.inner.settings.endpoint.trust() else { return };
        let announced = certificates.into_iter().filter_map(host_certificate).collect();
        for new in self.inner.learned.replace(announced) {
            if !pinned.contains(&new) {
                tracing::info!(
                    fingerprint = %new,
                    "the pool announced a certificate that is not pinned; it is believed until this program ends, \
                     pin it to keep it"
                );
            }
        }
    }

    /// Makes sure that a session leads to the pool that was followed before.
    pub(super) async fn same_pool(&self, entered: &Entered) -> Result<(), Error> {
        let pools = self.records(entered, "pool").await?;
        let found = pools.iter().find_map(|pool| pool.uuid()).map(SmolStr::new);
        let mut known = self.inner.pool.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*known, found) {
            (Some(expected), found) if found.as_ref() != Some(expected) => Err(Error::OtherPool {
                endpoint: entered.transports.endpoint().to_string(),
                expected: expected.clone(),
                found: found.unwrap_or_else(|| "without a uuid".into()),
            }),
            (Some(_), _) => Ok(()),
            (None, found) => {
                *known = found;
                Ok(())
            }
        }
    }

    /// Asks the pool for its members and certificates. A pool that does not tell is followed all the same.
    pub(super) async fn get_acquainted(&self, entered: &Entered) {
        match self.records(entered, "host").await {
            Ok(hosts) => self.learn_hosts(&hosts),
            Err(error) => tracing::warn!(error = error.chain(), "the pool did not tell its members"),
        }
        let Trust::Pinned(_) = self.inner.settings.endpoint.trust() else { return };
        match self.records(entered, "Certificate").await {
            Ok(certificates) => self.learn_certificates(&certificates),
            // Older pools have no such class.
            Err(error) if error.is("MESSAGE_METHOD_UNKNOWN") => {}
            Err(error) => tracing::warn!(error = error.chain(), "the pool did not tell its certificates"),
        }
    }

    async fn records(&self, entered: &Entered, class: &str) -> Result<Vec<Record>, Error> {
        let method = format!("{class}.get_all_records");
        let session = [Value::from(entered.reference.expose_secret())];
        let answer =
            self.exchange(&entered.transports.calls, &Request::new(&method, &session, TIMEOUT)).await?;
        let Value::Struct(records) = answer else { return Ok(Vec::new()) };
        let record = |(reference, fields)| match fields {
            Value::Struct(fields) => Some(Record::new(class, reference, fields)),
            _ => None,
        };
        Ok(records.into_iter().filter_map(record).collect())
    }
}

/// The fingerprint of a certificate that a host shows to clients. Older pools have one fingerprint, which is SHA-256.
fn host_certificate(certificate: &Record) -> Option<Fingerprint> {
    if certificate.text("type") != "host" {
        return None;
    }
    ["fingerprint_sha256", "fingerprint"].into_iter().find_map(|field| certificate.text(field).parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Struct;

    fn certificate(fields: &[(&str, &str)]) -> Record {
        let fields: Struct = fields.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
        Record::new("Certificate", "OpaqueRef:c", fields)
    }

    #[test]
    fn only_certificates_that_hosts_show_to_clients_count() {
        let (new, old) = ("AA:".repeat(31) + "AA", "BB:".repeat(31) + "BB");
        let of = |fields: &[(&str, &str)]| host_certificate(&certificate(fields)).map(|pin| pin.0[0]);
        let both = [("type", "host"), ("fingerprint", &*old), ("fingerprint_sha256", &*new)];
        assert_eq!(of(&both), Some(0xaa));
        assert_eq!(of(&[("type", "host"), ("fingerprint", &old), ("fingerprint_sha256", "")]), Some(0xbb));
        assert_eq!(of(&[("type", "host_internal"), ("fingerprint", &old)]), None);
        assert_eq!(of(&[("type", "ca"), ("fingerprint", &old)]), None);
        assert_eq!(of(&[("type", "host"), ("fingerprint", "no fingerprint")]), None);
    }
}
