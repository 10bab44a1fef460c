//! The whole daemon as one thing that starts, runs and stops: journal, pools, plugins.

mod plugins;
mod reload;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use journal::Journal;
use plugin_host::{Host, Schedule};
use secrecy::SecretString;
use smol_str::SmolStr;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use xapi::codec::Limits;
use xapi::{Client, Settings};

use crate::compiler::Compiler;
use crate::config::{self, Config, GrantFile};
use crate::control;
use crate::feed::{self, Feed, Left, LivePool, OpenDeliveries, Tail};
use crate::latency::{Latency, Percentiles};
use crate::pulse::Pulses;
use crate::retention;
use crate::router::{Installed, Shared};
use crate::schedule::{Clock, Wanted};
use crate::story::Story;

use plugins::Plugins;
pub(crate) use reload::Prepared;

/// For a call to a pool as a whole; plugins may set a shorter one for theirs.
const CALL_TIMEOUT: Duration = Duration::from_secs(330);
/// A feed turns at least once for each poll, and a poll that is not answered ends after 45 s; looking for a coordinator
/// among several members that do not answer takes longer.
const FEED_SILENCE: Duration = Duration::from_secs(600);
/// The clock is looked at every few seconds, or waits for the journal.
const CLOCK_SILENCE: Duration = Duration::from_secs(120);
/// How long feeds may take to end after workers have.
const FEEDS_TIMEOUT: Duration = Duration::from_secs(3);
/// How long ending the sessions may take at a stop, side by side.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(5);

/// A running daemon.
pub(crate) struct Service {
    /// What holds: what it was started with, but for what was taken up since.
    config: Config,
    journal: Journal,
    pools: Vec<LivePool>,
    /// The classes that each pool's feed is to follow, in the order of the pools.
    wished: Vec<watch::Sender<Vec<SmolStr>>>,
    plugins: Plugins,
    schedules: watch::Sender<Vec<Wanted>>,
    retention: watch::Sender<config::Retention>,
    /// Who may look and steer.
    control: watch::Sender<config::Control>,
    story: Story,
    latency: Arc<Latency>,
    started: Instant,
    /// Workers end first: what they wait for is told by the feeds.
    stop_feeds: watch::Sender<bool>,
    pulses: Pulses,
    feeds: JoinSet<Result<()>>,
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
        let stop_feeds = watch::Sender::new(false);
        let mut feeds = JoinSet::new();
        let loaded = plugins::load_all(&compiler, config);
        compiler.forget_others();
        let lost = watch::Sender::new(());
        let shared = Shared {
            journal: journal.clone(),
            tail: Arc::clone(&tail),
            story: story.clone(),
            latency: Arc::clone(&latency),
            lost: lost.subscribe(),
        };
        let mut plugins = Plugins::new(compiler, shared, pulses.clone());
        // Before the feeds: a plugin that is new begins after the last event, before the first fresh one.
        let mut open = OpenDeliveries::new();
        for installed in loaded.iter().filter_map(|(_, loaded)| loaded.as_ref().ok()) {
            open.extend(plugins.register(&installed.name).await?);
        }
        let mut kept_pools = Vec::new();
        for pool in &config.pools {
            let kept = feed::kept(&journal, &pool.name).await?;
            let uuid = kept.world.of("pool").next().and_then(|pool| pool.uuid()).map(SmolStr::new);
            let client = client(pool, uuid, "xapiary")?;
            // The pool may have to be found through a member while the configured one is down.
            client.learn_hosts(kept.world.of("host").map(|host| &**host));
            kept_pools.push((LivePool::new(pool.name.as_str().into(), client, kept.world), kept.position));
        }
        let pools: Vec<LivePool> = kept_pools.iter().map(|(pool, _)| pool.clone()).collect();
        plugins.begin(loaded, &pools).await?;
        let retention = watch::Sender::new(config.retention);
        let keeping = retention::run(journal.clone(), retention.subscribe(), lost, stop_feeds.subscribe());
        feeds.spawn(async move {
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
            stop_feeds.subscribe(),
        )
        .await?;
        feeds.spawn(async move { Ok(clock.run().await?) });
        let mut wished = Vec::new();
        for (pool, position) in kept_pools {
            let classes = watch::Sender::new(wished_of(&pool, &plugins));
            let feed = Feed::new(
                pool.clone(),
                classes.subscribe(),
                Left { position, open: open.clone() },
                journal.clone(),
                Arc::clone(&tail),
                pulses.part(format!("the feed of pool {}", pool.name()), FEED_SILENCE),
                stop_feeds.subscribe(),
            );
            wished.push(classes);
            feeds.spawn(async move { Ok(feed.run().await?) });
        }
        Ok(Service {
            control: watch::Sender::new(config.control.clone()),
            config: config.clone(),
            journal,
            pools,
            wished,
            plugins,
            schedules,
            retention,
            story,
            latency,
            started: Instant::now(),
            stop_feeds,
            pulses,
            feeds,
        })
    }

    /// The pools, in the order of the config.
    pub(crate) fn pools(&self) -> &[LivePool] {
        &self.pools
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

    /// What can be looked at and steered; who wants the configuration read anew is told to `reload`.
    pub(crate) fn sources(&self, reload: mpsc::Sender<control::Reload>) -> control::Sources {
        control::Sources {
            pools: self.pools.clone(),
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
                Some(ended) = self.feeds.join_next() => ended,
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

/// The classes that a pool's feed is to follow for its plugins.
fn wished_of(pool: &LivePool, plugins: &Plugins) -> Vec<SmolStr> {
    let served = plugins.loaded().filter(|(plugin, _)| plugin.grant.covers(pool.name()));
    feed::followed(served.flat_map(|(_, installed)| installed.classes()))
}

/// The schedules of all plugins, for each pool that they serve.
fn wanted(plugins: &Plugins, pools: &[LivePool]) -> Vec<Wanted> {
    plugins.loaded().flat_map(|(plugin, installed)| wanted_by(&plugin.grant, &installed, pools)).collect()
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
