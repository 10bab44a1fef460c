//! What can be done with a VM: start, stop, suspend, copy, move. Each operation asks the rules, takes its time under
//! a task, shows in `current_operations`, and has its effect at the end.

mod copying;
mod effects;
mod guest;
mod placement;
mod rules;

use smol_str::SmolStr;
use xapi::codec::{Failure, Reply};
use xapi::{NULL_REF, Struct, Value};

use crate::arguments::Arguments;
use crate::methods::Custom;
use crate::pool::Pool;
use crate::tasks::Outcome;
pub(crate) use rules::Kind;

/// An operation under way on one VM.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
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
}

impl Operation {
    /// How long it takes at speed 1.
    pub(crate) fn seconds(&self) -> f64 {
        self.kind.seconds()
    }
}

/// The function of a VM's method.
pub(crate) fn method(name: &str) -> Option<Custom> {
    let function: Custom = match name {
        "start" => |pool, a| pool.operate(Kind::Start, a, Extra { paused: a.truth(1), ..Extra::default() }),
        "start_on" => |pool, a| pool.operate(Kind::StartOn, a, Extra::on(a.text(1), a.truth(2))),
        "resume" => |pool, a| pool.operate(Kind::Resume, a, Extra { paused: a.truth(1), ..Extra::default() }),
        "resume_on" => |pool, a| pool.operate(Kind::ResumeOn, a, Extra::on(a.text(1), a.truth(2))),
        "pool_migrate" => |pool, a| pool.operate(Kind::PoolMigrate, a, Extra::on(a.text(1), false)),
        "clone" => |pool, a| pool.operate(Kind::Clone, a, Extra::named(a.text(1))),
        "copy" => |pool, a| {
            let sr = Some(SmolStr::new(a.text(2))).filter(|sr| sr != NULL_REF);
            pool.operate(Kind::Copy, a, Extra { sr, ..Extra::named(a.text(1)) })
        },
        "snapshot" => |pool, a| pool.operate(Kind::Snapshot, a, Extra::named(a.text(1))),
        "clean_shutdown" => |pool, a| pool.operate(Kind::CleanShutdown, a, Extra::default()),
        "hard_shutdown" => |pool, a| pool.operate(Kind::HardShutdown, a, Extra::default()),
        "shutdown" => |pool, a| pool.operate(Kind::Shutdown, a, Extra::default()),
        "clean_reboot" => |pool, a| pool.operate(Kind::CleanReboot, a, Extra::default()),
        "hard_reboot" => |pool, a| pool.operate(Kind::HardReboot, a, Extra::default()),
        "suspend" => |pool, a| pool.operate(Kind::Suspend, a, Extra::default()),
        "pause" => |pool, a| pool.operate(Kind::Pause, a, Extra::default()),
        "unpause" => |pool, a| pool.operate(Kind::Unpause, a, Extra::default()),
        "destroy" => |pool, a| pool.operate(Kind::Destroy, a, Extra::default()),
        "provision" => |pool, a| pool.operate(Kind::Provision, a, Extra::default()),
        "create" => |pool, a| pool.create_vm(a),
        "power_state_reset" => |pool, a| pool.reset_power_state(a.text(0)),
        "update_allowed_operations" => |pool, a| {
            pool.known("VM", a.text(0))?;
            pool.refresh_allowed(a.text(0));
            Ok(Value::VOID.into())
        },
        "assert_operation_valid" => |pool, a| {
            pool.known("VM", a.text(0))?;
            match Kind::from_word(a.text(1)).and_then(|kind| rules::refusal(&pool.facts(a.text(0)), kind)) {
                Some(failure) => Err(failure),
                None => Ok(Value::VOID.into()),
            }
        },
        _ => return None,
    };
    Some(function)
}

/// What only some operations are told.
#[derive(Default)]
struct Extra {
    host: Option<SmolStr>,
    paused: bool,
    name: SmolStr,
    sr: Option<SmolStr>,
}

impl Extra {
    fn on(host: &str, paused: bool) -> Self {
        Extra { host: Some(host.into()), paused, ..Extra::default() }
    }

    fn named(name: &str) -> Self {
        Extra { name: name.into(), ..Extra::default() }
    }
}

