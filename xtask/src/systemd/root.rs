//! The Debian root folder that the test boots: made once by debootstrap, kept in the cache folder, never written to
//! by a test (each boot lays a throw-away layer over it).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{place, step};

/// Counted up when what goes into the root changes, so that an old one is not used.
const EDITION: u32 = 1;

/// systemd itself, what it needs as PID 1, and a program that reads the daemon's journal.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,sqlite3";

/// How the name of a root begins that is not complete.
const PARTIAL: &str = "root-partial-";

/// Gives the root folder, making it first when it is not there.
pub(super) fn ready() -> Result<PathBuf> {
    let suite = suite();
    let cache = place::cache()?;
    let root = cache.join(format!("root-{suite}-{EDITION}"));
    // Two runs at once must not both make it.
    let lock =
        std::fs::File::create(cache.join("root.lock")).context("making the lock file of the root folder")?;
    lock.lock().context("locking the root folder")?;
    if root.is_dir() {
        println!("    using the Debian root {}", root.display());
        return Ok(root);
    }
    remove_leftovers(&cache)?;
    step::step(
        &format!("making a Debian root with systemd ({suite}, about a minute, kept for later runs)"),
        || {
            let partial = tempfile::Builder::new().prefix(PARTIAL).tempdir_in(&cache)?;
            std::fs::set_permissions(partial.path(), std::fs::Permissions::from_mode(0o755))?;
            step::run_quietly(
                Command::new("debootstrap")
                    .args(["--variant=minbase", &format!("--include={PACKAGES}"), &suite])
                    .arg(partial.path()),
            )?;
            std::fs::rename(partial.keep(), &root).context("moving the finished root into place")
        },
    )?;
    Ok(root)
}

/// Removes what an interrupted run left half made.
fn remove_leftovers(cache: &Path) -> Result<()> {
    for entry in std::fs::read_dir(cache).context("looking for leftovers in the cache folder")? {
        let entry = entry.context("looking for leftovers in the cache folder")?;
        if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            let path = entry.path();
            std::fs::remove_dir_all(&path)
                .with_context(|| format!("removing the leftover {}", path.display()))?;
        }
    }
    Ok(())
}

/// The release of this machine when debootstrap knows it, because the daemon is built against this machine's C
/// library; Debian 12 otherwise.
fn suite() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    codename
        .map(|name| name.trim_matches('"').to_owned())
        .filter(|name| !name.is_empty() && Path::new("/usr/share/debootstrap/scripts").join(name).is_file())
        .unwrap_or_else(|| "bookworm".to_owned())
}
