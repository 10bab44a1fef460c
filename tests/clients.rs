//! The other clients, fetched with their own tools into cargo's target folder, each in one exact version. Taken in by path
//! where they are needed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

/// The version of `XenAPI`.
pub(crate) const XENAPI: &str = "26.21.1";
/// The version of `xen-api`.
pub(crate) const XEN_API: &str = "4.7.6";

/// The folder that Python finds `XenAPI` in; none where it cannot be had, which was told then.
pub(crate) fn xenapi(beside: &Path) -> Result<Option<PathBuf>> {
    let folder = beside.join(format!("clients/python-{XENAPI}"));
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade"]);
    pip.arg("--target").arg(&folder).arg(format!("XenAPI=={XENAPI}"));
    fetched(folder, "XenAPI", pip, "XenAPI of PyPI")
}

/// The folder that Node finds `xen-api` in; none where it cannot be had, which was told then.
pub(crate) fn xen_api(beside: &Path) -> Result<Option<PathBuf>> {
    let folder = beside.join(format!("clients/node-{XEN_API}"));
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts"]);
    npm.arg("--prefix").arg(&folder).arg(format!("xen-api@{XEN_API}"));
    fetched(folder, "node_modules/xen-api", npm, "xen-api of npm")
}

fn fetched(folder: PathBuf, content: &str, mut tool: Command, what: &str) -> Result<Option<PathBuf>> {
    // The mark is made last, so that half an installation is never taken for a whole one.
    let mark = folder.join("complete");
    if mark.exists() {
        return Ok(Some(folder));
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    println!("    fetching {what}");
    let done = match tool.stdin(Stdio::null()).stdout(Stdio::null()).status() {
        Ok(status) => status.success() && folder.join(content).exists(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(error).context(format!("fetching {what}")),
    };
    if !done {
        println!("    {what} cannot be had here: what needs it is left out");
        return Ok(None);
    }
    std::fs::write(&mark, "").with_context(|| format!("marking {}", folder.display()))?;
    Ok(Some(folder))
}
