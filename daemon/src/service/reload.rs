//! The configuration is read anew while the daemon runs.
//!
//! ```text
//!   asked ─▶ prepare: read all files, load what differs ─▶ apply: hand over, begin, retire
//!                        │ anything wrong                      (journal first; nothing can fail after it)
//!                        └──▶ everything stays as it is, and what is wrong is told
//! ```
//!
//! Preparing touches nothing that runs and may take as long as compiling does. A plugin whose grant file, component and
//! secrets are what they were is left alone. A component that asks for more than its grant allows waits: the version that
//! runs goes on, with the new grant.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal::By;

use super::plugins::{tell, tell_of_update, version};
use super::pools::Taken;
use super::update::Chosen;
use super::{Service, wanted, wished_of};
use crate::compiler::Compiler;
use crate::config::{self, Config, GrantFile, Problem, Problems};
use crate::control::types::{PoolsReloaded, Reloaded, Waiting};
use crate::control::{PluginList, PluginSource, PluginState};
use crate::feed::OpenDeliveries;

/// What is to be read, and what it is compared with.
pub(crate) struct Preparation {
    file: PathBuf,
    compiler: Arc<Compiler>,
    present: PluginList,
    /// The plugin that alone is to be taken up, with nothing else of the configuration.
    only: Option<String>,
}

/// What was read, found good, and waits to be taken up.
pub(crate) struct Prepared {
    config: Config,
    only: Option<String>,
    steps: Vec<(GrantFile, Step)>,
}

/// What is to become of a plugin.
enum Step {
    /// Nothing differs.
    Stay,
    /// Its grant file says that it is not to run.
    Off,
    /// It is to run with this version.
    Run(Chosen),
}

impl Preparation {
    /// Reads all files and loads what differs, without touching what runs. Blocks for as long as compiling takes.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub(crate) fn prepare(self) -> Result<Prepared, Problems> {
        let Preparation { file, compiler, present, only } = self;
        let config = config::load(&file)?;
        if let Some(name) = &only {
            known(name, &file, &present, &config)?;
        }
        let wanted = |name: &str| only.as_ref().is_none_or(|only| only == name);
        let mut problems = Problems::default();
        let mut steps = Vec::new();
        for grant in &config.grants {
            let before = present.iter().find(|plugin| plugin.grant.name == grant.name);
            if !wanted(&grant.name) {
                continue;
            }
            match step(&compiler, grant, before.map(|before| &**before)) {
                Ok(step) => steps.push((grant.clone(), step)),
                Err(wrong) => problems.errors.extend(wrong),
            }
        }
        problems.sort();
        if problems.errors.is_empty() { Ok(Prepared { config, only, steps }) } else { Err(problems) }
    }
}

/// The plugin that is asked for by name must be there now, or have been.
fn known(name: &str, file: &Path, present: &[Arc<PluginSource>], config: &Config) -> Result<(), Problems> {
    let names: BTreeSet<&str> = present
        .iter()
        .map(|plugin| plugin.grant.name.as_str())
        .chain(config.grants.iter().map(|grant| grant.name.as_str()))
        .collect();
    if names.contains(name) {
        return Ok(());
    }
    let names: Vec<&str> = names.into_iter().collect();
    let problem = Problem::file(file, format!("no plugin is called {name:?}"))
        .instead(format!("plugins are {}", names.join(", ")));
    Err(Problems { errors: vec![problem], ..Problems::default() })
}

fn step(compiler: &Compiler, grant: &GrantFile, before: Option<&PluginSource>) -> Result<Step, Vec<Problem>> {
    if before.is_some_and(|before| before.grant.edition == grant.edition) {
        return Ok(Step::Stay);
    }
    if !grant.enabled {
        return Ok(Step::Off);
    }
    let chosen = match before.and_then(|before| before.state.installed()) {
        None => Chosen::newest(compiler, grant)?,
        Some(running) => Chosen::after(running.plugin.clone(), compiler, grant)?,
    };
    Ok(Step::Run(chosen))
}

impl Service {
    /// What is to be prepared: all of the configuration, or one plugin alone.
    pub(crate) fn preparation(&self, file: &Path, only: Option<String>) -> Preparation {
        let present = self.plugins.present();
        Preparation { file: file.to_owned(), compiler: Arc::clone(&self.plugins.compiler), present, only }
    }

