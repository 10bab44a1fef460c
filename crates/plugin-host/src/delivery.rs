//! What one run of a plugin is given.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;

use crate::event::Event;
use crate::limits::Limits;
use crate::pool::{Ledger, LogSink, Pool, StateReader};
use crate::spending::Spending;
use grant::Grant;

/// One event on its way into one plugin, with everything that the plugin may reach from it.
#[derive(Clone)]
pub struct Delivery {
    /// The event.
    pub event: Event,
    /// The pool that it came from, and that calls go to.
    pub pool: Arc<dyn Pool>,
    /// Where effects of this delivery are recorded.
    pub ledger: Arc<dyn Ledger>,
    /// The plugin's stored keys.
    pub state: Arc<dyn StateReader>,
    /// Where its log lines go while it runs.
    pub log: Arc<dyn LogSink>,
    /// On what terms it runs.
    pub terms: Arc<Terms>,
}

/// On what terms a plugin runs, until its configuration changes.
#[derive(Debug)]
pub struct Terms {
    /// What it may see and do.
    pub grant: Grant,
    /// What the grant's rules have allowed lately.
    pub spending: Spending,
    /// Its settings, as [`Manifest::settle`](crate::Manifest::settle) gives them.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// Secrets by name, only told when asked for.
    pub secrets: BTreeMap<String, SecretString>,
    /// Bounds on each delivery.
    pub limits: Limits,
    /// Whether calls that change something are recorded and not sent.
    pub dry_run: bool,
}
