//! The whole daemon as one thing that starts, runs and stops: journal, pools, plugins.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use journal::Journal;
use plugin_host::{Host, Schedule};
use secrecy::SecretString;
use smol_str::SmolStr;
use tokio::sync::watch;
use tokio::task::JoinSet;
use xapi::codec::Limits;
use xapi::{Client, Settings};

use crate::compiler::Compiler;
use crate::config::{self, Config, GrantFile};
use crate::control::{self, PluginSource, PluginState};
use crate::feed::{self, Feed, Left, LivePool, OpenDeliveries, Tail};
use crate::latency::{Latency, Percentiles};
use crate::pulse::Pulses;
use crate::retention;
use crate::router::{Installed, Orders, Shared, Worker, steering};
use crate::schedule::{Clock, Wanted};
use crate::story::Story;

/// For a call to a pool as a whole; plugins may set a shorter one for theirs.
const CALL_TIMEOUT: Duration = Duration::from_secs(330);
/// A feed turns at least once for each poll, and a poll that is not answered ends after 75 s; looking for a coordinator
/// among several members that do not answer takes longer.
const FEED_SILENCE: Duration = Duration::from_secs(600);
/// A worker turns every few seconds, or waits for the journal.
const WORKER_SILENCE: Duration = Duration::from_secs(120);
/// The clock is looked at every few seconds, or waits for the journal.
const CLOCK_SILENCE: Duration = Duration::from_secs(120);
/// How long feeds may take to end after workers have.
const FEEDS_TIMEOUT: Duration = Duration::from_secs(3);
/// How long ending the sessions may take at a stop, side by side.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(5);
/// A running daemon.
pub(crate) struct Service {
    journal: Journal,
    pools: Vec<LivePool>,
    /// All that are configured, by name.
    plugins: Vec<PluginSource>,
    story: Story,
    latency: Arc<Latency>,
    started: Instant,
    /// Workers end first: what they wait for is told by the feeds.
    stop_workers: watch::Sender<bool>,
    stop_feeds: watch::Sender<bool>,
    pulses: Pulses,
    feeds: JoinSet<Result<()>>,
    workers: JoinSet<Result<()>>,
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
        let mut service = Service {
            journal,
            pools: Vec::new(),
            plugins: Vec::new(),
            story: Story::new(),
            latency: Arc::new(Latency::new()),
            started: Instant::now(),
            stop_workers: watch::Sender::new(false),
            stop_feeds: watch::Sender::new(false),
            pulses: Pulses::default(),
            feeds: JoinSet::new(),
            workers: JoinSet::new(),
        };
        let tail = Arc::new(Tail::new(service.journal.last()));
        let plugins = installed(&compiler, config);
        compiler.forget_others();
        let loaded = || plugins.iter().filter_map(|(grant, state)| Some((*grant, state.as_ref().ok()?)));
        let open = service.open_deliveries(loaded().map(|(_, installed)| &**installed)).await?;
        let disabled = service.journal.listings().disabled().await?;
        let mut feeds = Vec::new();
        for pool in &config.pools {
            let kept = feed::kept(&service.journal, &pool.name).await?;
            let uuid = kept.world.of("pool").next().and_then(|pool| pool.uuid()).map(SmolStr::new);
            let client = client(pool, uuid, "xapiary")?;
            // The pool may have to be found through a member while the configured one is down.
            client.learn_hosts(kept.world.of("host").map(|host| &**host));
            let live = LivePool::new(pool.name.as_str().into(), client, kept.world);
            let wished = loaded().filter(|(grant_file, _)| grant_file.covers(&pool.name));
            feeds.push(Feed::new(
                live.clone(),
                feed::followed(wished.flat_map(|(_, installed)| installed.classes())),
                Left { position: kept.position, open: open.clone() },
                service.journal.clone(),
                Arc::clone(&tail),
                service.pulses.part(format!("the feed of pool {}", pool.name), FEED_SILENCE),
                service.stop_feeds.subscribe(),
            ));
            service.pools.push(live);
        }
        let wanted: Vec<Wanted> =
            loaded().flat_map(|(grant_file, installed)| wanted(config, grant_file, installed)).collect();
        let shared = Shared {
            journal: service.journal.clone(),
            tail: Arc::clone(&tail),
            story: service.story.clone(),
            latency: Arc::clone(&service.latency),
        };
        for (grant_file, loaded) in plugins {
            let state = match loaded {
                Ok(installed) => {
                    let name = &installed.name;
                    let off = disabled.iter().find(|disabled| disabled.plugin == *name);
                    if let Some(off) = off {
                        tracing::warn!(
                            plugin = name,
                            by = off.by.who,
                            reason = off.by.reason,
                            "the plugin is disabled"
                        );
                    }
                    let (steering, orders) = steering(off.is_none());
                    service.employ(grant_file, Arc::clone(&installed), shared.clone(), orders).await?;
                    PluginState::Loaded { installed, steering }
                }
                Err(None) => PluginState::Off,
                Err(Some(why)) => PluginState::LeftOut(why),
            };
            service.plugins.push(PluginSource { grant: grant_file.clone(), state });
        }
        let keeping = retention::run(service.journal.clone(), config.keep, service.stop_feeds.subscribe());
        service.feeds.spawn(async move {
            keeping.await;
            Ok(())
        });
        if !wanted.is_empty() {
            let pulse = service.pulses.part("the clock of schedules".to_owned(), CLOCK_SILENCE);
            let stop = service.stop_feeds.subscribe();
            let clock = Clock::new(wanted, service.journal.clone(), tail, pulse, stop).await?;
            service.feeds.spawn(async move { Ok(clock.run().await?) });
        }
        // Only now: a plugin that is new begins after the last event, before the first fresh one.
        for feed in feeds {
            service.feeds.spawn(async move { Ok(feed.run().await?) });
        }
        Ok(service)
    }

    /// Gives a plugin its worker.
    async fn employ(
        &mut self,
        grant_file: &GrantFile,
        installed: Arc<Installed>,
        shared: Shared,
        orders: Orders,
    ) -> Result<()> {
        let pools = self.pools.iter().filter(|pool| grant_file.covers(pool.name()));
        let pools: HashMap<SmolStr, LivePool> =
            pools.map(|pool| (pool.name().clone(), pool.clone())).collect();
        let pulse = self.pulses.part(format!("the deliveries to {}", installed.name), WORKER_SILENCE);
        let worker =
            Worker::new(installed, pools, shared, orders, pulse, self.stop_workers.subscribe()).await?;
        self.workers.spawn(async move { Ok(worker.run().await?) });
        Ok(())
    }

    /// The deliveries that an earlier run left open: their tasks are still wanted.
    async fn open_deliveries(
        &self,
        plugins: impl Iterator<Item = &Installed>,
    ) -> Result<OpenDeliveries, journal::Error> {
        let mut open = OpenDeliveries::new();
        for installed in plugins {
            let progress = self.journal.progress(&installed.name, self.journal.last()).await?;
            open.extend(progress.open.iter().map(|open| (installed.name.as_str().into(), open.sequence)));
        }
        Ok(open)
    }

    /// The pools, in the order of the config.
    pub(crate) fn pools(&self) -> &[LivePool] {
        &self.pools
    }

    /// How many plugins are loaded.
    pub(crate) fn loaded_plugins(&self) -> usize {
        self.plugins.iter().filter(|plugin| matches!(plugin.state, PluginState::Loaded { .. })).count()
    }

    /// What can be looked at and steered.
    pub(crate) fn sources(&self, control: config::Control) -> control::Sources {
        control::Sources {
            pools: self.pools.clone(),
            plugins: self.plugins.clone(),
            journal: self.journal.clone(),
            pulses: self.pulses.clone(),
            latency: Arc::clone(&self.latency),
            started: self.started,
            control,
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
                Some(ended) = self.feeds.join_next() => ended,
                Some(ended) = self.workers.join_next() => ended,
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
        self.stop_workers.send_replace(true);
        let ended = tokio::time::timeout(drain, async { while self.workers.join_next().await.is_some() {} });
        let drained = ended.await.is_ok();
        self.workers.shutdown().await;
        self.stop_feeds.send_replace(true);
        // A feed ends at once, but for one that waits for room in the journal.
        _ = tokio::time::timeout(FEEDS_TIMEOUT, async { while self.feeds.join_next().await.is_some() {} })
            .await;
        self.feeds.shutdown().await;
        let logouts: JoinSet<()> =
            self.pools.iter().cloned().map(|pool| async move { pool.client().logout().await }).collect();
        // Whoever does not answer collects the session by itself.
        _ = tokio::time::timeout(LOGOUT_TIMEOUT, logouts.join_all()).await;
        let counts = self.journal.listings().counts().await.context("counting what the journal holds")?;
        self.journal.close().await.context("closing the journal")?;
        Ok(Summary { ran: self.started.elapsed(), counts, latency: self.latency.percentiles(), drained })
    }
}

