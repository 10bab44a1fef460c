//! A TLS server of our own before a pool's plain door: it presents what a test says and counts what it was told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion, version};

/// A server that takes TLS off and passes on to a plain door.
#[derive(Debug)]
pub struct TlsFront {
    address: SocketAddr,
    handshakes: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl TlsFront {
    /// Listens on a free port of this machine.
    ///
    /// # Panics
    /// When there is none.
    pub async fn open(config: ServerConfig, behind: SocketAddr) -> TlsFront {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port can be had");
        let address = listener.local_addr().expect("a listener has an address");
        let (handshakes, bytes) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (tried, heard) = (Arc::clone(&handshakes), Arc::clone(&bytes));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass_on(
                    acceptor.clone(),
                    stream,
                    behind,
                    Arc::clone(&tried),
                    Arc::clone(&heard),
                ));
            }
        });
        TlsFront { address, handshakes, bytes, task }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many handshakes were tried, whatever came of them.
    #[must_use]
    pub fn handshakes(&self) -> u64 {
        self.handshakes.load(Ordering::SeqCst)
    }

    /// How many bytes came in after a handshake: requests, and passwords in them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection. That it ends is no error: tests are about connections that end.
async fn pass_on(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    behind: SocketAddr,
    handshakes: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
) {
    let accepted = acceptor.accept(stream).await;
    handshakes.fetch_add(1, Ordering::SeqCst);
    let Ok(inside) = accepted else { return };
    let Ok(pool) = TcpStream::connect(behind).await else { return };
    let (mut from_client, mut to_client) = tokio::io::split(inside);
    let (mut from_pool, mut to_pool) = pool.into_split();
    let back = tokio::spawn(async move { tokio::io::copy(&mut from_pool, &mut to_client).await });
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = from_client.read(&mut piece).await {
        bytes.fetch_add(length as u64, Ordering::SeqCst);
        if to_pool.write_all(&piece[..length]).await.is_err() {
            break;
        }
    }
    back.abort();
}

/// A certificate authority made for one test.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Authority")
    }
}

impl Authority {
    /// A new one of this name.
    ///
    /// # Panics
    /// When there is no randomness.
    #[must_use]
    pub fn new(name: &str) -> Authority {
        let key = key_pair();
        let mut parameters = CertificateParams::new(Vec::new()).expect("no name is a good list of names");
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).expect("a key signs");
        Authority { certificate: certificate.pem(), issuer: Issuer::new(parameters, key) }
    }

    /// Its own certificate in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.certificate
    }

    /// A server for this name whose certificate it signed.
    ///
    /// # Panics
    /// When the name is none.
    #[must_use]
    pub fn server(&self, name: &str) -> ServerConfig {
        let key = key_pair();
        let parameters = CertificateParams::new(vec![name.to_owned()]).expect("the name is one");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a key signs");
        server(&[&version::TLS13, &version::TLS12], ring::default_provider(), certificate.der().clone(), &key)
    }
}

/// A new key.
///
/// # Panics
/// When there is no randomness.
#[must_use]
pub fn key_pair() -> KeyPair {
    KeyPair::generate().expect("there is randomness")
}

/// A certificate for this machine that its own key signed, with its SHA-256 fingerprint.
///
/// # Panics
/// When the key cannot sign.
#[must_use]
pub fn own_certificate(key: &KeyPair) -> (CertificateDer<'static>, String) {
    let parameters = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("the name is one");
    let certificate = parameters.self_signed(key).expect("a key signs").der().clone();
    let fingerprint = hex::encode(Sha256::digest(&certificate));
    (certificate, fingerprint)
}

/// A server as pools are: TLS 1.2 with secp384r1 and nothing else.
#[must_use]
pub fn tls12_secp384r1(certificate: CertificateDer<'static>, key: &KeyPair) -> ServerConfig {
    let provider = CryptoProvider { kx_groups: vec![ring::kx_group::SECP384R1], ..ring::default_provider() };
    server(&[&version::TLS12], provider, certificate, key)
}

/// A server that presents a certificate and signs with a key that is not the certificate's, as one does who copied the
/// certificate off the wire. It speaks TLS 1.3, or only 1.2.
///
/// # Panics
/// When the key is none.
#[must_use]
pub fn other_key(certificate: CertificateDer<'static>, key: &KeyPair, only_tls12: bool) -> ServerConfig {
    let versions: &[&SupportedProtocolVersion] =
        if only_tls12 { &[&version::TLS12] } else { &[&version::TLS13] };
    let provider = ring::default_provider();
    let signing = provider.key_provider.load_private_key(private(key)).expect("the key is one");
    let builder = ServerConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(versions);
    let builder = builder.expect("the provider knows the version").with_no_client_auth();
    builder.with_cert_resolver(Arc::new(Always(Arc::new(CertifiedKey::new(vec![certificate], signing)))))
}

fn server(
    versions: &[&'static SupportedProtocolVersion],
    provider: CryptoProvider,
    certificate: CertificateDer<'static>,
    key: &KeyPair,
) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(versions);
    let builder = builder.expect("the provider knows the versions").with_no_client_auth();
    builder.with_single_cert(vec![certificate], private(key)).expect("the key is the certificate's")
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}
