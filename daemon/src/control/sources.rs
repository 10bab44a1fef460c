//! What the other rooms publish, put together into one picture when somebody asks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use journal::{By, Journal};
use tokio::sync::{mpsc, oneshot, watch};

use super::types::{
    DeliveryLine, LatencyStatus, OfPlugin, PluginDetail, PluginStatus, PoolStatus, Reloaded, Status,
};
use super::{detail, records};
use crate::config::{self, GrantFile};
use crate::feed::{LivePool, PoolState};
use crate::latency::Latency;
use crate::pulse::Pulses;
use crate::router::{Figures, Installed, Steering, Waiting};

/// How long the journal's writer may take to answer before it counts as stuck.
const WRITER_TIMEOUT: Duration = Duration::from_secs(2);

/// For so long what a plugin lost is a problem to look at: a day. It stays on record.
const GAP_IS_NEWS_MICROS: i64 = 24 * 3600 * 1_000_000;
/// So many of these are named.
const GAPS_MAX: usize = 20;

/// Where the picture comes from.
pub(crate) struct Sources {
    /// The pools, in the order of the configuration.
    pub(crate) pools: watch::Receiver<PoolList>,
    /// The plugins, by name.
    pub(crate) plugins: watch::Receiver<PluginList>,
    /// The journal.
    pub(crate) journal: Journal,
    /// The signs of life of all parts.
    pub(crate) pulses: Pulses,
    /// From a pool's answer to the start of a plugin.
    pub(crate) latency: Arc<Latency>,
    /// When the daemon started.
    pub(crate) started: Instant,
    /// Who may do what.
    pub(crate) control: watch::Sender<config::Control>,
    /// Who reads the configuration anew.
    pub(crate) reload: mpsc::Sender<Reload>,
}

/// The pools that are configured, in the order of the configuration.
pub(crate) type PoolList = Arc<[LivePool]>;

/// The plugins that are configured, by name.
pub(crate) type PluginList = Arc<[Arc<PluginSource>]>;

/// The wish to have the configuration read anew.
pub(crate) struct Reload {
    /// One plugin alone, with nothing else of the configuration.
    pub(crate) only: Option<String>,
    /// Whose.
    pub(crate) by: By,
    /// What came of it, or everything that is wrong, in words.
    pub(crate) answer: oneshot::Sender<Result<Reloaded, String>>,
}

/// A plugin as configured, and what became of it.
pub(crate) struct PluginSource {
    /// Its grant file.
    pub(crate) grant: GrantFile,
    /// Whether it runs.
    pub(crate) state: PluginState,
}

/// Whether a plugin runs.
pub(crate) enum PluginState {
    /// It is loaded and has a worker, which may be switched off.
    Loaded {
        /// What is loaded.
        installed: Arc<Installed>,
        /// The worker's reins.
        steering: Steering,
        /// What a newer component asks for beyond the grant, as lines to paste; it waits for that.
        update: Option<String>,
    },
    /// Its grant file says that it is not to run.
    Off,
    /// It could not be loaded; why.
    LeftOut(String),
}

impl PluginState {
    /// What is loaded, if it is.
    pub(crate) fn installed(&self) -> Option<&Arc<Installed>> {
        match self {
            PluginState::Loaded { installed, .. } => Some(installed),
            PluginState::Off | PluginState::LeftOut(_) => None,
        }
    }
}

/// What the journal knows of plugins.
struct Kept {
    last: u64,
    cursors: HashMap<String, u64>,
    dead: HashMap<String, u64>,
    lost: HashMap<String, u64>,
    disabled: HashMap<String, journal::By>,
}

impl Sources {
    /// The plugin of that name.
    pub(super) fn plugin(&self, name: &str) -> Option<Arc<PluginSource>> {
        self.present().iter().find(|plugin| plugin.grant.name == name).cloned()
    }

    /// The plugins as they are now.
    pub(super) fn present(&self) -> PluginList {
        Arc::clone(&self.plugins.borrow())
    }

