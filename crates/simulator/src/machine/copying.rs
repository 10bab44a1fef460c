//! Making VMs out of VMs, out of nothing, and nothing out of VMs.

use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::{NULL_REF, Struct, Value};

use super::{Kind, configuring};
use crate::arguments::Arguments;
use crate::pool::Pool;
use crate::storage;
use crate::tasks::Outcome;

/// What the copy is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// A VM of its own, Halted.
    Clone,
    /// A picture of the VM as it is.
    Snapshot,
}

/// Fields that a copy does not take over: its own objects, and what only a living VM has.
const NOT_COPIED: &[&str] = &[
    "uuid",
    "allowed_operations",
    "current_operations",
    "name_label",
    "power_state",
    "suspend_VDI",
    "resident_on",
    "scheduled_to_be_resident_on",
    "domid",
    "metrics",
    "guest_metrics",
    "is_default_template",
    "snapshot_of",
    "parent",
    "attached_PCIs",
];

impl Pool {
    /// Copies a VM with its disks and network cards.
    pub(super) fn copy_vm(
        &mut self,
        vm: &str,
        name: &SmolStr,
        style: Style,
        sr: Option<&SmolStr>,
        without: &[SmolStr],
    ) -> SmolStr {
        let original = self.database.record("VM", vm).unwrap_or_default();
        let copy = self.random.reference();
        let mut fields: Vec<(&str, Value)> = original
            .iter()
            .filter(|(field, _)| !NOT_COPIED.contains(&field.as_str()))
            .map(|(field, value)| (field.as_str(), value.clone()))
            .collect();
        fields.push(("uuid", Value::String(self.random.uuid())));
        fields.push(("name_label", Value::String(name.clone())));
        fields.push(("other_config", Value::Struct(self.other_config_of_copy(&original))));
        match style {
            Style::Clone => {
                fields.push(("parent", vm.into()));
                fields.push(("is_a_snapshot", false.into()));
            }
            Style::Snapshot => {
                fields.push(("is_a_snapshot", true.into()));
                fields.push(("is_a_template", true.into()));
                fields.push(("snapshot_of", vm.into()));
                fields.push(("snapshot_time", self.clock.date()));
                fields.push(("snapshot_info", Value::Struct(self.snapshot_info(vm))));
            }
        }
        self.database.create("VM", &copy, fields);
        self.add_metrics(&copy);
        // The set lists the newest first; the copies are to stand in the same order.
        for vbd in self.database.words("VM", vm, "VBDs").iter().rev() {
            let vdi = self.database.text("VBD", vbd, "VDI");
            if !without.iter().any(|left_out| left_out == vdi) {
                self.copy_vbd(vbd, &copy, style, sr);
            }
        }
        for vif in self.database.words("VM", vm, "VIFs").iter().rev() {
            self.copy_vif(vif, &copy, style);
        }
        let said = self.dormant_guests.get(vm).cloned();
        let running = SmolStr::new(self.database.text("VM", vm, "guest_metrics"));
        if let Some(mut said) = said.or_else(|| self.database.record("VM_guest_metrics", &running)) {
            // The same system inside, with addresses of its own.
            said.remove("networks");
            self.remember_guest(&copy, said);
        }
        copy
    }

    /// Why a VM cannot be copied: a disk that is not reached, or no room for the copy.
    pub(super) fn assert_copyable(&self, vm: &str, kind: Kind, sr: Option<&SmolStr>) -> Result<(), Failure> {
        for disk in self.disks(vm) {
            let own = SmolStr::new(self.database.text("VDI", &disk, "SR"));
            self.assert_plugged(&own)?;
            if self.database.truth("VDI", &disk, "sharable") && kind != Kind::Copy {
                return Err(Failure::new("VDI_IS_SHARABLE", [disk.as_str()]));
            }
            if kind == Kind::Copy {
                let target = sr.unwrap_or(&own);
                self.assert_plugged(target)?;
                self.assert_room(target, self.database.int("VDI", &disk, "physical_utilisation"))?;
            }
        }
        Ok(())
    }

    /// How long a full copy of all disks takes at speed 1.
    pub(super) fn copying_seconds(&self, vm: &str) -> f64 {
        self.disks(vm).iter().map(|disk| self.reading_seconds(disk)).sum::<f64>().max(Kind::Clone.seconds())
    }

