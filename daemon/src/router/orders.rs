//! What a person can tell a plugin's worker while it runs, and what the worker shows of itself. Two ends of one wire: the
//! worker holds the orders, whoever steers it holds the steering.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;
use tokio::sync::{mpsc, oneshot, watch};

use super::installed::Installed;
use crate::feed::LivePool;

/// How long a worker may take to answer: longer than a turn.
const ANSWER: Duration = Duration::from_secs(1);

/// What a worker delivers to, and from which pools.
#[derive(Clone)]
pub(crate) struct Version {
    /// The plugin with its grant.
    pub(crate) installed: Arc<Installed>,
    /// The pools that it serves, by name.
    pub(crate) pools: HashMap<SmolStr, LivePool>,
}

impl Version {
    /// Whether events are told in the same way: heard by the same subscriptions, from the same pools.
    pub(super) fn hears_as(&self, other: &Version) -> bool {
        self.installed.subscriptions() == other.installed.subscriptions()
            && self.pools.len() == other.pools.len()
            && self.pools.keys().all(|pool| other.pools.contains_key(pool))
    }
}

/// How far a worker is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Every event at or below this number is settled, but for dead letters that come again.
    pub(crate) cursor: u64,
    /// Deliveries in the queue: waiting, running and resting.
    pub(crate) open: usize,
    /// Deliveries that run.
    pub(crate) running: usize,
    /// Objects whose first delivery failed and rests until it is tried again.
    pub(crate) resting: usize,
    /// Whether the plugin keeps failing and is left alone, but for a trial now and then.
    pub(crate) quarantined: bool,
    /// Whether a new version waits until the deliveries that run have ended.
    pub(crate) succeeding: bool,
    /// How attempts ended.
    pub(crate) ended: Ended,
}

/// Attempts by how they ended, and events that needed none, since the daemon started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Well.
    pub(crate) done: u64,
    /// To be tried again.
    pub(crate) again: u64,
    /// Given up.
    pub(crate) dead: u64,
    /// Events that were told with a later one.
    pub(crate) folded: u64,
}

/// What a worker is told or asked.
pub(super) enum Order {
    /// A dead letter of this event was made to come again.
    ComeAgain(u64),
    /// The first of its deliveries that wait for their turn, at most so many.
    Waiting(usize, oneshot::Sender<Vec<Waiting>>),
}

/// A delivery that waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// The event's number.
    pub(crate) sequence: u64,
    /// Attempts so far.
    pub(crate) attempts: u32,
}

/// The worker's end.
pub(crate) struct Orders {
    version: watch::Receiver<Version>,
    retired: watch::Receiver<bool>,
    enabled: watch::Receiver<bool>,
    orders: mpsc::UnboundedReceiver<Order>,
    figures: watch::Sender<Figures>,
}

/// The other end. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Steering {
    version: watch::Sender<Version>,
    retired: watch::Sender<bool>,
    enabled: watch::Sender<bool>,
    orders: mpsc::UnboundedSender<Order>,
    figures: watch::Receiver<Figures>,
}

/// Both ends, for a worker that begins with this version, switched on or off.
pub(crate) fn steering(version: Version, enabled: bool) -> (Steering, Orders) {
    let (version, enabled) = (watch::Sender::new(version), watch::Sender::new(enabled));
    let retired = watch::Sender::new(false);
    let (told, heard) = mpsc::unbounded_channel();
    let (shown, figures) = watch::channel(Figures::default());
    let orders = Orders {
        version: version.subscribe(),
        retired: retired.subscribe(),
        enabled: enabled.subscribe(),
        orders: heard,
        figures: shown,
    };
    (Steering { version, retired, enabled, orders: told, figures }, orders)
}

impl Orders {
    /// The version to deliver to, and the versions that follow it.
    pub(super) fn version(&self) -> watch::Receiver<Version> {
        self.version.clone()
    }

    /// Whether the worker is to end, and what becomes of that.
    pub(super) fn retired(&self) -> watch::Receiver<bool> {
        self.retired.clone()
    }

    /// Whether deliveries may begin, and what becomes of that.
    pub(super) fn enabled(&self) -> watch::Receiver<bool> {
        self.enabled.clone()
    }

    /// What it is told or asked next; none when nobody can say anything any more.
    pub(super) async fn next(&mut self) -> Option<Order> {
        self.orders.recv().await
    }

    /// Shows how far the worker is.
    pub(super) fn tell(&self, figures: Figures) {
        self.figures.send_if_modified(|shown| std::mem::replace(shown, figures) != figures);
    }
}

impl Steering {
    /// Hands the next deliveries to a new version of the plugin or of its grant. Those that run end as they began.
    pub(crate) fn succeed(&self, version: Version) {
        self.version.send_replace(version);
    }

    /// Ends the worker: it begins no more deliveries, lets those that run come to their end, and is gone.
    pub(crate) fn retire(&self) {
        self.retired.send_replace(true);
    }

    /// Whether deliveries may begin.
    pub(crate) fn is_enabled(&self) -> bool {
        *self.enabled.borrow()
    }

    /// Lets deliveries begin or not; those that run come to their end.
    pub(crate) fn enable(&self, enabled: bool) {
        self.enabled.send_replace(enabled);
    }

    /// Tells that a dead letter of this event was made to come again. False when the worker has ended.
    pub(crate) fn come_again(&self, sequence: u64) -> bool {
        self.orders.send(Order::ComeAgain(sequence)).is_ok()
    }

    /// The first deliveries that wait for their turn, at most so many. None when the worker does not say: it has ended, or
    /// waits for the journal.
    pub(crate) async fn waiting(&self, limit: usize) -> Option<Vec<Waiting>> {
        let (answer, waiting) = oneshot::channel();
        self.orders.send(Order::Waiting(limit, answer)).ok()?;
        tokio::time::timeout(ANSWER, waiting).await.ok()?.ok()
    }

    /// How far the worker is.
    pub(crate) fn figures(&self) -> Figures {
        *self.figures.borrow()
    }
}
