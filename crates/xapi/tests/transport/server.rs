//! A server made of a socket: it reads requests whole, keeps their bytes, and answers as a test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::SecretString;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use xapi::codec::Limits;
use xapi::transport::Endpoint;
use xapi::{Settings, Wire};

/// What is done about one request.
pub(crate) enum Act {
    /// Written, and the connection is kept.
    Answer(Vec<u8>),
    /// Written over and over, as fast as the peer takes it, until it goes.
    Endless { start: Vec<u8>, again: Vec<u8> },
    /// Written one byte at a time with a pause after each.
    Drip { bytes: Vec<u8>, pause: Duration },
    /// Nothing until the test lets one more request go on, then the answer.
    Wait(Vec<u8>),
    /// The connection is closed.
    Close,
}

/// What has been seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// Every request, head and body.
    pub(crate) requests: Vec<Vec<u8>>,
    /// Connections that are open, the most there ever were, and how many were opened.
    pub(crate) open: usize,
    pub(crate) most: usize,
    pub(crate) opened: usize,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Seen>>,
    pub(crate) go_on: Arc<Semaphore>,
}

impl Server {
    pub(crate) async fn start(act: impl Fn(&str) -> Act + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, go_on) = (Arc::<Mutex<Seen>>::default(), Arc::new(Semaphore::new(0)));
        let (shared, gate, act) = (Arc::clone(&seen), Arc::clone(&go_on), Arc::new(act));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, gate, act) = (Arc::clone(&shared), Arc::clone(&gate), Arc::clone(&act));
                tokio::spawn(async move { serve(stream, &seen, &gate, &*act).await });
            }
        });
        Server { address, seen, go_on }
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.requests.iter().map(|bytes| String::from_utf8(bytes.clone()).unwrap()).collect()
    }

    /// Waits until what was seen is as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&Seen) -> bool) {
        while !wanted(&self.seen.lock().unwrap()) {
            tokio::task::yield_now().await;
        }
    }
}

/// Serves one connection until it ends.
pub(crate) async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    seen: &Mutex<Seen>,
    go_on: &Semaphore,
    act: &(impl Fn(&str) -> Act + ?Sized),
) {
    {
        let mut seen = seen.lock().unwrap();
        seen.open += 1;
        seen.opened += 1;
        seen.most = seen.most.max(seen.open);
    }
    while let Some(request) = read(&mut stream).await {
        let text = String::from_utf8_lossy(&request).into_owned();
        seen.lock().unwrap().requests.push(request);
        if !act_on(act(&text), &mut stream, go_on).await {
            break;
        }
    }
    seen.lock().unwrap().open -= 1;
}

/// Whether the connection goes on.
async fn act_on(act: Act, stream: &mut (impl AsyncRead + AsyncWrite + Unpin), go_on: &Semaphore) -> bool {
    match act {
        Act::Answer(bytes) => stream.write_all(&bytes).await.is_ok(),
        Act::Wait(bytes) => {
            go_on.acquire().await.unwrap().forget();
            stream.write_all(&bytes).await.is_ok()
        }
        Act::Endless { start, again } => {
            if stream.write_all(&start).await.is_ok() {
                while stream.write_all(&again).await.is_ok() {}
            }
            false
        }
        Act::Drip { bytes, pause } => {
            for byte in bytes {
                if stream.write_all(&[byte]).await.is_err() {
                    return false;
                }
                tokio::time::sleep(pause).await;
            }
            true
        }
        Act::Close => false,
    }
}

/// One request, head and body; none at the end of the connection.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    bytes.extend(body);
    Some(bytes)
}

/// An answer with HTTP 200.
pub(crate) fn ok(content_type: &str, body: &str) -> Vec<u8> {
    answer("200 OK", content_type, body)
}

/// Any answer.
pub(crate) fn answer(status: &str, content_type: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\ncontent-type: {content_type}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A client as the daemon has one.
pub(crate) fn settings(endpoint: Endpoint) -> Settings {
    Settings {
        endpoint,
        user: "root".into(),
        password: Arc::new(SecretString::from("secret")),
        members: Vec::new(),
        pool_uuid: None,
        originator: "tests".into(),
        user_agent: "tests/1".into(),
        call_timeout: Duration::from_secs(60),
        limits: Limits::default(),
        wire: Wire::Auto,
    }
}
