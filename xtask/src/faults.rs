//! `cargo xtask faults`: builds the daemon, the plugins and the program that makes faults, and runs it.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::counts::Counts;
use crate::{build, place, setup, step};

/// What the program is asked for.
#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// All scenarios, also those that take too long for every run of the tests
    #[arg(long)]
    all: bool,
    /// Where all chance comes from, to have the same again; made up when it is left out
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Only the scenario with this code, such as F7; may be given several times
    #[arg(long, value_name = "CODE")]
    only: Vec<String>,
    /// How many scenarios run side by side
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Name the scenarios and run none
    #[arg(long)]
    list: bool,
}

/// Builds everything, runs scenarios and passes on how that ended.
pub(crate) fn command(arguments: &Arguments) -> Result<ExitCode> {
    setup::wasm_target()?;
    step::step("building the plugins", || {
        build::plugin("vm-keepalive")?;
        build::guests()
    })?;
    step::step("building the daemon", build::daemon)?;
    let mut program = program(arguments)?;
    let status = program.status().context("starting the program that makes faults")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The scenarios that every run of the tests has, counted. The daemon and the plugins must be built.
pub(crate) fn of_every_run() -> Result<Counts> {
    let (output, success) = step::run_and_listen(&mut program(&Arguments::default())?)?;
    let counts = counted(&output).context("the program that makes faults did not get to its end")?;
    anyhow::ensure!(
        success || counts.failed > 0,
        "the program that makes faults failed although no scenario did"
    );
    Ok(counts)
}

fn program(arguments: &Arguments) -> Result<Command> {
    step::run(&mut step::cargo(["build", "-p", "faults"]))?;
    let mut command = Command::new(place::target()?.join("debug/faults"));
    command.args(arguments.all.then_some("--all")).args(arguments.list.then_some("--list"));
    if let Some(seed) = arguments.seed {
        command.arg("--seed").arg(seed.to_string());
    }
    if let Some(jobs) = arguments.jobs {
        command.arg("--jobs").arg(jobs.to_string());
    }
    command.args(arguments.only.iter().flat_map(|code| ["--only", code]));
    Ok(command)
}

/// Reads the last line: `12 held, 0 failed, 1 skipped`.
fn counted(output: &str) -> Option<Counts> {
    let line = output.lines().next_back()?;
    let numbers: Option<Vec<u64>> = line
        .split(", ")
        .zip(["held", "failed", "skipped"])
        .map(|(part, word)| part.strip_suffix(word)?.trim().parse().ok())
        .collect();
    match numbers?.as_slice() {
        &[passed, failed, skipped] => Some(Counts { passed, failed, skipped }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_read_and_nothing_else() {
        let counts = Counts { passed: 12, failed: 0, skipped: 1 };
        assert_eq!(counted("F1 ok\n12 held, 0 failed, 1 skipped\n"), Some(counts));
        for other in [
            "",
            "F1 ok",
            "12 held, 0 failed",
            "12 held, no failed, 1 skipped",
            "1 held, 2 failed, 3 skipped\nmore",
        ] {
            assert_eq!(counted(other), None, "{other}");
        }
    }
}
