//! Disks are branched, copied and moved.

use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::{NULL_REF, Value};

use super::{assert_disk, assert_repository, disks};
use crate::arguments::Arguments;
use crate::failures;
use crate::operation::Operation;
use crate::pool::Pool;
use crate::tasks::Outcome;

type Answered = Result<Outcome, Failure>;

/// What becomes of a copied disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copying {
    /// A picture of the disk as it is.
    Snapshot,
    /// A disk of its own.
    Clone,
}

/// `VDI.snapshot` and `VDI.clone`: quick, for the content is shared.
pub(super) fn copy_at_once(pool: &mut Pool, a: &Arguments, copying: Copying) -> Answered {
    let vdi = SmolStr::new(a.text(0));
    let (word, on_sr) = match copying {
        Copying::Snapshot => ("snapshot", "vdi_snapshot"),
        Copying::Clone => ("clone", "vdi_clone"),
    };
    assert_disk(pool, &vdi, word)?;
    let sr = SmolStr::new(pool.database.text("VDI", &vdi, "SR"));
    assert_repository(pool, &sr, on_sr)?;
    let size = pool.database.int("VDI", &vdi, "virtual_size");
    pool.assert_room(&sr, pool.first_use(&sr, size))?;
    let from = vdi.clone();
    let operation = Operation::lasting(1.5, move |pool: &mut Pool| {
        pool.known("VDI", &from)?;
        Ok(Value::String(pool.copy_disk(&from, copying, None)))
    });
    Ok(operation.on("VDI", &vdi, word).on("SR", &sr, on_sr).into())
}

/// `VDI.copy`: all of it, to another SR or into another disk.
pub(super) fn copy(pool: &mut Pool, a: &Arguments) -> Answered {
    let vdi = SmolStr::new(a.text(0));
    assert_disk(pool, &vdi, "copy")?;
    let into = Some(SmolStr::new(a.text(3))).filter(|into| !into.is_empty() && into != NULL_REF);
    let sr = match &into {
        None => SmolStr::new(a.text(1)),
        Some(into) => {
            pool.known("VDI", into)?;
            SmolStr::new(pool.database.text("VDI", into, "SR"))
        }
    };
    assert_repository(pool, &sr, "vdi_copy")?;
    pool.assert_plugged(&sr)?;
    let used = pool.database.int("VDI", &vdi, "physical_utilisation");
    if let Some(into) = &into {
        if pool.database.truth("VDI", into, "read_only") {
            return Err(Failure::new("VDI_READONLY", [into.as_str()]));
        }
        let size = pool.database.int("VDI", &vdi, "virtual_size");
        if pool.database.int("VDI", into, "virtual_size") < size {
            return Err(Failure::new("VDI_TOO_SMALL", [into.as_str(), &size.to_string()]));
        }
        if pool.disk_facts(into).attached {
            return Err(Failure::new("VDI_IN_USE", [into.as_str(), "copy"]));
        }
    } else {
        pool.assert_room(&sr, used)?;
    }
    let seconds = pool.reading_seconds(&vdi).max(2.0);
    let (from, to, target) = (vdi.clone(), sr.clone(), into.clone());
    let operation = Operation::lasting(seconds, move |pool: &mut Pool| {
        pool.known("VDI", &from)?;
        if let Some(target) = target {
            pool.known("VDI", &target)?;
            return Ok(Value::String(target));
        }
        pool.assert_plugged(&to)?;
        pool.assert_room(&to, used)?;
        Ok(Value::String(pool.copy_disk(&from, Copying::Clone, Some(&to))))
    });
    let operation = operation.on("VDI", &vdi, "copy").on("SR", &sr, "vdi_copy");
    Ok(match &into {
        Some(into) => operation.on("VDI", into, "copy").into(),
        None => operation.into(),
    })
}

