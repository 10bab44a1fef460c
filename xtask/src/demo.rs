//! `cargo xtask demo`: from a fresh checkout to a running daemon in one command.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::{build, setup, step};

/// Builds what the demo needs and runs it with `arguments`; its exit code is ours.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    println!("Building the daemon and one plugin; the first time this takes a few minutes.");
    setup::wasm_target()?;
    let plugin = step::step("building the plugin vm-keepalive", || build::plugin("vm-keepalive"))?;
    let daemon = step::step("building the daemon", build::daemon)?;
    let status = Command::new(&daemon)
        .arg("demo")
        .arg("--plugin")
        .arg(&plugin)
        .args(arguments)
        .status()
        .with_context(|| format!("starting {}", daemon.display()))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
