//! `xapiary plugin pack`: one file out of a component and its manifest.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use plugin_host::pack;

use super::super::{Answer, chain};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Pack {
    /// The component, as the toolchain has built it
    component: PathBuf,
    /// The manifest
    #[arg(long, value_name = "FILE", default_value = "plugin.toml")]
    manifest: PathBuf,
    /// Where to write the plugin; the manifest's name with .wasm, in this folder, when left out
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn pack_file(arguments: &Pack) -> Result<Answer> {
    match packed(arguments) {
        Ok(told) => {
            anstream::println!("{told}");
            Ok(Answer::Done)
        }
        Err(error) => {
            anstream::eprintln!("xapiary: {}", chain(&error));
            Ok(Answer::Misused)
        }
    }
}

/// Packs and writes, and says what came out.
fn packed(arguments: &Pack) -> Result<String> {
    let Pack { component, manifest, .. } = arguments;
    let bytes = super::read(component).with_context(|| component.display().to_string())?;
    let text = fs::read_to_string(manifest)
        .context("reading the manifest")
        .with_context(|| manifest.display().to_string())?;
    let (plugin, inspection) = pack(&bytes, &text)
        .with_context(|| format!("packing {} into {}", manifest.display(), component.display()))?;
    let named = || PathBuf::from(format!("{}.wasm", inspection.manifest.name));
    let out = arguments.out.clone().unwrap_or_else(named);
    write(&out, component, &plugin)?;
    let (name, version) = (&inspection.manifest.name, &inspection.manifest.version);
    Ok(format!("{name} {version} is {}\nsha256:{}", out.display(), inspection.digest))
}

/// Writes beside and renames, so that a daemon which reads the place never sees half a plugin.
fn write(out: &Path, component: &Path, plugin: &[u8]) -> Result<()> {
    let same =
        fs::canonicalize(out).is_ok_and(|out| fs::canonicalize(component).is_ok_and(|from| from == out));
    if same {
        bail!(
            "{} is the component itself: name another file with --out, so that it can be packed again",
            out.display()
        );
    }
    let beside = out.with_extension("wasm.new");
    fs::write(&beside, plugin)
        .and_then(|()| fs::rename(&beside, out))
        .with_context(|| format!("writing {}", out.display()))
}
