//! What concerns the pool as a whole: who belongs to it, how a host comes to it from another pool and leaves it again, and
//! high availability.

mod availability;
mod carrying;
mod checks;
mod coordinator;
pub(crate) mod handover;
mod hosts;
mod independence;
mod joining;
mod receiving;
mod transplant;

use smol_str::SmolStr;
use xapi::Value;

use crate::methods::Entry;
use crate::pool::Pool;
pub(crate) use checks::{Target, assert as assert_may_join};
use coordinator::FUSE;
pub(crate) use coordinator::take_over;
pub(crate) use hosts::{ALIKE, NewHost};
pub(crate) use joining::{Errand, Home, Joining, Wish};
pub(crate) use receiving::{Arrivals, Seats};

/// Methods of the pool.
pub(crate) const METHODS: &[Entry] = &[
    ("pool", "designate_new_master", coordinator::designate),
    ("pool", "join", joining::join),
    ("pool", "join_force", joining::join_force),
    ("pool", "eject", hosts::eject),
    ("pool", "enable_ha", availability::enable),
    ("pool", "disable_ha", availability::disable),
    ("pool", "set_ha_host_failures_to_tolerate", availability::set_failures_to_tolerate),
    ("pool", "ha_compute_max_host_failures_to_tolerate", availability::most_failures),
    ("pool", "ha_failover_plan_exists", availability::plan_exists),
    ("pool", "sync_database", |_, _| Ok(Value::VOID.into())),
];

/// What may be done with the pool now.
pub(crate) fn allowed(pool: &Pool) -> Vec<&'static str> {
    let reference = pool.pool_row();
    let current = pool.current("pool", &reference);
    if !current.is_empty() {
        return Vec::new();
    }
    if pool.ha_enabled() { vec!["ha_disable"] } else { vec!["designate_new_master", "eject", "ha_enable"] }
}

impl Pool {
    /// The one row of class `pool`.
    pub(crate) fn pool_row(&self) -> SmolStr {
        let table = self.database.table("pool");
        table.and_then(|table| table.rows.keys().next()).cloned().unwrap_or_default()
    }

    /// Whether high availability is on.
    pub(crate) fn ha_enabled(&self) -> bool {
        self.database.truth("pool", &self.pool_row(), "ha_enabled")
    }
}
