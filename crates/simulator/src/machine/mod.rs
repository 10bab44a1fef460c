//! What can be done with a VM: make, start, stop, suspend, copy, move. Each operation asks the rules, takes its time
//! under a task, shows in `current_operations`, and has its effect at the end.

mod configuring;
mod copying;
mod effects;
mod guest;
mod placement;
mod provisioning;
mod restoring;
mod rules;

use smol_str::SmolStr;
use xapi::codec::{Failure, Reply};
use xapi::{NULL_REF, Value};

use crate::arguments::Arguments;
use crate::methods::Entry;
use crate::operation::Operation;
use crate::pool::Pool;
use crate::tasks::Outcome;
pub(crate) use rules::Kind;

/// Methods of VMs.
pub(crate) const METHODS: &[Entry] = &[
    ("VM", "start", |pool, a| pool.operate(Kind::Start, a, Extra { paused: a.truth(1), ..Extra::default() })),
    ("VM", "start_on", |pool, a| pool.operate(Kind::StartOn, a, Extra::on(a.text(1), a.truth(2)))),
    ("VM", "resume", |pool, a| {
        pool.operate(Kind::Resume, a, Extra { paused: a.truth(1), ..Extra::default() })
    }),
    ("VM", "resume_on", |pool, a| pool.operate(Kind::ResumeOn, a, Extra::on(a.text(1), a.truth(2)))),
    ("VM", "pool_migrate", |pool, a| pool.operate(Kind::PoolMigrate, a, Extra::on(a.text(1), false))),
    ("VM", "clone", |pool, a| pool.operate(Kind::Clone, a, Extra::named(a.text(1)))),
    ("VM", "copy", |pool, a| {
        let sr = Some(SmolStr::new(a.text(2))).filter(|sr| sr != NULL_REF);
        pool.operate(Kind::Copy, a, Extra { sr, ..Extra::named(a.text(1)) })
    }),
    ("VM", "snapshot", |pool, a| {
        let without = a.value(2).as_array().unwrap_or_default().to_vec();
        let without = without.iter().filter_map(Value::as_str).map(SmolStr::new).collect();
        pool.operate(Kind::Snapshot, a, Extra { without, ..Extra::named(a.text(1)) })
    }),
    ("VM", "checkpoint", |pool, a| pool.operate(Kind::Checkpoint, a, Extra::named(a.text(1)))),
    ("VM", "revert", |pool, a| pool.begin_revert(a.text(0))),
    ("VM", "clean_shutdown", |pool, a| pool.operate(Kind::CleanShutdown, a, Extra::default())),
    ("VM", "hard_shutdown", |pool, a| pool.operate(Kind::HardShutdown, a, Extra::default())),
    ("VM", "shutdown", |pool, a| pool.operate(Kind::Shutdown, a, Extra::default())),
    ("VM", "clean_reboot", |pool, a| pool.operate(Kind::CleanReboot, a, Extra::default())),
    ("VM", "hard_reboot", |pool, a| pool.operate(Kind::HardReboot, a, Extra::default())),
    ("VM", "suspend", |pool, a| pool.operate(Kind::Suspend, a, Extra::default())),
    ("VM", "pause", |pool, a| pool.operate(Kind::Pause, a, Extra::default())),
    ("VM", "unpause", |pool, a| pool.operate(Kind::Unpause, a, Extra::default())),
    ("VM", "destroy", |pool, a| pool.operate(Kind::Destroy, a, Extra::default())),
    ("VM", "provision", |pool, a| pool.operate(Kind::Provision, a, Extra::default())),
    ("VM", "create", |pool, a| pool.create_vm(a)),
    ("VM", "power_state_reset", |pool, a| pool.reset_power_state(a.text(0))),
    ("VM", "update_allowed_operations", |pool, a| {
        // The list is true at all times.
        pool.known("VM", a.text(0)).map(|()| Value::VOID.into())
    }),
    ("VM", "assert_operation_valid", |pool, a| {
        pool.assert_may(a.text(0), a.text(1)).map(|()| Value::VOID.into())
    }),
    ("VM", "assert_can_boot_here", |pool, a| {
        pool.known("VM", a.text(0))?;
        pool.known("host", a.text(1))?;
        pool.can_host(a.text(0), a.text(1)).map(|()| Value::VOID.into())
    }),
    ("VM", "get_possible_hosts", |pool, a| pool.possible_hosts(a.text(0))),
    ("VM", "assert_agile", |pool, a| pool.assert_agile(a.text(0))),
    ("VM", "compute_memory_overhead", configuring::compute_overhead),
    ("VM", "maximise_memory", configuring::maximise_memory),
    ("VM", "set_memory", configuring::set_memory),
    ("VM", "set_memory_limits", configuring::set_memory_limits),
    ("VM", "set_memory_dynamic_range", configuring::set_dynamic_range),
    ("VM", "set_memory_dynamic_max", configuring::set_dynamic_max),
    ("VM", "set_memory_dynamic_min", configuring::set_dynamic_min),
    ("VM", "set_memory_static_range", configuring::set_static_range),
    ("VM", "set_memory_static_max", configuring::set_static_max),
    ("VM", "set_memory_static_min", configuring::set_static_min),
    ("VM", "set_VCPUs_max", configuring::set_processors_max),
    ("VM", "set_VCPUs_at_startup", configuring::set_processors_at_startup),
    ("VM", "set_VCPUs_number_live", configuring::set_processors_live),
    ("VM", "set_appliance", configuring::set_appliance),
    ("VM", "set_is_a_template", configuring::set_is_a_template),
];

