//! A pool whose members are sockets.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::PrivateKeyDer;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use xapi::codec::{Failure, Limits, Reply, json};
use xapi::transport::{Endpoint, Fingerprint, Trust};
use xapi::{Settings, Struct, Value};

use super::server::{Act, Seen, ok, serve};

/// What all members know.
#[derive(Default)]
pub(crate) struct Known {
    /// The address of the coordinator, as members name it.
    pub(crate) coordinator: String,
    /// Addresses of all hosts.
    pub(crate) hosts: Vec<String>,
    /// Fingerprints of host certificates that the pool tells of.
    pub(crate) certificates: Vec<Fingerprint>,
    pub(crate) uuid: String,
    /// What a member says instead of anything else, by its address.
    pub(crate) emergencies: HashMap<String, Failure>,
    /// Logins tried with a password that counts, and sessions that are open.
    pub(crate) logins: usize,
    pub(crate) sessions: Vec<String>,
}

#[derive(Clone, Default)]
pub(crate) struct Pool(pub(crate) Arc<Mutex<Known>>);

/// One member's door. It closes when dropped, and with it all connections.
pub(crate) struct Member {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Seen>>,
    door: tokio::task::JoinHandle<()>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.door.abort();
    }
}

impl Pool {
    pub(crate) fn new() -> Pool {
        let pool = Pool::default();
        pool.0.lock().unwrap().uuid = "11111111-2222-3333-4444-555555555555".into();
        pool
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.0.lock().unwrap());
    }

    pub(crate) fn logins(&self) -> usize {
        self.0.lock().unwrap().logins
    }

    pub(crate) fn sessions(&self) -> usize {
        self.0.lock().unwrap().sessions.len()
    }

    /// A member on plain HTTP, called by its address with the port.
    pub(crate) async fn plain(&self) -> Member {
        self.open(TcpListener::bind("127.0.0.1:0").await.unwrap(), None).await
    }

    /// A member on HTTPS at this address.
    pub(crate) async fn https(&self, address: &str, certificate: &Certificate) -> Member {
        self.open(TcpListener::bind(address).await.unwrap(), Some(certificate.config())).await
    }

    async fn open(&self, listener: TcpListener, certificate: Option<Arc<ServerConfig>>) -> Member {
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let name = if certificate.is_some() { address.ip().to_string() } else { address.to_string() };
        let (pool, shared) = (self.clone(), Arc::clone(&seen));
        let act = Arc::new(move |request: &str| pool.act(&name, request));
        let door = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, act, config) = (Arc::clone(&shared), Arc::clone(&act), certificate.clone());
                connections.spawn(async move {
                    let never = Semaphore::new(0);
                    match config {
                        None => serve(stream, &seen, &never, &*act).await,
                        Some(config) => {
                            if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
                                serve(stream, &seen, &never, &*act).await;
                            }
                        }
                    }
                });
            }
        });
        Member { address, seen, door }
    }

    fn act(&self, member: &str, request: &str) -> Act {
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let call = json::decode_call(body.as_bytes(), &Limits::default()).unwrap();
        let reply = self.reply(member, &call.method, &call.arguments);
        Act::Answer(ok("application/json", &json::encode_reply(&reply, 1)))
    }

    fn reply(&self, member: &str, method: &str, arguments: &[Value]) -> Reply {
        let mut known = self.0.lock().unwrap();
        if let Some(failure) = known.emergencies.get(member) {
            return Err(failure.clone());
        }
        if known.coordinator != member {
            return Err(Failure::new("HOST_IS_SLAVE", [known.coordinator.as_str()]));
        }
        if method == "session.login_with_password" {
            known.logins += 1;
            if arguments[1].as_str() != Some("secret") {
                return Err(Failure::new(
                    "SESSION_AUTHENTICATION_FAILED",
                    ["root", "Authentication failure"],
                ));
            }
            let session = format!("OpaqueRef:session-{}", known.logins);
            known.sessions.push(session.clone());
            return Ok(session.into());
        }
        let session = arguments[0].as_str().unwrap();
        if !known.sessions.iter().any(|open| open == session) {
            return Err(Failure::new("SESSION_INVALID", [session]));
        }
        match method {
            "session.logout" => {
                known.sessions.retain(|open| open != session);
                Ok(Value::VOID)
            }
            "pool.get_all_records" => Ok(records([[("uuid", known.uuid.as_str().into())]])),
            "host.get_all_records" => {
                Ok(records(known.hosts.iter().map(|address| [("address", address.as_str().into())])))
            }
            "Certificate.get_all_records" => Ok(records(
                known
                    .certificates
                    .iter()
                    .map(|pin| [("type", "host".into()), ("fingerprint_sha256", pin.to_string().into())]),
            )),
            _ => Ok(method.into()),
        }
    }
}

/// References with records, as `get_all_records` gives them.
fn records<const N: usize>(all: impl IntoIterator<Item = [(&'static str, Value); N]>) -> Value {
    let record = |(number, fields): (usize, [(&str, Value); N])| {
        let fields: Struct = fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
        (format!("OpaqueRef:{number}").into(), Value::Struct(fields))
    };
    Value::Struct(all.into_iter().enumerate().map(record).collect())
}

impl Member {
    /// As other members call it on plain HTTP.
    pub(crate) fn name(&self) -> String {
        self.address.to_string()
    }

    /// The way to it on plain HTTP.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::new(format!("http://{}", self.address).parse().unwrap(), Trust::None).unwrap()
    }

    /// The way to it on HTTPS.
    pub(crate) fn pinned(&self, pins: &[&Certificate]) -> Endpoint {
        let trust = Trust::Pinned(pins.iter().map(|certificate| certificate.pin).collect());
        Endpoint::new(format!("https://{}", self.address).parse().unwrap(), trust).unwrap()
    }

    pub(crate) fn requests(&self) -> usize {
        self.seen.lock().unwrap().requests.len()
    }
}

/// A certificate with its key.
pub(crate) struct Certificate {
    made: CertifiedKey<rcgen::KeyPair>,
    pub(crate) pin: Fingerprint,
}

impl Certificate {
    pub(crate) fn new() -> Certificate {
        Certificate::of(generate_simple_self_signed(["host.example".to_owned()]).unwrap())
    }

    pub(crate) fn of(made: CertifiedKey<rcgen::KeyPair>) -> Certificate {
        let pin = Fingerprint(Sha256::digest(made.cert.der()).into());
        Certificate { made, pin }
    }

    /// As xapi's: TLS 1.2 alone.
    fn config(&self) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::try_from(self.made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.made.cert.der().clone()], key)
            .unwrap();
        Arc::new(config)
    }
}

/// A client that speaks as these members do.
pub(crate) fn settings(endpoint: Endpoint) -> Settings {
    Settings { wire: xapi::Wire::Json, ..super::server::settings(endpoint) }
}