    /// `VM.create`: a Halted VM without disks.
    pub(super) fn create_vm(&mut self, arguments: &Arguments) -> Result<Outcome, Failure> {
        let given = arguments.value(0);
        let given = given.as_struct().cloned().unwrap_or_default();
        let affinity = given.get("affinity").and_then(Value::as_str).unwrap_or(NULL_REF);
        if affinity != NULL_REF {
            self.known("host", affinity)?;
        }
        configuring::assert_sound(&given)?;
        let vm = self.random.reference();
        let mut fields: Vec<(&str, Value)> = given
            .iter()
            .filter(|(field, _)| !NOT_COPIED.contains(&field.as_str()) || *field == "name_label")
            .map(|(field, value)| (field.as_str(), value.clone()))
            .collect();
        fields.push(("uuid", Value::String(self.random.uuid())));
        self.database.create("VM", &vm, fields);
        self.add_metrics(&vm);
        Ok(Value::String(vm).into())
    }

    /// `VM.destroy`: the VM goes with everything that is its own; its disks stay, as in xapi, and so do its snapshots.
    pub(crate) fn destroy_vm(&mut self, vm: &str) {
        self.drop_suspend_image(vm);
        let owned = [
            ("VBD", "VBDs"),
            ("VIF", "VIFs"),
            ("VTPM", "VTPMs"),
            ("VUSB", "VUSBs"),
            ("VGPU", "VGPUs"),
            ("console", "consoles"),
        ];
        for (class, field) in owned {
            for own in self.database.words("VM", vm, field) {
                self.database.delete(class, &own);
            }
        }
        for (class, field) in [("VM_metrics", "metrics"), ("VM_guest_metrics", "guest_metrics")] {
            let own = SmolStr::new(self.database.text("VM", vm, field));
            self.database.delete(class, &own);
        }
        self.dormant_guests.remove(vm);
        self.database.delete("VM", vm);
    }

    pub(super) fn add_metrics(&mut self, vm: &str) {
        let metrics = self.random.reference();
        let fields = vec![("uuid", Value::String(self.random.uuid())), ("install_time", self.clock.date())];
        self.database.create("VM_metrics", &metrics, fields);
        self.database.write("VM", vm, "metrics", Value::String(metrics));
    }

    fn other_config_of_copy(&mut self, original: &Struct) -> Struct {
        let mut config = original.get("other_config").and_then(Value::as_struct).cloned().unwrap_or_default();
        config.remove("default_template");
        if config.get("mac_seed").is_some() {
            config.insert("mac_seed", self.random.uuid());
        }
        config
    }

    fn snapshot_info(&self, vm: &str) -> Struct {
        let state = self.database.text("VM", vm, "power_state");
        let rest = [
            ("power-state-at-snapshot", Value::from(state)),
            ("disk-snapshot-type", "crash_consistent".into()),
        ];
        rest.into_iter().map(|(key, value)| (SmolStr::new_static(key), value)).collect()
    }

    pub(super) fn copy_vbd(
        &mut self,
        vbd: &str,
        vm: &SmolStr,
        style: Style,
        sr: Option<&SmolStr>,
    ) -> SmolStr {
        let mut record = self.database.record("VBD", vbd).unwrap_or_default();
        let vdi = SmolStr::new(self.database.text("VBD", vbd, "VDI"));
        let disk =
            self.database.text("VBD", vbd, "type") == "Disk" && self.database.row("VDI", &vdi).is_some();
        // A CD is shared with the original, a disk is not.
        if disk {
            let copy = self.copy_vdi(&vdi, style, sr);
            record.insert("VDI", copy);
        }
        record.insert("VM", vm.clone());
        self.create_device("VBD", &record)
    }

    pub(super) fn copy_vif(&mut self, vif: &str, vm: &SmolStr, style: Style) {
        let mut record = self.database.record("VIF", vif).unwrap_or_default();
        record.insert("VM", vm.clone());
        if style == Style::Clone {
            record.insert("MAC", self.random.mac());
            record.insert("MAC_autogenerated", true);
        }
        self.create_device("VIF", &record);
    }

    pub(super) fn copy_vdi(&mut self, vdi: &SmolStr, style: Style, sr: Option<&SmolStr>) -> SmolStr {
        let kind =
            if style == Style::Snapshot { storage::Copying::Snapshot } else { storage::Copying::Clone };
        self.copy_disk(vdi, kind, sr)
    }

    pub(super) fn create_device(&mut self, class: &'static str, record: &Struct) -> SmolStr {
        let reference = self.random.reference();
        let mut fields: Vec<(&str, Value)> =
            record.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        fields.push(("uuid", Value::String(self.random.uuid())));
        fields.push(("currently_attached", false.into()));
        fields.push(("current_operations", Value::Struct(Struct::new())));
        fields.push(("allowed_operations", Value::Array(Vec::new())));
        fields.push(("metrics", NULL_REF.into()));
        self.database.create(class, &reference, fields);
        reference
    }
}
