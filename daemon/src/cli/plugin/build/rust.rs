//! A component out of a Rust project, by cargo.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::BuildError;

/// What every plugin is compiled for.
const WASM_TARGET: &str = "wasm32-wasip2";

/// A message of cargo's, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    #[serde(default)]
    manifest_path: PathBuf,
}

pub(super) fn built(folder: &Path, profile: &str) -> Result<Result<PathBuf, BuildError>> {
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
