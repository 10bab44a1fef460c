//! The command line: what can be asked of the program, and how its answers look.

mod audit;
mod call;
mod check;
mod dead;
mod deliveries;
mod demo;
mod events;
mod grant;
mod journal;
mod objects;
mod output;
mod plugin;
mod plugins;
mod pool_choice;
mod reach;
mod run;
mod simulate;
mod stage;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::compiler;
use crate::config::Problems;
use crate::control::client::ClientError;

/// Event-driven automation for XenServer and XCP-ng pools.
///
/// xapiary follows your pools, writes every event to a durable journal, and hands each one to sandboxed WebAssembly
/// plugins, which act on the pool through exactly the calls that you granted.
///
/// Exit codes: 0 done; 1 what was asked about is not so, or the daemon failed; 2 wrong usage or a wrong configuration; 3
/// something needed could not be reached.
#[derive(Debug, Parser)]
#[command(name = "xapiary", version, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    ///
    /// Follows every pool of the configuration until SIGTERM or SIGINT, then lets running deliveries end (see
    /// `stop.drain`) and closes its sessions. Under systemd it reports readiness, status and liveness.
    Run(run::Arguments),
    /// Say everything that is wrong with a configuration, its grants and its plugins
    ///
    /// Reads all files, loads every plugin and compiles every grant, and prints each problem with file, line, key and
    /// what to write instead. Nothing is connected unless --connect is given.
    Check(check::Arguments),
    /// Say how the running daemon does
    ///
    /// Pools with how far behind they are, plugins with their queues, dead letters, the journal. Exit code 0: all is well;
    /// 1: there is something that a person should look at; 3: the daemon does not run, and the journal is read instead.
    Status(status::Arguments),
    /// Look at what happened in the pools
    #[command(subcommand)]
    Events(events::Command),
    /// Look at what plugins are dealing with
    #[command(subcommand)]
    Deliveries(deliveries::Command),
    /// Look at deliveries that were given up; deliver them again or drop them
    #[command(subcommand)]
    Dead(dead::Command),
    /// Look at plugins, switch them off and on
    #[command(subcommand)]
    Plugins(plugins::Command),
    /// Ask what the grant of a plugin allows
    #[command(subcommand)]
    Grant(grant::Command),
    /// Look at who did what, and check that nobody changed that record
    #[command(subcommand)]
    Audit(audit::Command),
    /// Write a plugin: begin a project, build it, test it, look at its file
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Look after the journal
    #[command(subcommand)]
    Journal(journal::Command),
    /// Run a simulated pool that clients can log in to
    ///
    /// The pool is made up (2 hosts, about 40 VMs) or comes from a real pool's state database, of which only a copy in
    /// memory changes. Any XAPI client can talk to it over each door that is opened.
    Simulate(simulate::Arguments),
    /// Call any method of a pool
    ///
    /// Logs in, finds the objects that the arguments name, calls, prints the result and logs out. With --async the call
    /// becomes a task, whose progress is shown until it ends.
    Call(call::Arguments),
    /// List objects of a pool
    ///
    /// All of a class, or those that a query fits, with the fields that you choose.
    Objects(objects::Arguments),
    /// Show the whole thing at work on a simulated pool, in a minute
    ///
    /// Starts a simulated pool and the daemon with a plugin, crashes a VM and tells what happens, step by step.
    Demo(demo::Arguments),
    #[command(name = compiler::COMMAND, hide = true)]
    CompilePlugin,
}

/// The option that most commands share.
#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "/etc/xapiary/xapiary.toml")]
    config: PathBuf,
}

/// How a command ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Done.
    Done,
    /// What was asked about is not so.
    No,
    /// Something needed could not be reached.
    Unreachable,
    /// What was given cannot be used: a wrong configuration, as much as a wrong option.
    Misused,
}

