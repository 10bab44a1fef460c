//! Which host a VM runs on.

use std::collections::HashMap;

use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::{NULL_REF, Value};

use crate::pool::Pool;
use crate::tasks::Outcome;

/// Memory that is kept on hosts for VMs on their way there, in bytes.
type Reserved = HashMap<SmolStr, i64>;

impl Pool {
    /// The host that a VM is started on: its affinity if that can, else the one with most free memory.
    pub(crate) fn choose_host(&self, vm: &str) -> Result<SmolStr, Failure> {
        self.choose_host_except(vm, None)
    }

    /// The same, but not this one.
    pub(crate) fn choose_host_except(&self, vm: &str, except: Option<&str>) -> Result<SmolStr, Failure> {
        self.choose(vm, except, &self.reserved(vm))
    }

    /// Where each of these VMs would go from a host if all of them had to, or why it could not.
    pub(crate) fn plan_moves(&self, vms: &[SmolStr], from: &str) -> Vec<Result<SmolStr, Failure>> {
        let mut reserved = self.reserved("");
        vms.iter()
            .map(|vm| {
                let target = self.choose(vm, Some(from), &reserved)?;
                *reserved.entry(target.clone()).or_default() += self.memory_of(vm);
                Ok(target)
            })
            .collect()
    }

