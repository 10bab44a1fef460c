//! `cargo xtask COMMAND`: set-up, demo, tests, code generation and benchmarks.
//!
//! Everything that a person or CI does with the source tree starts here, so that there is one way to do it. Each
//! command does its own set-up, says what it is doing, and may be run again at any time. This room knows cargo, the
//! machine's packages and the folder layout; it must not know what the crates do inside.

mod bench;
mod build;
mod codegen;
mod conformance;
mod counts;
mod demo;
mod faults;
mod fuzz;
mod gate;
mod place;
mod setup;
mod skips;
mod step;
mod systemd;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Set-up, demo, tests, code generation and benchmarks of Xapiary")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what building and testing need: the wasm target, cargo-nextest and, as root on Debian, a few packages
    Setup,
    /// Build the daemon and a plugin, and run them against the built-in simulated pool
    Demo {
        /// Passed on to `xapiary demo`, for example `--state FILE`
        #[arg(last = true, value_name = "ARGS")]
        arguments: Vec<String>,
    },
    /// Run everything that CI runs
    Test,
    /// Let clients that others wrote work a simulated pool: XenAPI of PyPI, xen-api of npm
    TestConformance,
    /// Boot a small Debian with the shipped unit and prove the service under a real systemd (needs root)
    TestSystemd,
    /// Write the generated parts of the XAPI model and of the plugin SDK from the schema table
    Codegen {
        /// Change nothing; fail when the file in the tree is stale
        #[arg(long)]
        check: bool,
    },
    /// Measure, print the table, and write target/bench.json
    Bench {
        /// Passed on to the benchmark program
        #[arg(last = true, value_name = "ARGS")]
        arguments: Vec<String>,
    },
    /// Make faults, and check after each that the promises hold; one line a scenario
    Faults(faults::Arguments),
    /// Feed a decoder what libFuzzer makes of recorded exchanges (needs cargo-fuzz and a C++ compiler)
    Fuzz {
        /// What to feed
        #[arg(value_enum)]
        target: fuzz::Target,
        /// For how long
        #[arg(long, value_name = "N", default_value_t = 60)]
        seconds: u64,
    },
    /// Look for what has no place in the tree: machine paths, overgrown files
    Tidy,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    std::env::set_current_dir(place::root())?;
    match command {
        Command::Setup => setup::everything().map(|()| ExitCode::SUCCESS),
        Command::Demo { arguments } => demo::run(&arguments),
        Command::Test => gate::run(),
        Command::TestConformance => conformance::command(),
        Command::TestSystemd => systemd::command(),
        Command::Codegen { check } => codegen::run(check).map(|()| ExitCode::SUCCESS),
        Command::Bench { arguments } => bench::run(&arguments),
        Command::Faults(arguments) => faults::command(&arguments),
        Command::Fuzz { target, seconds } => fuzz::run(target, seconds).map(|()| ExitCode::SUCCESS),
        Command::Tidy => tidy::run().map(|()| ExitCode::SUCCESS),
    }
}
