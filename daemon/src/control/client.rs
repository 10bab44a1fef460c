//! The other end of the control socket, for the command line.

use std::io;
use std::path::{Path, PathBuf};

use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::types::Refused;

/// No answer of the daemon comes near this.
const ANSWER_MAX: usize = 256 * 1024 * 1024;

/// A connection to a daemon.
#[derive(Debug)]
pub(crate) struct Client {
    socket: PathBuf,
    sender: SendRequest<Full<Bytes>>,
}

/// Why the daemon did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens.
    #[error("the daemon does not run: nobody listens at {}", .socket.display())]
    NotRunning {
        /// The socket.
        socket: PathBuf,
    },
    /// The system does not let us connect.
    #[error(
        "{} is closed to you: it is open to root and to those whom the daemon's configuration names, such as \
         [control] observe = [\"user:NAME\"]",
        .socket.display()
    )]
    Closed {
        /// The socket.
        socket: PathBuf,
    },
    /// The daemon knows who we are, and we may not.
    #[error("{0}")]
    Refused(String),
    /// The daemon says that it cannot.
    #[error("{0}")]
    Cannot(String),
    /// Talking did not work out.
    #[error("{doing} at {}", .socket.display())]
    Talk {
        /// What we were doing.
        doing: &'static str,
        /// The socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Client {
    /// Connects to the daemon that listens there.
    pub(crate) async fn connect(socket: &Path) -> Result<Client, ClientError> {
        let stream = UnixStream::connect(socket).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::NotRunning { socket: socket.to_owned() }
            }
            io::ErrorKind::PermissionDenied => ClientError::Closed { socket: socket.to_owned() },
            _ => talk(socket, "connecting to the daemon", error),
        })?;
        let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| talk(socket, "connecting to the daemon", error))?;
        // How it ends is told to whoever waits for an answer.
        tokio::spawn(connection);
        Ok(Client { socket: socket.to_owned(), sender })
    }

    /// Asks for something.
    pub(crate) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, ClientError> {
        let body = self.send(Method::GET, path, Bytes::new()).await?;
        self.read(&body)
    }

    /// Asks for something, with what is to be left out of it.
    pub(crate) async fn query<T: DeserializeOwned>(
        &mut self,
        path: &str,
        query: &impl Serialize,
    ) -> Result<T, ClientError> {
        let members =
            serde_json::to_value(query).map_err(|error| self.talk("writing the question", error))?;
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        for (name, value) in members.as_object().into_iter().flatten() {
            match value {
                serde_json::Value::Null => {}
                serde_json::Value::String(text) => _ = pairs.append_pair(name, text),
                other => _ = pairs.append_pair(name, &other.to_string()),
            }
        }
        self.get(&format!("{path}?{}", pairs.finish())).await
    }

    /// Has something done.
    pub(crate) async fn post<T: DeserializeOwned>(
        &mut self,
        path: &str,
        what: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(what).map_err(|error| self.talk("writing the question", error))?;
        let body = self.send(Method::POST, path, body.into()).await?;
        self.read(&body)
    }

    async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "xapiary")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| self.talk("writing the question", error))?;
        // The connection may still be busy with the end of the answer before.
        let ready = self.sender.ready().await;
        ready.map_err(|error| self.talk("asking the daemon", error))?;
        let answer = self.sender.send_request(request).await;
        let (head, body) = answer.map_err(|error| self.talk("asking the daemon", error))?.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await;
        let body = body.map_err(|error| self.talk("reading the daemon's answer", error))?.to_bytes();
        if head.status.is_success() {
            return Ok(body);
        }
        let error = serde_json::from_slice(&body).map_or_else(
            |_| format!("the daemon answered {}: {}", head.status, String::from_utf8_lossy(&body)),
            |refused: Refused| refused.error,
        );
        Err(match head.status {
            StatusCode::FORBIDDEN => ClientError::Refused(error),
            _ => ClientError::Cannot(error),
        })
    }

    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| self.talk("reading the daemon's answer", error))
    }

    fn talk(
        &self,
        doing: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ClientError {
        talk(&self.socket, doing, source)
    }
}

fn talk(
    socket: &Path,
    doing: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ClientError {
    ClientError::Talk { doing, socket: socket.to_owned(), source: source.into() }
}
