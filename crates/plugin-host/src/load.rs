//! From bytes to a plugin that is ready to run.

use std::sync::Arc;

use wasmtime::component::Component;

use crate::contract::PluginPre;
use crate::engine::{Host, Inner};
use crate::inspect::{Inspection, inspect};
use crate::manifest::{Manifest, ManifestError};
use crate::sandbox::Sandbox;
use crate::stop::chain;
use crate::version::CONTRACT;

/// Why bytes are no plugin for this host.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// More bytes than are looked at.
    #[error("the file has {size} bytes and a plugin may have {allowed}")]
    TooLarge {
        /// Its size, bytes.
        size: usize,
        /// The limit, bytes.
        allowed: usize,
    },
    /// It does not begin as WebAssembly does.
    #[error("this is no WebAssembly file: build the plugin for the target wasm32-wasip2")]
    NotWasm,
    /// A core module, as wasm32-unknown-unknown and wasm32-wasip1 give.
    #[error("this is a core module and no component: build the plugin for the target wasm32-wasip2")]
    CoreModule,
    /// Broken, cut off, or uses what this host does not run.
    #[error("the WebAssembly is not valid at byte {offset}: {what}")]
    Invalid {
        /// Bytes from the start of the file.
        offset: usize,
        /// What is wrong.
        what: String,
    },
    /// No custom section with a manifest.
    #[error(
        "the component has no manifest: build it with the Rust SDK's macro, or give it one with `xapiary plugin pack`"
    )]
    NoManifest,
    /// Several custom sections with a manifest.
    #[error(
        "the component has {0} manifests: it may be packed once, by `xapiary plugin pack` or by the macro of one crate"
    )]
    ManyManifests(usize),
    /// The manifest is wrong.
    #[error("the component's manifest cannot be used")]
    Manifest(#[source] ManifestError),
    /// Built for another contract.
    #[error(
        "the plugin was built for contract {} and this host runs {CONTRACT}: build it again with a fitting SDK",
        if .plugin.is_empty() { "(none)" } else { .plugin }
    )]
    Contract {
        /// The version that it names.
        plugin: String,
    },
    /// It imports what this host does not offer.
    #[error(
        "the component imports what plugins are not given: {}; build it without, or for a newer host",
        .0.join(", ")
    )]
    Imports(Vec<String>),
    /// It does not export `handle`.
    #[error("the component does not export `handle`: build the plugin with an SDK")]
    NoHandle,
    /// Its imports have names that fit and shapes that do not.
    #[error("the component does not fit the host's interfaces: {what}; build it again with a fitting SDK")]
    Link {
        /// What does not fit.
        what: String,
    },
    /// The compiler refuses it.
    #[error("the component cannot be compiled: {what}")]
    Compile {
        /// The compiler's words.
        what: String,
    },
}

/// A plugin, compiled and linked, ready for deliveries. Cheap to clone.
#[derive(Clone)]
pub struct Plugin {
    pub(crate) ready: PluginPre<Sandbox>,
    pub(crate) host: Arc<Inner>,
    inspection: Arc<Inspection>,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Inspection { manifest, digest, .. } = &*self.inspection;
        out.debug_struct("Plugin")
            .field("name", &manifest.name)
            .field("version", &manifest.version)
            .field("digest", digest)
            .finish_non_exhaustive()
    }
}

impl Host {
    /// Checks, compiles and links a plugin. Takes from tens of milliseconds to many seconds of computing: call it
    /// where blocking is allowed.
    ///
    /// # Errors
    ///
    /// See [`LoadError`]; each says what to do.
    pub fn load(&self, bytes: &[u8]) -> Result<Plugin, LoadError> {
        self.check_size(bytes)?;
        let inspection = inspect(bytes)?;
        let component = Component::from_binary(&self.inner.engine, bytes)
            .map_err(|error| LoadError::Compile { what: chain(&error) })?;
        self.link(&component, inspection)
    }

    pub(crate) fn check_size(&self, bytes: &[u8]) -> Result<(), LoadError> {
        let allowed = self.inner.options.component_max;
        if bytes.len() > allowed {
            return Err(LoadError::TooLarge { size: bytes.len(), allowed });
        }
        Ok(())
    }

    /// Links compiled code with the host's interfaces.
    pub(crate) fn link(&self, component: &Component, inspection: Inspection) -> Result<Plugin, LoadError> {
        let linked = self.inner.linker.instantiate_pre(component);
        let ready =
            linked.and_then(PluginPre::new).map_err(|error| LoadError::Link { what: chain(&error) })?;
        Ok(Plugin { ready, host: Arc::clone(&self.inner), inspection: Arc::new(inspection) })
    }
}

impl Plugin {
    /// What it says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.inspection.manifest
    }

    /// Manifest, imports and digest.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }
}
