//! The figures of `docs/benchmarks.md`, measured in one run: what can be measured in this process first, then the
//! program `xapiary` as a whole beside the disk that it writes to.
//!
//! Figures are for reading: no test and no exit code depends on one. This program fails only when something cannot be
//! measured.

mod clients;
mod codec_json;
mod codec_xml;
mod compare;
mod daemon;
mod disk;
mod ledger;
mod memory;
mod one_core;
mod picture;
mod python;
mod recorded;
mod recovery;
mod report;
mod resync;
mod road;
mod row;
mod sandbox;
mod soak;
mod stage;
mod timing;
mod walk;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

use report::Report;
use timing::Rounds;

/// Measure, print the table, and write it as JSON.
#[derive(Parser)]
#[command(name = "bench", args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// The program `xapiary` to measure; without it the whole road is left out
    #[arg(long, value_name = "FILE", requires = "plugin")]
    daemon: Option<PathBuf>,
    /// The component of the guest `no_op`; that of `repeater` lies beside it
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
    /// Where the rows are written as JSON
    #[arg(long, value_name = "FILE", required = true)]
    out: Option<PathBuf>,
    /// Where the daemon's state may lie for a while: a folder on the disk to measure. The folder of --out by default
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Measure memory over so many minutes of 200 events a second too
    #[arg(long, value_name = "MINUTES", requires = "daemon")]
    soak: Option<f64>,
    /// A short run that shows whether everything works; its figures are rough
    #[arg(long)]
    quick: bool,
}

/// What this program does as a process of its own.
#[derive(clap::Subcommand)]
enum Part {
    /// Poll with our own client
    #[command(hide = true)]
    Client(clients::Polling),
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if let Some(Part::Client(polling)) = &arguments.part {
        return polling.run();
    }
    let out = arguments.out.as_deref().context("--out is missing")?;
    let beside = out.parent().map(ToOwned::to_owned).unwrap_or_default();
    let rounds = if arguments.quick { Rounds(5) } else { Rounds(60) };
    let mut report = Report::default();
    // First, while the heap has no holes to put records into.
    println!("==> filling a world");
    let weights = world::measure(if arguments.quick { 1 } else { 10 })?;
    println!("==> decoding a recorded reply");
    report.add(codec_xml::measure(rounds)?);
    report.add(python::measure(rounds)?);
    report.add(codec_json::measure(rounds)?);
    println!("==> polling with our client and with others");
    report.add(clients::measure(&beside, arguments.quick)?);
    println!("==> comparing records");
    report.add(compare::measure(rounds)?);
    report.add(resync::measure(rounds)?);
    report.add(weights);
    match (&arguments.daemon, &arguments.plugin) {
        (Some(daemon), Some(plugin)) => {
            println!("==> running plugins without a daemon");
            report.add(sandbox::measure(plugin, rounds, arguments.quick)?);
            let folder = arguments.folder.clone().unwrap_or(beside);
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .context("starting the runtime")?;
            let plan = if arguments.quick { road::Plan::QUICK } else { road::Plan::WHOLE };
            runtime.block_on(async {
                road::measure(daemon, plugin, &folder, &plan, &mut report).await?;
                let plan = if arguments.quick { one_core::Plan::QUICK } else { one_core::Plan::WHOLE };
                report.add(one_core::measure(daemon, plugin, &folder, &plan).await?);
                let plan = if arguments.quick { recovery::Plan::QUICK } else { recovery::Plan::WHOLE };
                report.add(recovery::measure(daemon, plugin, &folder, &plan).await?);
                if let Some(minutes) = arguments.soak {
                    report.add(soak::measure(daemon, plugin, &folder, minutes).await?);
                }
                anyhow::Ok(())
            })?;
        }
        _ => println!("==> no --daemon: the whole road is left out"),
    }
    report.print(cfg!(debug_assertions) || arguments.quick);
    report.write(out)
}