/// `VDI.pool_migrate`: the disk of a VM moves to another SR, under the VM if that runs.
pub(super) fn migrate(pool: &mut Pool, a: &Arguments) -> Answered {
    let (vdi, sr) = (SmolStr::new(a.text(0)), SmolStr::new(a.text(1)));
    assert_disk(pool, &vdi, "mirror")?;
    assert_repository(pool, &sr, "vdi_mirror")?;
    pool.assert_plugged(&sr)?;
    let vbds = pool.database.words("VDI", &vdi, "VBDs");
    let Some(vbd) = vbds.first() else {
        return Err(Failure::new("VDI_NEEDS_VM_FOR_MIGRATE", [vdi.as_str()]));
    };
    let from = SmolStr::new(pool.database.text("VDI", &vdi, "SR"));
    if from == sr {
        return Err(failures::not_allowed("the disk already lies on this SR"));
    }
    let vm = SmolStr::new(pool.database.text("VBD", vbd, "VM"));
    if let Some((task, word)) = pool.current("VM", &vm).first() {
        return Err(Failure::new("OTHER_OPERATION_IN_PROGRESS", ["VM", &vm, word, task]));
    }
    let host = SmolStr::new(pool.database.text("VM", &vm, "resident_on"));
    if host != NULL_REF && !pool.reaches(&host, &sr) {
        return Err(Failure::new("VM_REQUIRES_SR", [vm.as_str(), sr.as_str()]));
    }
    pool.assert_room(&sr, pool.database.int("VDI", &vdi, "physical_utilisation"))?;
    let seconds = pool.reading_seconds(&vdi).max(4.0);
    let (moved, to) = (vdi.clone(), sr.clone());
    let operation = Operation::lasting(seconds, move |pool: &mut Pool| {
        pool.known("VDI", &moved)?;
        pool.assert_plugged(&to)?;
        pool.assert_room(&to, pool.database.int("VDI", &moved, "physical_utilisation"))?;
        let copy = pool.copy_disk(&moved, Copying::Clone, Some(&to));
        for vbd in pool.database.words("VDI", &moved, "VBDs") {
            pool.database.write("VBD", &vbd, "VDI", Value::String(copy.clone()));
        }
        for snapshot in pool.database.words("VDI", &moved, "snapshots") {
            pool.database.write("VDI", &snapshot, "snapshot_of", Value::String(copy.clone()));
        }
        pool.remove_vdi(&moved);
        Ok(Value::String(copy))
    });
    let operation = operation.on("VDI", &vdi, "mirror").on("SR", &from, "vdi_mirror");
    Ok(operation.on("SR", &sr, "vdi_mirror").on("VM", &vm, "migrate_send").into())
}

impl Pool {
    /// Whether a host reaches an SR.
    pub(crate) fn reaches(&self, host: &str, sr: &str) -> bool {
        // A host has fewer of them than an SR that many hosts share.
        self.database.words("host", host, "PBDs").iter().any(|pbd| {
            self.database.text("PBD", pbd, "SR") == sr
                && self.database.truth("PBD", pbd, "currently_attached")
        })
    }

    /// A copy of a disk: branched where it lies, or all of it on another SR.
    pub(crate) fn copy_disk(&mut self, vdi: &str, copying: Copying, sr: Option<&SmolStr>) -> SmolStr {
        let original = self.database.record("VDI", vdi).unwrap_or_default();
        let int = |field: &str| original.get(field).and_then(Value::as_int).unwrap_or_default();
        let own = SmolStr::new(original.get("SR").and_then(Value::as_str).unwrap_or(NULL_REF));
        let size = int("virtual_size");
        let used = match sr {
            Some(_) => int("physical_utilisation"),
            None => self.first_use(&own, size),
        };
        let mut fields = disks::taken_over(&original);
        fields.push(("virtual_size", size.into()));
        fields.push(("physical_utilisation", used.into()));
        fields.push(("SR", Value::String(sr.unwrap_or(&own).clone())));
        if copying == Copying::Snapshot {
            fields.push(("is_a_snapshot", true.into()));
            fields.push(("snapshot_of", vdi.into()));
            fields.push(("snapshot_time", self.clock.date()));
        }
        let copy = self.random.reference();
        self.add_vdi(&copy, fields);
        copy
    }
}
