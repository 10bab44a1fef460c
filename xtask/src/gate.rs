//! `cargo xtask test`: everything that CI runs, in order. A failing step does not keep the later ones from running, so
//! that one run tells all that is wrong.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::counts::{self, Counts};
use crate::skips::Skips;
use crate::{build, codegen, conformance, faults, setup, step, systemd, tidy};

/// Runs all steps and closes with one line of counts. A failed step that counts no tests is one failure.
pub(crate) fn run() -> Result<ExitCode> {
    let start = Instant::now();
    let mut gate = Gate::default();
    gate.step("set-up", setup::everything);
    gate.step("formatting", || step::run(&mut step::cargo(["fmt", "--all", "--check", "--", "-l"])));
    gate.step("generated code", || codegen::run(true));
    gate.step("tidiness", tidy::run);
    gate.step("plugins", || build::plugin("vm-keepalive").map(|_| ()));
    gate.step("guests", build::guests);
    gate.step("packages", build::packages);
    gate.step("lints", || {
        step::run(&mut step::cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    });
    gate.step("daemon", || build::daemon().map(|_| ()));
    gate.tests("tests", tests);
    gate.tests("documentation tests", || {
        counted(&mut step::cargo(["test", "--workspace", "--doc", "--no-fail-fast"]))
    });
    gate.step("documentation", || {
        let mut doc = step::cargo(["doc", "--workspace", "--no-deps"]);
        step::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
    });
    gate.tests("faults on purpose", faults::of_every_run);
    gate.tests("clients of others at a simulated pool", conformance::run);
    gate.tests("the service under a real systemd", systemd::run);

    println!("\nEverything took {:.0} s.", start.elapsed().as_secs_f64());
    for name in &gate.failed_steps {
        println!("failed: {name}");
    }
    println!("{}", gate.counts);
    Ok(if gate.failed_steps.is_empty() && gate.counts.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[derive(Default)]
struct Gate {
    counts: Counts,
    failed_steps: Vec<String>,
}

impl Gate {
    fn step(&mut self, name: &str, work: impl FnOnce() -> Result<()>) {
        if step::step(name, work).is_err() {
            self.failed_steps.push(name.to_owned());
            self.counts.failed += 1;
        }
    }

    fn tests(&mut self, name: &str, work: impl FnOnce() -> Result<Counts>) {
        match step::step(name, work) {
            Ok(counts) => {
                self.counts += counts;
                if counts.failed > 0 {
                    self.failed_steps.push(format!("{name} ({counts})"));
                }
            }
            Err(_) => {
                self.failed_steps.push(name.to_owned());
                self.counts.failed += 1;
            }
        }
    }
}

fn tests() -> Result<Counts> {
    let skips = Skips::listen()?;
    let mut command = if setup::has_nextest() {
        let colour = step::colour();
        step::cargo(["nextest", "run", "--workspace", "--no-fail-fast", "--color", colour])
    } else {
        step::cargo(["test", "--workspace", "--all-targets", "--no-fail-fast"])
    };
    let counts = counted(skips.asked_of(&mut command))?;
    let skips = skips.told()?;
    for skip in &skips {
        println!("    skipped: {skip}");
    }
    counts.with_skipped(skips.len() as u64)
}

/// Runs a test runner and reads its own summary. A runner that fails without counting a failure did not get to run.
fn counted(command: &mut std::process::Command) -> Result<Counts> {
    let (output, success) = step::run_and_listen(command)?;
    match counts::in_output(&output) {
        Some(counts) if success || counts.failed > 0 => Ok(counts),
        Some(_) => bail!("the test runner failed although no test did"),
        None if success => bail!("the test runner ran no test"),
        None => bail!("the test runner did not get to run tests"),
    }
}
