//! The configured plugins: loaded, given their workers, handed on to new versions, retired.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use smol_str::SmolStr;
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinError, JoinSet};

use super::pools::Pools;
use super::update::{Chosen, Kept};
use crate::compiler::Compiler;
use crate::config::{self, Config, GrantFile};
use crate::control::{PluginList, PluginSource, PluginState};
use crate::pulse::Pulses;
use crate::router::{Installed, Shared, Steering, Version, Worker, steering};

/// A worker turns every few seconds, or waits for the journal.
const WORKER_SILENCE: Duration = Duration::from_secs(120);

/// What becomes of a configured plugin: it is loaded, or why not; nothing where its grant file says so.
pub(super) type Loaded = Result<Chosen, Option<String>>;

/// The configured plugins with their workers.
pub(super) struct Plugins {
    pub(super) compiler: Arc<Compiler>,
    kept: Kept,
    shared: Shared,
    pulses: Pulses,
    /// All that are configured, by name.
    list: watch::Sender<PluginList>,
    workers: JoinSet<Result<()>>,
    /// Held by the worker of a plugin for as long as it is there: one at a time.
    turns: HashMap<String, Arc<Mutex<()>>>,
}

impl Plugins {
    pub(super) fn new(compiler: Compiler, kept: Kept, shared: Shared, pulses: Pulses) -> Self {
        let list = watch::Sender::new(PluginList::default());
        let compiler = Arc::new(compiler);
        Plugins { compiler, kept, shared, pulses, list, workers: JoinSet::new(), turns: HashMap::new() }
    }

    /// All that are configured, by name, and what becomes of them.
    pub(super) fn list(&self) -> watch::Receiver<PluginList> {
        self.list.subscribe()
    }

    /// All that are configured now, by name.
    pub(super) fn present(&self) -> PluginList {
        Arc::clone(&self.list.borrow())
    }

    /// Those that are loaded, with their grants.
    pub(super) fn loaded(&self) -> impl Iterator<Item = (Arc<PluginSource>, Arc<Installed>)> + use<> {
        let present = self.present().to_vec();
        present.into_iter().filter_map(|plugin| {
            let installed = Arc::clone(plugin.state.installed()?);
            Some((plugin, installed))
        })
    }

    /// Makes a plugin known to the journal; one that is new begins after the last event. Gives the deliveries that an earlier
    /// run left open.
    pub(super) async fn register(&self, name: &str) -> Result<Vec<(SmolStr, u64)>, journal::Error> {
        let journal = &self.shared.journal;
        let progress = journal.progress(name, journal.last()).await?;
        Ok(progress.open.iter().map(|open| (name.into(), open.sequence)).collect())
    }

    /// Gives all plugins their workers; they are known to the journal.
    pub(super) async fn begin(&mut self, loaded: Vec<(GrantFile, Loaded)>, pools: &Pools) -> Result<()> {
        let disabled = self.shared.journal.listings().disabled().await?;
        let mut list = Vec::new();
        for (grant, loaded) in loaded {
            let state = match loaded {
                Ok(Chosen { installed, update }) => {
                    let off = disabled.iter().find(|disabled| disabled.plugin == installed.name);
                    if let Some(off) = off {
                        tracing::warn!(
                            plugin = installed.name,
                            by = off.by.who,
                            reason = off.by.reason,
                            "the plugin is disabled"
                        );
                    }
                    let steering = self.employ(version(&grant, &installed, pools), off.is_none());
                    PluginState::Loaded { installed, steering, update }
                }
                Err(None) => PluginState::Off,
                Err(Some(why)) => PluginState::LeftOut(why),
            };
            list.push(Arc::new(PluginSource { grant, state }));
        }
        self.show(list);
        self.keep_components().await;
        Ok(())
    }

