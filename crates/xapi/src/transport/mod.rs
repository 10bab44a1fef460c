//! Bytes to a pool member and back. Knows HTTP, TLS and sockets; knows no XML and no session.

mod endpoint;
mod error;
mod head;
mod identity;
mod pins;
mod tls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;

pub use endpoint::{Address, Endpoint, EndpointError, Fingerprint, Trust};
pub use error::TransportError;
pub use head::REQUEST_HEAD_BYTES_MAX;
pub use identity::{Identity, IdentityError};
pub use pins::LearnedPins;

/// Longest request body that xapi takes; a longer one would only earn an HTTP 500.
pub const REQUEST_BYTES_MAX: usize = 300 * 1024;
/// How long sent data may stay unacknowledged before the kernel gives up the connection.
const USER_TIMEOUT: Duration = Duration::from_secs(20);
/// Idle connections are dropped before a stunnel or a firewall does it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// So much room for an answer is made before any of it has come.
const PREPARED_BYTES_MAX: usize = 1024 * 1024;
/// How much of a body that is no answer is read.
const REFUSAL_BYTES: usize = 4096;
/// How much of a body that is no answer is quoted in an error.
const EXCERPT_CHARS: usize = 160;

/// One way to one member, over a few connections of its own. xapi serves the requests on one connection one after
/// another, so no two requests are ever on one at once: whoever finds all of them in use waits, first come, first served.
#[derive(Debug, Clone)]
pub struct Transport {
    client: reqwest::Client,
    url: String,
    endpoint: Endpoint,
    setup: Setup,
    free: Arc<Semaphore>,
}

/// What holds for all requests on a transport.
#[derive(Debug, Clone)]
pub struct Setup {
    /// `name/version`, sent with each request.
    pub user_agent: String,
    /// Longest answer that is taken, in bytes.
    pub reply_bytes_max: usize,
    /// Most connections at once, at least 1.
    pub connections: usize,
    /// How long a connection may take to come about, TLS included.
    pub connect_timeout: Duration,
    /// What is believed beside the endpoint's own pins.
    pub learned: Arc<LearnedPins>,
}

/// What is posted.
#[derive(Debug)]
pub struct Post<'a> {
    /// From the slash on.
    pub path: &'a str,
    /// Of the body.
    pub content_type: &'static str,
    /// At most [`REQUEST_BYTES_MAX`] bytes.
    pub body: String,
    /// Further headers. With all others they have [`REQUEST_HEAD_BYTES_MAX`] bytes.
    pub headers: &'a [(String, String)],
    /// For the exchange as a whole, waiting for a free connection included.
    pub timeout: Duration,
}

/// An answer with HTTP 200.
#[derive(Debug, Clone)]
pub struct Answer {
    /// As the server says, without parameters, in lower case; empty where it says nothing.
    pub content_type: String,
    /// All of it.
    pub body: Bytes,
}

impl Transport {
    /// Prepares a transport; nothing is connected yet.
    ///
    /// # Errors
    /// When the trust material cannot be read.
    pub fn new(endpoint: &Endpoint, setup: Setup) -> Result<Self, TransportError> {
        let prepare = |source: Box<dyn std::error::Error + Send + Sync>| TransportError::Prepare {
            endpoint: endpoint.to_string(),
            source,
        };
        let mut builder = reqwest::Client::builder()
            .user_agent(setup.user_agent.as_str())
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(setup.connect_timeout)
            .tcp_user_timeout(USER_TIMEOUT)
            .pool_max_idle_per_host(setup.connections)
            .pool_idle_timeout(IDLE_TIMEOUT);
        builder = match endpoint.address() {
            Address::Https { .. } => {
                let config = tls::client_config(endpoint.trust(), &setup.learned, endpoint.identity())
                    .map_err(prepare)?;
                builder.https_only(true).tls_backend_preconfigured(config)
            }
            Address::Http { .. } => builder.tls_backend_preconfigured(tls::unused_config()),
            Address::Unix(path) => {
                builder.tls_backend_preconfigured(tls::unused_config()).unix_socket(path.as_path())
            }
        };
        let client = builder.build().map_err(|source| prepare(source.into()))?;
        let free = Arc::new(Semaphore::new(setup.connections.max(1)));
        Ok(Transport { client, url: endpoint.address().url(), endpoint: endpoint.clone(), setup, free })
    }

