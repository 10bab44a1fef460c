//! Machine code of plugins, kept between two starts of the daemon: compiling a component with an interpreter in it takes
//! long, reading its code does not.
//!
//! A file of code is run without being looked into, so one is believed only when nobody but this user can have written it,
//! and when its checksum holds. Whatever is not believed is compiled anew: a lost cache costs time and nothing else.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use wasmtime::component::Component;
use xxhash_rust::xxh3::xxh3_128;

use crate::compile::identity;
use crate::engine::Host;
use crate::inspect::inspect;
use crate::load::{LoadError, Plugin};
use crate::stop::chain;

/// Bytes of the checksum in front of the code.
const CHECKSUM: usize = 16;

/// A folder with machine code, one file a component and compiler.
#[derive(Debug)]
pub struct CodeCache {
    folder: PathBuf,
    /// Files that were asked for since [`CodeCache::forget_others`].
    used: Mutex<BTreeSet<PathBuf>>,
}

/// Why code could not be kept. The plugin runs all the same, and the next start compiles it again.
#[derive(Debug, thiserror::Error)]
#[error("keeping compiled plugins in {}", .folder.display())]
pub struct NotKept {
    folder: PathBuf,
    source: std::io::Error,
}

impl CodeCache {
    /// A cache in this folder, which is made when the first code is kept.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        CodeCache { folder, used: Mutex::default() }
    }

    /// Loads a plugin with its code from here, or with what `compile` gives for its bytes, which is kept then. `compile` must
    /// be [`compile`](crate::compile()), in this or another process; it gives the words of its refusal.
    ///
    /// # Errors
    ///
    /// See [`LoadError`]. That code could not be kept is no error and comes beside the plugin.
    pub fn load(
        &self,
        host: &Host,
        component: &[u8],
        compile: impl FnOnce(&[u8]) -> Result<Vec<u8>, String>,
    ) -> Result<(Plugin, Option<NotKept>), LoadError> {
        host.check_size(component)?;
        let inspection = inspect(component)?;
        let file = self.folder.join(format!("{}-{}.code", inspection.digest, identity(&host.inner.engine)));
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(file.clone());
        if let Some(component) = believed(&file).and_then(|code| ready(host, &code).ok()) {
            return Ok((host.link(&component, inspection)?, None));
        }
        let code = compile(component).map_err(|what| LoadError::Compile { what })?;
        let ready = ready(host, &code).map_err(|error| LoadError::Compile { what: chain(&error) })?;
        let plugin = host.link(&ready, inspection)?;
        let kept = self.keep(&file, &code);
        Ok((plugin, kept.err().map(|source| NotKept { folder: self.folder.clone(), source })))
    }

    /// Removes the code of everything that was not loaded since the last time, such as of an older version of a plugin.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read or a file in it not be removed.
    pub fn forget_others(&self) -> Result<(), NotKept> {
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        let forget = || -> std::io::Result<()> {
            for entry in fs::read_dir(&self.folder)? {
                let path = entry?.path();
                if !used.contains(&path) {
                    fs::remove_file(path)?;
                }
            }
            Ok(())
        };
        match forget() {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(NotKept { folder: self.folder.clone(), source: error })
            }
            _ => Ok(()),
        }
    }

    /// Written beside and renamed, so that no other process meets half of it.
    fn keep(&self, file: &Path, code: &[u8]) -> std::io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let beside = file.with_extension(format!("{}.new", std::process::id()));
        let mut new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        new.write_all(&xxh3_128(code).to_le_bytes())?;
        new.write_all(code)?;
        new.sync_all()?;
        fs::rename(beside, file)
    }
}

/// The code in a file that nobody else can have written, whole.
fn believed(file: &Path) -> Option<Vec<u8>> {
    let ours = |path: &Path| {
        fs::symlink_metadata(path).is_ok_and(|found| {
            !found.is_symlink()
                && found.uid() == rustix::process::geteuid().as_raw()
                && found.mode() & 0o022 == 0
        })
    };
    if !(ours(file) && file.parent().is_some_and(ours)) {
        return None;
    }
    let mut bytes = fs::read(file).ok()?;
    if bytes.len() < CHECKSUM {
        return None;
    }
    let code = bytes.split_off(CHECKSUM);
    (xxh3_128(&code).to_le_bytes() == *bytes).then_some(code)
}

fn ready(host: &Host, code: &[u8]) -> Result<Component, wasmtime::Error> {
    #[expect(
        unsafe_code,
        reason = "what is run here was made by this build's own compiler: it comes from `compile` or from a whole file in a \
                  folder that only this user can write to; wasmtime refuses code of another version or other settings"
    )]
    unsafe {
        Component::deserialize(&host.inner.engine, code)
    }
}
