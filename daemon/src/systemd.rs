//! What we say to systemd: ready, stopping, what we are at, and that we are alive.
//!
//! The watchdog is fed only when a check says that the daemon has made progress, so that a daemon that is up but does
//! nothing is restarted. Without `NOTIFY_SOCKET` and `WATCHDOG_USEC` in the environment nothing is sent. This room
//! must not know what progress is made of.

use std::convert::Infallible;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

/// The watchdog is fed this many times within its limit, so that one late feeding is no failure.
const FEEDINGS_WITHIN_LIMIT: u32 = 3;

/// Tells systemd that start-up is complete, with a line for `systemctl status`.
pub(crate) fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
}

/// Changes the line that `systemctl status` shows.
pub(crate) fn status(status: &str) {
    send(&[NotifyState::Status(&one_line(status))]);
}

/// Tells systemd that the configuration is read anew; [`ready`] says that this is over.
pub(crate) fn reloading(status: &str) {
    let status = one_line(status);
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now, NotifyState::Status(&status)]),
        Err(error) => warn!(%error, "could not tell systemd that the configuration is read anew"),
    }
}

/// Tells systemd that we stop because we were asked to, with a line for `systemctl status`.
pub(crate) fn stopping(status: &str) {
    send(&[NotifyState::Stopping, NotifyState::Status(&one_line(status))]);
}

/// The time after which systemd takes us for hung when the watchdog was not fed. `None` when nobody watches.
pub(crate) fn watchdog_limit() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero())
}

/// Feeds systemd's watchdog for as long as it is polled: never returns, and sleeps when nobody watches. Each feeding
/// needs an `Ok` from `check`; an `Err` says why not, and goes to the log and the status line when it begins and when
/// it ends. A check that takes longer than the time between two feedings counts as failed.
pub(crate) async fn feed_watchdog<C, F>(mut check: C) -> Infallible
where
    C: FnMut() -> F,
    F: Future<Output = Result<(), String>>,
{
    let Some(limit) = watchdog_limit() else { return std::future::pending().await };
    let every = limit / FEEDINGS_WITHIN_LIMIT;
    let mut ticks = interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ill = false;
    loop {
        ticks.tick().await;
        let verdict = timeout(every, check())
            .await
            .unwrap_or_else(|_| Err(format!("the health check did not end within {} ms", every.as_millis())));
        match verdict {
            Ok(()) => {
                send(&[NotifyState::Watchdog]);
                if std::mem::take(&mut ill) {
                    info!("progress again: the watchdog is fed");
                    status("running");
                }
            }
            Err(why) if !ill => {
                ill = true;
                warn!(why, "no progress: the watchdog is not fed");
                status(&format!("no progress: {why}"));
            }
            Err(_) => {}
        }
    }
}

fn send(message: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(message) {
        // systemd may be gone or full; it will judge us by what it heard.
        warn!(%error, "could not tell systemd {}", message.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    }
}

/// A line end would begin another assignment in systemd's protocol.
fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::process::{Child, Command};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const PART: &str = "XAPIARY_TEST_PART";

    /// A service manager: a socket, and a child that is this very test started again with another part to play.
    struct Manager {
        socket: UnixDatagram,
        child: Child,
        _folder: tempfile::TempDir,
    }

    impl Manager {
        fn start(test: &str, watchdog_ms: u64) -> Manager {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("notify");
            let socket = UnixDatagram::bind(&path).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let child = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    &format!("{}::{test}", module_path!().split_once("::").unwrap().1),
                    "--nocapture",
                ])
                .env(PART, "service")
                .env("NOTIFY_SOCKET", &path)
                .env("WATCHDOG_USEC", (watchdog_ms * 1000).to_string())
                .env_remove("WATCHDOG_PID")
                .spawn()
                .unwrap();
            Manager { socket, child, _folder: folder }
        }

        fn hear(&self) -> String {
            let mut buffer = [0; 4096];
            let length = self.socket.recv(&mut buffer).expect("the service said nothing more");
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        }
    }

    impl Drop for Manager {
        fn drop(&mut self) {
            let _ended_already = self.child.kill();
            self.child.wait().unwrap();
        }
    }

    fn plays_service() -> bool {
        std::env::var_os(PART).is_some()
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }

    #[test]
    fn systemd_hears_ready_watchdog_and_stopping() {
        if plays_service() {
            ready("two pools\nREADY=0");
            runtime().block_on(async {
                let fed = AtomicUsize::new(0);
                let check = || {
                    fed.fetch_add(1, Ordering::Relaxed);
                    std::future::ready(Ok(()))
                };
                let enough = async {
                    while fed.load(Ordering::Relaxed) < 4 {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::select! { never = feed_watchdog(check) => match never {}, () = enough => {} }
            });
            stopping("asked to");
            return;
        }
        let manager = Manager::start("systemd_hears_ready_watchdog_and_stopping", 60);
        assert_eq!(manager.hear(), "READY=1\nSTATUS=two pools READY=0\n");
        assert_eq!(manager.hear(), "WATCHDOG=1\n");
        assert_eq!(manager.hear(), "WATCHDOG=1\n");
        let last = std::iter::repeat_with(|| manager.hear()).find(|message| message != "WATCHDOG=1\n");
        assert_eq!(last.as_deref(), Some("STOPPING=1\nSTATUS=asked to\n"));
    }

    #[test]
    fn without_progress_the_watchdog_starves_and_the_status_says_why() {
        if plays_service() {
            runtime().block_on(async {
                let round = AtomicUsize::new(0);
                let check = || {
                    let round = round.fetch_add(1, Ordering::Relaxed);
                    async move {
                        match round {
                            0 | 3 => Ok(()),
                            1 => Err("the writer stands still".to_owned()),
                            // Hangs.
                            2 => std::future::pending().await,
                            _ => std::process::exit(0),
                        }
                    }
                };
                match feed_watchdog(check).await {}
            });
        }
        let manager = Manager::start("without_progress_the_watchdog_starves_and_the_status_says_why", 60);
        for expected in [
            "WATCHDOG=1\n",
            "STATUS=no progress: the writer stands still\n",
            "WATCHDOG=1\n",
            "STATUS=running\n",
        ] {
            assert_eq!(manager.hear(), expected);
        }
    }
}