/// What to do about a certificate that is not believed.
const PIN_ADVICE: &str = "\
If it is the pool's own certificate, believe it by its fingerprint: --pin sha256:..., or `pin` in the configuration. On the
coordinator: openssl x509 -noout -fingerprint -sha256 -in /etc/xensource/xapi-ssl.pem";

/// Carries out what was asked.
pub(crate) async fn carry_out(arguments: Arguments) -> ExitCode {
    let outcome = match arguments.command {
        Command::Run(arguments) => run::run(&arguments).await,
        Command::Check(arguments) => check::check(&arguments).await,
        Command::Status(arguments) => status::status(&arguments).await,
        Command::Events(command) => events::events(&command).await,
        Command::Deliveries(command) => deliveries::deliveries(&command).await,
        Command::Dead(command) => dead::dead(&command).await,
        Command::Plugins(command) => plugins::plugins(&command).await,
        Command::Grant(command) => grant::grant(&command).await,
        Command::Audit(command) => audit::audit(&command).await,
        Command::Plugin(command) => plugin::plugin(&command).await,
        Command::Journal(command) => journal::journal(&command).await,
        Command::Simulate(arguments) => simulate::simulate(&arguments).await,
        Command::Call(arguments) => call::call(&arguments).await,
        Command::Objects(arguments) => objects::objects(&arguments).await,
        Command::Demo(arguments) => demo::demo(&arguments).await,
        Command::CompilePlugin => return compiler::serve(),
    };
    match outcome {
        Ok(Answer::Done) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Ok(Answer::Misused) => ExitCode::from(2),
        Ok(Answer::Unreachable) => ExitCode::from(3),
        Err(error) => {
            anstream::eprintln!("xapiary: {}", chain(&error));
            if error
                .chain()
                .filter_map(|cause| cause.downcast_ref::<xapi::Error>())
                .any(xapi::Error::untrusted)
            {
                anstream::eprintln!("{PIN_ADVICE}");
            }
            ExitCode::from(code(&error))
        }
    }
}

/// Does something until it is done or, where it may be, interrupted; the caller then still logs out.
async fn interruptible(
    may_be: bool,
    work: impl Future<Output = anyhow::Result<Answer>>,
) -> anyhow::Result<Answer> {
    if !may_be {
        return work.await;
    }
    tokio::select! {
        answer = work => answer,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    }
}

/// Of an argument.
fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}: write for example 30s or 5m"))
}

/// 2 where what was given cannot be used, and nothing was sent; 3 where a pool or the daemon could not be reached or did not
/// let us in; otherwise 1.
fn code(error: &anyhow::Error) -> u8 {
    if error.chain().any(<dyn std::error::Error>::is::<Problems>) {
        return 2;
    }
    if error.chain().any(<dyn std::error::Error>::is::<reach::NoJournal>) {
        return 3;
    }
    if let Some(error) = error.chain().find_map(|cause| cause.downcast_ref::<ClientError>()) {
        return if matches!(error, ClientError::Cannot(_)) { 1 } else { 3 };
    }
    let causes: Vec<&xapi::Error> = error.chain().filter_map(|cause| cause.downcast_ref()).collect();
    if causes.iter().any(|error| nothing_sent(error)) {
        2
    } else if causes.iter().any(|error| no_answer(error)) {
        3
    } else {
        1
    }
}

fn nothing_sent(error: &xapi::Error) -> bool {
    match error {
        xapi::Error::Password { .. } | xapi::Error::NoAsync { .. } => true,
        xapi::Error::Login { source, .. } => nothing_sent(source),
        _ => false,
    }
}

fn no_answer(error: &xapi::Error) -> bool {
    match error {
        xapi::Error::Login { .. } | xapi::Error::Transport { .. } | xapi::Error::Waiting { .. } => true,
        xapi::Error::Watching { source, .. } => no_answer(source),
        _ => false,
    }
}

/// The error with its causes; problems of a configuration keep their lines.
fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
