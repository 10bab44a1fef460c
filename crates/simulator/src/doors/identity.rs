//! A host's certificate, made new for every simulator, and the record that the pool keeps of it.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use smol_str::SmolStr;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ServerConfig, version};
use xapi::Value;

use super::DoorError;
use crate::pool::Pool;
use crate::shell::Shared;

/// A certificate with its key.
#[derive(Clone)]
pub(crate) struct Identity {
    key: Arc<CertifiedKey>,
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
        let fingerprint = hex::encode(Sha256::digest(&certificate));
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let key = CertifiedKey::from_der(vec![certificate], key, &ring::default_provider())
            .map_err(DoorError::Tls)?;
        Ok(Identity { key: Arc::new(key), fingerprint, pem: made.cert.pem() })
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

/// TLS as xapi's front speaks it: version 1.2 and the curve secp384r1, nothing else. Each handshake is made with the
/// certificate that the host serves at that moment.
pub(super) fn server_config(shared: Arc<Shared>, host: SmolStr) -> Result<Arc<ServerConfig>, DoorError> {
    let provider = tokio_rustls::rustls::crypto::CryptoProvider {
        kx_groups: vec![ring::kx_group::SECP384R1],
        ..ring::default_provider()
    };
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&version::TLS12])
        .map_err(DoorError::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Served { shared, host }));
    Ok(Arc::new(config))
}

/// The certificate of one host, as the pool has it now.
struct Served {
    shared: Arc<Shared>,
    host: SmolStr,
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.shared.read(|pool| pool.identities.get(&self.host).map(|identity| identity.key.clone()))
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Served").field("host", &self.host).finish_non_exhaustive()
    }
}
