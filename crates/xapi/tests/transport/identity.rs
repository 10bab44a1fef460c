//! A real TLS server that takes no client without a certificate of its authority.

use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use xapi::codec::{Failure, json};
use xapi::transport::{Endpoint, EndpointError, Fingerprint, Identity, IdentityError, Trust};
use xapi::{Client, Settings, Value};

use super::server::{Act, Seen, ok, serve};
use super::{plain, settings};

struct Authority(Issuer<'static, KeyPair>, rcgen::Certificate);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Authority(Issuer::new(params, key), certificate)
    }

    /// PEM of a certificate and of its key.
    fn client(&self) -> (String, String) {
        let mut params = CertificateParams::new(["xapiary".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

struct Pool {
    endpoint: Endpoint,
    seen: Arc<Mutex<Seen>>,
}

/// Takes clients of `authority` alone when it is `strict`, others too when it is not.
async fn pool(
    authority: &Authority,
    strict: bool,
    act: impl Fn(&str) -> Act + Send + Sync + 'static,
) -> Pool {
    let own = rcgen::generate_simple_self_signed(["pool.example".to_owned()]).unwrap();
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.1.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier = if strict { verifier } else { verifier.allow_unauthenticated() }.build().unwrap();
    // As xapi: TLS 1.2 alone.
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![own.cert.der().clone()],
            PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap(),
        )
        .unwrap();
    let (acceptor, listener) =
        (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let pin = Fingerprint(Sha256::digest(own.cert.der()).into());
    let address = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
    let (seen, act) = (Arc::<Mutex<Seen>>::default(), Arc::new(act));
    let shared = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (seen, act, acceptor) = (Arc::clone(&shared), Arc::clone(&act), acceptor.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, &seen, &Semaphore::new(0), &*act).await;
                }
            });
        }
    });
    Pool { endpoint: Endpoint::new(address, Trust::Pinned(vec![pin])).unwrap(), seen }
}

/// As a pool answers to a client whose certificate it knows: no name and no password are needed.
fn accepting(request: &str) -> Act {
    assert!(!request.contains("secret"), "{request}");
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    let call = json::decode_call(body.as_bytes(), &xapi::codec::Limits::default()).unwrap();
    if call.method == "session.login_with_password" {
        assert_eq!(call.arguments[..2], [Value::VOID, Value::VOID]);
    }
    Act::Answer(ok("application/json", &json::encode_reply(&Ok("OpaqueRef:s".into()), 1)))
}

/// Without a password: the certificate stands for it.
fn by_certificate(endpoint: Endpoint) -> Settings {
    Settings {
        user: String::new(),
        password: Arc::new(secrecy::SecretString::from("")),
        ..settings(endpoint)
    }
}

#[tokio::test]
async fn a_pool_that_demands_a_certificate_gets_ours_and_no_password() {
    let authority = Authority::new();
    let pool = pool(&authority, true, accepting).await;
    let (certificate, key) = authority.client();
    let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    let endpoint = pool.endpoint.with_identity(identity).unwrap();
    let client = Client::new(by_certificate(endpoint)).unwrap();
    assert_eq!(
        client.call("VM.get_name_label", &["OpaqueRef:a".into()]).await.unwrap(),
        "OpaqueRef:s".into()
    );
    let seen = pool.seen.lock().unwrap();
    let about_the_pool = |request: &&Vec<u8>| String::from_utf8_lossy(request).contains(".get_all_records");
    assert_eq!(seen.requests.iter().filter(|request| !about_the_pool(request)).count(), 2);
}

#[tokio::test]
async fn without_a_certificate_or_with_that_of_others_nobody_gets_in() {
    let authority = Authority::new();
    let pool = pool(&authority, true, accepting).await;
    let (certificate, key) = Authority::new().client();
    let other = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    let with_other = pool.endpoint.clone().with_identity(other).unwrap();
    for endpoint in [pool.endpoint, with_other] {
        let error = Client::new(by_certificate(endpoint)).unwrap().lease().await.unwrap_err();
        assert!(!error.untrusted(), "it is the pool that does not trust us: {}", error.chain());
    }
    assert_eq!(pool.seen.lock().unwrap().requests.len(), 0);
}

#[tokio::test]
async fn a_pool_that_does_not_know_the_certificate_asks_for_a_password_and_the_error_says_so() {
    let authority = Authority::new();
    let refusing = |_: &str| {
        let failure = Err(Failure::new("SESSION_AUTHENTICATION_FAILED", ["", "Authentication failure"]));
        Act::Answer(ok("application/json", &json::encode_reply(&failure, 1)))
    };
    let pool = pool(&authority, false, refusing).await;
    let (certificate, key) = authority.client();
    let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    let fingerprint = identity.fingerprint();
    let endpoint = pool.endpoint.with_identity(identity).unwrap();
    let error = Client::new(by_certificate(endpoint)).unwrap().lease().await.unwrap_err();
    assert!(error.is("SESSION_AUTHENTICATION_FAILED") && error.nothing_done(), "{}", error.chain());
    let wanted = format!("the pool may not have accepted the client certificate {fingerprint}");
    assert!(error.chain().contains(&wanted), "{}", error.chain());
}

#[test]
fn a_key_is_never_shown_and_must_fit() {
    let authority = Authority::new();
    let ((certificate, key), (_, other)) = (authority.client(), authority.client());
    let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    assert_eq!(format!("{identity:?}"), format!("Identity({})", identity.fingerprint()));
    let read = |certificate: &str, key: &str| Identity::from_pem(certificate.as_bytes(), key.as_bytes());
    assert!(matches!(read(&certificate, &other), Err(IdentityError::Mismatch)));
    assert!(matches!(read(&key, &key), Err(IdentityError::Certificate)));
    assert!(matches!(read(&certificate, &certificate), Err(IdentityError::Key)));
    assert!(matches!(read("", ""), Err(IdentityError::Certificate)));
    assert_eq!(read(&certificate, &key).unwrap(), identity);
    assert_ne!(read(&authority.client().0, "").err().map(|error| error.to_string()), None);
    let plain = plain("127.0.0.1:1".parse().unwrap());
    assert_eq!(plain.with_identity(identity), Err(EndpointError::IdentityWithoutTls));
}
