//! Faults on purpose: the program `xapiary` as a process, a simulated pool, a proxy between them that does what networks
//! do, and the promises checked from the outside after each fault. See `docs/faults.md`.
//!
//! One line a scenario, beginning with its code. A panic is a scenario's report that something does not hold; the line
//! then names the seed, with which the same chances come again.

mod invariants;
mod proxy;
mod scenarios;
mod scene;
mod table;
mod trouble;

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use tokio::runtime::Handle;
use tokio::sync::mpsc::unbounded_channel;

use table::{Outcome, Scenario};

/// Make faults, and say for each what was checked and whether it held.
#[derive(Parser)]
#[command(name = "faults")]
struct Arguments {
    /// All scenarios, also those that take too long for every run of the tests
    #[arg(long)]
    all: bool,
    /// Where all chance comes from; made up when it is left out
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Only the scenarios with this code, such as F7; may be given several times
    #[arg(long, value_name = "CODE")]
    only: Vec<String>,
    /// How many scenarios run side by side
    #[arg(long, value_name = "N", default_value_t = 4)]
    jobs: usize,
    /// Names the scenarios and runs none
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let chosen = table::chosen(arguments.all, &arguments.only);
    if chosen.is_empty() {
        bail!("there is no such scenario; --list names them");
    }
    if arguments.list {
        for scenario in chosen {
            println!("{:<4} {}", scenario.code, scenario.name);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let seed = arguments.seed.unwrap_or_else(|| rand::random::<u32>().into());
    println!("seed {seed}, {} scenarios, {} side by side", chosen.len(), arguments.jobs);
    // Scenarios wait for processes and read files; more threads than processors keep them from waiting for each other.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.jobs.max(1) * 2 + 2)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let counts = runtime.block_on(run_all(chosen, seed, arguments.jobs.max(1)))?;
    println!("{} held, {} failed, {} skipped", counts.held, counts.failed, counts.skipped);
    Ok(if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Default)]
struct Counts {
    held: usize,
    failed: usize,
    skipped: usize,
}

/// Runs scenarios, the long ones first, and tells each when it has ended.
async fn run_all(mut chosen: Vec<&'static Scenario>, seed: u64, jobs: usize) -> Result<Counts> {
    chosen.sort_by_key(|scenario| std::cmp::Reverse(scenario.seconds));
    let waiting = Arc::new(Mutex::new(chosen.into_iter().collect::<VecDeque<_>>()));
    let (ended, mut ends) = unbounded_channel();
    let runtime = Handle::current();
    for _ in 0..jobs {
        let (waiting, ended, runtime) = (Arc::clone(&waiting), ended.clone(), runtime.clone());
        std::thread::Builder::new()
            .spawn(move || {
                let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                while let Some(scenario) = next() {
                    let begun = Instant::now();
                    let outcome = on_its_own(scenario, seed, &runtime);
                    // Nobody listens any more when the program is about to end.
                    _ = ended.send((scenario, outcome, begun.elapsed()));
                }
            })
            .context("starting a thread")?;
    }
    drop(ended);
    let mut counts = Counts::default();
    while let Some((scenario, ended, took)) = ends.recv().await {
        let head = format!("{:<4} {:<46}", scenario.code, scenario.name);
        let seconds = format!("{:.1} s", took.as_secs_f64());
        match ended {
            Ok(Outcome::Held(what)) => {
                counts.held += 1;
                println!("{head} ok ({what})  {seconds}");
            }
            Ok(Outcome::Skipped(why)) => {
                counts.skipped += 1;
                println!("{head} skipped: {why}");
            }
            Err(why) => {
                counts.failed += 1;
                println!("{head} FAILED  {seconds}\n{}", indented(&why));
                println!("     the same again: cargo xtask faults --only {} --seed {seed}", scenario.code);
            }
        }
    }
    Ok(counts)
}

/// Runs a scenario on a thread of its own, since it reads journals with connections that stay on one; a panic there is its
/// report.
fn on_its_own(scenario: &'static Scenario, seed: u64, runtime: &Handle) -> Result<Outcome, String> {
    let runtime = runtime.clone();
    let run = move || runtime.block_on((scenario.run)(scenario.seed(seed)));
    let thread = std::thread::Builder::new().name(scenario.code.to_owned()).spawn(run);
    let thread = thread.map_err(|error| format!("starting a thread: {error}"))?;
    thread.join().map_err(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().map_or_else(|| "a panic".to_owned(), ToString::to_string),
    })
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("     {line}")).collect::<Vec<_>>().join("\n")
}