    /// Keeps the components that run for the next start.
    pub(super) async fn keep_components(&self) {
        let running: Vec<_> =
            self.loaded().map(|(plugin, installed)| (plugin.grant.clone(), installed)).collect();
        let kept = self.kept.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || kept.keep(&running)).await {
            tracing::warn!(error = %error, "keeping the components that run");
        }
    }

    /// Shows what is configured now.
    pub(super) fn show(&self, list: Vec<Arc<PluginSource>>) {
        self.list.send_replace(list.into());
    }

    /// Gives a plugin its worker, which begins when the one before has ended.
    pub(super) fn employ(&mut self, version: Version, enabled: bool) -> Steering {
        let name = version.installed.name.clone();
        let turn = Arc::clone(self.turns.entry(name.clone()).or_default());
        let (steering, orders) = steering(version, enabled);
        let (shared, pulses) = (self.shared.clone(), self.pulses.clone());
        self.workers.spawn(async move {
            let _turn = turn.lock_owned().await;
            let pulse = pulses.part(format!("the deliveries to {name}"), WORKER_SILENCE);
            Ok(Worker::new(shared, orders, pulse).await?.run().await?)
        });
        steering
    }

    /// How the next worker ended; none when there is none.
    pub(super) async fn ended(&mut self) -> Option<Result<Result<()>, JoinError>> {
        self.workers.join_next().await
    }

    /// Lets no more deliveries begin and waits for those that run, at most so long; false when some were cut short then.
    pub(super) async fn stop(&mut self, drain: Duration) -> bool {
        for plugin in self.present().iter() {
            if let PluginState::Loaded { steering, .. } = &plugin.state {
                steering.retire();
            }
        }
        let ended = async { while self.workers.join_next().await.is_some() {} };
        let drained = tokio::time::timeout(drain, ended).await.is_ok();
        self.workers.shutdown().await;
        drained
    }
}

/// A plugin with the pools that its grant names.
pub(super) fn version(grant: &GrantFile, installed: &Arc<Installed>, pools: &Pools) -> Version {
    Version { installed: Arc::clone(installed), pools: pools.served(grant) }
}

/// All plugins with their grants. Those that cannot be loaded are left out, with what is wrong in the log.
pub(super) fn load_all(compiler: &Compiler, kept: &Kept, config: &Config) -> Vec<(GrantFile, Loaded)> {
    let load = |grant_file: &GrantFile| {
        if !grant_file.enabled {
            return Err(None);
        }
        let before = kept.before(compiler, grant_file);
        let chosen = before.and_then(|before| Chosen::after(before, compiler, grant_file).ok());
        match chosen.map_or_else(|| Chosen::newest(compiler, grant_file), Ok) {
            Ok(chosen) => {
                tell(&chosen.installed);
                if let Some(missing) = &chosen.update {
                    tell_of_update(&grant_file.name, missing);
                }
                Ok(chosen)
            }
            Err(problems) => {
                let problems: Vec<String> = problems.iter().map(config::Problem::one_line).collect();
                for problem in &problems {
                    tracing::error!(plugin = grant_file.name, "the plugin is left out: {problem}");
                }
                Err(Some(problems.join("; ")))
            }
        }
    };
    config.grants.iter().map(|grant_file| (grant_file.clone(), load(grant_file))).collect()
}

/// Tells of a plugin that was loaded.
pub(super) fn tell(installed: &Installed) {
    let (plugin, version) = (&installed.name, &installed.plugin.manifest().version);
    tracing::info!(plugin, version, "plugin loaded");
    if installed.terms.dry_run {
        tracing::warn!(plugin, "the plugin runs dry: calls that change something are recorded and not sent");
    }
    if let Some(missing) = &installed.missing {
        tracing::warn!(plugin, missing, "the plugin asks for more than its grant allows");
    }
}

/// Tells that an update waits.
pub(super) fn tell_of_update(plugin: &str, missing: &str) {
    tracing::warn!(
        plugin,
        missing,
        "the new component asks for more than its grant allows; the one before goes on"
    );
}
