//! What an operation does to the VM and to everything around it, in the order in which xapi writes it.

use smol_str::{SmolStr, format_smolstr};
use xapi::codec::{Failure, Reply};
use xapi::{NULL_REF, Value};

use super::{Kind, Plan, copying};
use crate::defaults::NEVER;
use crate::pool::{Pool, Step};

/// Between a VM's start and the first word of its guest agent; seconds at speed 1.
const GUEST_AFTER: f64 = 6.0;

impl Pool {
    /// Carries an operation out and returns its result.
    pub(super) fn effect(&mut self, plan: &Plan) -> Reply {
        let vm = plan.vm.as_str();
        match plan.kind {
            Kind::Start | Kind::StartOn => {
                let host = self.still_hosting(plan)?;
                self.boot(vm, &host, plan.paused);
                self.tell(vm, "VM_STARTED", "started");
            }
            Kind::CleanShutdown | Kind::HardShutdown | Kind::Shutdown => {
                if self.database.text("VM", vm, "power_state") != "Halted" {
                    self.drop_suspend_image(vm);
                    self.halt(vm, "Halted");
                    self.tell(vm, "VM_SHUTDOWN", "shut down");
                }
            }
            Kind::CleanReboot | Kind::HardReboot => {
                let host = SmolStr::new(self.database.text("VM", vm, "resident_on"));
                self.hush_guest(vm);
                self.take_memory(vm, false);
                self.take_memory(vm, true);
                self.attach_all(vm);
                self.enter_domain(vm, &host, "Running");
                self.tell(vm, "VM_REBOOTED", "rebooted");
            }
            Kind::Suspend => {
                let sr = self.suspend_sr(vm)?;
                self.write_suspend_image(vm, &sr);
                self.halt(vm, "Suspended");
                self.tell(vm, "VM_SUSPENDED", "suspended");
            }
            Kind::Resume | Kind::ResumeOn => {
                let host = self.still_hosting(plan)?;
                self.drop_suspend_image(vm);
                self.boot(vm, &host, plan.paused);
                self.tell(vm, "VM_RESUMED", "resumed");
            }
            Kind::Pause => {
                self.database.write("VM", vm, "power_state", "Paused");
                self.tell(vm, "VM_PAUSED", "paused");
            }
            Kind::Unpause => {
                self.database.write("VM", vm, "power_state", "Running");
                self.expect_guest(vm);
                self.tell(vm, "VM_UNPAUSED", "unpaused");
            }
            Kind::PoolMigrate => {
                let host = self.still_hosting(plan)?;
                self.take_memory(vm, false);
                self.database.write("VM", vm, "resident_on", Value::String(host.clone()));
                self.take_memory(vm, true);
                let domain = self.new_domain(&host);
                self.database.write("VM", vm, "domid", domain);
                self.expect_guest(vm);
                self.tell(vm, "VM_MIGRATED", "migrated");
            }
            Kind::Clone => {
                self.assert_copyable(vm, plan.kind, None)?;
                let copy = self.copy_vm(vm, &plan.name, copying::Style::Clone, None, &[]);
                self.tell(&copy, "VM_CLONED", "cloned");
                return Ok(Value::String(copy));
            }
            Kind::Copy => {
                self.assert_copyable(vm, plan.kind, plan.sr.as_ref())?;
                let copy = self.copy_vm(vm, &plan.name, copying::Style::Clone, plan.sr.as_ref(), &[]);
                return Ok(Value::String(copy));
            }
            Kind::Snapshot => {
                self.assert_copyable(vm, plan.kind, None)?;
                let copy = self.copy_vm(vm, &plan.name, copying::Style::Snapshot, None, &plan.without);
                self.tell(vm, "VM_SNAPSHOTTED", "snapshotted");
                return Ok(Value::String(copy));
            }
            Kind::Checkpoint => {
                let copy = self.checkpoint(vm, &plan.name)?;
                self.tell(vm, "VM_CHECKPOINTED", "checkpointed");
                return Ok(Value::String(copy));
            }
            // Its own stages carry it out.
            Kind::Revert => {}
            Kind::Provision => self.provision(vm)?,
            Kind::Destroy => self.destroy_vm(vm),
        }
        Ok(Value::VOID)
    }

