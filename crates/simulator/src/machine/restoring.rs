//! Going back: checkpoints with their memory, and VMs that become again what a snapshot is a picture of.

use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::{NULL_REF, Value};

use super::Kind;
use super::copying::Style;
use crate::operation::Operation;
use crate::pool::Pool;
use crate::tasks::Outcome;

/// Fields that a VM takes back from its snapshot; its names, tags and place stay.
const TAKEN_BACK: &[&str] = &[
    "memory_static_min",
    "memory_dynamic_min",
    "memory_dynamic_max",
    "memory_static_max",
    "memory_target",
    "VCPUs_params",
    "VCPUs_max",
    "VCPUs_at_startup",
    "actions_after_shutdown",
    "actions_after_reboot",
    "actions_after_crash",
    "PV_bootloader",
    "PV_kernel",
    "PV_ramdisk",
    "PV_args",
    "PV_bootloader_args",
    "HVM_boot_policy",
    "HVM_boot_params",
    "HVM_shadow_multiplier",
    "domain_type",
    "platform",
    "other_config",
    "xenstore_data",
    "hardware_platform_version",
    "has_vendor_device",
    "NVRAM",
];

impl Pool {
    /// Takes a snapshot together with the VM's memory; the VM goes on.
    pub(super) fn checkpoint(&mut self, vm: &str, name: &SmolStr) -> Result<SmolStr, Failure> {
        let sr = self.suspend_sr(vm)?;
        let copy = self.copy_vm(vm, name, Style::Snapshot, None, &[]);
        self.write_suspend_image(&copy, &sr);
        self.database.write("VM", &copy, "power_state", "Suspended");
        Ok(copy)
    }

    /// `VM.revert`: begins, or says why it cannot.
    pub(super) fn begin_revert(&mut self, snapshot: &str) -> Result<Outcome, Failure> {
        self.assert_may(snapshot, Kind::Revert.word())?;
        let vm = SmolStr::new(self.database.text("VM", snapshot, "snapshot_of"));
        if self.database.row("VM", &vm).is_none() {
            return Err(Failure::new("VM_REVERT_FAILED", [vm.as_str(), snapshot]));
        }
        if let Some((task, word)) = self.current("VM", &vm).first() {
            return Err(Failure::new("OTHER_OPERATION_IN_PROGRESS", ["VM", &vm, word, task]));
        }
        for disk in self.disks(snapshot) {
            let sr = SmolStr::new(self.database.text("VDI", &disk, "SR"));
            self.assert_plugged(&sr)?;
        }
        let (from, to) = (SmolStr::new(snapshot), vm.clone());
        let operation = Operation::lasting(Kind::Revert.seconds(), move |pool: &mut Pool| {
            pool.known("VM", &from)?;
            pool.known("VM", &to)?;
            pool.revert(&from, &to);
            Ok(Value::VOID)
        });
        Ok(operation.on("VM", snapshot, Kind::Revert.word()).on("VM", &vm, "reverting").into())
    }

    fn revert(&mut self, snapshot: &str, vm: &SmolStr) {
        if self.database.text("VM", vm, "power_state") != "Halted" {
            self.halt(vm, "Halted");
        }
        self.drop_suspend_image(vm);
        let before = self.disks(vm);
        for (class, field) in [("VBD", "VBDs"), ("VIF", "VIFs")] {
            for own in self.database.words("VM", vm, field) {
                self.database.delete(class, &own);
            }
        }
        let picture = self.database.record("VM", snapshot).unwrap_or_default();
        for field in TAKEN_BACK {
            if let Some(value) = picture.get(field) {
                self.database.write("VM", vm, field, value.clone());
            }
        }
        for vbd in self.database.words("VM", snapshot, "VBDs").iter().rev() {
            let kept = SmolStr::new(self.database.text("VBD", vbd, "VDI"));
            let old = SmolStr::new(self.database.text("VDI", &kept, "snapshot_of"));
            let snapshots = self.database.words("VDI", &old, "snapshots");
            let copy = self.copy_vbd(vbd, vm, Style::Clone, None);
            let disk = SmolStr::new(self.database.text("VBD", &copy, "VDI"));
            if disk != kept {
                // The new disk stands where the old one stood: all its snapshots are this one's now.
                for picture in snapshots {
                    self.database.write("VDI", &picture, "snapshot_of", Value::String(disk.clone()));
                }
                for field in ["name_label", "name_description"] {
                    let name = SmolStr::new(self.database.text("VDI", &old, field));
                    if self.database.row("VDI", &old).is_some() {
                        self.database.write("VDI", &disk, field, Value::String(name));
                    }
                }
            }
        }
        for vif in self.database.words("VM", snapshot, "VIFs").iter().rev() {
            self.copy_vif(vif, vm, Style::Snapshot);
        }
        for disk in before {
            // What somebody else uses, too, stays.
            if self.database.words("VDI", &disk, "VBDs").is_empty() {
                self.remove_vdi(&disk);
            }
        }
        let image = SmolStr::new(self.database.text("VM", snapshot, "suspend_VDI"));
        if image != NULL_REF && self.database.row("VDI", &image).is_some() {
            let copy = self.copy_vdi(&image, Style::Clone, None);
            self.database.write("VM", vm, "suspend_VDI", Value::String(copy));
            self.database.write("VM", vm, "power_state", "Suspended");
        }
        self.tell(vm, "VM_REVERTED", "reverted");
    }
}
