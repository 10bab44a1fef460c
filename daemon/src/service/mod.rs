//! The whole daemon as one thing that starts, runs and stops: journal, pools, plugins.

mod plugins;
mod pools;
mod reload;
mod update;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use journal::Journal;
use plugin_host::{Host, Schedule};
use smol_str::SmolStr;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::compiler::Compiler;
use crate::config::{self, Config, GrantFile};
use crate::control;
use crate::feed::{self, LivePool, OpenDeliveries, Tail};
use crate::latency::{Latency, Percentiles};
use crate::pulse::Pulses;
use crate::retention;
use crate::router::{Installed, Shared};
use crate::schedule::{Clock, Wanted};
use crate::story::Story;

use plugins::Plugins;
use pools::Pools;
pub(crate) use pools::client;
pub(crate) use reload::Prepared;
use update::Kept;

/// The clock is looked at every few seconds, or waits for the journal.
const CLOCK_SILENCE: Duration = Duration::from_secs(120);
/// How long the clock and retention may take to end.
const PARTS_TIMEOUT: Duration = Duration::from_secs(3);

/// A running daemon.
pub(crate) struct Service {
    /// What holds: what it was started with, but for what was taken up since.
    config: Config,
    journal: Journal,
    pools: Pools,
    plugins: Plugins,
    schedules: watch::Sender<Vec<Wanted>>,
    retention: watch::Sender<config::Retention>,
    /// Who may look and steer.
    control: watch::Sender<config::Control>,
    story: Story,
    latency: Arc<Latency>,
    started: Instant,
    /// Ends the clock and retention.
    stop_parts: watch::Sender<bool>,
    pulses: Pulses,
    parts: JoinSet<Result<()>>,
}

/// What a run came to.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    /// How long it ran.
    pub(crate) ran: Duration,
    /// What the journal holds.
    pub(crate) counts: journal::Counts,
    /// From the complete answer of a pool to the start of a plugin.
    pub(crate) latency: Percentiles,
    /// Whether all running deliveries came to their end; those that were cut off come again.
    pub(crate) drained: bool,
}

impl Service {
    /// Opens the journal, loads the plugins and begins to follow the pools. Plugins that cannot be loaded are left
    /// out with an error in the log; they go on from their cursor when they are mended.
    pub(crate) async fn start(config: &Config) -> Result<Self> {
        let journal = Journal::open(&config.state, &journal::Options::default())
            .with_context(|| format!("opening the journal in {}", config.state.display()))?;
        let host = Host::new(plugin_host::Options::default()).context("preparing the sandbox for plugins")?;
        let compiler = Compiler::apart(host, &config.state);
        let (story, latency, pulses) = (Story::new(), Arc::new(Latency::new()), Pulses::default());
        let tail = Arc::new(Tail::new(journal.last()));
        let stop_parts = watch::Sender::new(false);
        let mut parts = JoinSet::new();
        let kept = Kept::below(&config.state);
        let loaded = plugins::load_all(&compiler, &kept, config);
        compiler.forget_others();
        let lost = watch::Sender::new(());
        let shared = Shared {
            journal: journal.clone(),
            tail: Arc::clone(&tail),
            story: story.clone(),
            latency: Arc::clone(&latency),
            lost: lost.subscribe(),
        };
        let mut plugins = Plugins::new(compiler, kept, shared, pulses.clone());
        // Before the feeds: a plugin that is new begins after the last event, before the first fresh one.
        let mut open = OpenDeliveries::new();
        for chosen in loaded.iter().filter_map(|(_, loaded)| loaded.as_ref().ok()) {
            open.extend(plugins.register(&chosen.installed.name).await?);
        }
        let mut pools = Pools::new(journal.clone(), Arc::clone(&tail), pulses.clone());
        let plan = pools.plan(&config.pools).await?;
        pools.take(plan);
        plugins.begin(loaded, &pools).await?;
        let retention = watch::Sender::new(config.retention);
        let keeping = retention::run(journal.clone(), retention.subscribe(), lost, stop_parts.subscribe());
        parts.spawn(async move {
            keeping.await;
            Ok(())
        });
        let schedules = watch::Sender::new(wanted(&plugins, &pools));
        let pulse = pulses.part("the clock of schedules".to_owned(), CLOCK_SILENCE);
        let clock = Clock::new(
            schedules.subscribe(),
            journal.clone(),
            Arc::clone(&tail),
            pulse,
            stop_parts.subscribe(),
        )
        .await?;
        parts.spawn(async move { Ok(clock.run().await?) });
        pools.follow(&open, |pool| wished_of(pool, &plugins));
        Ok(Service {
            control: watch::Sender::new(config.control.clone()),
            config: config.clone(),
            journal,
            pools,
            plugins,
            schedules,
            retention,
            story,
            latency,
            started: Instant::now(),
            stop_parts,
            pulses,
            parts,
        })
    }

