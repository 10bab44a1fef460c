//! A host goes out of service, off, and on again; or it is lost.

use std::time::Duration;

use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::{NULL_REF, Value};

use super::assert_host;
use crate::arguments::Arguments;
use crate::failures;
use crate::operation::Operation;
use crate::pool::{Pool, Step};
use crate::tasks::Outcome;
use crate::toolstack::Restart;

type Answered = Result<Outcome, Failure>;

/// From power to a host that takes VMs; seconds at speed 1.
pub(crate) const BOOTING: f64 = 120.0;
/// From the answer to `restart_agent` until the restart; seconds at speed 1.
const ANSWERING: f64 = 1.0;
/// The answer takes its time in a quick pool, too.
const ANSWERING_MIN: Duration = Duration::from_millis(100);
/// Until a silent host is taken for dead; with HA, the others see to it sooner. Seconds at speed 1.
const ASSUMED_DEAD: f64 = 600.0;
const FENCED: f64 = 60.0;

pub(super) fn enable(pool: &mut Pool, a: &Arguments) -> Answered {
    let host = a.text(0);
    assert_host(pool, host, "enable")?;
    pool.assert_live(host)?;
    pool.database.write("host", host, "enabled", true);
    Ok(Value::VOID.into())
}

pub(super) fn disable(pool: &mut Pool, a: &Arguments) -> Answered {
    let host = a.text(0);
    pool.known("host", host)?;
    pool.database.write("host", host, "enabled", false);
    Ok(Value::VOID.into())
}

pub(super) fn shutdown(pool: &mut Pool, a: &Arguments) -> Answered {
    let host = SmolStr::new(a.text(0));
    assert_host(pool, &host, "shutdown")?;
    assert_idle(pool, &host)?;
    pool.assert_live(&host)?;
    if pool.is_coordinator(&host) {
        return Err(failures::not_allowed("the simulated coordinator stays on; stop the pool instead"));
    }
    let off = host.clone();
    let operation = Operation::lasting(10.0, move |pool: &mut Pool| {
        pool.known("host", &off)?;
        assert_idle(pool, &off)?;
        pool.set_live(&off, false);
        Ok(Value::VOID)
    });
    Ok(operation.on("host", &host, "shutdown").into())
}

/// `host.reboot`: the call returns when the host has gone; it comes back by itself.
pub(super) fn reboot(pool: &mut Pool, a: &Arguments) -> Answered {
    let host = SmolStr::new(a.text(0));
    assert_host(pool, &host, "reboot")?;
    assert_idle(pool, &host)?;
    pool.assert_live(&host)?;
    let gone = host.clone();
    let operation = Operation::lasting(10.0, move |pool: &mut Pool| {
        pool.known("host", &gone)?;
        assert_idle(pool, &gone)?;
        if pool.is_coordinator(&gone) {
            // Whoever asks meanwhile waits; what xapi forgets is forgotten.
            pool.restart(Restart::ByScript);
            pool.host_up(&gone);
        } else {
            pool.set_live(&gone, false);
            let at = pool.clock.now() + pool.clock.lasting(BOOTING);
            pool.schedule.add(at, Step::HostUp(gone));
        }
        Ok(Value::VOID)
    });
    Ok(operation.on("host", &host, "reboot").into())
}

/// `host.restart_agent`: answered before the toolstack goes down.
pub(super) fn restart_agent(pool: &mut Pool, a: &Arguments) -> Answered {
    let host = SmolStr::new(a.text(0));
    pool.known("host", &host)?;
    pool.assert_live(&host)?;
    let after = pool.clock.lasting(ANSWERING).max(ANSWERING_MIN);
    pool.schedule.add(pool.clock.now() + after, Step::RestartAgent(host));
    Ok(Value::VOID.into())
}

/// `host.power_on`: returns when the host is there.
pub(super) fn power_on(pool: &mut Pool, a: &Arguments) -> Answered {
    let host = SmolStr::new(a.text(0));
    assert_host(pool, &host, "power_on")?;
    let on = host.clone();
    let operation = Operation::lasting(BOOTING, move |pool: &mut Pool| {
        pool.known("host", &on)?;
        pool.host_up(&on);
        Ok(Value::VOID)
    });
    Ok(operation.on("host", &host, "power_on").into())
}

/// `host.declare_dead`: the administrator says so, and is believed: its VMs are Halted.
pub(super) fn declare_dead(pool: &mut Pool, a: &Arguments) -> Answered {
    let host = a.text(0);
    pool.known("host", host)?;
    if pool.is_coordinator(host) {
        return Err(failures::not_allowed("the coordinator is alive"));
    }
    pool.bury(host);
    Ok(Value::VOID.into())
}

/// `host.destroy`: a dead host and all that was its own is forgotten.
pub(super) fn destroy(pool: &mut Pool, a: &Arguments) -> Answered {
    let host = SmolStr::new(a.text(0));
    pool.known("host", &host)?;
    if pool.is_coordinator(&host) {
        return Err(Failure::new("HOST_CANNOT_DESTROY_SELF", [host]));
    }
    if pool.is_live(&host) {
        return Err(Failure::new("HOST_IS_LIVE", [host]));
    }
    if !pool.guests(&host).is_empty() {
        return Err(Failure::new("HOST_HAS_RESIDENT_VMS", [host]));
    }
    let gone = host;
    Ok(Operation::lasting(2.0, move |pool: &mut Pool| {
        pool.known("host", &gone)?;
        pool.remove_host(&gone);
        Ok(Value::VOID)
    })
    .into())
}

