//! `xapiary check`: everything that is wrong, at once.

use std::path::Path;

use anyhow::Result;
use plugin_host::Host;

use super::{Answer, ConfigFile};
use crate::config::{self, Config, Problem};
use crate::router::Installed;
use crate::service;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Also log in to every pool, and out again
    #[arg(long)]
    connect: bool,
}

pub(super) async fn check(arguments: &Arguments) -> Result<Answer> {
    let config = match config::load(&arguments.file.config) {
        Ok(config) => config,
        Err(problems) => {
            for warning in &problems.warnings {
                anstream::eprintln!("warning: {warning}\n");
            }
            for error in &problems.errors {
                anstream::eprintln!("error: {error}\n");
            }
            anstream::eprintln!("{}", counted(problems.errors.len(), "error"));
            return Ok(Answer::No);
        }
    };
    for warning in &config.warnings {
        anstream::eprintln!("warning: {warning}\n");
    }
    let (mut problems, mut unwise) = plugins(&config)?;
    state(&config, &arguments.file.config, &mut problems, &mut unwise);
    for warning in &unwise {
        anstream::eprintln!("warning: {warning}\n");
    }
    for problem in &problems {
        anstream::eprintln!("error: {problem}\n");
    }
    if !problems.is_empty() {
        anstream::eprintln!("{}", counted(problems.len(), "error"));
        return Ok(Answer::No);
    }
    let enabled = config.grants.iter().filter(|grant_file| grant_file.enabled).count();
    anstream::println!(
        "{} is good: {}, {}",
        arguments.file.config.display(),
        counted(config.pools.len(), "pool"),
        counted(enabled, "plugin")
    );
    if arguments.connect { connect(&config).await } else { Ok(Answer::Done) }
}

/// What is wrong with the folder of the journal, seen as the user who asks. One that is not there may still come:
/// systemd makes the service's own when it starts.
fn state(config: &Config, file: &Path, problems: &mut Vec<Problem>, unwise: &mut Vec<Problem>) {
    let folder = config.state.display();
    if !config.state.exists() {
        let problem =
            Problem::file(file, format!("state: the folder for the journal, {folder}, is not there"));
        unwise.push(problem.instead("systemd makes it for the service; anybody else makes it by hand"));
    } else if let Err(error) = tempfile::tempfile_in(&config.state) {
        let problem = Problem::file(file, format!("state: {folder} cannot hold the journal: {error}"));
        problems.push(problem.instead("give a folder that the daemon may write to"));
    }
}

/// What is wrong with plugins and grants, and what plugins ask for beyond their grants.
fn plugins(config: &Config) -> Result<(Vec<Problem>, Vec<Problem>)> {
    let host = Host::new(plugin_host::Options::default())?;
    let (mut problems, mut missing) = (Vec::new(), Vec::new());
    for grant_file in config.grants.iter().filter(|grant_file| grant_file.enabled) {
        match Installed::load(&host, grant_file) {
            Ok(Installed { missing: Some(lines), .. }) => {
                let what = "the plugin asks for more than this allows";
                missing.push(
                    Problem::file(&grant_file.path, what).instead(format!("to allow it, add\n{lines}")),
                );
            }
            Ok(_) => {}
            Err(wrong) => problems.extend(wrong),
        }
    }
    Ok((problems, missing))
}

async fn connect(config: &Config) -> Result<Answer> {
    let mut answer = Answer::Done;
    for pool in &config.pools {
        let client = service::client(pool)?;
        match client.lease().await {
            Ok(_) => {
                anstream::println!("pool {}: logged in to {} as {}", pool.name, client.endpoint(), pool.user);
                client.logout().await;
            }
            Err(error) => {
                anstream::eprintln!("pool {}: {}", pool.name, error.chain());
                answer = Answer::Unreachable;
            }
        }
    }
    Ok(answer)
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