    /// The pools, in the order of the config.
    pub(crate) fn pools(&self) -> control::PoolList {
        self.pools.present()
    }

    /// The plugins that are configured, by name, as they stand.
    pub(crate) fn plugins(&self) -> watch::Receiver<control::PluginList> {
        self.plugins.list()
    }

    /// How many plugins are loaded.
    pub(crate) fn loaded_plugins(&self) -> usize {
        self.plugins.loaded().count()
    }

    /// How long running deliveries may take to end at a stop.
    pub(crate) fn drain(&self) -> Duration {
        self.config.drain
    }

    /// What the configuration says of how much is logged.
    pub(crate) fn log_level(&self) -> &str {
        &self.config.log.level
    }

    /// What can be looked at and steered; who wants the configuration read anew is told to `reload`.
    pub(crate) fn sources(&self, reload: mpsc::Sender<control::Reload>) -> control::Sources {
        control::Sources {
            pools: self.pools.list(),
            plugins: self.plugins(),
            journal: self.journal.clone(),
            pulses: self.pulses.clone(),
            latency: Arc::clone(&self.latency),
            started: self.started,
            control: self.control.clone(),
            reload,
        }
    }

    /// What it does, as it happens.
    pub(crate) fn story(&self) -> &Story {
        &self.story
    }

    /// The signs of life of its parts.
    pub(crate) fn pulses(&self) -> &Pulses {
        &self.pulses
    }

    /// The journal.
    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Waits until a part fails for good; then the process should end and be started anew.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        loop {
            let ended = tokio::select! {
                Some(ended) = self.parts.join_next() => ended,
                Some(ended) = self.pools.ended() => ended,
                Some(ended) = self.plugins.ended() => ended,
                else => std::future::pending().await,
            };
            match ended {
                Ok(Err(error)) => return error,
                Err(error) => {
                    return anyhow::Error::new(error).context("a part of the daemon ended by a panic");
                }
                Ok(Ok(())) => {}
            }
        }
    }

    /// Stops: no more deliveries begin, running ones may end within `drain`, then the feeds end and sessions are
    /// closed.
    pub(crate) async fn stop(mut self, drain: Duration) -> Result<Summary> {
        let drained = self.plugins.stop(drain).await;
        // Workers end first: what they wait for is told by the feeds.
        self.stop_parts.send_replace(true);
        _ = tokio::time::timeout(PARTS_TIMEOUT, async { while self.parts.join_next().await.is_some() {} })
            .await;
        self.parts.shutdown().await;
        self.pools.stop().await;
        let counts = self.journal.listings().counts().await.context("counting what the journal holds")?;
        self.journal.close().await.context("closing the journal")?;
        Ok(Summary { ran: self.started.elapsed(), counts, latency: self.latency.percentiles(), drained })
    }
}

/// The classes that a pool's feed is to follow for its plugins.
fn wished_of(pool: &LivePool, plugins: &Plugins) -> Vec<SmolStr> {
    let served = plugins.loaded().filter(|(plugin, _)| plugin.grant.covers(pool.name()));
    feed::followed(served.flat_map(|(_, installed)| installed.classes()))
}

/// The schedules of all plugins, for each pool that they serve.
fn wanted(plugins: &Plugins, pools: &Pools) -> Vec<Wanted> {
    let pools = pools.present();
    plugins.loaded().flat_map(|(plugin, installed)| wanted_by(&plugin.grant, &installed, &pools)).collect()
}

fn wanted_by(grant_file: &GrantFile, installed: &Installed, pools: &[LivePool]) -> Vec<Wanted> {
    let served = pools.iter().filter(|pool| grant_file.covers(pool.name()));
    let of = |pool: &LivePool| {
        let wanted = |(name, schedule): (&str, &Schedule)| Wanted {
            pool: pool.name().clone(),
            plugin: installed.name.as_str().into(),
            name: name.into(),
            schedule: schedule.clone(),
        };
        installed.schedules().map(wanted).collect::<Vec<_>>()
    };
    served.flat_map(of).collect()
}