/// What only some operations are told.
#[derive(Default)]
struct Extra {
    host: Option<SmolStr>,
    paused: bool,
    name: SmolStr,
    sr: Option<SmolStr>,
    without: Vec<SmolStr>,
}

impl Extra {
    fn on(host: &str, paused: bool) -> Self {
        Extra { host: Some(host.into()), paused, ..Extra::default() }
    }

    fn named(name: &str) -> Self {
        Extra { name: name.into(), ..Extra::default() }
    }
}

/// What is to be done with a VM, decided when it begins.
#[derive(Debug, Clone)]
struct Plan {
    kind: Kind,
    vm: SmolStr,
    /// Where it will run, for those that need a host.
    host: Option<SmolStr>,
    /// Whether it stays paused after starting.
    paused: bool,
    /// The name of the copy.
    name: SmolStr,
    /// The SR of a full copy.
    sr: Option<SmolStr>,
    /// Disks that a snapshot leaves out.
    without: Vec<SmolStr>,
}

/// What may be done with a VM now.
pub(crate) fn allowed(pool: &Pool, vm: &str) -> Vec<&'static str> {
    rules::allowed(&pool.facts(vm))
}

impl Pool {
    /// Begins an operation on a VM without any extra, for others that need it: or says why it cannot be.
    pub(crate) fn vm_refusal(&self, vm: &str, kind: Kind) -> Option<Failure> {
        self.known("VM", vm).err().or_else(|| rules::refusal(&self.facts(vm), kind.word()))
    }

    /// Begins an operation, or says why it cannot be.
    fn operate(&mut self, kind: Kind, arguments: &Arguments, extra: Extra) -> Result<Outcome, Failure> {
        let vm = SmolStr::new(arguments.text(0));
        self.assert_may(&vm, kind.word())?;
        if let Some(sr) = &extra.sr {
            self.known("SR", sr)?;
        }
        self.assert_contact(&vm)?;
        let host = match (kind, extra.host) {
            (Kind::Start | Kind::Resume, _) => Some(self.choose_host(&vm)?),
            (_, Some(host)) => {
                self.known("host", &host)?;
                self.can_host(&vm, &host)?;
                Some(host)
            }
            (_, None) => None,
        };
        match kind {
            Kind::Start | Kind::StartOn => self.assert_bootable(&vm)?,
            Kind::Resume | Kind::ResumeOn => {
                let image = self.database.text("VM", &vm, "suspend_VDI");
                if self.database.row("VDI", image).is_none() {
                    return Err(Failure::new("VM_HAS_NO_SUSPEND_VDI", [vm]));
                }
            }
            Kind::Suspend | Kind::Checkpoint => {
                let sr = self.suspend_sr(&vm)?;
                self.assert_room(&sr, self.memory_of(&vm))?;
            }
            Kind::Clone | Kind::Copy | Kind::Snapshot => {
                self.assert_copyable(&vm, kind, extra.sr.as_ref())?;
            }
            _ => {}
        }
        let seconds = if kind == Kind::Copy { self.copying_seconds(&vm) } else { kind.seconds() };
        if let Some(host) = &host {
            self.database.write("VM", &vm, "scheduled_to_be_resident_on", Value::String(host.clone()));
        }
        let operation = Operation::lasting(seconds, {
            let Extra { paused, name, sr, without, .. } = extra;
            let plan = Plan { kind, vm: vm.clone(), host, paused, name, sr, without };
            move |pool: &mut Pool| pool.conclude(&plan)
        });
        let mut operation = operation.on("VM", &vm, kind.word());
        if matches!(kind, Kind::Start | Kind::StartOn | Kind::Resume | Kind::ResumeOn) {
            for (class, field) in [("VBD", "VBDs"), ("VIF", "VIFs")] {
                for device in self.database.words("VM", &vm, field) {
                    operation = operation.on(class, &device, "attach");
                }
            }
        }
        Ok(operation.into())
    }

