//! Another host becomes the coordinator.

use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::{Struct, Value};

use crate::arguments::Arguments;
use crate::pool::{Pool, Step};
use crate::tasks::Outcome;

/// Between the answer and the restart of all toolstacks; seconds at speed 1.
const FUSE: f64 = 10.0;

/// `pool.designate_new_master`: agreed at once, done when the toolstacks restart.
pub(super) fn designate(pool: &mut Pool, a: &Arguments) -> Result<Outcome, Failure> {
    let host = SmolStr::new(a.text(0));
    pool.known("host", &host)?;
    if pool.ha_enabled() {
        return Err(Failure::new::<SmolStr>("HA_IS_ENABLED", []));
    }
    if !pool.is_coordinator(&host) {
        pool.assert_live(&host)?;
        pool.schedule.add(pool.clock.now() + pool.clock.lasting(FUSE), Step::Promote(host));
    }
    Ok(Value::VOID.into())
}

impl Pool {
    /// Makes a host the coordinator, which restarts all toolstacks. Does nothing for one that has left meanwhile.
    pub(crate) fn promote(&mut self, host: &str) {
        let Some(uuid) = self.database.row("host", host).map(|_| self.database.text("host", host, "uuid"))
        else {
            return;
        };
        let uuid = SmolStr::new(uuid);
        let row = self.pool_row();
        self.database.write("pool", &row, "master", host);
        for class in ["pool", "host"] {
            self.forget_operations(class);
        }
        self.restart();
        self.alert("POOL_MASTER_TRANSITION", 4, "host", &uuid, String::new());
    }

    /// Operations under way end with the toolstack that did them.
    fn forget_operations(&mut self, class: &str) {
        let rows: Vec<SmolStr> =
            self.database.table(class).map(|table| table.rows.keys().cloned().collect()).unwrap_or_default();
        for row in rows {
            self.database.write(class, &row, "current_operations", Value::Struct(Struct::new()));
        }
    }
}
