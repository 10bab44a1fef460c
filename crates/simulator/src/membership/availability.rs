//! High availability: what it needs, what it keeps on shared storage, and how many lost hosts it can bear.

use smol_str::{SmolStr, format_smolstr};
use xapi::Value;
use xapi::codec::Failure;

use crate::arguments::Arguments;
use crate::failures;
use crate::operation::Operation;
use crate::pool::Pool;
use crate::tasks::Outcome;

type Answered = Result<Outcome, Failure>;

/// What HA's state file takes, and what the log of the database takes, in bytes.
const STATEFILE: i64 = 4 << 20;
const REDO_LOG: i64 = 256 << 20;

pub(super) fn enable(pool: &mut Pool, a: &Arguments) -> Answered {
    let row = pool.pool_row();
    assert_idle(pool, &row)?;
    if pool.ha_enabled() {
        return Err(Failure::new::<SmolStr>("HA_IS_ENABLED", []));
    }
    let asked = a.values.first().and_then(Value::as_array).unwrap_or_default();
    let asked: Vec<SmolStr> = asked.iter().filter_map(Value::as_str).map(SmolStr::new).collect();
    for sr in &asked {
        pool.assert_statefile(sr)?;
    }
    let sr = asked.first().cloned().or_else(|| {
        let srs = pool.database.table("SR")?.rows.keys();
        srs.into_iter().find(|sr| pool.assert_statefile(sr).is_ok()).cloned()
    });
    let Some(sr) = sr else {
        return Err(Failure::new::<SmolStr>("CANNOT_CREATE_STATE_FILE", []));
    };
    for host in hosts(pool) {
        pool.assert_live(&host)?;
        if !pool.database.truth("host", &host, "enabled") {
            return Err(Failure::new("HOST_DISABLED", [host]));
        }
    }
    let configuration = a.value(1);
    let on = row.clone();
    let operation = Operation::lasting(15.0, move |pool: &mut Pool| {
        pool.assert_statefile(&sr)?;
        let statefile = pool.special_disk(&sr, "Statefile for HA", "ha_statefile", STATEFILE);
        pool.special_disk(&sr, "Metadata for HA", "redo_log", REDO_LOG);
        let files = || Value::Array(vec![Value::String(statefile.clone())]);
        pool.database.write("pool", &row, "ha_configuration", configuration);
        pool.database.write("pool", &row, "ha_statefiles", files());
        let all = hosts(pool);
        for host in &all {
            pool.database.write("host", host, "ha_statefiles", files());
            let peers: Vec<Value> = all
                .iter()
                .map(|peer| Value::String(pool.database.text("host", peer, "uuid").into()))
                .collect();
            pool.database.write("host", host, "ha_network_peers", Value::Array(peers));
        }
        pool.database.write("pool", &row, "ha_enabled", true);
        pool.plan();
        Ok(Value::VOID)
    });
    Ok(operation.on("pool", &on, "ha_enable").into())
}

pub(super) fn disable(pool: &mut Pool, _: &Arguments) -> Answered {
    let row = pool.pool_row();
    assert_idle(pool, &row)?;
    if !pool.ha_enabled() {
        return Err(Failure::new::<SmolStr>("HA_NOT_ENABLED", []));
    }
    let on = row.clone();
    let operation = Operation::lasting(8.0, move |pool: &mut Pool| {
        pool.database.write("pool", &row, "ha_enabled", false);
        for host in hosts(pool) {
            pool.database.write("host", &host, "ha_statefiles", Value::Array(Vec::new()));
            pool.database.write("host", &host, "ha_network_peers", Value::Array(Vec::new()));
        }
        pool.database.write("pool", &row, "ha_statefiles", Value::Array(Vec::new()));
        pool.database.write("pool", &row, "ha_configuration", Value::Struct(xapi::Struct::new()));
        pool.database.write("pool", &row, "ha_plan_exists_for", 0i64);
        pool.database.write("pool", &row, "ha_overcommitted", false);
        for kind in ["ha_statefile", "redo_log"] {
            let disks: Vec<SmolStr> = pool
                .database
                .table("VDI")
                .map(|table| table.with("type", kind).cloned().collect())
                .unwrap_or_default();
            for disk in disks {
                pool.remove_vdi(&disk);
            }
        }
        Ok(Value::VOID)
    });
    Ok(operation.on("pool", &on, "ha_disable").into())
}

