//! `xapiary plugin build`: a component out of a project, by the tools of its language.

mod interpreted;
mod rust;

use std::error::Error as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use plugin_host::{Inspection, inspect};

use super::language::Language;
use crate::cli::{Answer, output};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Build {
    /// The folder of the project
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Of a Rust project: the build profile
    #[arg(long, default_value = "release")]
    profile: String,
}

/// A component that this version would load.
pub(super) struct Component {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    pub(super) inspection: Inspection,
}

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub(super) enum BuildError {
    /// Something that building needs is not there, or this is no project.
    #[error("{0}")]
    CannotBuild(String),
    /// The tools told why.
    #[error("the plugin does not build")]
    Failed,
    /// It is built, and its manifest and it make no plugin.
    #[error("{}: {source}{}", path.display(), source.source().map(|cause| format!(": {cause}")).unwrap_or_default())]
    CannotPack {
        path: PathBuf,
        #[source]
        source: plugin_host::PackError,
    },
    /// It is built and cannot be loaded.
    #[error("{}: {source}", path.display())]
    CannotLoad {
        path: PathBuf,
        #[source]
        source: plugin_host::LoadError,
    },
}

impl BuildError {
    /// As an answer of a command, told to the person.
    pub(super) fn told(&self) -> Answer {
        anstream::eprintln!("xapiary: {self}");
        match self {
            BuildError::Failed => Answer::No,
            BuildError::CannotBuild(_) | BuildError::CannotPack { .. } | BuildError::CannotLoad { .. } => {
                Answer::Misused
            }
        }
    }
}

pub(super) fn build(arguments: &Build) -> Result<Answer> {
    match component(&arguments.folder, &arguments.profile)? {
        Ok(built) => {
            let manifest = &built.inspection.manifest;
            let size = output::bytes(built.bytes.len() as u64);
            anstream::println!("{} {}: {} ({size})", manifest.name, manifest.version, built.path.display());
            Ok(Answer::Done)
        }
        Err(error) => Ok(error.told()),
    }
}

/// Builds the project in a folder. What the tools say goes to standard error as they say it.
pub(super) fn component(folder: &Path, profile: &str) -> Result<Result<Component, BuildError>> {
    let cannot = |what: String| Ok(Err(BuildError::CannotBuild(what)));
    if !folder.is_dir() {
        return cannot(format!("{} is no folder", folder.display()));
    }
    let Some(language) = Language::of(folder) else {
        let (folder, marks) = (folder.display(), Language::MARKS);
        return cannot(format!(
            "{folder} is no project of a plugin: it has none of {marks}; `xapiary plugin new` begins one"
        ));
    };
    let built = match language {
        Language::Rust => rust::built(folder, profile)?,
        Language::Python => interpreted::python(folder)?,
        Language::JavaScript => interpreted::javascript(folder)?,
    };
    let path = match built {
        Ok(path) => path,
        Err(error) => return Ok(Err(error)),
    };
    let bytes = super::read(&path).with_context(|| path.display().to_string())?;
    Ok(match inspect(&bytes) {
        Ok(inspection) => Ok(Component { path, bytes, inspection }),
        Err(source) => Err(BuildError::CannotLoad { path, source }),
    })
}
