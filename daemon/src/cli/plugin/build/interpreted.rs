//! Components out of Python and JavaScript projects: their interpreters with the project's modules in them. The SDK and the
//! contract come from this program, so that they fit the daemon.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use plugin_host::pack;

use super::BuildError;
use crate::cli::plugin::sdk::{self, lay_out};

/// Where everything goes that is made.
const BUILD: &str = "build";

/// A tool of the language: where it is looked for, and how it comes there.
struct Tool {
    name: &'static str,
    /// Its place in a project.
    place: &'static str,
    install: &'static str,
}

const COMPONENTIZE_PY: Tool = Tool {
    name: "componentize-py",
    place: ".venv/bin",
    install: "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
};

const COMPONENTIZE_QJS: Tool =
    Tool { name: "componentize-qjs", place: "node_modules/.bin", install: "npm install" };

pub(super) fn python(folder: &Path) -> Result<Result<PathBuf, BuildError>> {
    let Some(tool) = COMPONENTIZE_PY.found(folder) else { return Ok(Err(COMPONENTIZE_PY.missing(folder))) };
    let build = folder.join(BUILD);
    lay_out(sdk::WIT, &build.join("wit"))?;
    lay_out(sdk::PYTHON, &build.join("sdk"))?;
    let mut command = Command::new(tool);
    command.args(["--quiet", "--wit-path", "build/wit", "--world", "plugin", "componentize"]);
    command.args(["--python-path", ".", "--python-path", "build/sdk", "--output", "build/component.wasm"]);
    command.arg("xapiary_component");
    built(folder, command)
}

pub(super) fn javascript(folder: &Path) -> Result<Result<PathBuf, BuildError>> {
    let Some(tool) = COMPONENTIZE_QJS.found(folder) else { return Ok(Err(COMPONENTIZE_QJS.missing(folder))) };
    lay_out(sdk::WIT, &folder.join(BUILD).join("wit"))?;
    lay_out(sdk::JAVASCRIPT, &folder.join("node_modules/xapiary"))?;
    let mut command = Command::new(tool);
    command.args(["--wit", "build/wit", "--js", "plugin.js", "--output", "build/component.wasm"]);
    // Without the component model's own async, which the contract has no use for.
    command.args(["--sync", "--opt-size", "--minify"]);
    built(folder, command)
}

/// Runs the tool in the project's folder and packs what it has built.
fn built(folder: &Path, mut command: Command) -> Result<Result<PathBuf, BuildError>> {
    let tool = command.get_program().display().to_string();
    // It tells on standard output what it does, where this program tells what came of it.
    let output = command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting {tool}"))?;
    if !output.status.success() {
        anstream::eprint!("{}", String::from_utf8_lossy(&output.stdout));
        return Ok(Err(BuildError::Failed));
    }
    let component = folder.join(BUILD).join("component.wasm");
    let manifest = folder.join("plugin.toml");
    let text = match std::fs::read_to_string(&manifest) {
        Ok(text) => text,
        Err(error) => {
            let what = format!("{}: reading the manifest: {error}", manifest.display());
            return Ok(Err(BuildError::CannotBuild(what)));
        }
    };
    let (plugin, inspection) = match pack(&super::super::read(&component)?, &text) {
        Ok(packed) => packed,
        Err(source) => return Ok(Err(BuildError::CannotPack { path: manifest, source })),
    };
    let path = folder.join(BUILD).join(format!("{}.wasm", inspection.manifest.name));
    std::fs::write(&path, plugin).with_context(|| format!("writing {}", path.display()))?;
    Ok(Ok(path))
}

impl Tool {
    /// The project's own, else the one that the shell would find.
    fn found(&self, folder: &Path) -> Option<PathBuf> {
        let own = folder.join(self.place).join(self.name);
        if own.is_file() {
            return std::fs::canonicalize(own).ok();
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(OsStr::new(&path))
            .map(|place| place.join(self.name))
            .find(|place| place.is_file())
    }

    fn missing(&self, folder: &Path) -> BuildError {
        BuildError::CannotBuild(format!(
            "{} makes the component and is not there, neither in {} nor on PATH: run in {}\n\n  {}\n",
            self.name,
            self.place,
            folder.display(),
            self.install
        ))
    }
}
