//! The real program under a service manager that this test plays: a Unix datagram socket that hears what it says.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A child that does not outlive the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _ended = self.0.wait();
    }
}

fn xapiary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_xapiary"))
}

/// Starts a simulated pool on a Unix socket and waits until it says that its door is open.
fn simulated_pool(socket: &Path) -> Process {
    let mut child =
        xapiary().arg("simulate").arg("--unix").arg(socket).stdout(Stdio::piped()).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let process = Process(child);
    let opened = BufReader::new(stdout).lines().map_while(Result::ok).any(|line| line.starts_with("unix: "));
    assert!(opened, "the simulated pool opened no door");
    process
}

fn configuration(folder: &Path, socket: &Path) -> String {
    let password = folder.join("password");
    std::fs::write(&password, "any\n").unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    let state = folder.join("state");
    std::fs::create_dir(&state).unwrap();
    let mut text = String::new();
    writeln!(text, "state = {:?}", state.to_str().unwrap()).unwrap();
    writeln!(text, "[[pool]]\nname = \"lab\"\nuser = \"root\"\npassword = {{ file = \"password\" }}")
        .unwrap();
    writeln!(text, "url = \"unix:{}\"", socket.display()).unwrap();
    text
}

/// The next message that `wanted` accepts; those before it are passed over.
fn hear(manager: &UnixDatagram, wanted: impl Fn(&str) -> bool) -> String {
    let start = Instant::now();
    let mut buffer = [0; 4096];
    let mut last = String::from("nothing");
    while start.elapsed() < PATIENCE {
        let length = manager.recv(&mut buffer).unwrap_or_else(|error| panic!("after {last:?}: {error}"));
        last = String::from_utf8(buffer[..length].to_vec()).unwrap();
        if wanted(&last) {
            return last;
        }
    }
    panic!("the wanted message did not come; the last one was {last:?}");
}

#[test]
fn a_service_manager_hears_ready_status_watchdog_and_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let (door, notify) = (folder.path().join("xapi"), folder.path().join("notify"));
    let _pool = simulated_pool(&door);
    let config = folder.path().join("xapiary.toml");
    std::fs::write(&config, configuration(folder.path(), &door)).unwrap();
    let manager = UnixDatagram::bind(&notify).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();

    let child = xapiary()
        .args(["run", "--config"])
        .arg(&config)
        .env("NOTIFY_SOCKET", &notify)
        .env("WATCHDOG_USEC", "300000")
        .env_remove("WATCHDOG_PID")
        .spawn()
        .unwrap();
    let mut daemon = Process(child);

    let ready = hear(&manager, |_| true);
    assert!(ready.starts_with("READY=1\nSTATUS=lab: "), "{ready:?}");
    hear(&manager, |message| message == "WATCHDOG=1\n");
    hear(&manager, |message| message.starts_with("STATUS=lab: ") && message.contains("objects"));
    hear(&manager, |message| message == "WATCHDOG=1\n");

    let asked = Command::new("kill").args(["-TERM", &daemon.0.id().to_string()]).status().unwrap();
    assert!(asked.success());
    hear(&manager, |message| message.starts_with("STOPPING=1\nSTATUS="));
    assert!(daemon.0.wait().unwrap().success(), "the daemon did not stop cleanly");
}