    /// `VM.power_state_reset`: the VM is Halted, whatever it was, and nothing is asked.
    pub(super) fn reset_power_state(&mut self, vm: &str) -> Result<crate::tasks::Outcome, Failure> {
        self.known("VM", vm)?;
        if self.database.truth("VM", vm, "is_control_domain") {
            return Err(crate::failures::not_allowed("This operation is not allowed on dom0"));
        }
        self.drop_suspend_image(vm);
        self.halt(vm, "Halted");
        self.database.write("VM", vm, "current_operations", Value::Struct(xapi::Struct::new()));
        Ok(Value::VOID.into())
    }

    /// A Halted or Suspended VM comes to life on a host.
    pub(crate) fn boot(&mut self, vm: &str, host: &SmolStr, paused: bool) {
        self.database.write("VM", vm, "resident_on", Value::String(host.clone()));
        self.take_memory(vm, true);
        self.attach_all(vm);
        let console = self.random.reference();
        let address = SmolStr::new(self.database.text("host", host, "address"));
        let fields = vec![
            ("uuid", Value::String(self.random.uuid())),
            ("protocol", "rfb".into()),
            ("location", format_smolstr!("https://{address}/console?ref={console}").into()),
            ("VM", vm.into()),
        ];
        self.database.create("console", &console, fields);
        self.enter_domain(vm, host, if paused { "Paused" } else { "Running" });
    }

    /// The VM gets a domain of its own; its power state is written last.
    fn enter_domain(&mut self, vm: &str, host: &str, state: &'static str) {
        let domain = self.new_domain(host);
        self.database.write("VM", vm, "domid", domain);
        let metrics = self.metrics_of(vm);
        let processors = self.database.int("VM", vm, "VCPUs_at_startup");
        let date = self.clock.date();
        let guest_kind = SmolStr::new(self.database.text("VM", vm, "domain_type"));
        for (field, value) in [
            ("VCPUs_number", Value::Int(processors)),
            ("hvm", Value::Bool(guest_kind == "hvm")),
            ("current_domain_type", Value::String(guest_kind)),
            ("start_time", date.clone()),
            ("last_updated", date),
        ] {
            self.database.write("VM_metrics", &metrics, field, value);
        }
        self.database.write("VM", vm, "power_state", state);
        self.expect_guest(vm);
    }

    /// The agent of a guest that has not spoken yet will do so soon, if the VM is still in the same domain.
    fn expect_guest(&mut self, vm: &str) {
        if self.database.text("VM", vm, "guest_metrics") == NULL_REF {
            let domain = self.database.int("VM", vm, "domid");
            let at = self.clock.now() + self.clock.lasting(GUEST_AFTER);
            self.schedule.add(at, Step::GuestUp(vm.into(), domain));
        }
    }

    /// The VM leaves its host and holds nothing there any more.
    pub(crate) fn halt(&mut self, vm: &str, state: &'static str) {
        self.hush_guest(vm);
        for console in self.database.words("VM", vm, "consoles") {
            self.database.delete("console", &console);
        }
        for class in ["VBD", "VIF"] {
            for device in self.database.words("VM", vm, &format!("{class}s")) {
                self.database.write(class, &device, "currently_attached", false);
            }
        }
        self.take_memory(vm, false);
        let metrics = self.metrics_of(vm);
        self.database.write("VM_metrics", &metrics, "VCPUs_number", 0i64);
        self.database.write("VM", vm, "resident_on", NULL_REF);
        self.database.write("VM", vm, "domid", -1i64);
        self.database.write("VM", vm, "power_state", state);
    }

    /// The SR that a suspended VM's memory goes to.
    pub(super) fn suspend_sr(&self, vm: &str) -> Result<SmolStr, Failure> {
        let host = self.database.text("VM", vm, "resident_on");
        let pool = self.database.table("pool").and_then(|table| table.rows.keys().next());
        let pool = pool.map(SmolStr::as_str).unwrap_or_default();
        let candidates = [
            self.database.text("VM", vm, "suspend_SR"),
            self.database.text("host", host, "suspend_image_sr"),
            self.database.text("pool", pool, "suspend_image_SR"),
            self.database.text("pool", pool, "default_SR"),
        ];
        let found = candidates.into_iter().find(|sr| self.database.row("SR", sr).is_some());
        found.map(SmolStr::new).ok_or_else(|| Failure::new("VM_NO_SUSPEND_SR", [vm]))
    }

