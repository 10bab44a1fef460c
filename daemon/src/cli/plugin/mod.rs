//! `xapiary plugin`: what an author does, from an empty folder to one file that is ready to be installed.

mod build;
mod grant;
mod inspect;
mod language;
mod new;
mod pack;
mod run;
mod sdk;
mod test;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use plugin_host::LoadError;

use super::Answer;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Begin a plugin: a small whole project that builds, tests and runs at once
    New(new::New),
    /// Make a component of a project
    ///
    /// Exit code 0: it is built and this version would load it; 1: it does not build; 2: it cannot be built here, or not
    /// loaded.
    Build(build::Build),
    /// Run a plugin in the daemon's own host against a simulated pool, as its scenarios say
    ///
    /// Each scenario has a pool, a daemon and a journal of its own. The plugin runs under its grant, as an administrator
    /// would give it. Exit code 0: all that was expected came; 1: something did not; 2: plugin, grant or scenario cannot be
    /// used.
    Test(test::Test),
    /// Run a plugin on a simulated pool while it is being written
    ///
    /// It runs dry unless --enforce is given, and what it does is told as it happens. When a file of the project changes, it is
    /// built anew and goes on where it was.
    Run(run::Run),
    /// Say what a component is and wants: what it hears, calls, needs to be told, and imports
    ///
    /// Reads the file without compiling or running anything. Exit code 0: this version would load it; 2: it would not.
    Inspect(inspect::Inspect),
    /// Put a manifest into a component that has none, so that one file is the whole plugin
    ///
    /// For what is not built with the Rust SDK, whose attribute does it. Exit code 0: packed, and this version would load it;
    /// 2: component or manifest cannot be used, and nothing was written.
    Pack(pack::Pack),
}

pub(super) async fn plugin(command: &Command) -> Result<Answer> {
    match command {
        Command::New(arguments) => new::new(arguments),
        Command::Build(arguments) => build::build(arguments),
        Command::Test(arguments) => test::test(arguments).await,
        Command::Run(arguments) => run::run(arguments).await,
        Command::Inspect(arguments) => inspect::inspect_file(arguments),
        Command::Pack(arguments) => pack::pack_file(arguments),
    }
}

/// No more than may be loaded: whatever else lies there need not fit into memory.
fn read(path: &Path) -> Result<Vec<u8>> {
    let allowed = plugin_host::Options::default().component_max;
    let file = File::open(path).context("reading the component")?;
    let mut bytes = Vec::new();
    file.take(allowed as u64 + 1).read_to_end(&mut bytes).context("reading the component")?;
    if bytes.len() > allowed {
        let size = std::fs::metadata(path).map_or(bytes.len() as u64, |file| file.len());
        return Err(LoadError::TooLarge { size: usize::try_from(size).unwrap_or(usize::MAX), allowed }.into());
    }
    Ok(bytes)
}
