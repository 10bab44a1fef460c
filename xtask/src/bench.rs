//! `cargo xtask bench`: builds the benchmark program with optimisation and runs it.

use std::process::ExitCode;

use anyhow::Result;

use crate::{build, setup, step};

/// Runs the benchmarks; they print their table and write `bench.json` into cargo's target folder.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    setup::wasm_target()?;
    step::step("building the plugins that are measured", || {
        build::plugin("vm-keepalive").and_then(|_| build::guests())
    })?;
    let mut command = step::cargo(["run", "--release", "-p", "bench", "--"]);
    command.args(arguments);
    step::run(&mut command)?;
    Ok(ExitCode::SUCCESS)
}