/// What becomes of a configured plugin: it is loaded, or why not; nothing where its grant file says so.
type Loaded = Result<Arc<Installed>, Option<String>>;

/// All plugins with their grants. Those that cannot be loaded are left out, with what is wrong in the log.
fn installed<'c>(compiler: &Compiler, config: &'c Config) -> Vec<(&'c GrantFile, Loaded)> {
    let load = |grant_file: &GrantFile| {
        if !grant_file.enabled {
            return Err(None);
        }
        let plugin = &grant_file.name;
        match Installed::load(compiler, grant_file) {
            Ok(installed) => {
                let version = &installed.plugin.manifest().version;
                tracing::info!(plugin, version, "plugin loaded");
                if grant_file.dry_run {
                    tracing::warn!(
                        plugin,
                        "the plugin runs dry: calls that change something are recorded and not sent"
                    );
                }
                if let Some(missing) = &installed.missing {
                    tracing::warn!(plugin, missing, "the plugin asks for more than its grant allows");
                }
                Ok(Arc::new(installed))
            }
            Err(problems) => {
                let problems: Vec<String> = problems.iter().map(config::Problem::one_line).collect();
                for problem in &problems {
                    tracing::error!(plugin, "the plugin is left out: {problem}");
                }
                Err(Some(problems.join("; ")))
            }
        }
    };
    config.grants.iter().map(|grant_file| (grant_file, load(grant_file))).collect()
}

