//! The closed WASI that plugins run on: no files, no sockets, no environment, no arguments, no input. Output goes to
//! the log book; clocks and randomness come from the delivery, so that the same delivery gives the same run.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx};

use crate::log_book::LogBook;
use crate::report::Source;

/// Most random bytes that a plugin gets in one call.
const RANDOM_MAX: u64 = 64 * 1024;
/// Most bytes that a plugin writes to its output in one call.
const WRITE_MAX: usize = 16 * 1024;

/// Builds the WASI of one delivery. `now` is what its wall clock shows; `seed` feeds its randomness.
pub(crate) fn closed(log: &Arc<Mutex<LogBook>>, now: Duration, seed: [u8; 32]) -> WasiCtx {
    let branch =
        |name: &str| -> [u8; 32] { Sha256::new().chain_update(seed).chain_update(name).finalize().into() };
    let hash_seed = branch("insecure-seed");
    WasiCtx::builder()
        .stdout(Capture { log: Arc::clone(log), source: Source::Stdout })
        .stderr(Capture { log: Arc::clone(log), source: Source::Stderr })
        .wall_clock(Stopped(now))
        .monotonic_clock(Counting(AtomicU64::new(0)))
        .secure_random(StdRng::from_seed(branch("secure")))
        .insecure_random(StdRng::from_seed(branch("insecure")))
        .insecure_random_seed(u128::from_le_bytes(std::array::from_fn(|index| hash_seed[index])))
        .max_random_size(RANDOM_MAX)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build()
}

/// The moment of the event, whenever one looks.
struct Stopped(Duration);

impl HostWallClock for Stopped {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

/// Goes on by a microsecond each time one looks: the same in each run, and a loop that waits for time to pass ends.
struct Counting(AtomicU64);

impl HostMonotonicClock for Counting {
    fn resolution(&self) -> u64 {
        1_000
    }

    fn now(&self) -> u64 {
        self.0.fetch_add(1_000, Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Capture {
    log: Arc<Mutex<LogBook>>,
    source: Source,
}

impl Capture {
    fn take(&self, bytes: &[u8]) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).bytes(self.source, bytes);
    }
}

impl IsTerminal for Capture {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Capture {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Capture {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_MAX)
    }
}

impl Pollable for Capture {
    fn ready<'s, 'f>(&'s mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(std::future::ready(()))
    }
}

impl AsyncWrite for Capture {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
    use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
    use wasmtime_wasi::{ResourceTable, WasiCtxView, WasiView};

    use super::*;
    use crate::pool::LogSink;
    use crate::report::LogLine;

    struct Deaf;

    impl LogSink for Deaf {
        fn line(&self, _: &LogLine) {}
    }

    struct Guest {
        wasi: WasiCtx,
        table: ResourceTable,
    }

    impl WasiView for Guest {
        fn ctx(&mut self) -> WasiCtxView<'_> {
            WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
        }
    }

    fn guest(seed: u8) -> Guest {
        let log = Arc::new(Mutex::new(LogBook::new(Arc::new(Deaf), 1000)));
        Guest {
            wasi: closed(&log, Duration::from_secs(1_800_000_000), [seed; 32]),
            table: ResourceTable::new(),
        }
    }

    /// All that could differ between two runs.
    fn senses(guest: &mut Guest) -> String {
        use wasmtime_wasi::clocks::WasiClocksView;
        let wall = wall_clock::Host::now(&mut guest.clocks()).unwrap();
        let first = monotonic_clock::Host::now(&mut guest.clocks()).unwrap();
        let second = monotonic_clock::Host::now(&mut guest.clocks()).unwrap();
        assert_eq!(wall.seconds, 1_800_000_000);
        assert!(second > first);
        let random_source = guest.wasi.random();
        let secure = random::Host::get_random_bytes(random_source, 32).unwrap();
        let insecure = insecure::Host::get_insecure_random_bytes(random_source, 32).unwrap();
        assert_ne!(secure, insecure);
        let seed = insecure_seed::Host::insecure_seed(random_source).unwrap();
        format!("{first} {second} {secure:?} {insecure:?} {seed:?}")
    }

    #[test]
    fn the_same_seed_gives_the_same_run() {
        let one = senses(&mut guest(1));
        assert_eq!(one, senses(&mut guest(1)));
        assert_ne!(one, senses(&mut guest(2)));
    }

    #[test]
    fn random_bytes_are_bounded() {
        assert!(random::Host::get_random_bytes(guest(1).wasi.random(), RANDOM_MAX + 1).is_err());
    }
}
