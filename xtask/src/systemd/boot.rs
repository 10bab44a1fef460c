//! Boots a root folder in a container and waits until it powers itself off.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The whole test takes well under a minute; a container that has not powered off by now hangs.
const DEADLINE: Duration = Duration::from_secs(240);

/// What is mounted into the container from outside.
#[derive(Default)]
pub(super) struct Mounts(Vec<OsString>);

impl Mounts {
    /// Mounts `from` at `to` for reading.
    pub(super) fn read_only(self, from: impl AsRef<Path>, to: &str) -> Mounts {
        self.add("--bind-ro=", from.as_ref(), to)
    }

    /// Mounts `from` at `to` for reading and writing.
    pub(super) fn writable(self, from: impl AsRef<Path>, to: &str) -> Mounts {
        self.add("--bind=", from.as_ref(), to)
    }

    fn add(mut self, option: &str, from: &Path, to: &str) -> Mounts {
        let mut argument = OsString::from(option);
        argument.push(from);
        argument.push(":");
        argument.push(to);
        self.0.push(argument);
        self
    }
}

/// Boots `root` under a throw-away layer, without a network but its own loopback, with systemd as the first process
/// and `unit` as what it is to reach. The console goes to the file `console`.
pub(super) fn until_power_off(root: &Path, mounts: &Mounts, unit: &str, console: &Path) -> Result<()> {
    let output = File::create(console).with_context(|| format!("making {}", console.display()))?;
    let errors = output.try_clone().context("sharing the console's file")?;
    let mut child = Command::new("systemd-nspawn")
        .args([
            "--boot",
            "--quiet",
            "--register=no",
            "--keep-unit",
            "--volatile=overlay",
            "--private-network",
        ])
        .args(["--console=pipe", "--machine=xapiary-test", "--directory"])
        .arg(root)
        .args(&mounts.0)
        .arg(format!("systemd.unit={unit}"))
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .context("starting systemd-nspawn")?;
    let id = child.id().to_string();
    let (ended, end) = channel();
    std::thread::spawn(move || ended.send(child.wait()));
    match end.recv_timeout(DEADLINE) {
        Ok(status) => {
            let status = status.context("waiting for the container")?;
            if !status.success() {
                let log = std::fs::read_to_string(console).unwrap_or_default();
                bail!("the container ended with {status}:\n{log}");
            }
            Ok(())
        }
        Err(RecvTimeoutError::Timeout) => {
            // The container's processes end with systemd-nspawn.
            Command::new("kill").args(["-KILL", &id]).status().context("ending the container")?;
            let log = std::fs::read_to_string(console).unwrap_or_default();
            bail!("the container did not power off within {} s; its console:\n{log}", DEADLINE.as_secs());
        }
        Err(RecvTimeoutError::Disconnected) => bail!("the thread that waited for the container died"),
    }
}
