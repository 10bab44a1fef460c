//! `xapiary plugin build`: a component out of a project, by the tools of its language.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use plugin_host::{Inspection, inspect};
use serde::Deserialize;

use super::language::Language;
use crate::cli::{Answer, output};

/// What every plugin is compiled for.
const WASM_TARGET: &str = "wasm32-wasip2";

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
            BuildError::CannotBuild(_) | BuildError::CannotLoad { .. } => Answer::Misused,
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
    let path = match language {
        Language::Rust => match rust(folder, profile)? {
            Ok(path) => path,
            Err(error) => return Ok(Err(error)),
        },
    };
    let bytes = super::read(&path).with_context(|| path.display().to_string())?;
    Ok(match inspect(&bytes) {
        Ok(inspection) => Ok(Component { path, bytes, inspection }),
        Err(source) => Err(BuildError::CannotLoad { path, source }),
    })
}

/// A message of cargo's, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    #[serde(default)]
    manifest_path: PathBuf,
}

fn rust(folder: &Path, profile: &str) -> Result<Result<PathBuf, BuildError>> {
    if let Some(missing) = missing_tools() {
        return Ok(Err(BuildError::CannotBuild(missing)));
    }
    let manifest = std::fs::canonicalize(folder.join("Cargo.toml")).context("finding Cargo.toml")?;
    let mut cargo = Command::new(cargo());
    cargo.args(["build", "--lib", "--target", WASM_TARGET, "--profile", profile]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    cargo.arg("--manifest-path").arg(&manifest);
    let mut child = cargo.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("starting cargo")?;
    let messages = child.stdout.take().context("listening to cargo")?;
    let mut found = None;
    for line in BufReader::new(messages).lines() {
        // Whatever else a build script prints there is none of ours.
        let Ok(message) = serde_json::from_str::<Message>(&line.context("listening to cargo")?) else {
            continue;
        };
        if message.reason == "compiler-artifact" && message.manifest_path == manifest {
            let wasm = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "wasm");
            found = message.filenames.into_iter().find(wasm).or(found);
        }
    }
    if !child.wait().context("waiting for cargo")?.success() {
        return Ok(Err(BuildError::Failed));
    }
    Ok(found.ok_or_else(|| {
        let manifest = manifest.display();
        BuildError::CannotBuild(format!(
            "{manifest} makes no component: add\n\n  [lib]\n  crate-type = [\"cdylib\"]\n"
        ))
    }))
}

/// The cargo that started this program, where it was one.
fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// What building Rust needs and is not there, with the command that brings it.
fn missing_tools() -> Option<String> {
    match sysroot() {
        Err(error) => Some(format!(
            "Rust is needed to build this plugin ({error}): see the page \"Install Rust\" of its site"
        )),
        Ok(sysroot) if !sysroot.join("lib/rustlib").join(WASM_TARGET).is_dir() => Some(format!(
            "Rust is here, but not what compiles for WebAssembly: run\n\n  rustup target add {WASM_TARGET}\n"
        )),
        Ok(_) => None,
    }
}

fn sysroot() -> Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let told = Command::new(rustc).args(["--print", "sysroot"]).output().context("starting rustc")?;
    if !told.status.success() {
        bail!("{}", String::from_utf8_lossy(&told.stderr).trim());
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&told.stdout).trim()))
}
