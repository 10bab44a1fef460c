//! What the daemon is measured on: a simulated pool of many VMs behind HTTPS, and a configuration with plugins that do
//! nothing.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use simulator::{Doors, Options, PoolHandle, Running, Simulator};
use smol_str::SmolStr;
use tempfile::TempDir;
use xapi::model::Record;
use xapi::model::schema::{self, Type};
use xapi::{Struct, Value};

use crate::disk;

/// The pool's name in the journal.
pub(crate) const POOL: &str = "bench";
/// How many deliveries of a plugin may run at once.
pub(crate) const CONCURRENCY: usize = 16;

const PASSWORD: &str = "bench";
/// The pool answers a poll as soon as something has changed, so that the daemon is what is measured.
const SPEED: f64 = 100.0;

/// All of it lies in a folder of its own, which goes with it.
pub(crate) struct Stage {
    running: Running,
    folder: TempDir,
    /// The VMs that we change.
    vms: Vec<SmolStr>,
    /// The names of the plugins.
    plugins: Vec<String>,
}

impl Stage {
    /// Makes the pool with `vms` more VMs than the built-in one has, and a configuration in which the component is that
    /// of so many plugins, below `folder`.
    pub(crate) async fn set(plugin: &Path, folder: &Path, vms: usize, plugins: usize) -> Result<Self> {
        disk::must_be_real(folder)?;
        // The daemon wants its state folder named from the root.
        let folder = folder.canonicalize().with_context(|| format!("finding {}", folder.display()))?;
        let options = Options {
            user: "root".to_owned(),
            password: PASSWORD.to_owned(),
            speed: SPEED,
            ..Options::default()
        };
        let simulator = Simulator::builtin(options).context("making up a pool")?;
        let vms = grow(&simulator.pool(), vms)?;
        let any_port = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let doors = Doors { https: Some(any_port), ..Doors::default() };
        let running = simulator.open(doors).await.context("opening the pool's door")?;
        let folder = tempfile::Builder::new().prefix("xapiary-bench-").tempdir_in(folder);
        let folder = folder.context("making a folder for the daemon's state")?;
        let plugins = (1..=plugins).map(|number| format!("no_op-{number:03}")).collect();
        let stage = Stage { running, folder, vms, plugins };
        stage.write_config(plugin)?;
        Ok(stage)
    }

    /// The configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("xapiary.toml")
    }

    /// The folder of the journal.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Where else something may be written on the same disk.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The names of the plugins in the journal.
    pub(crate) fn plugins(&self) -> &[String] {
        &self.plugins
    }

    /// How many VMs we change.
    pub(crate) fn vms(&self) -> usize {
        self.vms.len()
    }

    /// Changes a field of a VM, so that it was never as it is now.
    pub(crate) fn change(&self, vm: usize, text: &str) -> Result<()> {
        let reference = self.vms.get(vm % self.vms.len()).context("the pool has no VM to change")?;
        let changed = self.running.pool().set("VM", reference, "name_description", text);
        let changed = changed.map_err(|failure| anyhow::anyhow!("changing a VM: {failure}"))?;
        anyhow::ensure!(changed, "the VM was {text:?} already");
        Ok(())
    }

    /// How many polls have come in.
    pub(crate) fn polls(&self) -> u64 {
        self.running.pool().calls().of("event.from")
    }

    /// Waits until `more` polls have come in after `since`. The daemon asks again only after what it got is durable.
    pub(crate) async fn polled(&self, since: u64, more: u64) -> Result<()> {
        let looks = async {
            while self.polls() < since + more {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        };
        let patience = Duration::from_secs(60);
        tokio::time::timeout(patience, looks).await.context("the daemon does not poll any more")
    }

    /// Closes the pool and removes the folder.
    pub(crate) async fn strike(self) -> Result<()> {
        self.running.stop().await;
        self.folder.close().context("removing the daemon's state")
    }

    fn write_config(&self, plugin: &Path) -> Result<()> {
        let folder = self.folder.path();
        let plugin = plugin.canonicalize().with_context(|| format!("finding {}", plugin.display()))?;
        std::fs::create_dir(folder.join("plugins"))?;
        std::fs::create_dir(folder.join("state"))?;
        let password = folder.join("password");
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&password)?;
        file.write_all(PASSWORD.as_bytes())?;
        let grant = format!(
            "file = {:?}\npools = [\"{POOL}\"]\nconcurrency = {CONCURRENCY}\n\n[[read]]\nclass = [\"VM\"]\nfields = [\"*\"]\n",
            plugin.display().to_string()
        );
        for name in &self.plugins {
            std::fs::write(folder.join(format!("plugins/{name}.toml")), &grant)?;
        }
        let address = self.running.https_address().context("the pool has no HTTPS door")?;
        let main = format!(
            "state = {:?}\n\n[log]\nformat = \"json\"\nlevel = \"info\"\n\n[[pool]]\nname = \"{POOL}\"\n\
             url = \"https://{address}\"\nuser = \"root\"\npassword = {{ file = \"password\" }}\n\
             trust = {{ pin = [\"{}\"] }}\n",
            self.state().display().to_string(),
            self.running.fingerprint()
        );
        std::fs::write(self.config(), main).context("writing the configuration")
    }
}

/// Adds VMs that are like one of the pool's own in all that does not point to other objects.
fn grow(pool: &PoolHandle, count: usize) -> Result<Vec<SmolStr>> {
    let is = |vm: &Record, name: &str| vm.get(name).and_then(Value::as_bool) == Some(true);
    let model = pool.records("VM").into_iter().find(|vm| {
        vm.text("power_state") == "Halted" && !is(vm, "is_a_template") && !is(vm, "is_a_snapshot")
    });
    let model = model.context("the built-in pool has no halted VM")?;
    let class = schema::class("VM").context("the object model has no VM")?;
    let plain = |name: &str| {
        class.field(name).is_some_and(|field| match &field.kind {
            Type::Ref(_) => false,
            Type::Set(element) => !matches!(**element, Type::Ref(_)),
            _ => true,
        })
    };
    let fields = model.iter().filter(|(name, _)| plain(name) && *name != "uuid");
    let fields: Struct = fields.map(|(name, value)| (name.into(), value.clone())).collect();
    (0..count)
        .map(|number| {
            let mut fields = fields.clone();
            fields.insert("name_label", format!("bench {number:05}"));
            pool.create("VM", fields).map_err(|failure| anyhow::anyhow!("adding a VM: {failure}"))
        })
        .collect()
}
