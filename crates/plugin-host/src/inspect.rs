//! Reads a component without compiling it: what it is, its manifest, and what it imports. Milliseconds where
//! compiling takes seconds, and safe on any bytes.

use wasmparser::{
    ComponentExternalKind, ComponentTypeRef, Encoding, Parser, Payload, TypeBounds, Validator, WasmFeatures,
};

use crate::load::LoadError;
use crate::manifest::{MANIFEST_SECTION, Manifest};
use crate::version::{CONTRACT, Version};

/// The interfaces of the contract that this host offers.
const INTERFACES: &[&str] = &["types", "objects", "calls", "store", "settings", "log", "events"];
/// The parts of WASI that this host offers, all closed.
const WASI: &[&str] = &["cli", "clocks", "filesystem", "io", "random", "sockets"];

/// What a component says of itself.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// Its manifest.
    pub manifest: Manifest,
    /// Every interface that it imports, with version: its requests for capabilities, and the WASI of its toolchain.
    pub imports: Vec<String>,
    /// SHA-256 of the file, lower-case hex.
    pub digest: String,
}

/// Reads a component.
///
/// # Errors
///
/// See [`LoadError`]: not WebAssembly, not a component, no manifest or a wrong one, another contract, imports that
/// this host does not offer.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, LoadError> {
    let found = walk(bytes)?;
    Validator::new_with_features(features())
        .validate_all(bytes)
        .map_err(|error| LoadError::Invalid { offset: error.offset(), what: error.message().to_owned() })?;
    check_imports(&found.imports)?;
    let manifest = match found.manifests.as_slice() {
        [] => return Err(LoadError::NoManifest),
        [one] => Manifest::from_bytes(one).map_err(LoadError::Manifest)?,
        several => return Err(LoadError::ManyManifests(several.len())),
    };
    check_contract(&manifest.contract)?;
    if !found.handles {
        return Err(LoadError::NoHandle);
    }
    Ok(Inspection { manifest, imports: found.imports, digest: digest(bytes) })
}

fn digest(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(bytes))
}

/// What the compiler is set up for as well; no proposals beyond.
fn features() -> WasmFeatures {
    WasmFeatures::WASM2
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::COMPONENT_MODEL
}

struct Found<'b> {
    manifests: Vec<&'b [u8]>,
    imports: Vec<String>,
    handles: bool,
}

/// Walks all nested modules and components: a toolchain leaves custom sections inside the core module.
fn walk(bytes: &[u8]) -> Result<Found<'_>, LoadError> {
    if !bytes.starts_with(b"\0asm") {
        return Err(LoadError::NotWasm);
    }
    let mut found = Found { manifests: Vec::new(), imports: Vec::new(), handles: false };
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let wrong = |error: wasmparser::BinaryReaderError| LoadError::Invalid {
            offset: error.offset(),
            what: error.message().to_owned(),
        };
        match payload.map_err(wrong)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(LoadError::CoreModule);
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if section.name() == MANIFEST_SECTION => {
                found.manifests.push(section.data());
            }
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import.map_err(wrong)?;
                    // Types that a world names are no interfaces: they stand for what an interface already brings.
                    if !matches!(import.ty, ComponentTypeRef::Type(TypeBounds::Eq(_))) {
                        found.imports.push(import.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let export = export.map_err(wrong)?;
                    found.handles |=
                        export.name.name == "handle" && export.kind == ComponentExternalKind::Func;
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

fn check_imports(imports: &[String]) -> Result<(), LoadError> {
    let mut strangers = Vec::new();
    for import in imports {
        let (path, version) = import.split_once('@').unwrap_or((import, ""));
        if let Some(interface) = path.strip_prefix("xapiary:plugin/") {
            check_contract(version)?;
            if !INTERFACES.contains(&interface) {
                strangers.push(import.clone());
            }
        } else {
            let package =
                path.strip_prefix("wasi:").and_then(|rest| rest.split_once('/')).map(|(package, _)| package);
            if !package.is_some_and(|package| WASI.contains(&package)) || !version.starts_with("0.2.") {
                strangers.push(import.clone());
            }
        }
    }
    if strangers.is_empty() { Ok(()) } else { Err(LoadError::Imports(strangers)) }
}

fn check_contract(version: &str) -> Result<(), LoadError> {
    let fits = match (Version::parse(version), Version::parse(CONTRACT)) {
        (Some(plugin), Some(host)) => plugin.runs_on(host),
        _ => false,
    };
    if fits { Ok(()) } else { Err(LoadError::Contract { plugin: version.to_owned() }) }
}