    /// The whole picture.
    pub(super) async fn status(&self) -> Result<Status, journal::Error> {
        let kept = self.kept().await?;
        let journal = records::journal(self.journal.listings()).await?;
        let pools = Arc::clone(&self.pools.borrow());
        let pools: Vec<PoolStatus> = pools.iter().map(pool_status).collect();
        let plugins: Vec<PluginStatus> =
            self.present().iter().map(|plugin| plugin_status(plugin, &kept)).collect();
        let mut problems = Vec::new();
        for pool in pools.iter().filter(|pool| pool.state != "following") {
            let why = pool.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            problems.push(format!("pool {} is {}{why}", pool.name, pool.state));
        }
        for plugin in plugins.iter().filter(|plugin| plugin.state == "left out") {
            let why = plugin.why.as_deref().unwrap_or_default();
            problems.push(format!("plugin {} is left out: {why}", plugin.name));
        }
        for plugin in plugins.iter().filter(|plugin| plugin.update_waits) {
            problems.push(format!(
                "the new component of plugin {0} asks for more than its grant allows, the one before goes on: \
                 `xapiary plugins show {0}`",
                plugin.name
            ));
        }
        if journal.dead > 0 {
            let letters = if journal.dead == 1 { "dead letter waits" } else { "dead letters wait" };
            problems.push(format!("{} {letters} for a person: `xapiary dead list`", journal.dead));
        }
        let gaps = self.journal.listings().gaps(None, GAPS_MAX).await?;
        let since = jiff::Timestamp::now().as_microsecond().saturating_sub(GAP_IS_NEWS_MICROS);
        for gap in gaps.iter().filter(|gap| gap.at_micros >= since) {
            problems.push(format!(
                "plugin {} lost {} of the events {} to {}: `xapiary journal gaps`",
                gap.plugin, gap.events, gap.first, gap.last
            ));
        }
        if !self.journal.healthy(WRITER_TIMEOUT).await {
            problems.push("the journal's writer does not answer".to_owned());
        }
        problems.extend(self.pulses.check().err());
        let latency = self.latency.percentiles();
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            process: std::process::id(),
            running_for_s: self.started.elapsed().as_secs_f64(),
            problems,
            pools,
            plugins,
            journal,
            start_latency: LatencyStatus {
                count: latency.count,
                p50_s: latency.p50.as_secs_f64(),
                p99_s: latency.p99.as_secs_f64(),
                max_s: latency.max.as_secs_f64(),
            },
        })
    }

    /// How all plugins stand.
    pub(super) async fn plugins(&self) -> Result<Vec<PluginStatus>, journal::Error> {
        let kept = self.kept().await?;
        Ok(self.present().iter().map(|plugin| plugin_status(plugin, &kept)).collect())
    }

    /// Deliveries that were begun and are not settled, and those that wait for their turn; by event.
    pub(super) async fn deliveries(&self, of: OfPlugin) -> Result<Vec<DeliveryLine>, journal::Error> {
        let limit = records::lines(of.limit);
        let only = of.plugin.clone();
        let mut found = records::deliveries(self.journal.listings(), of).await?;
        for plugin in self.present().iter() {
            let name = &plugin.grant.name;
            let PluginState::Loaded { steering, .. } = &plugin.state else { continue };
            if only.as_ref().is_some_and(|only| only != name) {
                continue;
            }
            let begun: HashSet<u64> =
                found.iter().filter(|line| line.plugin == *name).map(|line| line.sequence).collect();
            let waiting = steering.waiting(limit).await.unwrap_or_default().into_iter();
            let waiting = waiting.filter(|waiting| !begun.contains(&waiting.sequence));
            found.extend(waiting.map(|waiting| waiting_line(name, waiting)));
        }
        found.sort_by(|one, other| (one.sequence, &one.plugin).cmp(&(other.sequence, &other.plugin)));
        found.truncate(limit);
        Ok(found)
    }

    /// All that can be told of one plugin.
    pub(super) async fn plugin_detail(&self, name: &str) -> Result<Option<PluginDetail>, journal::Error> {
        let Some(plugin) = self.plugin(name) else { return Ok(None) };
        let status = plugin_status(&plugin, &self.kept().await?);
        let loaded = plugin.state.installed();
        let manifest = loaded.map(|installed| installed.plugin.manifest());
        let missing = loaded.and_then(|installed| installed.missing.clone());
        let update = match &plugin.state {
            PluginState::Loaded { update, .. } => update.clone(),
            PluginState::Off | PluginState::LeftOut(_) => None,
        };
        Ok(Some(PluginDetail { missing, update, ..detail::of(&plugin.grant, status, manifest) }))
    }

    async fn kept(&self) -> Result<Kept, journal::Error> {
        let listings = self.journal.listings();
        let cursors = listings.plugins().await?.into_iter();
        let disabled = listings.disabled().await?.into_iter();
        Ok(Kept {
            last: self.journal.last(),
            cursors: cursors.map(|cursor| (cursor.plugin, cursor.cursor)).collect(),
            dead: listings.dead_counts().await?.into_iter().collect(),
            lost: listings.lost().await?.into_iter().collect(),
            disabled: disabled.map(|disabled| (disabled.plugin, disabled.by)).collect(),
        })
    }
}

