//! Who we are on TLS: a certificate of our own and its key. Pools that were told to
//! (`pool.enable_client_certificate_auth`) accept it in place of a password.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

use super::endpoint::Fingerprint;

/// A client certificate with its key. The key is a secret: it is never shown, and only TLS can use it.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    fingerprint: Fingerprint,
}

/// Why a certificate and a key are no identity. The text never holds what the key's file holds.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The certificates cannot be read. Name a PEM file with the client's certificate first, then those that signed it.
    #[error("there is no certificate in PEM form")]
    Certificate,
    /// The key cannot be read. Name a PEM file with one unencrypted private key (RSA, ECDSA or Ed25519).
    #[error("there is no unencrypted private key in PEM form that can be used")]
    Key,
    /// They do not belong together. Name the key that the certificate was made for.
    #[error("the key does not belong to the certificate")]
    Mismatch,
}

impl Identity {
    /// Reads both from PEM text: the client's own certificate first, then those of the authorities between it and the
    /// one that the pool knows.
    ///
    /// # Errors
    /// When one of them is missing or of no use, or when they do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|_| IdentityError::Certificate)?;
        let own = chain.first().ok_or(IdentityError::Certificate)?;
        let fingerprint = Fingerprint(Sha256::digest(own).into());
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| IdentityError::Key)?;
        let certified =
            CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => IdentityError::Mismatch,
                rustls::Error::InvalidCertificate(_) => IdentityError::Certificate,
                _ => IdentityError::Key,
            })?;
        Ok(Identity { certified: Arc::new(certified), fingerprint })
    }

    /// Of the client's own certificate.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Identity({})", self.fingerprint)
    }
}

/// A certificate names its key, so the same certificate is the same identity.
impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Identity {}
