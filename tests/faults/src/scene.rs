//! Where a scenario plays: a pool, the proxy before it, a daemon that may have several lives, and all that they left.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use e2e::{Config, Daemon, Ended, Grant, KEEPALIVE_GRANT, Line, Stored, World, differences, until};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use simulator::PoolHandle;
use smol_str::SmolStr;
use xapi::model::Record;

use crate::proxy::Proxy;
use crate::trouble;

/// How long the daemon may take to be where the pool is after a fault has ended: the longest pause between two tries, and
/// room for a busy machine.
pub(crate) const RECOVERY: Duration = Duration::from_secs(100);

/// What the plugin `witness` may do.
pub(crate) const WITNESS: &str = "
[[allow]]
call = [\"network.create\"]
[[read]]
class = [\"VM\"]
fields = [\"*\"]
";

/// Objects by class and reference.
pub(crate) type Picture = BTreeMap<(SmolStr, SmolStr), Record>;

/// One scenario's place.
#[derive(Debug)]
pub(crate) struct Scene {
    /// The pool and the folder.
    pub(crate) world: World,
    /// What lies between the pool and the daemon.
    pub(crate) proxy: Proxy,
    /// How the daemon is configured at its next start.
    pub(crate) config: Config,
    /// Where all chance comes from.
    pub(crate) random: StdRng,
    /// The picture from which every later one must follow, and the number of the last event before it.
    pub(crate) first: Option<(u64, Picture)>,
    /// Sessions that were seen in the pool: secrets.
    pub(crate) sessions: BTreeSet<SmolStr>,
    /// Lives of the daemon that are over.
    pub(crate) lives: Vec<Ended>,
    /// The longest time from a start to the line `ready`.
    pub(crate) slowest_start: Duration,
    /// The longest time that it took to be where the pool is.
    pub(crate) slowest_recovery: Duration,
    /// The last event that was seen to be settled: what comes at a stop is for the next start.
    pub(crate) settled: u64,
    daemon: Option<Daemon>,
}

/// Through which door the daemon comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// TLS with a pinned certificate.
    Https,
    /// Plain, for faults in the bytes of answers.
    Http,
}

impl Scene {
    /// The built-in pool with its doors open, the proxy before one of them, no daemon yet.
    pub(crate) async fn new(seed: u64, door: Door) -> Scene {
        Scene::at(World::builtin().await, seed, door).await
    }

    /// The same with a pool of one's own.
    pub(crate) async fn at(world: World, seed: u64, door: Door) -> Scene {
        let (behind, scheme) = match door {
            Door::Https => (world.https(), "https"),
            Door::Http => (world.http(), "http"),
        };
        let proxy = Proxy::open(behind).await;
        let mut config = world.config();
        for pool in &mut config.pools {
            pool.url = format!("{scheme}://{}", proxy.address());
            if door == Door::Http {
                pool.trust = None;
            }
        }
        config.grants = vec![Grant::guest("witness", WITNESS), Grant::keepalive(KEEPALIVE_GRANT)];
        Scene {
            world,
            proxy,
            config,
            random: StdRng::seed_from_u64(seed),
            first: None,
            sessions: BTreeSet::new(),
            lives: Vec::new(),
            slowest_start: Duration::ZERO,
            slowest_recovery: Duration::ZERO,
            settled: 0,
            daemon: None,
        }
    }

    /// The pool.
    #[must_use]
    pub(crate) fn pool(&self) -> PoolHandle {
        self.world.pool()
    }

    /// The journal, which must be there.
    #[must_use]
    pub(crate) fn stored(&self) -> Stored {
        Stored::open(&self.config.state)
    }

    /// The daemon that runs.
    ///
    /// # Panics
    /// When none does.
    #[must_use]
    pub(crate) fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("a daemon was started")
    }

    /// Starts a daemon and does not wait for it.
    pub(crate) fn start(&mut self) {
        let daemon = self.world.start(&self.config);
        self.adopt(daemon);
    }

    /// Takes a daemon that was started in another way as the one of this scene.
    ///
    /// # Panics
    /// When one runs.
    pub(crate) fn adopt(&mut self, daemon: Daemon) {
        assert!(self.daemon.is_none(), "one daemon at a time");
        self.daemon = Some(daemon);
    }

    /// Starts a daemon and waits until it is ready.
    pub(crate) async fn start_ready(&mut self) {
        let begun = Instant::now();
        self.start();
        self.daemon().wait_for_message("ready").await;
        self.slowest_start = self.slowest_start.max(begun.elapsed());
    }

    /// Starts the first daemon, waits until it has the whole picture, and remembers that picture.
    pub(crate) async fn begin(&mut self) {
        self.start_ready().await;
        self.picture().await;
    }

    /// Waits until the daemon has the whole picture, and remembers that picture.
    pub(crate) async fn picture(&mut self) {
        self.daemon().following().await;
        arrived(&self.pool(), &self.state()).await;
        self.remember_picture();
    }

    /// Remembers the journal's picture as the one from which later ones must follow.
    pub(crate) fn remember_picture(&mut self) {
        let stored = self.stored();
        // An event in between would be in both, and follow from what it led to; so look until there was none.
        let (last, objects) = loop {
            let before = stored.last();
            let objects = stored.objects();
            if stored.last() == before {
                break (before, objects);
            }
        };
        let of = |record: Record| ((record.class.clone(), record.reference.clone()), record);
        self.first = Some((last, objects.into_iter().map(of).collect()));
        self.note_sessions();
    }

    /// Gives so many VMs a new description.
    pub(crate) fn write(&mut self, count: usize) {
        let (pool, vms) = (self.pool(), trouble::vms(&self.pool()));
        for _ in 0..count {
            trouble::write(&pool, &vms, &mut self.random);
        }
    }

    /// Remembers the sessions that the pool has now.
    pub(crate) fn note_sessions(&mut self) {
        self.sessions.extend(self.pool().records("session").into_iter().map(|session| session.reference));
    }

    /// Kills the daemon.
    ///
    /// # Panics
    /// When none runs.
    pub(crate) fn kill(&mut self) {
        self.note_sessions();
        let daemon = self.daemon.take().expect("a daemon was started");
        self.lives.push(daemon.kill());
    }

    /// Takes the daemon out of the scene, for an end of another kind; hand it to [`Scene::over`].
    ///
    /// # Panics
    /// When none runs.
    #[must_use]
    pub(crate) fn release(&mut self) -> Daemon {
        self.note_sessions();
        self.daemon.take().expect("a daemon was started")
    }

    /// Keeps what a daemon left that ended.
    pub(crate) fn over(&mut self, ended: Ended) {
        self.lives.push(ended);
    }

    /// Asks the daemon to stop and waits for its end, which must be a good one.
    ///
    /// # Panics
    /// When it is not.
    pub(crate) async fn stop(&mut self) {
        let ended = self.release().terminate().await;
        assert!(ended.status.success(), "{:?}", ended.status);
        self.lives.push(ended);
    }

    /// Waits until the journal's picture is the pool's own and every event is settled for every plugin of the
    /// configuration.
    pub(crate) async fn settle(&mut self) {
        let state = self.config.state.clone();
        let plugins: Vec<String> = self.config.grants.iter().map(|grant| grant.name.clone()).collect();
        self.settle_in(&state, &plugins).await;
    }

    /// The same for some plugins, with the journal in a folder of its own.
    ///
    /// # Panics
    /// When it does not happen within [`RECOVERY`].
    pub(crate) async fn settle_in(&mut self, folder: &Path, plugins: &[String]) {
        let begun = Instant::now();
        arrived(&self.pool(), folder).await;
        let last =
            until(RECOVERY, "every event is settled", || unsettled(&Stored::open(folder), plugins)).await;
        self.settled = last;
        self.slowest_recovery = self.slowest_recovery.max(begun.elapsed());
        self.note_sessions();
    }

    /// Every line that was logged so far, life by life.
    #[must_use]
    pub(crate) fn lines(&self) -> Vec<Vec<Line>> {
        let over = self.lives.iter().map(|life| life.lines.clone());
        over.chain(self.daemon.as_ref().map(Daemon::lines)).collect()
    }

    /// The folder of the journal.
    #[must_use]
    pub(crate) fn state(&self) -> PathBuf {
        self.config.state.clone()
    }
}

/// Waits until the picture of the journal in a folder is the pool's own.
async fn arrived(pool: &PoolHandle, folder: &Path) {
    until(RECOVERY, "the journal's picture is the pool's own", || {
        let found = differences(pool, &Stored::open(folder));
        if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
    })
    .await;
}

/// Whether these plugins have dealt with every event; the number of the last one.
fn unsettled(stored: &Stored, plugins: &[String]) -> Result<u64, String> {
    let last = stored.last();
    let behind: Vec<String> = plugins
        .iter()
        .filter(|plugin| stored.cursor(plugin) != Some(last))
        .map(|plugin| format!("{plugin} at {:?} of {last}", stored.cursor(plugin)))
        .collect();
    let mut open = stored.open_deliveries();
    open.retain(|delivery| plugins.iter().any(|plugin| delivery.starts_with(&format!("{plugin} "))));
    if behind.is_empty() && open.is_empty() { Ok(last) } else { Err(format!("{behind:?}, open: {open:?}")) }
}