/// Refuses while a VM is on the host or on its way there.
fn assert_idle(pool: &Pool, host: &str) -> Result<(), Failure> {
    let vms = pool.database.table("VM").into_iter().flat_map(|table| table.rows.keys());
    let mut coming = vms.filter(|vm| pool.database.text("VM", vm, "scheduled_to_be_resident_on") == host);
    let guest = pool.guests(host).into_iter().next().or_else(|| coming.next().cloned());
    match guest {
        Some(vm) => Err(Failure::new("HOST_IN_USE", [host, "VM", vm.as_str()])),
        None => Ok(()),
    }
}

impl Pool {
    /// A host stops answering at once; the pool comes to know it by and by.
    pub(crate) fn crash_host(&mut self, host: &str) -> Result<(), Failure> {
        self.known("host", host)?;
        if self.is_coordinator(host) {
            return Err(failures::not_allowed("the coordinator is crashed by closing its doors"));
        }
        self.assert_live(host)?;
        self.dark_hosts.insert(host.into());
        let pool = self.database.table("pool").and_then(|table| table.rows.keys().next());
        let ha = pool.is_some_and(|pool| self.database.truth("pool", pool, "ha_enabled"));
        let after = if ha { FENCED } else { ASSUMED_DEAD };
        let at = self.clock.now() + self.clock.lasting(after);
        self.schedule.add(at, Step::HostLost(host.into()));
        Ok(())
    }

    /// A host that has been silent for too long is taken for dead. With HA its VMs are Halted, and started elsewhere
    /// when they are protected; without, nobody knows what became of them.
    pub(crate) fn host_lost(&mut self, host: &str) {
        if !self.dark_hosts.contains(host) || self.database.row("host", host).is_none() {
            return;
        }
        let pool = self.database.table("pool").and_then(|table| table.rows.keys().next());
        let ha = pool.is_some_and(|pool| self.database.truth("pool", pool, "ha_enabled"));
        if !ha {
            return self.set_live(host, false);
        }
        let protected: Vec<SmolStr> = self
            .guests(host)
            .into_iter()
            .filter(|vm| self.database.text("VM", vm, "ha_restart_priority") == "restart")
            .collect();
        self.bury(host);
        let uuid = SmolStr::new(self.database.text("host", host, "uuid"));
        let name = self.database.text("host", host, "name_label");
        let body = format!("Server '{name}' has failed");
        self.alert("HA_HOST_FAILED", 1, "host", &uuid, body);
        let mut failed = Vec::new();
        for vm in protected {
            match self.choose_host(&vm) {
                Ok(target) => self.boot(&vm, &target, false),
                Err(_) => failed.push(vm),
            }
        }
        for vm in failed {
            let uuid = SmolStr::new(self.database.text("VM", &vm, "uuid"));
            let name = self.database.text("VM", &vm, "name_label");
            let body = format!("VM '{name}' could not be restarted");
            self.alert("HA_PROTECTED_VM_RESTART_FAILED", 1, "VM", &uuid, body);
        }
    }

    /// A host has booted: it lives, takes VMs, and none of those that ran there is left.
    pub(crate) fn host_up(&mut self, host: &str) {
        if self.database.row("host", host).is_none() {
            return;
        }
        self.dark_hosts.remove(host);
        for vm in self.guests(host) {
            self.halt(&vm, "Halted");
        }
        self.set_live(host, true);
        self.database.write("host", host, "enabled", true);
    }

    /// A host is dead for certain: so are its VMs.
    fn bury(&mut self, host: &str) {
        self.set_live(host, false);
        for vm in self.guests(host) {
            self.halt(&vm, "Halted");
        }
    }

    fn set_live(&mut self, host: &str, live: bool) {
        let metrics = SmolStr::new(self.database.text("host", host, "metrics"));
        let date = self.clock.date();
        self.database.write("host_metrics", &metrics, "live", live);
        self.database.write("host_metrics", &metrics, "last_updated", date);
    }

    /// Takes a host out of the pool with everything that is its own. VMs that lived on its disks lose them.
    pub(crate) fn remove_host(&mut self, host: &str) {
        for pbd in self.database.words("host", host, "PBDs") {
            let sr = SmolStr::new(self.database.text("PBD", &pbd, "SR"));
            self.database.delete("PBD", &pbd);
            if self.database.words("SR", &sr, "PBDs").is_empty() && !self.database.truth("SR", &sr, "shared")
            {
                for vdi in self.database.words("SR", &sr, "VDIs") {
                    self.remove_vdi(&vdi);
                }
                self.database.delete("SR", &sr);
            }
        }
        for pif in self.database.words("host", host, "PIFs") {
            self.remove_pif(&pif);
        }
        let domains: Vec<SmolStr> = self.database.words("host", host, "resident_VMs");
        for domain in domains {
            self.destroy_vm(&domain);
        }
        let metrics = SmolStr::new(self.database.text("host", host, "metrics"));
        self.database.delete("host_metrics", &metrics);
        let owned = [
            ("host_cpu", "host_CPUs"),
            ("host_crashdump", "crashdumps"),
            ("PCI", "PCIs"),
            ("PGPU", "PGPUs"),
            ("PUSB", "PUSBs"),
            ("Feature", "features"),
            ("Certificate", "certificates"),
        ];
        for (class, field) in owned {
            for own in self.database.words("host", host, field) {
                self.database.delete(class, &own);
            }
        }
        let vms: Vec<SmolStr> = self
            .database
            .table("VM")
            .map(|table| table.with("affinity", host).cloned().collect())
            .unwrap_or_default();
        for vm in vms {
            self.database.write("VM", &vm, "affinity", NULL_REF);
        }
        self.dark_hosts.remove(host);
        self.database.delete("host", host);
    }
}