    pub(super) fn write_suspend_image(&mut self, vm: &str, sr: &SmolStr) {
        let image = self.random.reference();
        let size = self.memory_of(vm);
        let fields = vec![
            ("uuid", Value::String(self.random.uuid())),
            ("name_label", "Suspend image".into()),
            ("SR", Value::String(sr.clone())),
            ("virtual_size", size.into()),
            ("physical_utilisation", size.into()),
            ("type", "suspend".into()),
        ];
        self.add_vdi(&image, fields);
        self.database.write("VM", vm, "suspend_VDI", Value::String(image));
    }

    pub(super) fn drop_suspend_image(&mut self, vm: &str) {
        let image = SmolStr::new(self.database.text("VM", vm, "suspend_VDI"));
        if self.database.row("VDI", &image).is_some() {
            self.remove_vdi(&image);
            self.database.write("VM", vm, "suspend_VDI", NULL_REF);
        }
    }

    /// Takes the VM's memory from its host, or gives back what was taken. The VM's metrics know how much that is.
    pub(super) fn take_memory(&mut self, vm: &str, take: bool) {
        let host = self.database.text("VM", vm, "resident_on");
        let host_metrics = SmolStr::new(self.database.text("host", host, "metrics"));
        let vm_metrics = self.metrics_of(vm);
        let free = self.database.int("host_metrics", &host_metrics, "memory_free");
        let total = self.database.int("host_metrics", &host_metrics, "memory_total");
        let (memory, now) = if take {
            let memory = self.memory_of(vm);
            (memory, free.saturating_sub(memory))
        } else {
            (0, free.saturating_add(self.database.int("VM_metrics", &vm_metrics, "memory_actual")))
        };
        self.database.write("host_metrics", &host_metrics, "memory_free", now.clamp(0, total.max(0)));
        self.database.write("VM_metrics", &vm_metrics, "memory_actual", memory);
    }

    /// All devices of the VM are there when it boots.
    fn attach_all(&mut self, vm: &str) {
        for vbd in self.database.words("VM", vm, "VBDs") {
            self.attach_vbd(&vbd);
        }
        for vif in self.database.words("VM", vm, "VIFs") {
            self.database.write("VIF", &vif, "currently_attached", true);
        }
    }

    /// The host's next domain: one more than any in use there.
    fn new_domain(&self, host: &str) -> i64 {
        let used = self.database.words("host", host, "resident_VMs");
        used.iter().map(|vm| self.database.int("VM", vm, "domid")).max().unwrap_or_default().max(0) + 1
    }

    /// The VM's metrics, made where there are none.
    pub(crate) fn metrics_of(&mut self, vm: &str) -> SmolStr {
        let metrics = SmolStr::new(self.database.text("VM", vm, "metrics"));
        if self.database.row("VM_metrics", &metrics).is_some() {
            return metrics;
        }
        let metrics = self.random.reference();
        let fields = vec![
            ("uuid", Value::String(self.random.uuid())),
            ("install_time", Value::DateTime(SmolStr::new_static(NEVER))),
        ];
        self.database.create("VM_metrics", &metrics, fields);
        self.database.write("VM", vm, "metrics", Value::String(metrics.clone()));
        metrics
    }

    /// The host that was chosen when the operation began, if it still can.
    pub(super) fn still_hosting(&self, plan: &Plan) -> Result<SmolStr, Failure> {
        let host = plan.host.clone().unwrap_or_default();
        self.can_host(&plan.vm, &host).map(|()| host)
    }

    /// Raises the alert that xapi raises for an plan.
    pub(super) fn tell(&mut self, vm: &str, alert: &str, done: &str) {
        let uuid = SmolStr::new(self.database.text("VM", vm, "uuid"));
        let name = self.database.text("VM", vm, "name_label");
        let body = format!("VM '{name}' has been {done}. (vm uuid: {uuid})");
        self.alert(alert, 5, "VM", &uuid, body);
    }
}
