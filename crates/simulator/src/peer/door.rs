//! Another pool's door, as a host that wants to join goes to it.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use smol_str::SmolStr;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, SignatureScheme};
use xapi::codec::{Failure, Limits, xml};
use xapi::model::Record;
use xapi::{NULL_REF, Value};

use super::OwnDoors;
use crate::failures::bare;
use crate::membership::Target;
use crate::membership::handover::{FORM, Greeting, PATH, Standing, Taken};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take: a refused login is slow, and a question for one's standing waits for half a minute.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);
/// HTTPS where nobody says otherwise.
const PORT: u16 = 443;
/// What our sessions over there are known by.
const ORIGINATOR: &str = "simulated pool.join";

/// Why another pool did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreachable {
    /// Nobody is there, or hangs up.
    #[error("there is no answer from its door")]
    Connection(#[source] reqwest::Error),
    /// The address is none.
    #[error("its address is none")]
    Address,
    /// Something is there that answers otherwise than a simulated pool.
    #[error("its door is not that of a simulated pool of this version: {0}")]
    Service(String),
    /// TLS cannot be set up on our side.
    #[error("cannot prepare TLS")]
    Tls(#[source] rustls::Error),
    /// It refuses.
    #[error("it refuses: {0}")]
    Refused(Failure),
}

impl Unreachable {
    /// As `pool.join` tells it.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Unreachable::Connection(_) | Unreachable::Address => bare("JOINING_HOST_CONNECTION_FAILED"),
            Unreachable::Service(_) | Unreachable::Tls(_) => bare("JOINING_HOST_SERVICE_FAILED"),
            Unreachable::Refused(failure) => failure.clone(),
        }
    }
}

impl From<reqwest::Error> for Unreachable {
    fn from(error: reqwest::Error) -> Self {
        if error.is_decode() || error.is_status() {
            Unreachable::Service(error.without_url().to_string())
        } else {
            Unreachable::Connection(error.without_url())
        }
    }
}

/// The door of another pool.
pub(super) struct PeerDoor {
    http: reqwest::Client,
    url: String,
}

impl PeerDoor {
    /// A door that is not knocked at yet. It is called as we are called ourselves: over HTTPS if we have that, and at our
    /// own port unless the address names another.
    pub(super) fn new(doors: OwnDoors, address: &str) -> Result<Self, Unreachable> {
        let (scheme, port) = match (doors.https, doors.http) {
            (Some(own), _) => ("https", own.port()),
            (None, Some(own)) => ("http", own.port()),
            (None, None) => ("https", PORT),
        };
        let six = address.parse::<std::net::Ipv6Addr>();
        let host = six.map_or_else(|_| address.to_owned(), |six| format!("[{six}]"));
        let with_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if with_port && !host.ends_with(']') { host } else { format!("{host}:{port}") };
        let url = format!("{scheme}://{authority}");
        let parsed = reqwest::Url::parse(&url).map_err(|_| Unreachable::Address)?;
        if parsed.path() != "/" || parsed.query().is_some() || !parsed.username().is_empty() {
            return Err(Unreachable::Address);
        }
        let http = reqwest::Client::builder()
            .user_agent("simulated-host")
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .pool_max_idle_per_host(0)
            .tls_backend_preconfigured(believing().map_err(Unreachable::Tls)?)
            .build()
            .map_err(Unreachable::Connection)?;
        Ok(PeerDoor { http, url })
    }

    /// Makes sure that a simulated pool is there, before it is told anything.
    pub(super) async fn greet(&self) -> Result<(), Unreachable> {
        let greeting: Greeting = read(self.http.get(self.page())).await?;
        if greeting.simulated_pool == FORM {
            return Ok(());
        }
        Err(Unreachable::Service(format!("it speaks form {} of the hand-over", greeting.simulated_pool)))
    }

    /// Opens a session.
    pub(super) async fn log_in(&self, user: &str, password: &str) -> Result<Value, Unreachable> {
        let arguments = [user.into(), password.into(), "1.0".into(), ORIGINATOR.into()];
        self.call("session.login_with_password", &arguments).await
    }

