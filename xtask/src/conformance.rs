//! `cargo xtask test-conformance`: clients that others wrote, at work on `xapiary simulate` over real sockets.
//!
//! Each script in `tests/conformance` gets a pool of its own and writes one line for each check, which are shown and
//! counted here. A client that cannot be fetched is skipped.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::counts::Counts;
use crate::{build, place, setup, step};

#[path = "../../tests/clients.rs"]
mod clients;

/// So much faster than nature the pools are: quick, and slow enough to restart while something is under way.
const SPEED: &str = "10";

/// Runs the checks for a person: the counts are the last line.
pub(crate) fn command() -> Result<ExitCode> {
    let counts = run()?;
    println!("{counts}");
    Ok(if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How a line begins that tells of a check.
const PASSED: &str = "ok ";
const FAILED: &str = "FAILED ";

/// Fetches the clients and runs the checks.
pub(crate) fn run() -> Result<Counts> {
    let target = place::target()?;
    let scripts = place::root().join("tests/conformance");
    let mut counts = Counts::default();
    let python = if setup::has_program("python3") { clients::xenapi(&target)? } else { None };
    let python = python.map(|folder| {
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", folder).arg(scripts.join("python/conformance.py"));
        python
    });
    counts += checked(&format!("XenAPI {} of PyPI", clients::XENAPI), python, |pool| {
        vec![
            pool.http.clone(),
            pool.https.clone(),
            pool.unix.clone(),
            pool.password.clone(),
            pool.spare_host.clone(),
        ]
    })?;
    let node = if setup::has_program("node") { clients::xen_api(&target)? } else { None };
    let node = match node {
        None => None,
        Some(folder) => {
            // A module finds its packages from where it lies.
            let script = folder.join("conformance.mjs");
            std::fs::copy(scripts.join("node/conformance.mjs"), &script)
                .context("copying the script for Node")?;
            let mut node = Command::new("node");
            node.arg(script);
            Some(node)
        }
    };
    counts += checked(&format!("xen-api {} of npm", clients::XEN_API), node, |pool| {
        vec![pool.https.clone(), pool.password.clone(), pool.spare_host.clone()]
    })?;
    Ok(counts)
}

/// Runs one script against a pool of its own, or says that it is skipped.
fn checked(
    client: &str,
    script: Option<Command>,
    arguments: impl Fn(&Pool) -> Vec<String>,
) -> Result<Counts> {
    let Some(mut script) = script else {
        println!("    skipped: {client} cannot be fetched here, or there is nothing to run it with");
        return Ok(Counts { skipped: 1, ..Counts::default() });
    };
    let daemon = build::daemon()?;
    step::step(client, || {
        let pool = Pool::start(&daemon)?;
        let output = script.args(arguments(&pool)).stdin(Stdio::null()).output();
        let output = output.context("starting the script")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let counts = findings(&said, output.status.success());
        let all_well = counts.as_ref().is_ok_and(|counts| counts.failed == 0);
        // Clients tell of every restart at length; that is of interest only when something went wrong.
        for line in said.lines().filter(|line| !all_well || is_finding(line)) {
            println!("    {line}");
        }
        if !all_well {
            print!("{}", String::from_utf8_lossy(&output.stderr));
        }
        counts
    })
}

fn is_finding(line: &str) -> bool {
    line.starts_with(PASSED) || line.starts_with(FAILED)
}

/// Reads lines `ok NAME` and `FAILED NAME: why`. A script that ends badly without a failed check broke off.
fn findings(output: &str, success: bool) -> Result<Counts> {
    let of = |word: &str| output.lines().filter(|line| line.starts_with(word)).count() as u64;
    let counts = Counts { passed: of(PASSED), failed: of(FAILED), skipped: 0 };
    if counts.passed + counts.failed == 0 {
        bail!("the script checked nothing");
    }
    if success != (counts.failed == 0) {
        bail!("the script broke off after {counts}");
    }
    Ok(counts)
}

/// A simulated pool as a process; it ends with this.
struct Pool {
    process: Child,
    http: String,
    https: String,
    unix: String,
    password: String,
    /// HTTPS of a host that belongs to no pool yet.
    spare_host: String,
    _folder: tempfile::TempDir,
}

impl Pool {
    fn start(daemon: &Path) -> Result<Pool> {
        // Short, because the path of a Unix socket must not exceed some 100 characters.
        let folder = tempfile::Builder::new().prefix("xapiary-").tempdir_in("/tmp");
        let folder = folder.context("making a folder for the socket")?;
        let socket: PathBuf = folder.path().join("xapi");
        let mut command = Command::new(daemon);
        command.args(["simulate", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--unix"]).arg(&socket);
        command.args([
            "--members",
            "--spare-hosts",
            "1",
            "--speed",
            SPEED,
            "--role-user",
            "watcher:read-only",
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().context("starting the simulated pool")?;
        let stdout = process.stdout.take().context("the simulated pool has no standard output")?;
        let unix = socket.display().to_string();
        let mut pool = Pool {
            process,
            http: String::new(),
            https: String::new(),
            unix,
            password: String::new(),
            spare_host: String::new(),
            _folder: folder,
        };
        for line in BufReader::new(stdout).lines() {
            let line = line.context("reading what the simulated pool says")?;
            match line.split_once(": ") {
                Some(("http", value)) => pool.http = value.into(),
                Some(("https", value)) => pool.https = value.into(),
                Some(("password", value)) => pool.password = value.into(),
                Some(("spare host", value)) if value.starts_with("https:") => pool.spare_host = value.into(),
                // Its last line; it must not be kept from writing it.
                None if line.starts_with("It runs until") => return Ok(pool),
                _ => {}
            }
        }
        bail!("the simulated pool ended before it said where it is")
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // It may have ended by itself; the checks have told what came of that.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_breaks_off_is_no_success() {
        for (output, success, expected) in [
            ("ok a (0.1 s)\nok b (1.0 s)\n", true, Some((2, 0))),
            ("ok a (0.1 s)\nFAILED b: because\n", false, Some((1, 1))),
            ("ok a (0.1 s)\nTraceback\n", false, None),
            ("ok a (0.1 s)\nFAILED b: because\n", true, None),
            ("", true, None),
        ] {
            let counts = findings(output, success).ok().map(|counts| (counts.passed, counts.failed));
            assert_eq!(counts, expected, "{output}");
        }
    }
}
