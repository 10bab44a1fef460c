//! The configured pools: each followed by a feed of its own, which can begin, go on by another client, and end.
//!
//! ```text
//!   new     ─▶ its picture out of the journal ─▶ a feed
//!   changed ─▶ the feed ends ─▶ another one goes on from there, with a client of its own
//!   gone    ─▶ no delivery begins any more ─▶ those that run end ─▶ the feed ends, the session is closed
//! ```
//!
//! Deliveries that run come to their end with the client that they began with.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use journal::Journal;
use secrecy::SecretString;
use smol_str::SmolStr;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use xapi::codec::Limits;
use xapi::model::World;
use xapi::{Client, Settings};

use crate::config::{self, GrantFile};
use crate::control::PoolList;
use crate::feed::{self, Feed, Left, LivePool, OpenDeliveries, PoolState, Tail};
use crate::pulse::Pulses;

/// For a call to a pool as a whole; plugins may set a shorter one for theirs.
const CALL_TIMEOUT: Duration = Duration::from_secs(330);
/// A feed turns at least once for each poll, and a poll that is not answered ends after 45 s; looking for a coordinator
/// among several members that do not answer takes longer.
const FEED_SILENCE: Duration = Duration::from_secs(600);
/// How long feeds may take to end after workers have.
const FEEDS_TIMEOUT: Duration = Duration::from_secs(3);
/// How long ending the sessions may take at a stop, side by side.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(5);

/// The configured pools with their feeds.
pub(super) struct Pools {
    journal: Journal,
    tail: Arc<Tail>,
    pulses: Pulses,
    /// All that are configured, in the order of the configuration.
    list: watch::Sender<PoolList>,
    followed: Vec<Followed>,
    /// Pools that are configured no more, or otherwise, until their feeds have ended.
    leaving: Vec<Leaving>,
    feeds: JoinSet<Result<()>>,
    /// Held by the feed of a pool for as long as it is there: one at a time.
    turns: HashMap<SmolStr, Arc<Mutex<()>>>,
    /// Sessions that end when nobody uses them.
    partings: JoinSet<()>,
}

/// A pool that has a feed, or is about to.
struct Followed {
    meant: config::Pool,
    pool: LivePool,
    /// The classes that its feed is to follow; none before it has one.
    wished: Option<watch::Sender<Vec<SmolStr>>>,
    stop: watch::Sender<bool>,
    /// Held by all that deliver to it.
    hold: mpsc::Sender<Infallible>,
    /// Ends when nobody holds it.
    held: mpsc::Receiver<Infallible>,
}

/// A pool whose feed is to end.
struct Leaving {
    pool: LivePool,
    stop: watch::Sender<bool>,
}

/// What is to become of the pools. All that can fail has been done.
pub(super) struct Plan(Vec<Step>);

enum Step {
    /// Nothing differs.
    Stay(SmolStr),
    /// It is new, or its address, trust or login is.
    Begin { meant: Box<config::Pool>, pool: LivePool, changed: bool },
}

/// What became of the pools, by name.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) began: Vec<String>,
    pub(super) changed: Vec<String>,
    pub(super) ended: Vec<String>,
}

impl Taken {
    /// Whether a grant covers a pool that is another now.
    pub(super) fn concerns(&self, grant: &GrantFile) -> bool {
        [&self.began, &self.changed, &self.ended].into_iter().flatten().any(|pool| grant.covers(pool))
    }
}

impl Pools {
    pub(super) fn new(journal: Journal, tail: Arc<Tail>, pulses: Pulses) -> Self {
        Pools {
            journal,
            tail,
            pulses,
            list: watch::Sender::default(),
            followed: Vec::new(),
            leaving: Vec::new(),
            feeds: JoinSet::new(),
            turns: HashMap::new(),
            partings: JoinSet::new(),
        }
    }

    /// All that are configured, in the order of the configuration, and what becomes of them.
    pub(super) fn list(&self) -> watch::Receiver<PoolList> {
        self.list.subscribe()
    }

    /// All that are configured now.
    pub(super) fn present(&self) -> PoolList {
        Arc::clone(&self.list.borrow())
    }

    /// Those that a grant covers, by name, for deliveries.
    pub(super) fn served(&self, grant: &GrantFile) -> HashMap<SmolStr, LivePool> {
        let covered = self.followed.iter().filter(|followed| grant.covers(followed.pool.name()));
        covered.map(|followed| (followed.pool.name().clone(), followed.pool.held(&followed.hold))).collect()
    }

    /// Finds out what is to become of the pools, without touching what runs. Of those that are new the picture is read.
    ///
    /// # Errors
    /// When a picture cannot be read, or no client can be made of what is configured.
    pub(super) async fn plan(&self, configured: &[config::Pool]) -> Result<Plan> {
        let mut steps = Vec::new();
        for meant in configured {
            let before = self.followed.iter().find(|followed| followed.meant.name == meant.name);
            if before.is_some_and(|before| before.meant == *meant) {
                steps.push(Step::Stay(meant.name.as_str().into()));
                continue;
            }
            // One that is about to leave is still known.
            let leaving = self.leaving.iter().rfind(|leaving| leaving.pool.name() == meant.name.as_str());
            let known = before.map(|before| &before.pool).or(leaving.map(|leaving| &leaving.pool));
            let pool = match known {
                Some(known) => known.through(client(meant, uuid_of(&known.read()), "xapiary")?),
                None => {
                    let world = feed::kept(&self.journal, &meant.name).await?;
                    let client = client(meant, uuid_of(&world), "xapiary")?;
                    LivePool::new(meant.name.as_str().into(), client, world)
                }
            };
            steps.push(Step::Begin { meant: Box::new(meant.clone()), pool, changed: before.is_some() });
        }
        Ok(Plan(steps))
    }

