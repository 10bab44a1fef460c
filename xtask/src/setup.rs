//! Installs what building and testing need. Looks first, so that a second run takes no time.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::build::WASM_TARGET;
use crate::step;

/// What `cargo xtask test-systemd` and, for clocks that jump, `cargo xtask faults` need: by Debian package, and a program
/// that proves it is there.
const PACKAGES: [(&str, &str); 4] = [
    ("debootstrap", "debootstrap"),
    ("systemd-container", "systemd-nspawn"),
    ("dbus", "dbus-daemon"),
    ("faketime", "faketime"),
];

/// All of it: for tests and benchmarks.
pub(crate) fn everything() -> Result<()> {
    wasm_target()?;
    nextest()?;
    packages()
}

/// The wasm target alone: all that the demo needs.
pub(crate) fn wasm_target() -> Result<()> {
    if has_wasm_target() {
        println!("    Rust target {WASM_TARGET}: present");
        return Ok(());
    }
    if !has_program("rustup") {
        bail!(
            "the Rust target {WASM_TARGET} is missing and there is no rustup to add it; install the target's standard \
             library by the means that installed rustc"
        );
    }
    step::step(&format!("adding the Rust target {WASM_TARGET}"), || {
        step::run(Command::new("rustup").args(["target", "add", WASM_TARGET]))
    })
}

/// cargo-nextest, built from source when it is missing. Tests fall back to cargo's own runner without it.
pub(crate) fn nextest() -> Result<()> {
    if has_nextest() {
        println!("    cargo-nextest: present");
        return Ok(());
    }
    let installed = step::step("installing cargo-nextest (a few minutes)", || {
        step::run(&mut step::cargo(["install", "cargo-nextest", "--locked"]))
    });
    if installed.is_err() {
        println!("    going on without cargo-nextest: tests will run under `cargo test`");
    }
    Ok(())
}

/// Whether `cargo nextest` can be run.
pub(crate) fn has_nextest() -> bool {
    succeeds(&mut step::cargo(["nextest", "--version"]))
}

/// Debian packages for the test under a real systemd and for clocks that jump. Without root or apt nothing is installed:
/// those tests then say that they were skipped.
fn packages() -> Result<()> {
    let missing: Vec<&str> =
        PACKAGES.iter().filter(|(_, program)| !has_program(program)).map(|(package, _)| *package).collect();
    if missing.is_empty() {
        println!("    Debian packages {}: present", PACKAGES.map(|(package, _)| package).join(", "));
        return Ok(());
    }
    let wanted = missing.join(" ");
    if !is_root() || !has_program("apt-get") {
        println!(
            "    not installed: {wanted} (needs root and apt-get); the tests that need it will be skipped"
        );
        return Ok(());
    }
    step::step(&format!("installing Debian packages: {wanted}"), || {
        let apt = || {
            let mut command = Command::new("apt-get");
            command.env("DEBIAN_FRONTEND", "noninteractive");
            command
        };
        step::run_quietly(apt().args(["update", "--quiet"]))?;
        step::run_quietly(
            apt().args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(&missing),
        )
    })
}

/// Whether we may act as root on this machine.
pub(crate) fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Whether a program is on the search path or in one of the administrator's folders.
pub(crate) fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).collect::<Vec<_>>();
    folders.extend(["/usr/sbin", "/sbin"].map(Into::into));
    folders.iter().any(|folder| folder.join(name).is_file())
}

fn has_wasm_target() -> bool {
    let output = Command::new("rustc").args(["--print", "target-libdir", "--target", WASM_TARGET]).output();
    output.is_ok_and(|output| {
        let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success() && Path::new(&folder).is_dir()
    })
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
