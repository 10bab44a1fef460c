//! A TCP proxy between the daemon and a pool that does wrong what networks do wrong, steered while it runs.
//!
//! Each connection is one task that looks at how it is to be treated before it moves a byte, so that a new treatment also
//! holds for what was open before.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What a request that asks for events holds, in both wires.
const POLL: &[u8] = b"event.from";

/// What the proxy does with connections.
#[derive(Debug, Clone)]
pub(crate) enum Treatment {
    /// Passes everything on.
    Forward,
    /// Passes everything on; answers come so much later.
    Delay(Duration),
    /// Closes each connection after so many bytes of answers, counted from this treatment on.
    CutAfter(usize),
    /// Half-open: whatever is sent is taken by the kernel, nothing is passed on, nothing is closed.
    Blackhole,
    /// Ends each connection with a reset, and each new one too.
    Reset,
    /// Passes on so many bytes of answers a second.
    Throttle(usize),
    /// Changes one bit of the byte of answers that comes after so many, counted from this treatment on.
    FlipByte(usize),
    /// Answers each poll itself and closes the connection; the pool hears nothing of it. For plain HTTP. Other calls pass:
    /// a false answer to them that is well formed would be a lie that nobody can see through.
    Answer(Arc<[u8]>),
    /// Answers each request itself with a head and then the same piece for ever.
    Flood(Arc<[u8]>, Arc<[u8]>),
}

/// A proxy before one address, which may be changed.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    treatment: watch::Sender<Treatment>,
    behind: watch::Sender<SocketAddr>,
    answers: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of this machine and passes on to an address.
    ///
    /// # Panics
    /// When there is no free port.
    pub(crate) async fn open(behind: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port can be had");
        let address = listener.local_addr().expect("a listener has an address");
        let (treatment, treated) = watch::channel(Treatment::Forward);
        let (behind, where_to) = watch::channel(behind);
        let answers = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&answers);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let behind = *where_to.borrow();
                let connection = Connection { treated: treated.clone(), answers: Arc::clone(&counted) };
                // That a connection ends with an error is what this proxy is for.
                tokio::spawn(async move { drop(connection.serve(client, behind).await) });
            }
        });
        Proxy { address, treatment, behind, answers, task }
    }

    /// Where it listens.
    #[must_use]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on does this, to connections that are open too.
    pub(crate) fn treat(&self, treatment: Treatment) {
        self.treatment.send_replace(treatment);
    }

    /// Passes new connections on to another address.
    pub(crate) fn point_to(&self, behind: SocketAddr) {
        self.behind.send_replace(behind);
    }

    /// How many bytes went to the daemon.
    #[must_use]
    pub(crate) fn bytes_of_answers(&self) -> u64 {
        self.answers.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Connection {
    treated: watch::Receiver<Treatment>,
    answers: Arc<AtomicU64>,
}

impl Connection {
    async fn serve(mut self, mut client: TcpStream, behind: SocketAddr) -> io::Result<()> {
        let mut pool: Option<TcpStream> = None;
        let (mut asked, mut answered) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
        // Bytes of answers under the present treatment.
        let mut passed = 0;
        loop {
            let treatment = self.treated.borrow_and_update().clone();
            match &treatment {
                Treatment::Reset => return client.set_zero_linger(),
                Treatment::Blackhole => {
                    if self.treated.changed().await.is_err() {
                        return Ok(());
                    }
                    passed = 0;
                    continue;
                }
                _ => {}
            }
            tokio::select! {
                changed = self.treated.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    passed = 0;
                }
                read = client.read(&mut asked) => {
                    let request = asked.get(..read?).unwrap_or_default();
                    if request.is_empty() {
                        return Ok(());
                    }
                    match &treatment {
                        Treatment::Answer(answer) if is_poll(request) => return self.answer(client, answer).await,
                        Treatment::Flood(head, piece) => return self.flood(client, head, piece).await,
                        _ => {}
                    }
                    // Only now, so that a connection on which nothing is said does not reach the pool.
                    let pool = match &mut pool {
                        Some(pool) => pool,
                        none => none.insert(TcpStream::connect(behind).await?),
                    };
                    pool.write_all(request).await?;
                }
                read = read_from(pool.as_mut(), &mut answered) => {
                    let answer = answered.get_mut(..read?).unwrap_or_default();
                    if answer.is_empty() {
                        return Ok(());
                    }
                    if !self.pass_on(&treatment, answer, &mut passed, &mut client).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Passes an answer's piece on in the way of the treatment; whether the connection goes on.
    async fn pass_on(
        &self,
        treatment: &Treatment,
        answer: &mut [u8],
        passed: &mut usize,
        client: &mut TcpStream,
    ) -> io::Result<bool> {
        let before = *passed;
        *passed += answer.len();
        match treatment {
            Treatment::Delay(pause) => tokio::time::sleep(*pause).await,
            Treatment::CutAfter(most) if *passed >= *most => {
                let rest = answer.get(..most.saturating_sub(before)).unwrap_or_default();
                client.write_all(rest).await?;
                return Ok(false);
            }
            Treatment::FlipByte(at) => {
                if let Some(byte) = at.checked_sub(before).and_then(|at| answer.get_mut(at)) {
                    *byte ^= 1;
                }
            }
            Treatment::Throttle(bytes_a_second) => {
                return self.drip(answer, (*bytes_a_second).max(1), client).await.map(|()| true);
            }
            _ => {}
        }
        client.write_all(answer).await?;
        self.answers.fetch_add(answer.len() as u64, Ordering::SeqCst);
        Ok(true)
    }

    /// Ten pieces a second, or one byte at a time, until the treatment changes; the rest then goes at once.
    async fn drip(&self, answer: &[u8], bytes_a_second: usize, client: &mut TcpStream) -> io::Result<()> {
        let piece = bytes_a_second.div_ceil(10);
        let pause = Duration::from_secs_f64(piece as f64 / bytes_a_second as f64);
        for piece in answer.chunks(piece) {
            if !self.treated.has_changed().unwrap_or(true) {
                tokio::time::sleep(pause).await;
            }
            client.write_all(piece).await?;
            self.answers.fetch_add(piece.len() as u64, Ordering::SeqCst);
        }
        Ok(())
    }

    async fn answer(&self, mut client: TcpStream, answer: &[u8]) -> io::Result<()> {
        client.write_all(answer).await?;
        self.answers.fetch_add(answer.len() as u64, Ordering::SeqCst);
        client.shutdown().await?;
        // What the daemon still had to say is read, since an unread rest would end the connection with a reset.
        let mut rest = vec![0; 16 * 1024];
        let patience = Duration::from_secs(2);
        while let Ok(Ok(1..)) = tokio::time::timeout(patience, client.read(&mut rest)).await {}
        Ok(())
    }

    async fn flood(&self, mut client: TcpStream, head: &[u8], piece: &[u8]) -> io::Result<()> {
        client.write_all(head).await?;
        while !self.treated.has_changed().unwrap_or(true) {
            client.write_all(piece).await?;
            self.answers.fetch_add(piece.len() as u64, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// Reads; for ever while there is nobody to read from.
async fn read_from(pool: Option<&mut (impl AsyncRead + Unpin)>, into: &mut [u8]) -> io::Result<usize> {
    match pool {
        Some(pool) => pool.read(into).await,
        None => std::future::pending().await,
    }
}

fn is_poll(request: &[u8]) -> bool {
    request.windows(POLL.len()).any(|window| window == POLL)
}