    /// Takes a plan up. Feeds begin with [`Pools::follow`], once it is known what they are to follow; what is removed goes on
    /// until nobody delivers to it.
    pub(super) fn take(&mut self, plan: Plan) -> Taken {
        let mut taken = Taken::default();
        let mut before = std::mem::take(&mut self.followed);
        let mut left = |name: &str| {
            let at = before.iter().position(|followed| followed.meant.name == name);
            at.map(|at| before.remove(at))
        };
        for step in plan.0 {
            match step {
                Step::Stay(name) => self.followed.extend(left(&name)),
                Step::Begin { meant, pool, changed } => {
                    let told = if changed { &mut taken.changed } else { &mut taken.began };
                    told.push(meant.name.clone());
                    if let Some(followed) = left(&meant.name) {
                        self.part(followed);
                    }
                    for leaving in self.leaving.iter().filter(|leaving| leaving.pool.name() == pool.name()) {
                        leaving.stop.send_replace(true);
                    }
                    self.followed.push(Followed::new(*meant, pool));
                }
            }
        }
        for followed in before {
            taken.ended.push(followed.meant.name.clone());
            tracing::info!(
                pool = followed.meant.name,
                "the pool is left when the deliveries that run have ended"
            );
            self.part(followed);
        }
        self.list.send_replace(self.followed.iter().map(|followed| followed.pool.clone()).collect());
        taken
    }

    /// Ends a pool's feed and session when nobody delivers to it any more.
    fn part(&mut self, followed: Followed) {
        let Followed { pool, stop, hold, mut held, .. } = followed;
        drop(hold);
        self.leaving.push(Leaving { pool: pool.clone(), stop: stop.clone() });
        self.partings.spawn(async move {
            // Nothing is ever sent.
            _ = held.recv().await;
            stop.send_replace(true);
            _ = tokio::time::timeout(LOGOUT_TIMEOUT, pool.client().logout()).await;
            tracing::info!(pool = %pool.name(), "the session that nobody uses any more is closed");
        });
    }

    /// Lets feeds begin where there are none, and follow what is wished for of each pool. `open` are deliveries that have begun
    /// and not ended.
    pub(super) fn follow(&mut self, open: &OpenDeliveries, wished: impl Fn(&LivePool) -> Vec<SmolStr>) {
        for followed in &mut self.followed {
            let classes = wished(&followed.pool);
            if let Some(followed) = &followed.wished {
                // A class that nobody asks for any more is followed up to the next start: to leave it costs the whole
                // picture.
                followed.send_if_modified(|followed| {
                    let more = classes.into_iter().filter(|class| !followed.contains(class));
                    let more: Vec<SmolStr> = more.collect();
                    let grows = !more.is_empty();
                    followed.extend(more);
                    followed.sort_unstable();
                    grows
                });
                continue;
            }
            let (sender, wished) = watch::channel(classes);
            followed.wished = Some(sender);
            let (pool, stop, open) = (followed.pool.clone(), followed.stop.subscribe(), open.clone());
            let (journal, tail, pulses) = (self.journal.clone(), Arc::clone(&self.tail), self.pulses.clone());
            let turn = Arc::clone(self.turns.entry(pool.name().clone()).or_default());
            self.feeds.spawn(async move {
                let _turn = turn.lock_owned().await;
                pool.set_state(PoolState::Connecting);
                // The pool may have to be found through a member while the configured one is down.
                pool.client().learn_hosts(pool.read().of("host").map(|host| &**host));
                let left = Left { position: feed::position(&journal, pool.name()).await?, open };
                let pulse = pulses.part(format!("the feed of pool {}", pool.name()), FEED_SILENCE);
                Ok(Feed::new(pool, wished, left, journal, tail, pulse, stop).run().await?)
            });
        }
    }

    /// How the next feed ended; none when there is none.
    pub(super) async fn ended(&mut self) -> Option<Result<Result<()>, JoinError>> {
        let ended = self.feeds.join_next().await;
        while self.partings.try_join_next().is_some() {}
        self.leaving.retain(|leaving| !leaving.stop.is_closed());
        ended
    }

    /// Ends all feeds and closes the sessions; nobody delivers any more.
    pub(super) async fn stop(mut self) {
        let leaving = self.leaving.iter().map(|leaving| &leaving.stop);
        for stop in self.followed.iter().map(|followed| &followed.stop).chain(leaving) {
            stop.send_replace(true);
        }
        // A feed ends at once, but for one that waits for room in the journal.
        _ = tokio::time::timeout(FEEDS_TIMEOUT, async { while self.feeds.join_next().await.is_some() {} })
            .await;
        self.feeds.shutdown().await;
        for Followed { pool, .. } in self.followed {
            self.partings.spawn(async move { pool.client().logout().await });
        }
        // Whoever does not answer collects the session by itself.
        _ = tokio::time::timeout(LOGOUT_TIMEOUT, self.partings.join_all()).await;
    }
}

impl Followed {
    fn new(meant: config::Pool, pool: LivePool) -> Self {
        let (hold, held) = mpsc::channel(1);
        Followed { meant, pool, wished: None, stop: watch::Sender::new(false), hold, held }
    }
}

/// The pool's own name for itself, as far as it is known: a member of another one is not talked to.
fn uuid_of(world: &World) -> Option<SmolStr> {
    world.of("pool").next().and_then(|pool| pool.uuid()).map(SmolStr::new)
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