    /// Takes up what was prepared, and records who asked for it.
    ///
    /// # Errors
    /// When the journal cannot take it in for now, or a pool's client cannot be made; everything is then as it was.
    pub(crate) async fn apply(&mut self, prepared: Prepared, by: By) -> anyhow::Result<Reloaded> {
        let Prepared { config, only, steps } = prepared;
        let pools = if only.is_none() { &config.pools } else { &self.config.pools };
        let pools = self.pools.plan(pools).await?;
        let begun = |step: &Step| matches!(step, Step::Run(_));
        let mut open = OpenDeliveries::new();
        for (grant, _) in steps.iter().filter(|(_, step)| begun(step)) {
            open.extend(self.plugins.register(&grant.name).await?);
        }
        for (_, installed) in self.plugins.loaded() {
            open.extend(self.plugins.register(&installed.name).await?);
        }
        let disabled = self.journal.listings().disabled().await?;
        let subject = only.as_deref().unwrap_or("all");
        self.journal.record("plugins reload", subject, by).await?;

        let pools = self.pools.take(pools);
        let mut told = Reloaded::default();
        let present = self.plugins.present();
        let mut list = Vec::new();
        let stays = |name: &str| only.as_ref().is_some_and(|only| only != name);
        for plugin in present.iter() {
            let name = &plugin.grant.name;
            if stays(name) {
                list.push(Arc::clone(plugin));
            } else if steps.iter().all(|(grant, _)| grant.name != *name) {
                told.ended.push(name.clone());
                retire(plugin);
            }
        }
        for (grant, step) in steps {
            let before = present.iter().find(|plugin| plugin.grant.name == grant.name);
            let off = disabled.iter().any(|disabled| disabled.plugin == grant.name);
            list.push(self.take(grant, step, before, off, &pools, &mut told));
        }
        list.sort_by(|one, other| one.grant.name.cmp(&other.grant.name));
        self.plugins.show(list);
        self.plugins.keep_components().await;
        if only.is_none() {
            self.take_settings(config, &mut told);
        }
        self.schedules.send_replace(wanted(&self.plugins, &self.pools));
        self.pools.follow(&open, |pool| wished_of(pool, &self.plugins));
        let Taken { began, changed, ended } = pools;
        told.pools = PoolsReloaded { began, changed, ended };
        tracing::info!(
            began = told.began.join(", "),
            changed = told.changed.join(", "),
            ended = told.ended.join(", "),
            pools_began = told.pools.began.join(", "),
            pools_changed = told.pools.changed.join(", "),
            pools_ended = told.pools.ended.join(", "),
            settings = told.settings.join(", "),
            "the configuration was taken up"
        );
        Ok(told)
    }

    /// Takes one plugin's step; what it is from now on.
    fn take(
        &mut self,
        grant: GrantFile,
        step: Step,
        before: Option<&Arc<PluginSource>>,
        disabled: bool,
        pools: &Taken,
        told: &mut Reloaded,
    ) -> Arc<PluginSource> {
        let name = grant.name.clone();
        let state = match (step, before) {
            (Step::Stay, Some(before)) => {
                if let PluginState::Loaded { installed, steering, .. } = &before.state
                    && pools.concerns(&grant)
                {
                    steering.succeed(version(&grant, installed, &self.pools));
                }
                told.unchanged.push(name);
                return Arc::clone(before);
            }
            (Step::Stay | Step::Off, before) => {
                if let Some(before) = before.filter(|before| before.state.installed().is_some()) {
                    told.ended.push(name);
                    retire(before);
                }
                PluginState::Off
            }
            (Step::Run(Chosen { installed, update }), before) => {
                tell(&installed);
                if let Some(missing) = &update {
                    tell_of_update(&name, missing);
                    told.waiting.push(Waiting { plugin: name.clone(), missing: missing.clone() });
                }
                let version = version(&grant, &installed, &self.pools);
                let steering = match before.map(|before| &before.state) {
                    Some(PluginState::Loaded { steering, .. }) => {
                        steering.succeed(version);
                        told.changed.push(name);
                        steering.clone()
                    }
                    _ => {
                        told.began.push(name);
                        self.plugins.employ(version, !disabled)
                    }
                };
                PluginState::Loaded { installed, steering, update }
            }
        };
        Arc::new(PluginSource { grant, state })
    }

    /// Takes up what is no plugin's.
    fn take_settings(&mut self, config: Config, told: &mut Reloaded) {
        let changes = config::changes(&self.config, &config);
        told.settings = changes.at_once;
        for key in &changes.after_restart {
            tracing::warn!(key, "this change of the configuration needs a restart");
        }
        told.needs_restart = changes.after_restart;
        told.warnings = config.warnings.iter().map(Problem::one_line).collect();
        for warning in &told.warnings {
            tracing::warn!("{warning}");
        }
        self.retention.send_replace(config.retention);
        self.control.send_modify(|control| control.people.clone_from(&config.control.people));
        self.config.retention = config.retention;
        self.config.drain = config.drain;
        self.config.log.level = config.log.level;
        self.config.pools = config.pools;
        self.config.control.people = config.control.people;
    }
}

fn retire(plugin: &PluginSource) {
    if let PluginState::Loaded { steering, .. } = &plugin.state {
        steering.retire();
        tracing::info!(plugin = plugin.grant.name, "the plugin ends with the deliveries that run");
    }
}
