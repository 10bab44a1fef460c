//! From a component to machine code. The compiler is the largest thing here that meets bytes of strangers, so this can be
//! done in a process that has nothing to lose; see [`CodeCache`](crate::CodeCache).

use std::hash::{Hash, Hasher as _};

use wasmtime::Engine;
use xxhash_rust::xxh3::Xxh3Default;

use crate::engine::config;
use crate::inspect::inspect;
use crate::load::LoadError;
use crate::stop::chain;

/// Compiles a component for a [`Host`](crate::Host) of this build on this kind of processor. Takes from tens of milliseconds
/// to a minute of computing, and hundreds of megabytes for a component with an interpreter in it.
///
/// # Errors
///
/// See [`LoadError`]; each says what to do.
pub fn compile(component: &[u8]) -> Result<Vec<u8>, LoadError> {
    inspect(component)?;
    let refused = |error: wasmtime::Error| LoadError::Compile { what: chain(&error) };
    Engine::new(&config()).and_then(|engine| engine.precompile_component(component)).map_err(refused)
}

/// Names the compiler, its settings and the processor: code of another identity does not run on this engine.
pub(crate) fn identity(engine: &Engine) -> String {
    let mut hasher = Xxh3Default::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
