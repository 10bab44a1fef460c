//! Where disks lie: storage repositories, the plugs that join them to hosts, and the disks themselves. What each of
//! them takes of the room is kept.

mod disks;
mod moving;
mod plugs;
mod repositories;
mod rules;
mod space;

pub(crate) use moving::Copying;

use xapi::codec::Failure;

use crate::methods::Entry;
use crate::pool::Pool;

/// Methods of SRs, PBDs and VDIs.
pub(crate) const METHODS: &[Entry] = &[
    ("VDI", "create", disks::create),
    ("VDI", "destroy", disks::destroy),
    ("VDI", "resize", |pool, a| disks::resize(pool, a, "resize")),
    ("VDI", "resize_online", |pool, a| disks::resize(pool, a, "resize_online")),
    ("VDI", "snapshot", |pool, a| moving::copy_at_once(pool, a, Copying::Snapshot)),
    ("VDI", "clone", |pool, a| moving::copy_at_once(pool, a, Copying::Clone)),
    ("VDI", "copy", moving::copy),
    ("VDI", "pool_migrate", moving::migrate),
    ("VDI", "forget", disks::forget),
    ("VDI", "introduce", disks::introduce),
    ("VDI", "update", disks::update),
    ("VDI", "set_on_boot", disks::set_on_boot),
    ("VDI", "set_sharable", |pool, a| disks::set_when_idle(pool, a, "sharable")),
    ("VDI", "set_read_only", |pool, a| disks::set_when_idle(pool, a, "read_only")),
    ("SR", "create", repositories::create),
    ("SR", "introduce", repositories::introduce),
    ("SR", "scan", repositories::scan),
    ("SR", "update", repositories::update),
    ("SR", "forget", repositories::forget),
    ("SR", "destroy", repositories::destroy),
    ("SR", "get_supported_types", repositories::supported_types),
    ("SR", "set_shared", repositories::set_shared),
    ("SR", "set_physical_size", repositories::set_physical_size),
    ("SR", "assert_can_host_ha_statefile", repositories::assert_can_host_statefile),
    ("PBD", "create", plugs::create),
    ("PBD", "plug", plugs::plug),
    ("PBD", "unplug", plugs::unplug),
    ("PBD", "destroy", plugs::destroy),
    ("PBD", "set_device_config", plugs::set_device_config),
];

/// What may be done with a disk now.
pub(crate) fn vdi_allowed(pool: &Pool, vdi: &str) -> Vec<&'static str> {
    rules::allowed_on_disk(&pool.disk_facts(vdi))
}

/// What may be done with an SR now.
pub(crate) fn sr_allowed(pool: &Pool, sr: &str) -> Vec<&'static str> {
    rules::allowed_on_repository(&pool.repository_facts(sr))
}

/// Refuses what the disk's state does not allow.
fn assert_disk(pool: &Pool, vdi: &str, word: &str) -> Result<(), Failure> {
    pool.known("VDI", vdi)?;
    rules::disk_refusal(&pool.disk_facts(vdi), word).map_or(Ok(()), Err)
}

/// Refuses what the SR's state does not allow.
fn assert_repository(pool: &Pool, sr: &str, word: &str) -> Result<(), Failure> {
    pool.known("SR", sr)?;
    rules::repository_refusal(&pool.repository_facts(sr), word).map_or(Ok(()), Err)
}
