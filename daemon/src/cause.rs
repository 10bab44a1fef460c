//! Which delivery an event goes back to. Pure: the clock is the caller's.
//!
//! XAPI does not say who changed an object. What plugins write is noted here when it is sent, and an event is put down
//! to the last write that fits: one to the same object (or to one that the changed object points to), under way or
//! answered a moment ago; where the write sets a field, a change of that field; and a change of a VM's power only to a
//! state that the method leads to: a VM that crashes a moment after it was started did so by itself. Another change by
//! somebody else in the same moment may be taken for ours; what a write sets off later, such as the guest's addresses
//! after a boot, is not.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use smol_str::SmolStr;
use xapi::events::Change;
use xapi::model::Record;
use xapi::{NULL_REF, Value};

use crate::setter::Setter;

/// How long after its answer a write still explains a change: the events of its last steps are on their way.
const GRACE: Duration = Duration::from_secs(5);
/// How long a write without an answer explains changes.
const UNANSWERED_MAX: Duration = Duration::from_secs(3600);
/// So many writes are kept; the oldest goes first.
const WRITES_MAX: usize = 1024;

/// The delivery that an event goes back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    /// Its plugin.
    pub(crate) plugin: SmolStr,
    /// Its event.
    pub(crate) sequence: u64,
    /// How many deliveries in a row led here, each caused by the one before; 1 for the first.
    pub(crate) chain: u32,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.plugin, self.sequence)
    }
}

/// The number of a noted write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WriteNumber(u64);

/// What plugins wrote to one pool of late.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    writes: VecDeque<Write>,
    next: u64,
}

#[derive(Debug)]
struct Write {
    number: u64,
    cause: Cause,
    /// The object that it is about, and one that it made.
    objects: [Option<SmolStr>; 2],
    /// The one field that it sets.
    field: Option<&'static str>,
    /// Where it leads a VM's power, if it does.
    power: &'static [&'static str],
    task: Option<SmolStr>,
    sent: Instant,
    ended: Option<Instant>,
}

impl Write {
    fn explains(&self, now: Instant) -> bool {
        match self.ended {
            Some(ended) => now.saturating_duration_since(ended) <= GRACE,
            None => now.saturating_duration_since(self.sent) <= UNANSWERED_MAX,
        }
    }

    fn is_about(&self, reference: &str) -> bool {
        self.objects.iter().flatten().any(|object| object == reference)
    }
}

impl Writes {
    /// Notes a call that is about to be sent.
    pub(crate) fn sent(
        &mut self,
        cause: Cause,
        method: &str,
        arguments: &[Value],
        now: Instant,
    ) -> WriteNumber {
        self.writes.retain(|write| write.explains(now));
        if self.writes.len() >= WRITES_MAX {
            self.writes.pop_front();
        }
        let number = self.next;
        self.next += 1;
        let object = arguments.first().and_then(reference);
        let (field, objects) = (Setter::of(method).map(|setter| setter.field), [object, None]);
        let power = power_states(method);
        self.writes.push_back(Write {
            number,
            cause,
            objects,
            field,
            power,
            task: None,
            sent: now,
            ended: None,
        });
        WriteNumber(number)
    }

    /// Notes its answer: what it made, where that is an object.
    pub(crate) fn answered(
        &mut self,
        WriteNumber(number): WriteNumber,
        result: Option<&Value>,
        now: Instant,
    ) {
        if let Some(write) = self.writes.iter_mut().find(|write| write.number == number) {
            write.objects[1] = result.and_then(reference);
            write.ended = Some(now);
        }
    }

    /// Notes that it goes on as a task.
    pub(crate) fn started(&mut self, WriteNumber(number): WriteNumber, task: &str) {
        if let Some(write) = self.writes.iter_mut().find(|write| write.number == number) {
            write.task = Some(task.into());
        }
    }

    /// Notes that a task has ended, and says whose it was.
    pub(crate) fn task_ended(&mut self, task: &str, now: Instant) -> Option<Cause> {
        let write = self.writes.iter_mut().find(|write| write.task.as_deref() == Some(task))?;
        write.ended.get_or_insert(now);
        Some(write.cause.clone())
    }

    /// The delivery that a change goes back to.
    pub(crate) fn cause_of_change(&self, change: &Change, now: Instant) -> Option<Cause> {
        let record = change.new.as_ref().or(change.old.as_ref());
        let fits = |write: &&Write| {
            let whole = write.explains(now) && write.is_about(&change.reference);
            match write.field {
                Some(field) => whole && change.changed.iter().any(|changed| changed == field),
                None => {
                    let beside = || record.is_some_and(|record| points_to(record, write));
                    (whole || (write.explains(now) && beside())) && leads_there(change, write)
                }
            }
        };
        self.writes.iter().rev().find(fits).map(|write| write.cause.clone())
    }
}

/// A reference that leads somewhere.
fn reference(value: &Value) -> Option<SmolStr> {
    let Value::String(text) = value else { return None };
    (text.starts_with("OpaqueRef:") && text != NULL_REF).then(|| text.clone())
}

/// Whether one of a record's own references, such as the VM of a VBD, leads to an object of the write.
fn points_to(record: &Record, write: &Write) -> bool {
    record.iter().any(|(_, value)| value.as_str().is_some_and(|text| write.is_about(text)))
}

/// Whether a change of a VM's power is one that the write makes; other changes are not looked at.
fn leads_there(change: &Change, write: &Write) -> bool {
    let of_power = change.changed.iter().any(|field| field == "power_state");
    let became = change.new.as_ref().map(|vm| vm.text("power_state"));
    !of_power || became.is_some_and(|became| write.power.contains(&became))
}