    fn choose(&self, vm: &str, except: Option<&str>, reserved: &Reserved) -> Result<SmolStr, Failure> {
        let hosts: Vec<SmolStr> =
            self.database.table("host").map(|table| table.rows.keys().cloned().collect()).unwrap_or_default();
        let mut refusal = Failure::new::<SmolStr>("NO_HOSTS_AVAILABLE", []);
        let mut able = Vec::new();
        for host in hosts.into_iter().filter(|host| Some(host.as_str()) != except) {
            match self.could_host(vm, &host, reserved) {
                Ok(()) => able.push(host),
                // What a host lacks says more than that there is none; disabled and dead ones say nothing.
                Err(failure)
                    if !["HOST_DISABLED", "HOST_NOT_LIVE", "CANNOT_CONTACT_HOST"]
                        .contains(&failure.code.as_str()) =>
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
        able.into_iter()
            .rev()
            .max_by_key(|host| self.free_memory(host, reserved).unwrap_or(i64::MAX))
            .ok_or(refusal)
    }

    /// Whether a VM could run on this host now.
    pub(crate) fn can_host(&self, vm: &str, host: &str) -> Result<(), Failure> {
        self.could_host(vm, host, &self.reserved(vm))
    }

    /// The hosts that a VM could run on now.
    pub(super) fn possible_hosts(&self, vm: &str) -> Result<Outcome, Failure> {
        self.known("VM", vm)?;
        let reserved = self.reserved(vm);
        let hosts = self.database.table("host").into_iter().flat_map(|table| table.rows.keys());
        let able = hosts.filter(|host| self.could_host(vm, host, &reserved).is_ok());
        Ok(Value::Array(able.cloned().map(Value::String).collect()).into())
    }

    /// Whether a VM could run on any host: nothing that it needs is one host's own.
    pub(super) fn assert_agile(&self, vm: &str) -> Result<Outcome, Failure> {
        self.known("VM", vm)?;
        for disk in self.disks(vm) {
            let sr = self.database.text("VDI", &disk, "SR");
            if !self.database.truth("SR", sr, "shared") {
                return Err(Failure::new("HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", [sr]));
            }
        }
        let hosts = self.database.table("host").map_or(0, |table| table.rows.len());
        for vif in self.database.words("VM", vm, "VIFs") {
            let network = self.database.text("VIF", &vif, "network");
            if self.database.words("network", network, "PIFs").len() < hosts {
                return Err(Failure::new("HA_CONSTRAINT_VIOLATION_NETWORK_NOT_SHARED", [network]));
            }
        }
        Ok(Value::VOID.into())
    }

    /// Whether the VM's own settings and devices let it boot.
    pub(super) fn assert_bootable(&self, vm: &str) -> Result<(), Failure> {
        if self.database.int("VM", vm, "VCPUs_at_startup") < 1 {
            return Err(Failure::new("VM_NO_VCPUS", [vm]));
        }
        self.database.words("VM", vm, "VBDs").iter().try_for_each(|vbd| self.assert_attachable(vbd))
    }

    fn could_host(&self, vm: &str, host: &str, reserved: &Reserved) -> Result<(), Failure> {
        if !self.database.truth("host", host, "enabled") {
            return Err(Failure::new("HOST_DISABLED", [host]));
        }
        if !self.is_live(host) {
            return Err(Failure::new::<SmolStr>("HOST_NOT_LIVE", []));
        }
        if self.dark_hosts.contains(host) {
            return Err(Failure::new("CANNOT_CONTACT_HOST", [host]));
        }
        let needed = self.memory_of(vm);
        if let Some(free) = self.free_memory(host, reserved)
            && self.database.text("VM", vm, "resident_on") != host
            && free < needed
        {
            return Err(Failure::new("HOST_NOT_ENOUGH_FREE_MEMORY", [needed.to_string(), free.to_string()]));
        }
        if let Some(sr) = self.missing_sr(vm, host) {
            return Err(Failure::new("VM_REQUIRES_SR", [vm, sr.as_str()]));
        }
        match self.missing_network(vm, host) {
            Some(network) => Err(Failure::new("VM_REQUIRES_NETWORK", [vm, network.as_str()])),
            None => Ok(()),
        }
    }

    /// What a VM takes from its host, in bytes.
    pub(crate) fn memory_of(&self, vm: &str) -> i64 {
        let most = self.database.int("VM", vm, "memory_dynamic_max").max(self.database.int(
            "VM",
            vm,
            "memory_target",
        ));
        most.saturating_add(self.database.int("VM", vm, "memory_overhead"))
    }

    /// What is free on a host now, without what is kept for VMs on their way to it.
    pub(crate) fn compute_free_memory(&self, host: &str) -> Option<i64> {
        self.free_memory(host, &self.reserved(""))
    }

    fn free_memory(&self, host: &str, reserved: &Reserved) -> Option<i64> {
        let metrics = self.database.text("host", host, "metrics");
        self.database.row("host_metrics", metrics)?;
        let free = self.database.int("host_metrics", metrics, "memory_free");
        Some(free.saturating_sub(reserved.get(host).copied().unwrap_or_default()).max(0))
    }

    /// What other VMs that are on their way to a host will take there.
    fn reserved(&self, except: &str) -> Reserved {
        let mut reserved = Reserved::new();
        let vms = self
            .database
            .table("VM")
            .into_iter()
            .flat_map(|table| table.texts("scheduled_to_be_resident_on"));
        for (vm, host) in vms {
            if host != NULL_REF && !host.is_empty() && vm != except {
                *reserved.entry(host.into()).or_default() += self.memory_of(vm);
            }
        }
        reserved
    }

    /// A network that a card of the VM is on and that the host has no card on. Networks without any card are made
    /// where they are needed.
    fn missing_network(&self, vm: &str, host: &str) -> Option<SmolStr> {
        let vifs = self.database.words("VM", vm, "VIFs");
        let networks = vifs.iter().map(|vif| SmolStr::new(self.database.text("VIF", vif, "network")));
        networks.into_iter().find(|network| self.lacks_network(host, network))
    }

    /// An SR that a disk of the VM lies on and that the host does not reach.
    fn missing_sr(&self, vm: &str, host: &str) -> Option<SmolStr> {
        let vbds = self.database.words("VM", vm, "VBDs");
        let srs = vbds.iter().filter_map(|vbd| {
            let vdi = self.database.text("VBD", vbd, "VDI");
            let sr = self.database.text("VDI", vdi, "SR");
            (vdi != NULL_REF && self.database.row("SR", sr).is_some()).then(|| SmolStr::new(sr))
        });
        srs.into_iter().find(|sr| !self.reaches(host, sr))
    }
}
