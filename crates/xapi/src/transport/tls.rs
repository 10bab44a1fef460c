//! Who is believed. A pin replaces the question "who signed this certificate and for which name", nothing else:
//! the peer must still prove that it holds the certificate's key, so handshake signatures are always verified.

use std::error::Error;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::endpoint::{Fingerprint, Trust};
use super::identity::Identity;
use super::pins::LearnedPins;

type BoxedError = Box<dyn Error + Send + Sync>;

/// The TLS side of a client. xapi speaks TLS 1.2 with secp384r1 only; the ring provider has it.
pub(super) fn client_config(
    trust: &Trust,
    learned: &Arc<LearnedPins>,
    identity: Option<&Identity>,
) -> Result<ClientConfig, BoxedError> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match trust {
        Trust::Pinned(pins) => {
            let verifier = PinnedVerifier { pins: pins.clone(), learned: Arc::clone(learned), provider };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
        Trust::Authority(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                roots.add(certificate?)?;
            }
            if roots.is_empty() {
                return Err("the authority file holds no certificate in PEM form".into());
            }
            builder.with_root_certificates(roots)
        }
        Trust::System => {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err("the operating system has no trusted authorities".into());
            }
            builder.with_root_certificates(roots)
        }
        Trust::None => return Ok(unused_config()),
    };
    Ok(match identity {
        Some(identity) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified())))
        }
        None => builder.with_no_client_auth(),
    })
}

/// For clients that never speak TLS: it believes nobody.
pub(super) fn unused_config() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        // The ring provider supports the default versions, always.
        .unwrap_or_else(|error| unreachable!("the default TLS versions: {error}"))
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

/// Why rustls did not believe the peer, if that is what ended the request.
pub(super) fn distrust(error: &reqwest::Error) -> Option<String> {
    let mut source: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = source {
        match error.downcast_ref::<rustls::Error>() {
            Some(rustls::Error::InvalidCertificate(why)) => return Some(words(why)),
            Some(_) => return None,
            None => {}
        }
        // An I/O error does not name what it wraps as its source but that one's source, and here several are nested.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
        source = wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}

fn words(why: &CertificateError) -> String {
    match why {
        CertificateError::Other(other) => other.0.to_string(),
        CertificateError::BadSignature => {
            "a signature is wrong: the authority did not sign it, or the server does not hold its key"
                .to_owned()
        }
        CertificateError::UnknownIssuer => "no trusted authority signed it".to_owned(),
        other => other.to_string(),
    }
}

#[derive(Debug)]
struct PinnedVerifier {
    pins: Vec<Fingerprint>,
    learned: Arc<LearnedPins>,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug, thiserror::Error)]
#[error("its fingerprint is {0}, which is neither pinned nor announced by the pool")]
struct NotPinned(Fingerprint);

#[derive(Debug, thiserror::Error)]
#[error("it does not hold the certificate's key")]
struct OtherKey;

/// With a pin the handshake's signature is the only one that is looked at, so it can be named.
fn named(
    verified: Result<HandshakeSignatureValid, rustls::Error>,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    verified.map_err(|error| match error {
        rustls::Error::InvalidCertificate(CertificateError::BadSignature) => {
            CertificateError::Other(rustls::OtherError(Arc::new(OtherKey))).into()
        }
        other => other,
    })
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = Fingerprint(Sha256::digest(end_entity).into());
        let pinned = self.pins.iter().any(|pin| bool::from(pin.0.ct_eq(&shown.0)));
        if pinned || self.learned.contains(&shown) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::Other(rustls::OtherError(Arc::new(NotPinned(shown)))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        named(verify_tls12_signature(message, certificate, signature, algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        named(verify_tls13_signature(message, certificate, signature, algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