    /// Ends a session.
    pub(super) async fn log_out(&self, session: &Value) -> Result<(), Unreachable> {
        self.call("session.logout", std::slice::from_ref(session)).await.map(drop)
    }

    /// Reads all that the checks before a join compare.
    pub(super) async fn look(&self, session: &Value) -> Result<Target, Unreachable> {
        let hosts = self.records(session, "host").await?;
        let networks = self.records(session, "network").await?;
        let pool = self.records(session, "pool").await?.into_iter().next();
        let pool = pool.ok_or_else(|| Unreachable::Service("it shows no pool".to_owned()))?;
        let coordinator = hosts.iter().find(|host| host.reference == pool.text("master"));
        let coordinator =
            coordinator.ok_or_else(|| Unreachable::Service("it shows no coordinator".to_owned()))?;
        let coordinator = coordinator.clone();
        let host = Value::String(coordinator.reference.clone());
        let pif = self.call("host.get_management_interface", &[session.clone(), host]).await?;
        let management = match pif.as_str() {
            None | Some(NULL_REF) => None,
            Some(reference) => {
                let record = self.call("PIF.get_record", &[session.clone(), pif.clone()]).await?;
                record.as_struct().map(|fields| Record::new("PIF", reference, fields.clone()))
            }
        };
        Ok(Target { pool, coordinator, management, hosts, networks })
    }

    /// Hands this host over with its whole state, and gives the secret by which it is known from then on.
    pub(super) async fn hand_over(&self, session: &Value, state: String) -> Result<SmolStr, Unreachable> {
        let session = session.as_str().unwrap_or_default();
        let request = self.http.put(format!("{}?{}", self.page(), query("session_id", session))).body(state);
        match read(request).await? {
            Taken::Secret(secret) => Ok(secret),
            Taken::Refused(words) => {
                let (code, parameters) = words.split_first().unzip();
                let failure = code.cloned().zip(parameters);
                let failure =
                    failure.map(|(code, parameters)| Failure { code, parameters: parameters.to_vec() });
                Err(failure.map_or_else(
                    || Unreachable::Service("it refuses without a word".into()),
                    Unreachable::Refused,
                ))
            }
        }
    }

    /// What this host is to the pool, as soon as it is something else than it has seen.
    pub(super) async fn standing(
        &self,
        secret: &str,
        seen: Option<&Standing>,
    ) -> Result<Standing, Unreachable> {
        let seen = seen.and_then(|seen| serde_json::to_string(seen).ok()).unwrap_or_default();
        read(self.http.get(format!("{}?{}", self.page(), query("seen", &seen))).bearer_auth(secret)).await
    }

    fn page(&self) -> String {
        format!("{}{PATH}", self.url)
    }

    async fn records(&self, session: &Value, class: &str) -> Result<Vec<Record>, Unreachable> {
        let all = self.call(&format!("{class}.get_all_records"), std::slice::from_ref(session)).await?;
        let all = all.as_struct().into_iter().flat_map(xapi::Struct::iter);
        Ok(all
            .filter_map(|(reference, fields)| {
                Some(Record::new(class, reference.clone(), fields.as_struct()?.clone()))
            })
            .collect())
    }

    async fn call(&self, method: &str, arguments: &[Value]) -> Result<Value, Unreachable> {
        let request = self.http.post(format!("{}/", self.url)).body(xml::encode_call(method, arguments));
        let bytes = request.send().await?.error_for_status()?.bytes().await?;
        match xml::decode_reply(&bytes, &Limits::default()) {
            Ok(reply) => reply.map_err(Unreachable::Refused),
            Err(error) => Err(Unreachable::Service(error.to_string())),
        }
    }
}

/// Reads an answer of the page.
async fn read<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, Unreachable> {
    let bytes = request.send().await?.error_for_status()?.bytes().await?;
    serde_json::from_slice(&bytes).map_err(|error| Unreachable::Service(error.to_string()))
}

fn query(name: &str, value: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish()
}

/// TLS that believes any certificate, as xapi's own join does: a pool is joined before its certificates are known.
fn believing() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)));
    Ok(config.with_no_client_auth())
}

/// Believes any certificate whose key the other side holds.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
