//! `cargo xtask bench`: builds the daemon, a plugin and the benchmark program with optimisation, and runs it.

use std::process::ExitCode;

use anyhow::Result;

use crate::{build, place, setup, step};

/// Runs the benchmarks; they print their table and write `bench.json` into cargo's target folder. With `--quick` among
/// the arguments nothing is optimised and little is done: that shows whether everything works.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let target = place::target()?;
    setup::wasm_target()?;
    step::step("building the plugin that does nothing", build::guests)?;
    let (profile, folder) = if quick { ("dev", "debug") } else { ("release", "release") };
    let what = if quick {
        "building the daemon and the benchmark program"
    } else {
        "building the daemon and the benchmark program with optimisation; the first time this takes some minutes"
    };
    // In one go, so that what both stand on is built once.
    step::step(what, || {
        step::run(&mut step::cargo(["build", "--profile", profile, "-p", "xapiary", "-p", "bench"]))
    })?;
    let plugin = target.join(build::WASM_TARGET).join("plugin/examples/no_op.wasm");
    let mut command = std::process::Command::new(target.join(folder).join("bench"));
    command.arg("--daemon").arg(target.join(folder).join("xapiary"));
    command.arg("--plugin").arg(plugin);
    command.arg("--out").arg(target.join("bench.json"));
    command.args(arguments);
    step::step("measuring; it is best that nothing else runs meanwhile", || step::run(&mut command))?;
    Ok(ExitCode::SUCCESS)
}