/// The schedules of a plugin, for each pool that it serves.
fn wanted(config: &Config, grant_file: &GrantFile, installed: &Installed) -> Vec<Wanted> {
    let served = config.pools.iter().filter(|pool| grant_file.covers(&pool.name));
    let of = |pool: &config::Pool| {
        let wanted = |(name, schedule): (&str, &Schedule)| Wanted {
            pool: pool.name.as_str().into(),
            plugin: installed.name.as_str().into(),
            name: name.into(),
            schedule: schedule.clone(),
        };
        installed.schedules().map(wanted).collect::<Vec<_>>()
    };
    served.flat_map(of).collect()
}

/// The client of a configured pool; nothing is connected yet.
pub(crate) fn client(pool: &config::Pool, uuid: Option<SmolStr>, who: &str) -> Result<Client> {
    let members = pool.members.iter().map(|member| pool.endpoint.at(member)).collect::<Result<_, _>>();
    Client::new(Settings {
        endpoint: pool.endpoint.clone(),
        members: members.with_context(|| format!("reading the members of pool {}", pool.name))?,
        pool_uuid: uuid,
        user: pool.user.clone(),
        password: Arc::new(PoolPassword(pool.password.clone())),
        originator: format!("{who}/{}", pool.name),
        user_agent: concat!("xapiary/", env!("CARGO_PKG_VERSION")).to_owned(),
        call_timeout: CALL_TIMEOUT,
        limits: Limits::default(),
        wire: pool.wire,
    })
    .with_context(|| format!("preparing pool {}", pool.name))
}

/// The password of a pool, read from where the config says at every login; empty where a client certificate stands for
/// it.
#[derive(Debug)]
struct PoolPassword(Option<config::Password>);

impl xapi::Password for PoolPassword {
    fn read(&self) -> Result<SecretString, Box<dyn std::error::Error + Send + Sync>> {
        self.0.as_ref().map_or_else(|| Ok(SecretString::from("")), |kept| kept.read().map_err(Into::into))
    }
}