impl Pool {
    /// Begins an operation, or says why it cannot be.
    fn operate(&mut self, kind: Kind, arguments: &Arguments, extra: Extra) -> Result<Outcome, Failure> {
        let vm = SmolStr::new(arguments.text(0));
        self.known("VM", &vm)?;
        if let Some(failure) = rules::refusal(&self.facts(&vm), kind) {
            return Err(failure);
        }
        if let Some(sr) = &extra.sr {
            self.known("SR", sr)?;
        }
        let host = match (kind, extra.host) {
            (Kind::Start | Kind::Resume, _) => Some(self.choose_host(&vm)?),
            (_, Some(host)) => {
                self.known("host", &host)?;
                self.can_host(&vm, &host)?;
                Some(host)
            }
            (_, None) => None,
        };
        if kind == Kind::Suspend {
            self.suspend_sr(&vm)?;
        }
        if let (Kind::Start | Kind::StartOn | Kind::Resume | Kind::ResumeOn, Some(host)) = (kind, &host) {
            self.database.write("VM", &vm, "scheduled_to_be_resident_on", Value::String(host.clone()));
        }
        if let Some(task) = &arguments.task {
            let mut operations = self.current_operations(&vm);
            operations.insert(task.clone(), kind.word());
            self.database.write("VM", &vm, "current_operations", Value::Struct(operations));
        }
        self.refresh_allowed(&vm);
        Ok(Outcome::Lasting(Operation {
            kind,
            vm,
            host,
            paused: extra.paused,
            name: extra.name,
            sr: extra.sr,
        }))
    }

    /// The operation's time is up: its effect shows.
    pub(crate) fn carry_out(&mut self, operation: &Operation, task: &str) -> Reply {
        let vm = &operation.vm;
        let reply =
            match self.known("VM", vm).err().or_else(|| rules::overtaken(&self.facts(vm), operation.kind)) {
                Some(failure) => Err(failure),
                None => self.effect(operation),
            };
        self.give_up(operation, task);
        reply
    }

    /// The operation is over, with or without its effect: it no longer shows on the VM.
    pub(crate) fn give_up(&mut self, operation: &Operation, task: &str) {
        let vm = &operation.vm;
        if self.database.row("VM", vm).is_none() {
            return;
        }
        self.database.write("VM", vm, "scheduled_to_be_resident_on", NULL_REF);
        let mut operations = self.current_operations(vm);
        operations.remove(task);
        self.database.write("VM", vm, "current_operations", Value::Struct(operations));
        self.refresh_allowed(vm);
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
        self.refresh_allowed(vm);
    }

    /// Takes a snapshot at once, without a task.
    pub(crate) fn snapshot_at_once(&mut self, vm: &str, name: &SmolStr) -> SmolStr {
        self.copy_vm(vm, name, copying::Style::Snapshot, None)
    }

    /// Writes what may be done with the VM now.
    pub(crate) fn refresh_allowed(&mut self, vm: &str) {
        let words = rules::allowed(&self.facts(vm));
        self.database.write(
            "VM",
            vm,
            "allowed_operations",
            Value::Array(words.into_iter().map(Value::from).collect()),
        );
    }

    fn current_operations(&self, vm: &str) -> Struct {
        let operations = self.database.value("VM", vm, "current_operations").and_then(Value::as_struct);
        operations.cloned().unwrap_or_default()
    }

    fn facts(&self, vm: &str) -> rules::Facts {
        let truth = |field| self.database.truth("VM", vm, field);
        rules::Facts {
            vm: vm.into(),
            power_state: self.database.text("VM", vm, "power_state").into(),
            template: truth("is_a_template"),
            default_template: truth("is_default_template")
                || self.map_text("VM", vm, "other_config", "default_template") == "true",
            snapshot: truth("is_a_snapshot"),
            control_domain: truth("is_control_domain"),
            current: self
                .current_operations(vm)
                .iter()
                .map(|(task, word)| (task.clone(), word.as_str().unwrap_or_default().into()))
                .collect(),
            blocked: self.database.value("VM", vm, "blocked_operations").and_then(Value::as_struct).cloned(),
        }
    }

    /// One entry of a map field; empty where there is none.
    pub(crate) fn map_text(&self, class: &str, reference: &str, field: &str, key: &str) -> &str {
        let members = self.database.value(class, reference, field).and_then(Value::as_struct);
        members.and_then(|members| members.get(key)).and_then(Value::as_str).unwrap_or_default()
    }
}