/// The states that a method leads VMs to, by its name; also one of a host or an appliance.
fn power_states(method: &str) -> &'static [&'static str] {
    match method.split_once('.').map_or(method, |(_, name)| name) {
        "start" | "start_on" | "resume" | "resume_on" | "unpause" | "pool_migrate" | "migrate_send"
        | "evacuate" => &["Running", "Paused"],
        "shutdown" | "clean_shutdown" | "hard_shutdown" | "power_state_reset" | "destroy" => &["Halted"],
        "reboot" | "clean_reboot" | "hard_reboot" => &["Running", "Halted"],
        "suspend" | "checkpoint" => &["Suspended", "Running"],
        "pause" => &["Paused"],
        "revert" => &["Halted", "Suspended", "Running", "Paused"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use xapi::Struct;
    use xapi::events::{Operation, Origin};

    use super::*;

    const VM: &str = "OpaqueRef:vm";
    const SECOND: Duration = Duration::from_secs(1);

    fn cause(sequence: u64) -> Cause {
        Cause { plugin: "p".into(), sequence, chain: 1 }
    }

    fn change(class: &str, reference: &str, vm: &str, changed: &[&str]) -> Change {
        let fields: Struct =
            [("VM".into(), Value::from(vm)), ("power_state".into(), "Running".into())].into_iter().collect();
        let record = Arc::new(Record::new(class, reference, fields));
        Change {
            class: class.into(),
            reference: reference.into(),
            operation: Operation::Modified,
            old: Some(Arc::clone(&record)),
            new: Some(record),
            changed: changed.iter().map(SmolStr::new).collect(),
            generation: 1,
            origin: Origin::Live,
            gap: false,
        }
    }

    #[test]
    fn a_setter_explains_a_change_of_its_field_and_no_other() {
        let (mut writes, now) = (Writes::default(), Instant::now());
        writes.sent(cause(7), "VM.add_to_other_config", &[VM.into(), "a".into(), "b".into()], now);
        let of = |changed: &[&str]| writes.cause_of_change(&change("VM", VM, "", changed), now);
        assert_eq!(of(&["other_config"]), Some(cause(7)));
        assert_eq!(of(&["power_state", "other_config"]), Some(cause(7)));
        assert_eq!(of(&["power_state"]), None);
        let other = change("VM", "OpaqueRef:other", "", &["other_config"]);
        assert_eq!(writes.cause_of_change(&other, now), None);
    }

    #[test]
    fn an_operation_explains_what_happens_to_its_object_and_what_hangs_on_it_for_a_moment() {
        let (mut writes, now) = (Writes::default(), Instant::now());
        let number = writes.sent(cause(7), "VM.start", &[VM.into(), false.into(), false.into()], now);
        let vm = change("VM", VM, "", &["power_state"]);
        let drive = change("VBD", "OpaqueRef:vbd", VM, &["currently_attached"]);
        for change in [&vm, &drive] {
            assert_eq!(writes.cause_of_change(change, now + SECOND), Some(cause(7)));
        }
        writes.answered(number, None, now + SECOND);
        assert_eq!(writes.cause_of_change(&vm, now + GRACE), Some(cause(7)));
        assert_eq!(writes.cause_of_change(&vm, now + GRACE + 2 * SECOND), None);
    }

    #[test]
    fn a_vm_that_falls_down_was_not_started_into_that() {
        let (mut writes, now) = (Writes::default(), Instant::now());
        writes.sent(cause(7), "VM.start", &[VM.into()], now);
        let mut crash = change("VM", VM, "", &["power_state", "domid"]);
        let fields: Struct = [("power_state".into(), Value::from("Halted"))].into_iter().collect();
        crash.new = Some(Arc::new(Record::new("VM", VM, fields)));
        assert_eq!(writes.cause_of_change(&crash, now), None);
        writes.sent(cause(8), "VM.hard_shutdown", &[VM.into()], now);
        assert_eq!(writes.cause_of_change(&crash, now), Some(cause(8)));
        let running = change("VM", VM, "", &["power_state"]);
        assert_eq!(writes.cause_of_change(&running, now), Some(cause(7)));
    }

    #[test]
    fn what_a_call_made_is_its_own_and_the_last_write_counts() {
        let (mut writes, now) = (Writes::default(), Instant::now());
        let made = writes.sent(cause(7), "VM.clone", &[VM.into(), "copy".into()], now);
        writes.answered(made, Some(&"OpaqueRef:copy".into()), now);
        writes.sent(cause(8), "VM.start", &[VM.into()], now);
        let copy = change("VM", "OpaqueRef:copy", "", &[]);
        assert_eq!(writes.cause_of_change(&copy, now), Some(cause(7)));
        assert_eq!(writes.cause_of_change(&change("VM", VM, "", &["power_state"]), now), Some(cause(8)));
    }

    #[test]
    fn a_task_explains_until_it_has_ended_and_what_is_kept_is_bounded() {
        let (mut writes, now) = (Writes::default(), Instant::now());
        let number = writes.sent(cause(7), "VM.start", &[VM.into()], now);
        writes.started(number, "OpaqueRef:task");
        let vm = change("VM", VM, "", &["power_state"]);
        assert_eq!(writes.cause_of_change(&vm, now + 600 * SECOND), Some(cause(7)));
        assert_eq!(writes.task_ended("OpaqueRef:task", now + 600 * SECOND), Some(cause(7)));
        assert_eq!(writes.cause_of_change(&vm, now + 700 * SECOND), None);
        for sequence in 0..2 * WRITES_MAX as u64 {
            writes.sent(cause(sequence), "VM.start", &[VM.into()], now);
        }
        assert_eq!(writes.writes.len(), WRITES_MAX);
    }
}
