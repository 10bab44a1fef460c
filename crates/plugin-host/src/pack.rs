//! Puts a manifest into a component that has none, so that one file is the whole plugin.
//!
//! The Rust SDK's macro does so when it compiles; what other toolchains build is packed here.

use wasm_encoder::{ComponentSection as _, CustomSection};

use crate::inspect::{Inspection, inspect};
use crate::load::LoadError;
use crate::manifest::{MANIFEST_SECTION, Manifest, ManifestError};

/// Why a manifest and a component make no plugin.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The manifest is wrong.
    #[error("the manifest cannot be used")]
    Manifest(#[source] ManifestError),
    /// The component holds one already.
    #[error("the component holds a manifest already: pack the file that the toolchain has built")]
    Packed,
    /// What would come out could not be loaded.
    #[error("the component is no plugin")]
    Component(#[source] LoadError),
}

/// The component with the manifest as its custom section `xapiary:manifest`, and what [`inspect`] says of it. The component's
/// own bytes stay as they are, in front of it; the text is stored as given.
///
/// # Errors
///
/// See [`PackError`]. What is given back would be loaded by a host of this version, as far as can be said without compiling.
pub fn pack(component: &[u8], manifest: &str) -> Result<(Vec<u8>, Inspection), PackError> {
    Manifest::parse(manifest).map_err(PackError::Manifest)?;
    match inspect(component) {
        Err(LoadError::NoManifest) => {}
        Ok(_) | Err(LoadError::Manifest(_) | LoadError::ManyManifests(_)) => return Err(PackError::Packed),
        Err(error) => return Err(PackError::Component(error)),
    }
    let mut packed = component.to_vec();
    CustomSection { name: MANIFEST_SECTION.into(), data: manifest.as_bytes().into() }
        .append_to_component(&mut packed);
    let inspection = inspect(&packed).map_err(PackError::Component)?;
    Ok((packed, inspection))
}
