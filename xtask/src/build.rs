//! Building the parts that tests and the demo run: the daemon and the WebAssembly components.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{place, step};

/// The compilation target of every plugin.
pub(crate) const WASM_TARGET: &str = "wasm32-wasip2";

/// Builds one shipped plugin and gives the path of its component.
pub(crate) fn plugin(package: &str) -> Result<PathBuf> {
    step::run(&mut step::cargo(["build", "--profile", "plugin", "--target", WASM_TARGET, "-p", package]))?;
    built(&[WASM_TARGET, "plugin", &format!("{}.wasm", package.replace('-', "_"))])
}

/// Builds the small misbehaving plugins that tests feed to the host.
pub(crate) fn guests() -> Result<()> {
    step::run(&mut step::cargo([
        "build",
        "--profile",
        "plugin",
        "--target",
        WASM_TARGET,
        "-p",
        "guests",
        "--examples",
    ]))
}

/// Packs the crates of the plugin SDK as a registry would get them, with the contract inside. That they build alone is not
/// tried here: it would compile all of their dependencies again.
pub(crate) fn packages() -> Result<()> {
    let sdk = ["-p", "xapiary-sdk", "-p", "xapiary-sdk-macros"];
    step::run(step::cargo(["package", "--offline", "--no-verify", "--allow-dirty"]).args(sdk))?;
    let listed =
        step::cargo(["package", "--offline", "--allow-dirty", "--list", "-p", "xapiary-sdk"]).output()?;
    if !String::from_utf8_lossy(&listed.stdout).lines().any(|file| file == "wit/world.wit") {
        bail!(
            "the package of xapiary-sdk lacks the contract, which it is to find by the link plugin-sdk/rust/wit"
        );
    }
    Ok(())
}

/// Builds the daemon (development profile) and gives the path of the program.
pub(crate) fn daemon() -> Result<PathBuf> {
    step::run(&mut step::cargo(["build", "-p", "xapiary"]))?;
    built(&["debug", "xapiary"])
}

fn built(parts: &[&str]) -> Result<PathBuf> {
    let path = parts.iter().fold(place::target()?, |path, part| path.join(part));
    if !path.is_file() {
        bail!("the build succeeded but {} is not there", path.display());
    }
    Ok(path)
}
