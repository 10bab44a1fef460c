//! The program `xapiary`: see `xapiary --help`, and ARCHITECTURE.md for how it is built.

mod cause;
mod cli;
mod compiler;
mod config;
mod control;
mod event;
mod feed;
mod latency;
mod pulse;
mod retention;
mod router;
mod schedule;
mod service;
mod setter;
mod steady;
mod story;
mod systemd;
mod telemetry;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    // One thread a core; blocking work has its own threads.
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            anstream::eprintln!("xapiary: starting the runtime: {error}");
            return ExitCode::from(1);
        }
    };
    let code = runtime.block_on(cli::carry_out(arguments));
    // A blocked thread must not hold the process back after everything is said and done.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    code
}
