//! `xapiary check`: everything that is wrong, at once.

use std::path::Path;

use anyhow::Result;
use plugin_host::Host;

use super::output::counted;
use super::{Answer, ConfigFile};
use crate::compiler::Compiler;
use crate::config::{self, Config, Problem, Problems};
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
    let (config, mut problems) = match config::load(&arguments.file.config) {
        Ok(config) => (Some(config), Problems::default()),
        Err(problems) => (None, problems),
    };
    if let Some(config) = &config {
        problems.warnings.extend(config.warnings.iter().cloned());
        problems.grants.clone_from(&config.grants);
        state(config, &arguments.file.config, &mut problems);
    }
    plugins(&mut problems)?;
    for warning in &problems.warnings {
        anstream::eprintln!("warning: {warning}\n");
    }
    for error in &problems.errors {
        anstream::eprintln!("error: {error}\n");
    }
    let Some(config) = config.filter(|_| problems.errors.is_empty()) else {
        anstream::eprintln!("{}", counted(problems.errors.len() as u64, "error"));
        return Ok(Answer::No);
    };
    let enabled = config.grants.iter().filter(|grant_file| grant_file.enabled).count();
    anstream::println!(
        "{} is good: {}, {}",
        arguments.file.config.display(),
        counted(config.pools.len() as u64, "pool"),
        counted(enabled as u64, "plugin")
    );
    if arguments.connect { connect(&config).await } else { Ok(Answer::Done) }
}

/// What is wrong with the folder of the journal, seen as the user who asks. One that is not there may still come:
/// systemd makes the service's own when it starts.
fn state(config: &Config, file: &Path, problems: &mut Problems) {
    let folder = config.state.display();
    if !config.state.exists() {
        let problem =
            Problem::file(file, format!("state: the folder for the journal, {folder}, is not there"));
        let instead = "systemd makes it for the service; anybody else makes it by hand";
        problems.warnings.push(problem.instead(instead));
    } else if let Err(error) = tempfile::tempfile_in(&config.state) {
        let problem = Problem::file(file, format!("state: {folder} cannot hold the journal: {error}"));
        problems.errors.push(problem.instead("give a folder that the daemon may write to"));
    }
}

/// What is wrong with plugins and grants beyond their files, and what plugins ask for beyond their grants.
fn plugins(problems: &mut Problems) -> Result<()> {
    let compiler = Compiler::here(Host::new(plugin_host::Options::default())?);
    for grant_file in std::mem::take(&mut problems.grants) {
        let told =
            |error: &Problem| error.file == grant_file.path && matches!(&*error.key, "file" | "digest");
        if !grant_file.enabled || problems.errors.iter().any(told) {
            continue;
        }
        match Installed::load(&compiler, &grant_file) {
            Ok(Installed { missing: Some(lines), .. }) => {
                let problem = Problem::file(&grant_file.path, "the plugin asks for more than this allows");
                problems.warnings.push(problem.instead(format!("to allow it, add\n{lines}")));
            }
            Ok(_) => {}
            Err(wrong) => problems.errors.extend(wrong),
        }
    }
    problems.sort();
    Ok(())
}

async fn connect(config: &Config) -> Result<Answer> {
    let mut answer = Answer::Done;
    for pool in &config.pools {
        let client = service::client(pool, None, "xapiary-cli")?;
        match client.lease().await {
            Ok(_) => {
                let who = if pool.user.is_empty() { "our client certificate" } else { &pool.user };
                anstream::println!("pool {}: logged in to {} as {who}", pool.name, client.endpoint());
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
