//! What happens inside: the guest agent speaks up and falls silent, and sometimes the guest crashes.

use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::{NULL_REF, Struct, Value};

use crate::failures;
use crate::pool::Pool;

/// The tag of VMs that somebody keeps alive; they are the ones worth crashing.
const KEPT_ALIVE: &str = "keepalive";

impl Pool {
    /// The guest agent reports, if there is one and the VM is still in the same domain.
    pub(crate) fn guest_up(&mut self, vm: &SmolStr, domain: i64) {
        let same = self.database.int("VM", vm, "domid") == domain
            && self.database.text("VM", vm, "power_state") == "Running";
        if !same {
            return;
        }
        let Some(said) = self.dormant_guests.remove(vm) else { return };
        let metrics = self.random.reference();
        let mut fields: Vec<(&str, Value)> =
            said.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        fields.push(("uuid", Value::String(self.random.uuid())));
        fields.push(("last_updated", self.clock.date()));
        fields.push(("live", true.into()));
        self.database.create("VM_guest_metrics", &metrics, fields);
        self.database.write("VM", vm, "guest_metrics", Value::String(metrics));
        self.refresh_allowed(vm);
    }

    /// The guest agent falls silent; what it said is kept for the next start.
    pub(super) fn hush_guest(&mut self, vm: &str) {
        let metrics = SmolStr::new(self.database.text("VM", vm, "guest_metrics"));
        let Some(said) = self.database.record("VM_guest_metrics", &metrics) else { return };
        self.remember_guest(vm, said);
        self.database.delete("VM_guest_metrics", &metrics);
        self.database.write("VM", vm, "guest_metrics", NULL_REF);
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
        self.refresh_allowed(vm);
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