    /// The operation's time is up: its effect shows, unless the VM went another way meanwhile.
    fn conclude(&mut self, plan: &Plan) -> Reply {
        self.known("VM", &plan.vm)?;
        self.assert_contact(&plan.vm)?;
        match rules::overtaken(&self.facts(&plan.vm), plan.kind) {
            Some(failure) => Err(failure),
            None => self.effect(plan),
        }
    }

    /// Begins what others do to a VM as part of something larger; gives the host that it needs.
    pub(crate) fn begin_now(&mut self, kind: Kind, vm: &str) -> Result<Option<SmolStr>, Failure> {
        if let Some(failure) = self.vm_refusal(vm, kind) {
            return Err(failure);
        }
        self.assert_contact(vm)?;
        if kind != Kind::Start {
            return Ok(None);
        }
        self.assert_bootable(vm)?;
        let host = self.choose_host(vm)?;
        self.database.write("VM", vm, "scheduled_to_be_resident_on", Value::String(host.clone()));
        Ok(Some(host))
    }

    /// Ends what [`Pool::begin_now`] began.
    pub(crate) fn finish_now(&mut self, kind: Kind, vm: &str, host: Option<SmolStr>, paused: bool) -> Reply {
        let (name, without) = (SmolStr::default(), Vec::new());
        self.conclude(&Plan { kind, vm: vm.into(), host, paused, name, sr: None, without })
    }

    /// Moves a VM whose time is up.
    pub(crate) fn migrate_now(&mut self, vm: &str, host: &SmolStr) -> Reply {
        self.finish_now(Kind::PoolMigrate, vm, Some(host.clone()), false)
    }

    /// Refuses when the host of a VM does not answer.
    fn assert_contact(&self, vm: &str) -> Result<(), Failure> {
        match self.database.text("VM", vm, "resident_on") {
            "" | NULL_REF => Ok(()),
            host => self.assert_live(host),
        }
    }

    /// Puts a Halted VM into a state at once, without a task: how a made-up pool comes to its running VMs.
    pub(crate) fn settle_in(&mut self, vm: &SmolStr, host: &SmolStr, state: &'static str) {
        if state != "Halted" {
            self.boot(vm, host, state == "Paused");
            let domain = self.database.int("VM", vm, "domid");
            self.guest_up(vm, domain);
        }
        if state == "Suspended"
            && let Ok(sr) = self.suspend_sr(vm)
        {
            self.write_suspend_image(vm, &sr);
            self.halt(vm, "Suspended");
        }
    }

    /// Takes a snapshot at once, without a task.
    pub(crate) fn snapshot_at_once(&mut self, vm: &str, name: &SmolStr) -> SmolStr {
        self.copy_vm(vm, name, copying::Style::Snapshot, None, &[])
    }

    fn facts(&self, vm: &str) -> rules::Facts {
        let truth = |field| self.database.truth("VM", vm, field);
        let text = |field| self.database.text("VM", vm, field);
        let reference = |field| Some(text(field)).filter(|target| *target != NULL_REF).unwrap_or_default();
        rules::Facts {
            vm: vm.into(),
            power_state: text("power_state").into(),
            template: truth("is_a_template"),
            default_template: truth("is_default_template")
                || self.map_text("VM", vm, "other_config", "default_template") == "true",
            snapshot: truth("is_a_snapshot"),
            control_domain: truth("is_control_domain"),
            current: self.current("VM", vm),
            blocked: self.database.value("VM", vm, "blocked_operations").and_then(Value::as_struct).cloned(),
            features: self.features(vm),
            resets: self.disks(vm).iter().any(|disk| self.database.text("VDI", disk, "on_boot") == "reset"),
            passed_through: !self.database.words("VM", vm, "attached_PCIs").is_empty(),
            appliance: reference("appliance").into(),
            schedule: reference("snapshot_schedule").into(),
        }
    }

    /// The VM's own disks that are there, in the order of its devices.
    pub(crate) fn disks(&self, vm: &str) -> Vec<SmolStr> {
        let vbds = self.database.words("VM", vm, "VBDs");
        vbds.iter()
            .filter(|vbd| self.database.text("VBD", vbd, "type") == "Disk")
            .map(|vbd| SmolStr::new(self.database.text("VBD", vbd, "VDI")))
            .filter(|vdi| self.database.row("VDI", vdi).is_some())
            .collect()
    }

    /// One entry of a map field; empty where there is none.
    pub(crate) fn map_text(&self, class: &str, reference: &str, field: &str, key: &str) -> &str {
        let members = self.database.value(class, reference, field).and_then(Value::as_struct);
        members.and_then(|members| members.get(key)).and_then(Value::as_str).unwrap_or_default()
    }

    /// Refuses what the rules do not allow now.
    fn assert_may(&self, vm: &str, word: &str) -> Result<(), Failure> {
        self.known("VM", vm)?;
        rules::refusal(&self.facts(vm), word).map_or(Ok(()), Err)
    }
}
