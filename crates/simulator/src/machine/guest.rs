//! What happens inside: the guest agent speaks up and falls silent, and sometimes the guest crashes.

use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::{NULL_REF, Struct, Value};

use super::rules::Features;
use crate::failures;
use crate::pool::Pool;

/// The tag of VMs that somebody keeps alive; they are the ones worth crashing.
const KEPT_ALIVE: &str = "keepalive";

impl Pool {
    /// The guest agent reports, if there is one and the VM is still in the same domain.
    pub(crate) fn guest_up(&mut self, vm: &SmolStr, domain: i64) {
        let silent = self.database.text("VM", vm, "guest_metrics") == NULL_REF;
        let same = self.database.int("VM", vm, "domid") == domain
            && self.database.text("VM", vm, "power_state") == "Running";
        if !same || !silent {
            return;
        }
        let Some(said) = self.dormant_guests.remove(vm).or_else(|| self.made_up_guest(vm)) else { return };
        let said = self.with_addresses(vm, said);
        let metrics = self.random.reference();
        let mut fields: Vec<(&str, Value)> =
            said.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        fields.push(("uuid", Value::String(self.random.uuid())));
        fields.push(("last_updated", self.clock.date()));
        fields.push(("live", true.into()));
        self.database.create("VM_guest_metrics", &metrics, fields);
        self.database.write("VM", vm, "guest_metrics", Value::String(metrics));
    }

    /// What the guest can be asked for; nothing when it need not be asked.
    pub(super) fn features(&self, vm: &str) -> Option<Features> {
        let domain_type = self.database.text("VM", vm, "domain_type");
        let old_hvm =
            domain_type == "unspecified" && !self.database.text("VM", vm, "HVM_boot_policy").is_empty();
        if domain_type != "hvm" && !old_hvm {
            return None;
        }
        let metrics = self.database.text("VM", vm, "guest_metrics");
        let Some(other) =
            self.database.value("VM_guest_metrics", metrics, "other").and_then(Value::as_struct)
        else {
            return Some(Features::default());
        };
        let says = |feature: &str| other.get(feature).and_then(Value::as_str) == Some("1");
        // Guests of old pools name no features; there, that drivers were seen was enough.
        let silent = !other.iter().any(|(key, _)| key.starts_with("feature-"));
        let drivers = silent
            && (self.database.truth("VM_guest_metrics", metrics, "PV_drivers_detected")
                || !self.map_text("VM_guest_metrics", metrics, "PV_drivers_version", "major").is_empty());
        Some(Features {
            shutdown: drivers || says("feature-shutdown"),
            suspend: drivers || says("feature-suspend"),
            processors: drivers || says("feature-vcpu-hotplug"),
        })
    }

    /// The guest agent falls silent; what it said is kept for the next start.
    pub(super) fn hush_guest(&mut self, vm: &str) {
        let metrics = SmolStr::new(self.database.text("VM", vm, "guest_metrics"));
        let Some(said) = self.database.record("VM_guest_metrics", &metrics) else { return };
        self.remember_guest(vm, said);
        self.database.delete("VM_guest_metrics", &metrics);
        self.database.write("VM", vm, "guest_metrics", NULL_REF);
    }

    /// What the agent of a VM that never ran says: every system that boots from a disk has one.
    fn made_up_guest(&self, vm: &str) -> Option<Struct> {
        self.disks(vm).first()?;
        let system = [("name", "Debian GNU/Linux 13 (trixie)"), ("distro", "debian"), ("major", "13")];
        let drivers = [("major", "8"), ("minor", "4"), ("micro", "0"), ("build", "9")];
        let features = [
            ("feature-shutdown", "1"),
            ("feature-reboot", "1"),
            ("feature-suspend", "1"),
            ("feature-balloon", "1"),
            ("feature-vcpu-hotplug", "1"),
        ];
        let said = [
            ("os_version", map(&system)),
            ("PV_drivers_version", map(&drivers)),
            ("PV_drivers_up_to_date", true.into()),
            ("PV_drivers_detected", true.into()),
            ("other", map(&features)),
            ("can_use_hotplug_vbd", "yes".into()),
            ("can_use_hotplug_vif", "yes".into()),
        ];
        Some(said.into_iter().map(|(name, value)| (SmolStr::new_static(name), value)).collect())
    }

    /// Adds the addresses of network cards that the agent has not named yet.
    fn with_addresses(&mut self, vm: &str, mut said: Struct) -> Struct {
        let mut networks = said.get("networks").and_then(Value::as_struct).cloned().unwrap_or_default();
        for vif in self.database.words("VM", vm, "VIFs") {
            if !self.database.truth("VIF", &vif, "currently_attached") {
                continue;
            }
            let device = SmolStr::new(self.database.text("VIF", &vif, "device"));
            let key = format!("{device}/ip");
            if networks.get(&key).is_none() {
                // A made-up DHCP server: the address follows from the card's own.
                let mac = self.database.text("VIF", &vif, "MAC");
                let mut tail = mac.rsplit(':').filter_map(|byte| u8::from_str_radix(byte, 16).ok());
                let (last, before) = (tail.next().unwrap_or(1), tail.next().unwrap_or(1));
                let address = format!("10.21.{before}.{}", last.clamp(1, 254));
                networks.insert(key, address.as_str());
                networks.insert(format!("{device}/ipv4/0"), address.as_str());
            }
        }
        said.insert("networks", networks);
        said
    }

    /// Keeps what a guest agent will say once its VM runs.
    pub(crate) fn remember_guest(&mut self, vm: &str, said: Struct) {
        self.dormant_guests.insert(vm.into(), said);
    }

    /// A running VM goes Halted by itself, with nobody's task.
    pub(crate) fn crash(&mut self, vm: &str) -> Result<(), Failure> {
        self.known("VM", vm)?;
        let state = self.database.text("VM", vm, "power_state");
        if state != "Running" {
            return Err(failures::bad_power_state(vm, "running", &state.to_ascii_lowercase()));
        }
        if self.database.truth("VM", vm, "is_control_domain") {
            return Err(failures::not_allowed("This operation is not allowed on dom0"));
        }
        self.halt(vm, "Halted");
        let uuid = SmolStr::new(self.database.text("VM", vm, "uuid"));
        let body =
            format!("VM '{}' has crashed. (vm uuid: {uuid})", self.database.text("VM", vm, "name_label"));
        self.alert("VM_CRASHED", 2, "VM", &uuid, body);
        Ok(())
    }

    /// Crashes some running VM, preferably one that somebody keeps alive.
    pub(crate) fn crash_one(&mut self) {
        let Some(table) = self.database.table("VM") else { return };
        let running: Vec<SmolStr> = table
            .with("power_state", "Running")
            .filter(|vm| !self.database.truth("VM", vm, "is_control_domain"))
            .cloned()
            .collect();
        let kept: Vec<SmolStr> = running
            .iter()
            .filter(|vm| self.database.words("VM", vm, "tags").iter().any(|tag| tag == KEPT_ALIVE))
            .cloned()
            .collect();
        let candidates = if kept.is_empty() { running } else { kept };
        if candidates.is_empty() {
            return;
        }
        let chosen = self.random.below(candidates.len());
        if let Some(vm) = candidates.get(chosen)
            && let Err(failure) = self.crash(vm)
        {
            tracing::warn!(%vm, %failure, "a VM that looked running could not crash");
        }
    }
}

fn map(members: &[(&'static str, &'static str)]) -> Value {
    let members = members.iter().map(|(key, value)| (SmolStr::new_static(key), Value::from(*value)));
    Value::Struct(members.collect())
}