/// A delivery that the journal knows nothing of yet.
fn waiting_line(plugin: &str, waiting: Waiting) -> DeliveryLine {
    let Waiting { sequence, attempts } = waiting;
    let state = "waiting".to_owned();
    DeliveryLine {
        plugin: plugin.to_owned(),
        sequence,
        attempt: attempts,
        state,
        not_before: None,
        why: None,
    }
}

fn pool_status(pool: &LivePool) -> PoolStatus {
    let (state, why) = match &*pool.state().borrow() {
        PoolState::Connecting => ("connecting", None),
        PoolState::Following => ("following", None),
        PoolState::Lost(why) => ("lost", Some(why.clone())),
        PoolState::Untrusted(why) => ("untrusted", Some(why.clone())),
        PoolState::Paused(why) => ("paused", Some(why.clone())),
    };
    PoolStatus {
        name: pool.name().to_string(),
        state: state.to_owned(),
        why,
        endpoint: pool.client().endpoint().to_string(),
        objects: count(pool.read().len()),
        canary_age_s: pool.canary_age().map(|age| age.as_secs_f64()),
        lag_s: pool.lag().map(|lag| lag.as_secs_f64()),
        events: pool.told(),
    }
}

fn plugin_status(plugin: &PluginSource, kept: &Kept) -> PluginStatus {
    let name = &plugin.grant.name;
    let (state, why, version, figures) = match &plugin.state {
        PluginState::Loaded { installed, steering, .. } => {
            let version = Some(installed.plugin.manifest().version.clone());
            let figures = Some(steering.figures());
            if steering.is_enabled() && figures.is_some_and(|figures| figures.quarantined) {
                let why = "it keeps failing; one event is tried now and then, see the log".to_owned();
                ("quarantined", Some(why), version, figures)
            } else if steering.is_enabled() {
                let succeeding = figures.filter(|figures| figures.succeeding);
                let why = succeeding.map(|figures| {
                    format!("a new version waits until {} running deliveries have ended", figures.running)
                });
                ("on", why, version, figures)
            } else {
                ("disabled", kept.disabled.get(name).map(records::by), version, figures)
            }
        }
        PluginState::Off => ("off", Some("enabled = false in its grant file".to_owned()), None, None),
        PluginState::LeftOut(why) => ("left out", Some(why.clone()), None, None),
    };
    let update_waits = matches!(&plugin.state, PluginState::Loaded { update: Some(_), .. });
    // The worker knows better than the journal, where the cursor is noted now and then.
    let cursor = figures.map(|figures| figures.cursor).or_else(|| kept.cursors.get(name).copied());
    let Figures { open, running, resting, ended, .. } = figures.unwrap_or_default();
    PluginStatus {
        name: name.clone(),
        state: state.to_owned(),
        why,
        mode: Some(detail::mode(&plugin.grant)),
        version,
        update_waits,
        cursor,
        behind: cursor.map_or(0, |cursor| kept.last.saturating_sub(cursor)),
        waiting: count(open.saturating_sub(running + resting)),
        running: count(running),
        resting: count(resting),
        dead: kept.dead.get(name).copied().unwrap_or_default(),
        attempts_done: ended.done,
        attempts_again: ended.again,
        attempts_dead: ended.dead,
        folded: ended.folded,
        lost: kept.lost.get(name).copied().unwrap_or_default(),
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
