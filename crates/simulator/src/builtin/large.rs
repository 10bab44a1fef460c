//! A pool of any size, of the same stuff as the small one: so many hosts, so many VMs of the same sorts, each with
//! snapshots, on storage that is shared by some hosts each.

use smol_str::{SmolStr, format_smolstr};

use super::machines::{SORTS, Sort};
use super::storage::Storage;
use super::{Builder, GIB, Site};

/// How large a pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Hosts, at least one.
    pub hosts: usize,
    /// VMs that are neither templates, snapshots nor control domains.
    pub vms: usize,
}

/// Hosts that share an SR.
const HOSTS_PER_SR: usize = 8;
/// What a VM may take of a host's memory on average, so that there is room to move.
const MEMORY_PER_VM: i64 = 16 * GIB;
/// Hosts are bought in this size.
const MEMORY_STEP: i64 = 256 * GIB;
/// States of VMs, of twenty each.
const STATES: &[(usize, &str)] = &[(16, "Running"), (18, "Halted"), (19, "Suspended"), (20, "Paused")];
/// Snapshots of one VM after another.
const SNAPSHOTS: &[&[&str]] = &[&["nightly"], &["nightly", "before upgrade"], &["nightly", "weekly"]];

impl Size {
    /// How many hosts there are, at least one.
    pub(super) fn hosts(self) -> usize {
        self.hosts.max(1)
    }

    /// Memory of each host, in bytes.
    pub(super) fn memory(self) -> i64 {
        let vms = i64::try_from(self.vms.div_ceil(self.hosts())).unwrap_or(i64::MAX);
        let needed = vms.saturating_mul(MEMORY_PER_VM);
        (needed / MEMORY_STEP + 1).saturating_mul(MEMORY_STEP)
    }

    /// SRs that hosts share.
    pub(super) fn shared_repositories(self) -> usize {
        self.hosts().div_ceil(HOSTS_PER_SR)
    }
}

impl Builder {
    /// VMs of all sorts, in the proportions of the small pool, one host after another.
    pub(super) fn many_machines(&mut self, count: usize, site: &Site, storage: &Storage) {
        let sorts: Vec<&Sort> =
            SORTS.iter().flat_map(|sort| std::iter::repeat_n(sort, sort.count())).collect();
        let (hosts, repositories) = (site.hosts.len().max(1), storage.shared.len().max(1));
        for index in 0..count {
            let place = index % hosts;
            let (Some(sort), Some(host), Some(local), Some(shared), Some(snapshots)) = (
                sorts.get(index % sorts.len().max(1)),
                site.hosts.get(place),
                storage.local.get(place),
                storage.shared.get(place * repositories / hosts),
                SNAPSHOTS.get(index % SNAPSHOTS.len()),
            ) else {
                continue;
            };
            let name = format_smolstr!("{}-{:05}", sort.name(), index + 1);
            let sr = if sort.is_dear() { shared } else { local };
            let vm = self.vm(&name, sort, sr, host);
            self.card(&vm, "0", site.networks.get(1));
            if index % 2 == 0 {
                self.card(&vm, "1", site.networks.get(2));
            }
            self.inhabit(&vm, sort, index);
            let drawn = self.pool.random.below(20);
            let state = STATES.iter().find(|(below, _)| drawn < *below).map_or("Halted", |(_, state)| state);
            self.pool.settle_in(&vm, host, state);
            self.age(&vm, 2 + i64::try_from(index % 400).unwrap_or_default());
            if sort.has_drive() {
                self.drive(&vm, storage);
            }
            for snapshot in *snapshots {
                self.pool.snapshot_at_once(&vm, &SmolStr::new(format!("{name} {snapshot}")));
            }
        }
    }
}
