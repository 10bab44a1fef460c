//! The host's certificate, made new for every simulator, and the record that the pool keeps of it.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, version};
use xapi::Value;

use super::DoorError;
use crate::pool::Pool;

/// A certificate with its key.
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    /// SHA-256 of the certificate, lower-case hexadecimal.
    pub(crate) fingerprint: String,
    /// The certificate as PEM.
    pub(crate) pem: String,
}

impl Identity {
    /// A new one, valid for this address and for this machine itself.
    pub(crate) fn new(address: &str) -> Result<Self, DoorError> {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        if !address.is_empty() {
            names.push(address.to_owned());
        }
        let made = rcgen::generate_simple_self_signed(names).map_err(DoorError::Certificate)?;
        let certificate = made.cert.der().clone();
        Ok(Identity {
            fingerprint: hex::encode(Sha256::digest(&certificate)),
            pem: made.cert.pem(),
            key: PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()),
            certificate,
        })
    }

    /// TLS as xapi's front speaks it: version 1.2 and the curve secp384r1, nothing else.
    pub(crate) fn server_config(&self) -> Result<Arc<ServerConfig>, DoorError> {
        let provider = tokio_rustls::rustls::crypto::CryptoProvider {
            kx_groups: vec![ring::kx_group::SECP384R1],
            ..ring::default_provider()
        };
        let key = PrivateKeyDer::Pkcs8(self.key.clone_key());
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&version::TLS12])
            .map_err(DoorError::Tls)?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .map_err(DoorError::Tls)?;
        Ok(Arc::new(config))
    }

    /// Writes the certificate's record, as a real host keeps one, in place of an older one of that host.
    pub(crate) fn publish(&self, pool: &mut Pool, host: &str) {
        let old = pool.database.words("host", host, "certificates");
        let old = old
            .into_iter()
            .find(|certificate| pool.database.text("Certificate", certificate, "type") == "host");
        if let Some(certificate) = old {
            pool.database.delete("Certificate", &certificate);
        }
        let pairs: Vec<String> = self
            .fingerprint
            .as_bytes()
            .chunks(2)
            .map(|pair| String::from_utf8_lossy(pair).to_uppercase())
            .collect();
        let fingerprint = pairs.join(":");
        let reference = pool.random.reference();
        let fields = vec![
            ("uuid", Value::String(pool.random.uuid())),
            ("type", "host".into()),
            ("host", host.into()),
            ("not_before", Value::DateTime("19750101T00:00:00Z".into())),
            ("not_after", Value::DateTime("40960101T00:00:00Z".into())),
            ("fingerprint", fingerprint.clone().into()),
            ("fingerprint_sha256", fingerprint.into()),
        ];
        pool.database.create("Certificate", &reference, fields);
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Identity").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}
