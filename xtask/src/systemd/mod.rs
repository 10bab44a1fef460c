//! `cargo xtask test-systemd`: proves the shipped unit under a real systemd.
//!
//! A small Debian is made once ([`root`]) and booted in a container ([`boot`]) with the daemon, the shipped unit, a
//! simulated pool and a plugin mounted in. Inside, `tests/systemd/drive.sh` plays the administrator and writes one
//! line for each finding; here they are shown and counted.

mod boot;
mod root;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::counts::Counts;
use crate::{build, place, setup, step};

/// Runs the test for a person: the counts are the last line.
pub(crate) fn command() -> Result<ExitCode> {
    let counts = run()?;
    println!("{counts}");
    Ok(if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the test, or says why it cannot be run here and counts it as skipped.
pub(crate) fn run() -> Result<Counts> {
    if let Some(why) = cannot_run() {
        println!("    skipped: {why}");
        return Ok(Counts { skipped: 1, ..Counts::default() });
    }
    let root = root::ready()?;
    let component = step::step("building the plugin vm-keepalive", || build::plugin("vm-keepalive"))?;
    let daemon = step::step("building the daemon", build::daemon)?;
    let results = tempfile::Builder::new()
        .prefix("xapiary-systemd-")
        .tempdir()
        .context("making a folder for results")?;
    let console = results.path().join("console.log");
    let tree = place::root();
    let mounts = boot::Mounts::default()
        .writable(results.path(), "/results")
        .read_only(&daemon, "/usr/sbin/xapiary")
        .read_only(&component, "/etc/xapiary/plugins/vm_keepalive.wasm")
        .read_only(tree.join("config/systemd/xapiary.service"), "/etc/systemd/system/xapiary.service")
        .read_only(tree.join("config"), "/usr/lib/xapiary-shipped")
        .read_only(tree.join("tests/systemd"), "/usr/lib/xapiary-test")
        .read_only(tree.join("tests/systemd/pool.service"), "/etc/systemd/system/xapiary-test-pool.service")
        .read_only(
            tree.join("tests/systemd/drive.service"),
            "/etc/systemd/system/xapiary-test-drive.service",
        );
    step::step("booting it", || {
        boot::until_power_off(&root, &mounts, "xapiary-test-drive.service", &console)
    })?;
    let outcome = findings(&results.path().join("report"));
    if !outcome.as_ref().is_ok_and(|counts| counts.failed == 0) {
        show_logs(results.path());
    }
    outcome
}

fn cannot_run() -> Option<String> {
    if !setup::is_root() {
        return Some("this test boots a container, which needs root".to_owned());
    }
    ["debootstrap", "systemd-nspawn"].into_iter().find(|program| !setup::has_program(program)).map(
        |program| format!("{program} is not installed (`cargo xtask setup` installs it as root on Debian)"),
    )
}

/// Reads the report: lines `ok NAME` and `not ok NAME: why`, and at its end `end`, without which the driver has not
/// come to its end.
fn findings(report: &Path) -> Result<Counts> {
    let text =
        std::fs::read_to_string(report).context("reading the report of the test inside the container")?;
    let mut counts = Counts::default();
    let mut ended = false;
    for line in text.lines() {
        println!("    {line}");
        if line.starts_with("ok ") {
            counts.passed += 1;
        } else if line.starts_with("not ok ") {
            counts.failed += 1;
        } else if line == "end" {
            ended = true;
        }
    }
    if !ended {
        bail!("the test inside the container did not come to its end after {counts}");
    }
    if counts.passed + counts.failed == 0 {
        bail!("the test inside the container checked nothing");
    }
    Ok(counts)
}

fn show_logs(results: &Path) {
    for name in ["console.log", "journal.log"] {
        match std::fs::read_to_string(results.join(name)) {
            Ok(text) => println!("---- {name} ----\n{text}"),
            Err(error) => println!("---- {name}: {error} ----"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_only_when_it_came_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let report = folder.path().join("report");
        for (text, expected) in [
            ("ok a\nnot ok b: because\nok c\nend\n", Some(Counts { passed: 2, failed: 1, skipped: 0 })),
            ("ok a\nok c\n", None),
            ("end\n", None),
            ("", None),
        ] {
            std::fs::write(&report, text).unwrap();
            assert_eq!(findings(&report).ok(), expected, "{text}");
        }
        assert!(findings(&folder.path().join("absent")).is_err());
    }
}