    /// Where it leads.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Posts a request and returns the answer. Dropping the future closes the connection that it uses.
    ///
    /// # Errors
    /// When no complete answer with HTTP 200 came in time.
    pub async fn post(&self, post: Post<'_>) -> Result<Answer, TransportError> {
        if post.body.len() > REQUEST_BYTES_MAX {
            return Err(TransportError::RequestTooLong { bytes: post.body.len() });
        }
        let head = head::bytes(&post, &self.endpoint.address().authority(), &self.setup.user_agent);
        if head > REQUEST_HEAD_BYTES_MAX {
            return Err(TransportError::RequestHeadTooLong { bytes: head });
        }
        let asked = Instant::now();
        let Ok(permit) = tokio::time::timeout(post.timeout, self.free.acquire()).await else {
            return Err(TransportError::Busy {
                endpoint: self.endpoint.to_string(),
                connections: self.setup.connections,
                waited: post.timeout,
            });
        };
        let timeout = post.timeout;
        let answer = self.exchange(post, timeout.saturating_sub(asked.elapsed())).await;
        drop(permit);
        answer.map_err(|failed| match failed {
            Failed::Told(error) => error,
            Failed::Http(source) => self.failed(source, timeout),
        })
    }

    async fn exchange(&self, post: Post<'_>, timeout: Duration) -> Result<Answer, Failed> {
        let mut request = self
            .client
            .post(format!("{}{}", self.url, post.path))
            .header(reqwest::header::CONTENT_TYPE, post.content_type)
            .timeout(timeout)
            .body(post.body);
        for (name, value) in post.headers {
            request = request.header(name, value);
        }
        let response = request.send().await?;
        let status = response.status();
        if status != reqwest::StatusCode::OK {
            return Err(Failed::Told(TransportError::Status {
                endpoint: self.endpoint.to_string(),
                status: status.as_u16(),
                excerpt: excerpt(&start(response).await),
            }));
        }
        let limit = self.setup.reply_bytes_max;
        let too_long =
            || Failed::Told(TransportError::ReplyTooLong { endpoint: self.endpoint.to_string(), limit });
        if response.content_length().is_some_and(|length| length > limit as u64) {
            return Err(too_long());
        }
        let content_type = content_type(&response);
        // A length is only what the peer says, so it is believed up to a bound.
        let told = response.content_length().and_then(|length| usize::try_from(length).ok());
        let mut body = BytesMut::with_capacity(told.unwrap_or(0).min(PREPARED_BYTES_MAX));
        let mut stream = response.bytes_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            if body.len() + chunk.len() > limit {
                return Err(too_long());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { content_type, body: body.freeze() })
    }

    fn failed(&self, source: reqwest::Error, after: Duration) -> TransportError {
        let endpoint = self.endpoint.to_string();
        let source = source.without_url();
        if let Some(why) = tls::distrust(&source) {
            TransportError::Untrusted { endpoint, why }
        } else if source.is_builder() {
            TransportError::Prepare { endpoint, source: source.into() }
        } else if source.is_connect() {
            TransportError::Connect { endpoint, source }
        } else if source.is_timeout() {
            TransportError::TimedOut { endpoint, after }
        } else {
            TransportError::Interrupted { endpoint, source }
        }
    }
}

/// Why an exchange failed: in our words, or in those of the HTTP client.
enum Failed {
    Told(TransportError),
    Http(reqwest::Error),
}

impl From<reqwest::Error> for Failed {
    fn from(error: reqwest::Error) -> Self {
        Failed::Http(error)
    }
}

fn content_type(response: &reqwest::Response) -> String {
    let header = response.headers().get(reqwest::header::CONTENT_TYPE);
    let text = header.and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The first bytes of a refusal; what cannot be read of it does not matter.
async fn start(response: reqwest::Response) -> BytesMut {
    let mut stream = response.bytes_stream();
    let mut body = BytesMut::new();
    while body.len() < REFUSAL_BYTES
        && let Some(Ok(chunk)) = stream.next().await
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(REFUSAL_BYTES);
    body
}

/// The start of a body that is no answer, as one line of plain text.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut inside_tag = false;
    let plain: String = text
        .chars()
        .map(|character| match character {
            '<' => {
                inside_tag = true;
                ' '
            }
            '>' => {
                inside_tag = false;
                ' '
            }
            _ if inside_tag => ' ',
            control if control.is_control() => ' ',
            other => other,
        })
        .collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(EXCERPT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn an_html_page_is_quoted_as_one_plain_line() {
        let page = b"<html><body><h1>HTTP 500 internal server error</h1>An unexpected\n error</body></html>";
        assert_eq!(excerpt(page), "HTTP 500 internal server error An unexpected error");
    }
}
