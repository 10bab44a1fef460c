//! Single changes of a load: some object is chosen and something is done with it that its state allows.

use smol_str::{SmolStr, format_smolstr};
use xapi::{NULL_REF, Struct, Value};

use crate::arguments::Arguments;
use crate::dispatch;
use crate::pool::Pool;
use crate::random::Random;
use crate::tasks::Origin;

/// Objects that are looked at before a change is given up: with many of them, one that fits is among these.
const LOOKS: usize = 200;

/// VMs that are asked whether another host could run them, which is much to ask.
const MIGRATION_LOOKS: usize = 4;
/// What a VM may leave of its memory at most, in pages.
const PAGES_SPARED: usize = 1024;
/// Bytes of a page.
const PAGE: i64 = 4096;

/// A kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A host or a guest measured something.
    Metrics,
    /// Somebody changed tags or notes of a VM.
    Settings,
    /// A Halted VM starts.
    Boot,
    /// A running VM shuts down.
    Shutdown,
    /// A running VM moves to another host.
    Migrate,
    /// A VM is snapshotted.
    Snapshot,
    /// A snapshot is destroyed with its disks.
    DeleteSnapshot,
    /// The pool raises an alert.
    Alert,
}

impl Pool {
    /// Makes one change of a kind and says what it was; `None` where nothing fits.
    pub(crate) fn make(&mut self, kind: Kind, random: &mut Random) -> Option<String> {
        match kind {
            Kind::Metrics => self.measure(random),
            Kind::Settings => self.retag(random),
            Kind::Boot => {
                let vm = self.some_vm(random, "start")?;
                self.run("VM", "start", vec![vm.as_str().into(), false.into(), false.into()]);
                Some(format!("{} starts", self.name("VM", &vm)))
            }
            Kind::Shutdown => {
                let vm = self.some_vm(random, "hard_shutdown")?;
                self.run("VM", "hard_shutdown", vec![vm.as_str().into()]);
                Some(format!("{} shuts down", self.name("VM", &vm)))
            }
            Kind::Migrate => self.migrate(random),
            Kind::Snapshot => {
                let vm = self.some_vm(random, "snapshot")?;
                let name = format!("before change {}", random.below(100_000));
                let ignored = Value::Array(Vec::new());
                self.run("VM", "snapshot", vec![vm.as_str().into(), name.into(), ignored]);
                Some(format!("{} is snapshotted", self.name("VM", &vm)))
            }
            Kind::DeleteSnapshot => self.delete_snapshot(random),
            Kind::Alert => {
                let host = self.some("host", random, |_, _| true)?;
                let uuid = SmolStr::new(self.database.text("host", &host, "uuid"));
                self.alert("ALARM", 3, "host", &uuid, "value: 0.97\nconfig: cpu_usage".into());
                Some(format!("{} raises an alarm", self.name("host", &host)))
            }
        }
    }

    /// Some object of a class for which a condition holds, by a seed.
    pub(crate) fn some(
        &self,
        class: &str,
        random: &mut Random,
        fits: impl Fn(&Pool, &SmolStr) -> bool,
    ) -> Option<SmolStr> {
        let table = self.database.table(class)?;
        table.some(random).take(LOOKS).find(|reference| fits(self, reference)).cloned()
    }

    /// What people call an object.
    pub(crate) fn name(&self, class: &str, reference: &str) -> SmolStr {
        self.database.text(class, reference, "name_label").into()
    }

    fn some_vm(&self, random: &mut Random, word: &str) -> Option<SmolStr> {
        self.some("VM", random, |pool, vm| {
            !pool.database.truth("VM", vm, "is_a_template")
                && !pool.database.truth("VM", vm, "is_control_domain")
                && pool.allows("VM", vm, word)
        })
    }

    fn allows(&self, class: &str, reference: &str, word: &str) -> bool {
        let allowed = self.database.value(class, reference, "allowed_operations").and_then(Value::as_array);
        allowed.unwrap_or_default().iter().any(|allowed| allowed.as_str() == Some(word))
    }

    /// Does a method as a client's call would: with a task that is gone when it is done.
    fn run(&mut self, class: &str, method: &str, values: Vec<Value>) {
        let name = format!("{class}.{method}");
        let Some(handler) = dispatch::handler(&name) else { return };
        let arguments = Arguments { session: SmolStr::default(), task: None, values };
        self.start_now(&name, handler, arguments, &Origin::default());
    }

    /// A host looks at its clock, or at what a VM takes of its memory: some pages less than it may.
    fn measure(&mut self, random: &mut Random) -> Option<String> {
        let host = self.some("host", random, |pool, host| pool.assert_live(host).is_ok())?;
        let date = self.clock.date();
        let guests = self.guests(&host);
        let chosen = random.below(guests.len() + 1);
        let Some(vm) = guests.get(chosen) else {
            let metrics = SmolStr::new(self.database.text("host", &host, "metrics"));
            self.database.write("host_metrics", &metrics, "last_updated", date);
            return Some(format!("{} says that it lives", self.name("host", &host)));
        };
        let metrics = SmolStr::new(self.database.text("VM", vm, "metrics"));
        let before = self.database.int("VM_metrics", &metrics, "memory_actual");
        let spared = i64::try_from(random.below(PAGES_SPARED)).unwrap_or_default() * PAGE;
        let of_host = SmolStr::new(self.database.text("host", &host, "metrics"));
        let free = self.database.int("host_metrics", &of_host, "memory_free");
        // What one takes the other has not; a full host has nothing to give.
        let now = self.memory_of(vm).saturating_sub(spared).min(before.saturating_add(free));
        self.database.write("VM_metrics", &metrics, "memory_actual", now);
        self.database.write("host_metrics", &of_host, "memory_free", free.saturating_add(before - now));
        Some(format!("{} takes {now} bytes of memory", self.name("VM", vm)))
    }

    fn retag(&mut self, random: &mut Random) -> Option<String> {
        let plain = |pool: &Pool, vm: &SmolStr| !pool.database.truth("VM", vm, "is_a_template");
        let vm = self.some("VM", random, plain)?;
        let note = format_smolstr!("looked at {}", random.below(1_000_000));
        self.database.write("VM", &vm, "name_description", Value::String(note.clone()));
        Some(format!("{} gets the note {note:?}", self.name("VM", &vm)))
    }

    fn migrate(&mut self, random: &mut Random) -> Option<String> {
        // A VM whose disks one host alone reaches cannot go anywhere.
        let (vm, target) = (0..MIGRATION_LOOKS).find_map(|_| {
            let vm = self.some_vm(random, "pool_migrate")?;
            let target =
                self.choose_host_except(&vm, Some(self.database.text("VM", &vm, "resident_on"))).ok()?;
            Some((vm, target))
        })?;
        let options = Value::Struct(Struct::new());
        self.run("VM", "pool_migrate", vec![vm.as_str().into(), target.as_str().into(), options]);
        Some(format!("{} moves to {}", self.name("VM", &vm), self.name("host", &target)))
    }

    fn delete_snapshot(&mut self, random: &mut Random) -> Option<String> {
        let snapshot = self.some("VM", random, |pool, vm| {
            pool.database.truth("VM", vm, "is_a_snapshot") && pool.allows("VM", vm, "destroy")
        })?;
        let name = self.name("VM", &snapshot);
        for disk in self.disks(&snapshot) {
            if disk != NULL_REF {
                self.remove_vdi(&disk);
            }
        }
        self.destroy_vm(&snapshot);
        Some(format!("the snapshot {name:?} is destroyed"))
    }
}
