//! The test plays systemd: what the service says on its socket, and when it says nothing.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use e2e::{Daemon, LIMIT, World};

/// How long the service may be silent before it counts as hung.
const WATCHDOG: Duration = Duration::from_millis(1500);

struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn start(world: &World) -> (Manager, Daemon) {
        let path = world.folder().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let microseconds = WATCHDOG.as_micros().to_string();
        let variables = [("NOTIFY_SOCKET", text(&path)), ("WATCHDOG_USEC", microseconds.as_str())];
        let config = world.config().write(world.folder());
        let daemon = Daemon::start_with(&config, world.folder(), &variables);
        (Manager { socket }, daemon)
    }

    /// The next message; `None` when none comes in time.
    fn hear(&self, within: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(within)).unwrap();
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    /// Hears until a message holds these words, and gives all that were heard on the way, that one last.
    fn hear_until(&self, words: &str) -> Vec<String> {
        let deadline = Instant::now() + LIMIT;
        let mut heard = Vec::new();
        while Instant::now() < deadline {
            let Some(message) = self.hear(LIMIT) else { break };
            let found = message.contains(words);
            heard.push(message);
            if found {
                return heard;
            }
        }
        panic!("nothing with {words:?} was said, but {heard:?}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_hears_that_it_is_ready_alive_and_stopping() {
    let world = World::builtin().await;
    let (manager, daemon) = Manager::start(&world);
    let first = manager.hear_until("READY=1");
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(first[0].lines().any(|line| line.starts_with("STATUS=lab: ")), "{first:?}");
    // Once it follows the pool the status line says how much of it.
    let status = manager.hear_until(" objects, heard ");
    assert!(status.last().unwrap().starts_with("STATUS=lab: "), "{status:?}");
    let mut last = Instant::now();
    for _ in 0..5 {
        manager.hear_until("WATCHDOG=1");
        assert!(last.elapsed() < WATCHDOG, "{:?} between two signs of life", last.elapsed());
        last = Instant::now();
    }

    let asked = Instant::now();
    daemon.ask_to_stop();
    let stopping = manager.hear_until("STOPPING=1");
    assert!(stopping.last().unwrap().lines().any(|line| line.starts_with("STATUS=")), "{stopping:?}");
    let ended = daemon.ended(LIMIT).await;
    assert_eq!(ended.status.code(), Some(0));
    assert!(
        asked.elapsed() < Duration::from_secs(6),
        "it took {:?} to stop, its drain is 5 s",
        asked.elapsed()
    );
    assert_eq!(world.pool().sessions(), 0, "its session was not closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stands_still_says_nothing() {
    let world = World::builtin().await;
    let (manager, daemon) = Manager::start(&world);
    manager.hear_until("WATCHDOG=1");
    daemon.freeze(true);
    // What was said before it stood still.
    while manager.hear(Duration::from_millis(100)).is_some() {}
    assert_eq!(manager.hear(2 * WATCHDOG), None);
    daemon.freeze(false);
    manager.hear_until("WATCHDOG=1");
    assert!(daemon.terminate().await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_away_is_no_reason_to_be_restarted() {
    let mut world = World::builtin().await;
    let config = world.config();
    world.close().await;
    let path = world.folder().join("notify");
    let manager = Manager { socket: UnixDatagram::bind(&path).unwrap() };
    let variables = [("NOTIFY_SOCKET", text(&path)), ("WATCHDOG_USEC", "1500000")];
    let daemon = Daemon::start_with(&config.write(world.folder()), world.folder(), &variables);
    let heard = manager.hear_until("STATUS=lab: lost");
    assert!(heard[0].starts_with("READY=1"), "{heard:?}");
    for _ in 0..4 {
        manager.hear_until("WATCHDOG=1");
    }
    assert!(daemon.terminate().await.status.success());
}
