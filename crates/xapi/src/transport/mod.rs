//! Bytes to a pool member and back. Knows HTTP, TLS and sockets; knows no XML and no session.

mod endpoint;
mod tls;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

pub use endpoint::{Address, Endpoint, EndpointError, Fingerprint, Trust};

/// Longest request body that xapi takes; a longer one would only earn an HTTP 500.
pub const REQUEST_BYTES_MAX: usize = 300 * 1024;
/// How long to wait for a TCP and TLS connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long sent data may stay unacknowledged before the kernel gives up the connection.
const USER_TIMEOUT: Duration = Duration::from_secs(20);
/// Idle connections are dropped before a stunnel or a firewall does it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// How much of a body that is no answer is quoted in an error.
const EXCERPT_CHARS: usize = 160;

/// One way to one member. Requests on one transport share a small pool of connections.
#[derive(Debug, Clone)]
pub struct Transport {
    client: reqwest::Client,
    url: String,
    endpoint: Endpoint,
    reply_bytes_max: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The endpoint cannot be used as configured.
    #[error("preparing the connection to {endpoint}")]
    Prepare {
        /// Where to.
        endpoint: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The member's certificate is not one that we trust. Nothing was sent.
    #[error("{endpoint} shows a certificate that is not trusted ({why}); no password was sent")]
    Untrusted {
        /// Where to.
        endpoint: String,
        /// What rustls says.
        why: String,
    },
    /// No connection came about. Nothing was sent.
    #[error("connecting to {endpoint}")]
    Connect {
        /// Where to.
        endpoint: String,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// The connection broke or the time was up after the request may have been sent.
    #[error("waiting for an answer from {endpoint}")]
    Interrupted {
        /// Where to.
        endpoint: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// An answer that is not HTTP 200.
    #[error("{endpoint} answered HTTP {status} instead of a reply: {excerpt}")]
    Status {
        /// Where to.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// The start of the body, control characters and markup taken out.
        excerpt: String,
    },
    /// The request is longer than xapi takes. Nothing was sent.
    #[error("the request is {bytes} bytes long and xapi takes at most {REQUEST_BYTES_MAX}")]
    RequestTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The answer is longer than we take.
    #[error("the answer from {endpoint} is longer than {limit} bytes")]
    ReplyTooLong {
        /// Where to.
        endpoint: String,
        /// The limit.
        limit: usize,
    },
}

impl TransportError {
    /// Whether the request certainly never reached xapi.
    #[must_use]
    pub fn nothing_sent(&self) -> bool {
        matches!(
            self,
            TransportError::Prepare { .. }
                | TransportError::Untrusted { .. }
                | TransportError::Connect { .. }
                | TransportError::RequestTooLong { .. }
        )
    }
}

impl Transport {
    /// Prepares a transport; nothing is connected yet.
    ///
    /// # Errors
    /// When the trust material cannot be read.
    pub fn new(
        endpoint: &Endpoint,
        user_agent: &str,
        reply_bytes_max: usize,
    ) -> Result<Self, TransportError> {
        let prepare = |source: Box<dyn std::error::Error + Send + Sync>| TransportError::Prepare {
            endpoint: endpoint.to_string(),
            source,
        };
        let mut builder = reqwest::Client::builder()
            .user_agent(user_agent)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(USER_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT);
        builder = match endpoint.address() {
            Address::Https { .. } => {
                let config = tls::client_config(endpoint.trust()).map_err(prepare)?;
                builder.https_only(true).tls_backend_preconfigured(config)
            }
            Address::Http { .. } => builder.tls_backend_preconfigured(tls::unused_config()),
            Address::Unix(path) => {
                builder.tls_backend_preconfigured(tls::unused_config()).unix_socket(path.as_path())
            }
        };
        let client = builder.build().map_err(|source| prepare(source.into()))?;
        Ok(Transport { client, url: endpoint.address().url(), endpoint: endpoint.clone(), reply_bytes_max })
    }

    /// Where it leads.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Posts `body` with further `headers` and returns the body of the answer. `timeout` is for the whole exchange.
    ///
    /// # Errors
    /// When no complete answer with HTTP 200 came in time.
    pub async fn post(
        &self,
        path: &str,
        body: String,
        headers: &[(String, String)],
        timeout: Duration,
    ) -> Result<Bytes, TransportError> {
        if body.len() > REQUEST_BYTES_MAX {
            return Err(TransportError::RequestTooLong { bytes: body.len() });
        }
        let mut request = self
            .client
            .post(format!("{}{path}", self.url))
            .header(reqwest::header::CONTENT_TYPE, "text/xml")
            .timeout(timeout)
            .body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(|source| self.failed(source))?;
        let status = response.status();
        let mut stream = response.bytes_stream();
        let mut body = BytesMut::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|source| self.failed(source))?;
            if body.len() + chunk.len() > self.reply_bytes_max {
                return Err(TransportError::ReplyTooLong {
                    endpoint: self.endpoint.to_string(),
                    limit: self.reply_bytes_max,
                });
            }
            body.extend_from_slice(&chunk);
        }
        if status != reqwest::StatusCode::OK {
            return Err(TransportError::Status {
                endpoint: self.endpoint.to_string(),
                status: status.as_u16(),
                excerpt: excerpt(&body),
            });
        }
        Ok(body.freeze())
    }

    fn failed(&self, source: reqwest::Error) -> TransportError {
        let endpoint = self.endpoint.to_string();
        let source = source.without_url();
        if let Some(why) = tls::distrust(&source) {
            TransportError::Untrusted { endpoint, why }
        } else if source.is_connect() {
            TransportError::Connect { endpoint, source }
        } else {
            TransportError::Interrupted { endpoint, source }
        }
    }
}

/// The start of a body that is no answer, as one line of plain text.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..body.len().min(4096)).unwrap_or_default());
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