pub(super) fn set_failures_to_tolerate(pool: &mut Pool, a: &Arguments) -> Answered {
    let (row, wanted) = (a.text(0), a.int(1));
    pool.known("pool", row)?;
    if wanted < 0 {
        return Err(failures::invalid_value("ha_host_failures_to_tolerate", &format_smolstr!("{wanted}")));
    }
    let overcommit = pool.database.truth("pool", row, "ha_allow_overcommit");
    if pool.ha_enabled() && wanted > pool.bearable() && !overcommit {
        return Err(Failure::new::<SmolStr>("HA_NO_PLAN", []));
    }
    pool.database.write("pool", row, "ha_host_failures_to_tolerate", wanted);
    if pool.ha_enabled() {
        pool.plan();
    }
    Ok(Value::VOID.into())
}

pub(super) fn most_failures(pool: &mut Pool, _: &Arguments) -> Answered {
    if !pool.ha_enabled() {
        return Err(Failure::new::<SmolStr>("HA_NOT_ENABLED", []));
    }
    Ok(Value::Int(pool.bearable()).into())
}

pub(super) fn plan_exists(pool: &mut Pool, a: &Arguments) -> Answered {
    Ok(Value::Bool(a.int(0) <= pool.bearable()).into())
}

fn assert_idle(pool: &Pool, row: &str) -> Result<(), Failure> {
    match pool.current("pool", row).first() {
        Some((_, word)) if word == "ha_enable" => Err(Failure::new::<SmolStr>("HA_ENABLE_IN_PROGRESS", [])),
        Some((_, word)) if word == "ha_disable" => Err(Failure::new::<SmolStr>("HA_DISABLE_IN_PROGRESS", [])),
        Some((task, word)) => {
            Err(Failure::new("OTHER_OPERATION_IN_PROGRESS", ["pool", row, word.as_str(), task.as_str()]))
        }
        None => Ok(()),
    }
}

fn hosts(pool: &Pool) -> Vec<SmolStr> {
    pool.database.table("host").map(|table| table.rows.keys().cloned().collect()).unwrap_or_default()
}

impl Pool {
    fn special_disk(&mut self, sr: &SmolStr, name: &'static str, kind: &'static str, size: i64) -> SmolStr {
        let vdi = self.random.reference();
        let fields = vec![
            ("name_label", name.into()),
            ("SR", Value::String(sr.clone())),
            ("virtual_size", size.into()),
            ("physical_utilisation", size.into()),
            ("type", kind.into()),
            ("sharable", true.into()),
        ];
        self.add_vdi(&vdi, fields);
        vdi
    }

    /// How many of the largest hosts could be lost while the protected VMs still fit on the rest.
    fn bearable(&self) -> i64 {
        let protected = |vm: &SmolStr| self.database.text("VM", vm, "ha_restart_priority") == "restart";
        let mut spare: Vec<(i64, i64)> = hosts(self)
            .iter()
            .filter(|host| self.is_live(host))
            .map(|host| {
                let guests = self.guests(host);
                let needed = guests.iter().filter(|vm| protected(vm)).map(|vm| self.memory_of(vm)).sum();
                (self.compute_free_memory(host).unwrap_or_default(), needed)
            })
            .collect();
        // The hosts whose loss hurts most go first.
        spare.sort_by_key(|(free, needed)| std::cmp::Reverse(free.saturating_add(*needed)));
        let mut homeless = 0i64;
        let mut lost = 0i64;
        while spare.len() > 1 {
            let (_, needed) = spare.remove(0);
            homeless = homeless.saturating_add(needed);
            if homeless > spare.iter().map(|(free, _)| free).sum() {
                break;
            }
            lost += 1;
        }
        lost
    }

    /// Writes what the present plan can bear.
    fn plan(&mut self) {
        let row = self.pool_row();
        let bearable = self.bearable();
        let wanted = self.database.int("pool", &row, "ha_host_failures_to_tolerate");
        self.database.write("pool", &row, "ha_plan_exists_for", bearable.min(wanted));
        self.database.write("pool", &row, "ha_overcommitted", wanted > bearable);
    }
}
