//! `xapiary plugin`: the file that is a plugin, before it is installed.

mod inspect;
mod pack;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use plugin_host::LoadError;

use super::Answer;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say what a component is and wants: what it hears, calls, needs to be told, and imports
    ///
    /// Reads the file without compiling or running anything. Exit code 0: this version would load it; 2: it would not.
    Inspect(inspect::Inspect),
    /// Put a manifest into a component that has none, so that one file is the whole plugin
    ///
    /// For what is not built with the Rust SDK, whose macro does it. Exit code 0: packed, and this version would load it; 2:
    /// component or manifest cannot be used, and nothing was written.
    Pack(pack::Pack),
}

pub(super) fn plugin(command: &Command) -> Result<Answer> {
    match command {
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
