//! Which of two components of a plugin runs: the one that ran, or the one that lies in its place now.
//!
//! A component that asks for more than its grant allows waits, and the one before goes on, also over a restart: so the
//! components that run are kept below the state folder.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin_host::Plugin;

use crate::compiler::Compiler;
use crate::config::{Digest, GrantFile, Place, Problem};
use crate::router::Installed;

/// What runs of a plugin.
pub(super) struct Chosen {
    pub(super) installed: Arc<Installed>,
    /// What a newer component asks for beyond the grant, which is why it waits.
    pub(super) update: Option<String>,
}

impl Chosen {
    /// The component of the grant file, whatever it asks for.
    ///
    /// # Errors
    /// Everything that is wrong with it, or with the grant file.
    pub(super) fn newest(compiler: &Compiler, grant: &GrantFile) -> Result<Self, Vec<Problem>> {
        Ok(Chosen { installed: Arc::new(Installed::load(compiler, grant)?), update: None })
    }

    /// The component of the grant file, or the one that ran before where that asks for less of what is not granted.
    ///
    /// # Errors
    /// Everything that is wrong with it, or with the grant file for either of them.
    pub(super) fn after(
        running: Plugin,
        compiler: &Compiler,
        grant: &GrantFile,
    ) -> Result<Self, Vec<Problem>> {
        if running.inspection().digest == grant.found.hex() {
            let installed = Arc::new(Installed::granted(running, grant)?);
            return Ok(Chosen { installed, update: None });
        }
        let newer = Chosen::newest(compiler, grant)?;
        let Some(missing) = newer.installed.missing.clone() else { return Ok(newer) };
        match Installed::granted(running, grant) {
            Ok(older) if newer.installed.asks_for_more_than(&older) => {
                Ok(Chosen { installed: Arc::new(older), update: Some(missing) })
            }
            Ok(_) => Ok(newer),
            Err(mut wrong) => {
                let what = "the new component asks for more than this allows, and the one that runs cannot take this file";
                let place = Place::nowhere(&grant.path);
                let advice = format!("to allow it, add\n{missing}");
                wrong.insert(0, Problem::at(&place, "file", what).instead(advice));
                Err(wrong)
            }
        }
    }
}

/// The components that run, one file a plugin.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    folder: PathBuf,
}

impl Kept {
    /// Below this state folder.
    pub(super) fn below(state: &Path) -> Self {
        Kept { folder: state.join("components") }
    }

    /// The component that a plugin ran with last, where another one lies in its place now; none where there is none, or where
    /// it cannot be loaded any more.
    pub(super) fn before(&self, compiler: &Compiler, grant: &GrantFile) -> Option<Plugin> {
        let component = fs::read(self.file(&grant.name)).ok()?;
        if Digest::of(&component) == grant.found {
            return None;
        }
        match compiler.load(&component) {
            Ok(plugin) => Some(plugin),
            Err(error) => {
                let error = crate::router::chain(&error);
                tracing::warn!(plugin = grant.name, error, "the component that ran before cannot be loaded");
                None
            }
        }
    }

    /// Keeps the components of these plugins and no others. One that waits for its grant is not kept in the place of the one
    /// that runs.
    pub(super) fn keep(&self, running: &[(GrantFile, Arc<Installed>)]) {
        let mut names = BTreeSet::new();
        for (grant, installed) in running {
            let file = self.file(&grant.name);
            let digest = &installed.plugin.inspection().digest;
            if let Err(error) = self.keep_one(&file, &grant.component, digest) {
                tracing::warn!(
                    plugin = grant.name,
                    error = %error,
                    "the component cannot be kept: when another one lies in its place at the next start, that one runs"
                );
            }
            names.insert(file);
        }
        let others = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        for other in others.filter(|other| !names.contains(other)) {
            if let Err(error) = fs::remove_file(&other) {
                tracing::warn!(file = %other.display(), error = %error, "an old component stays where it is");
            }
        }
    }

    fn keep_one(&self, file: &Path, component: &Path, digest: &str) -> io::Result<()> {
        let is = |bytes: &[u8]| Digest::of(bytes).hex() == digest;
        if fs::read(file).is_ok_and(|kept| is(&kept)) {
            return Ok(());
        }
        let component = fs::read(component)?;
        if !is(&component) {
            return Err(io::Error::other("another one lies there already"));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        // Written beside and renamed: half of it would be no component.
        let beside = file.with_extension("new");
        let mut new = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        new.write_all(&component)?;
        new.sync_all()?;
        fs::rename(beside, file)
    }

    fn file(&self, plugin: &str) -> PathBuf {
        self.folder.join(format!("{plugin}.wasm"))
    }
}
