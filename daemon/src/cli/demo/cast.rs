//! What the demo plays with: two VMs, the shipped plugin and what it is allowed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use xapi::Value;
use xapi::model::Record;

use crate::cli::stage::toml_text;

/// What the demo's administrator allows the plugin to do.
pub(super) const ALLOWED: &str = r#"[[allow]]
call = ["VM.start"]
on = '"keepalive" in self.tags && !("hands-off" in self.tags)'"#;

/// The grant of the plugin, as its file has it.
pub(super) fn grant(component: &Path, pool: &str) -> String {
    format!(
        r#"file = {}
pools = [{}]

{ALLOWED}

[[read]]
class = ["VM"]
fields = ["*"]

[[read]]
class = ["task"]
fields = ["*"]
"#,
        toml_text(&component.display().to_string()),
        toml_text(pool)
    )
}

/// Two VMs of the pool that can play: neither templates, snapshots nor control domains; running ones first.
pub(super) fn cast<'r>(vms: impl Iterator<Item = &'r Arc<Record>>) -> Result<(Arc<Record>, Arc<Record>)> {
    let is = |record: &Record, field| record.get(field).and_then(Value::as_bool) == Some(true);
    let mut able: Vec<&Arc<Record>> = vms
        .filter(|vm| {
            !["is_a_template", "is_a_snapshot", "is_control_domain"].iter().any(|field| is(vm, field))
        })
        .collect();
    able.sort_by_key(|vm| (vm.text("power_state") != "Running", vm.text("name_label").to_owned()));
    match able.as_slice() {
        [first, second, ..] => Ok((Arc::clone(first), Arc::clone(second))),
        _ => bail!("the pool has fewer than two VMs, and the demo needs two"),
    }
}

/// The shipped plugin: as named, or where an installation or a build has it.
pub(super) fn find_component(named: Option<&Path>) -> Result<PathBuf> {
    const FILE: &str = "vm_keepalive.wasm";
    if let Some(named) = named {
        // The grant that names it lies in another folder.
        return std::fs::canonicalize(named).with_context(|| format!("looking for {}", named.display()));
    }
    let program = std::env::current_exe().context("finding where this program is")?;
    let beside = |path: &str| program.parent().map(|folder| folder.join(path).join(FILE));
    let places = [
        beside("../lib/xapiary/plugins"),
        beside("../wasm32-wasip2/plugin"),
        Some(Path::new("/usr/lib/xapiary/plugins").join(FILE)),
    ];
    let mut places = places.into_iter().flatten();
    let Some(found) = places.find(|path| path.exists()) else {
        bail!("the plugin {FILE} is not installed: name it with --plugin FILE, or run `cargo xtask demo`");
    };
    Ok(found)
}
