//! Which host a VM runs on.

use smol_str::SmolStr;
use xapi::NULL_REF;
use xapi::codec::Failure;

use crate::pool::Pool;

impl Pool {
    /// The host that a VM is started on: its affinity if that can, else the one with most free memory.
    pub(super) fn choose_host(&self, vm: &str) -> Result<SmolStr, Failure> {
        let hosts: Vec<SmolStr> =
            self.database.table("host").map(|table| table.rows.keys().cloned().collect()).unwrap_or_default();
        let mut refusal = Failure::new::<SmolStr>("NO_HOSTS_AVAILABLE", []);
        let mut able = Vec::new();
        for host in hosts {
            match self.can_host(vm, &host) {
                Ok(()) => able.push(host),
                // What a host lacks says more than that there is none; disabled and dead ones say nothing.
                Err(failure)
                    if !failure.code.starts_with("HOST_DISABLED") && failure.code != "HOST_NOT_LIVE" =>
                {
                    refusal = failure;
                }
                Err(_) => {}
            }
        }
        let affinity = self.database.text("VM", vm, "affinity");
        if let Some(preferred) = able.iter().find(|host| *host == affinity) {
            return Ok(preferred.clone());
        }
        // Of equals the first one.
        able.into_iter().rev().max_by_key(|host| self.free_memory(host).unwrap_or(i64::MAX)).ok_or(refusal)
    }

    /// Whether a VM could run on this host now.
    pub(super) fn can_host(&self, vm: &str, host: &str) -> Result<(), Failure> {
        if !self.database.truth("host", host, "enabled") {
            return Err(Failure::new("HOST_DISABLED", [host]));
        }
        let metrics = self.database.text("host", host, "metrics");
        // Old databases may lack the metrics; then nothing speaks against it.
        if self.database.row("host_metrics", metrics).is_some()
            && !self.database.truth("host_metrics", metrics, "live")
        {
            return Err(Failure::new::<SmolStr>("HOST_NOT_LIVE", []));
        }
        let needed = self.memory_of(vm);
        if let Some(free) = self.free_memory(host)
            && self.database.text("VM", vm, "resident_on") != host
            && free < needed
        {
            return Err(Failure::new("HOST_NOT_ENOUGH_FREE_MEMORY", [needed.to_string(), free.to_string()]));
        }
        match self.missing_sr(vm, host) {
            Some(sr) => Err(Failure::new("VM_REQUIRES_SR", [vm, sr.as_str()])),
            None => Ok(()),
        }
    }

    /// What a VM takes from its host, in bytes.
    pub(super) fn memory_of(&self, vm: &str) -> i64 {
        let most = self.database.int("VM", vm, "memory_dynamic_max").max(self.database.int(
            "VM",
            vm,
            "memory_target",
        ));
        most.saturating_add(self.database.int("VM", vm, "memory_overhead"))
    }

    fn free_memory(&self, host: &str) -> Option<i64> {
        let metrics = self.database.text("host", host, "metrics");
        self.database.row("host_metrics", metrics)?;
        Some(self.database.int("host_metrics", metrics, "memory_free"))
    }

    /// An SR that a disk of the VM lies on and that the host does not reach.
    fn missing_sr(&self, vm: &str, host: &str) -> Option<SmolStr> {
        let vbds = self.database.words("VM", vm, "VBDs");
        let srs = vbds.iter().filter_map(|vbd| {
            let vdi = self.database.text("VBD", vbd, "VDI");
            let sr = self.database.text("VDI", vdi, "SR");
            (vdi != NULL_REF && self.database.row("SR", sr).is_some()).then(|| SmolStr::new(sr))
        });
        srs.into_iter().find(|sr| {
            !self.database.words("SR", sr, "PBDs").iter().any(|pbd| {
                self.database.text("PBD", pbd, "host") == host
                    && self.database.truth("PBD", pbd, "currently_attached")
            })
        })
    }
}
