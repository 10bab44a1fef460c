//! Another host becomes the coordinator.

use smol_str::SmolStr;
use xapi::Value;
use xapi::codec::Failure;

use crate::arguments::Arguments;
use crate::pool::{Pool, Step};
use crate::tasks::Outcome;
use crate::toolstack::Restart;

/// Between the answer to a change of roles and the restart of toolstacks; seconds at speed 1.
pub(super) const FUSE: f64 = 10.0;

/// `pool.designate_new_master`: agreed at once, done when the toolstacks restart.
pub(super) fn designate(pool: &mut Pool, a: &Arguments) -> Result<Outcome, Failure> {
    let host = SmolStr::new(a.text(0));
    pool.known("host", &host)?;
    if pool.ha_enabled() {
        return Err(Failure::new::<SmolStr>("HA_IS_ENABLED", []));
    }
    if !pool.is_coordinator(&host) {
        pool.assert_live(&host)?;
        pool.assert_can_lead(&host)?;
        pool.schedule.add(pool.clock.now() + pool.clock.lasting(FUSE), Step::Promote(host, 0));
    }
    Ok(Value::VOID.into())
}

/// `pool.emergency_transition_to_master`, asked of the member itself: it takes over with the copy of the database that
/// it has, which may be old, so the counter of changes goes back.
pub(crate) fn take_over(pool: &mut Pool, host: &str) -> Result<(), Failure> {
    if pool.ha_enabled() {
        return Err(Failure::new::<SmolStr>("HA_IS_ENABLED", []));
    }
    pool.assert_on_its_own()?;
    let host = SmolStr::new(host);
    if !pool.is_coordinator(&host) {
        let lost = pool.changes_since_copy();
        pool.schedule.add(pool.clock.now() + pool.clock.lasting(FUSE), Step::Promote(host, lost));
    }
    Ok(())
}

impl Pool {
    /// Makes a host the coordinator, which restarts all toolstacks; so many changes are lost to the counter. Does
    /// nothing for one that has left meanwhile.
    pub(crate) fn promote(&mut self, host: &str, lost: u32) {
        let Some(uuid) = self.database.row("host", host).map(|_| self.database.text("host", host, "uuid"))
        else {
            return;
        };
        let uuid = SmolStr::new(uuid);
        let row = self.pool_row();
        self.database.write("pool", &row, "master", host);
        self.trouble.stranded.remove(host);
        let coordinator = self.coordinator();
        let hosts: Vec<SmolStr> =
            self.database.table("host").map(|table| table.rows.keys().cloned().collect()).unwrap_or_default();
        for member in hosts.iter().filter(|member| **member != coordinator) {
            self.restart_host(member, Restart::ByItself);
        }
        self.restart_losing(Restart::ByItself, lost);
        self.alert("POOL_MASTER_TRANSITION", 4, "host", &uuid, String::new());
    }

    /// How many changes came after the database was last copied to the members.
    fn changes_since_copy(&self) -> u32 {
        u32::try_from(self.database.generation().saturating_sub(self.copied)).unwrap_or(u32::MAX)
    }
}
