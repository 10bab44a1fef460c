//! Drives of VMs, with a disk in them or empty.

use smol_str::{SmolStr, format_smolstr};
use xapi::codec::Failure;
use xapi::{NULL_REF, Value};

use super::rules::{self, DriveFacts};
use crate::arguments::Arguments;
use crate::failures;
use crate::operation::Operation;
use crate::pool::Pool;
use crate::tasks::Outcome;

type Answered = Result<Outcome, Failure>;

/// How many drives a VM can have.
const DRIVES: usize = 16;
/// Fields of a new drive that are taken from the record.
const GIVEN: &[&str] = &[
    "VM",
    "bootable",
    "mode",
    "type",
    "unpluggable",
    "other_config",
    "qos_algorithm_type",
    "qos_algorithm_params",
];

pub(super) fn create(pool: &mut Pool, a: &Arguments) -> Answered {
    let Value::Struct(given) = a.value(0) else {
        return Err(failures::ill_typed("a record", "args"));
    };
    let text = |field: &str| SmolStr::new(given.get(field).and_then(Value::as_str).unwrap_or_default());
    let (vm, vdi, kind) = (text("VM"), text("VDI"), text("type"));
    let empty = given.get("empty").and_then(Value::as_bool).unwrap_or_default();
    pool.known("VM", &vm)?;
    if kind == "CD" && text("mode") != "RO" {
        return Err(Failure::new::<SmolStr>("VBD_CDS_MUST_BE_READONLY", []));
    }
    if empty && kind != "CD" {
        return Err(Failure::new("VBD_NOT_REMOVABLE_MEDIA", [NULL_REF]));
    }
    if !empty {
        pool.known("VDI", &vdi)?;
        pool.assert_fits(&vdi, &kind, &text("mode"))?;
    }
    let device = pool.new_device(&vm, &text("userdevice"))?;
    let mut fields: Vec<(&str, Value)> =
        GIVEN.iter().filter_map(|field| given.get(field).map(|value| (*field, value.clone()))).collect();
    fields.push(("uuid", Value::String(pool.random.uuid())));
    fields.push(("VDI", if empty { NULL_REF.into() } else { Value::String(vdi) }));
    fields.push(("empty", empty.into()));
    fields.push(("userdevice", Value::String(device)));
    let vbd = pool.random.reference();
    pool.database.create("VBD", &vbd, fields);
    Ok(Value::String(vbd).into())
}

pub(super) fn destroy(pool: &mut Pool, a: &Arguments) -> Answered {
    let vbd = a.text(0);
    pool.known("VBD", vbd)?;
    if pool.database.truth("VBD", vbd, "currently_attached") {
        let uuid = pool.database.text("VBD", vbd, "uuid");
        let vm = pool.database.text("VBD", vbd, "VM");
        let owner = pool.database.text("VM", vm, "uuid");
        return Err(failures::not_allowed(&format!("VBD '{uuid}' still attached to '{owner}'")));
    }
    if let Some((task, word)) = pool.current("VBD", vbd).first() {
        return Err(Failure::new("OTHER_OPERATION_IN_PROGRESS", ["VBD", vbd, word, task]));
    }
    pool.database.delete("VBD", vbd);
    Ok(Value::VOID.into())
}

pub(super) fn plug(pool: &mut Pool, a: &Arguments) -> Answered {
    let vbd = SmolStr::new(a.text(0));
    pool.assert_drive(&vbd, "plug")?;
    let vm = SmolStr::new(pool.database.text("VBD", &vbd, "VM"));
    let host = SmolStr::new(pool.database.text("VM", &vm, "resident_on"));
    let vdi = pool.database.text("VBD", &vbd, "VDI");
    let sr = SmolStr::new(pool.database.text("VDI", vdi, "SR"));
    if vdi != NULL_REF && !pool.reaches(&host, &sr) {
        return Err(Failure::new("VM_REQUIRES_SR", [vm, sr]));
    }
    let plugged = vbd.clone();
    let operation = Operation::lasting(1.0, move |pool: &mut Pool| {
        pool.known("VBD", &plugged)?;
        assert_running(pool, &vm)?;
        pool.attach_vbd(&plugged);
        Ok(Value::VOID)
    });
    Ok(operation.on("VBD", &vbd, "plug").into())
}

pub(super) fn unplug(pool: &mut Pool, a: &Arguments, word: &'static str) -> Answered {
    let vbd = SmolStr::new(a.text(0));
    pool.assert_drive(&vbd, word)?;
    let pulled = vbd.clone();
    let operation = Operation::lasting(1.0, move |pool: &mut Pool| {
        pool.known("VBD", &pulled)?;
        pool.database.write("VBD", &pulled, "currently_attached", false);
        Ok(Value::VOID)
    });
    Ok(operation.on("VBD", &vbd, word).into())
}

pub(super) fn insert(pool: &mut Pool, a: &Arguments) -> Answered {
    let (vbd, vdi) = (SmolStr::new(a.text(0)), SmolStr::new(a.text(1)));
    pool.assert_drive(&vbd, "insert")?;
    pool.known("VDI", &vdi)?;
    let mode = SmolStr::new(pool.database.text("VBD", &vbd, "mode"));
    pool.assert_fits(&vdi, "CD", &mode)?;
    let vm = SmolStr::new(pool.database.text("VBD", &vbd, "VM"));
    let host = SmolStr::new(pool.database.text("VM", &vm, "resident_on"));
    let sr = SmolStr::new(pool.database.text("VDI", &vdi, "SR"));
    if host != NULL_REF && !pool.reaches(&host, &sr) {
        return Err(Failure::new("VM_REQUIRES_SR", [vm, sr]));
    }
    let filled = vbd.clone();
    let operation = Operation::lasting(0.5, move |pool: &mut Pool| {
        pool.known("VBD", &filled)?;
        pool.known("VDI", &vdi)?;
        pool.database.write("VBD", &filled, "VDI", Value::String(vdi));
        pool.database.write("VBD", &filled, "empty", false);
        Ok(Value::VOID)
    });
    Ok(operation.on("VBD", &vbd, "insert").into())
}

pub(super) fn eject(pool: &mut Pool, a: &Arguments) -> Answered {
    let vbd = SmolStr::new(a.text(0));
    pool.assert_drive(&vbd, "eject")?;
    let emptied = vbd.clone();
    let operation = Operation::lasting(0.5, move |pool: &mut Pool| {
        pool.known("VBD", &emptied)?;
        pool.database.write("VBD", &emptied, "empty", true);
        pool.database.write("VBD", &emptied, "VDI", NULL_REF);
        Ok(Value::VOID)
    });
    Ok(operation.on("VBD", &vbd, "eject").into())
}

pub(super) fn assert_attachable(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.assert_drive(a.text(0), "attach").map(|()| Value::VOID.into())
}

pub(super) fn set_mode(pool: &mut Pool, a: &Arguments) -> Answered {
    let vbd = a.text(0);
    pool.known("VBD", vbd)?;
    let vm = SmolStr::new(pool.database.text("VBD", vbd, "VM"));
    let state = pool.database.text("VM", &vm, "power_state");
    if state != "Halted" {
        return Err(failures::bad_power_state(&vm, "halted", &state.to_ascii_lowercase()));
    }
    pool.database.write("VBD", vbd, "mode", a.value(1));
    Ok(Value::VOID.into())
}

/// `VM.get_allowed_VBD_devices`: numbers that no drive of the VM has.
pub(super) fn free_devices(pool: &mut Pool, a: &Arguments) -> Answered {
    pool.known("VM", a.text(0))?;
    Ok(Value::Array(pool.free_drives(a.text(0)).into_iter().map(Value::String).collect()).into())
}

fn assert_running(pool: &Pool, vm: &str) -> Result<(), Failure> {
    match pool.database.text("VM", vm, "power_state") {
        "Running" => Ok(()),
        state => Err(failures::bad_power_state(vm, "running", &state.to_ascii_lowercase())),
    }
}

impl Pool {
    /// Whether a VM with this drive could boot now.
    pub(crate) fn assert_attachable(&self, vbd: &str) -> Result<(), Failure> {
        self.assert_drive(vbd, "attach")
    }

    /// A drive is there for the guest; it gets its name.
    pub(crate) fn attach_vbd(&mut self, vbd: &str) {
        if self.database.text("VBD", vbd, "device").is_empty() {
            let number: u8 = self.database.text("VBD", vbd, "userdevice").parse().unwrap_or_default();
            let letter = char::from(b'a'.saturating_add(number.min(25)));
            self.database.write("VBD", vbd, "device", format_smolstr!("xvd{letter}"));
        }
        self.database.write("VBD", vbd, "currently_attached", true);
    }

    pub(super) fn drive_facts(&self, vbd: &str, strict: bool) -> DriveFacts {
        let text = |field| SmolStr::new(self.database.text("VBD", vbd, field));
        let truth = |field| self.database.truth("VBD", vbd, field);
        let (vm, vdi) = (text("VM"), text("VDI"));
        let writes = text("mode") == "RW";
        DriveFacts {
            vbd: vbd.into(),
            current: self.current("VBD", vbd),
            power_state: self.database.text("VM", &vm, "power_state").into(),
            vm_current: self.current("VM", &vm),
            vdi_current: self.current("VDI", &vdi),
            attached: truth("currently_attached"),
            unpluggable: truth("unpluggable"),
            cd: text("type") == "CD",
            empty: truth("empty") || vdi == NULL_REF,
            managed: self.database.row("VDI", &vdi).is_none() || self.database.truth("VDI", &vdi, "managed"),
            hotplug: self.hotplug(&vm, "can_use_hotplug_vbd"),
            taken: strict && !truth("currently_attached") && self.is_taken(vbd, &vdi, writes),
            read_only: strict && writes && self.database.truth("VDI", &vdi, "read_only"),
            vm,
            vdi,
        }
    }

    fn assert_drive(&self, vbd: &str, word: &str) -> Result<(), Failure> {
        self.known("VBD", vbd)?;
        rules::drive_refusal(&self.drive_facts(vbd, true), word).map_or(Ok(()), Err)
    }

    /// Whether another drive uses the disk so that this one must not.
    fn is_taken(&self, vbd: &str, vdi: &str, writes: bool) -> bool {
        if self.database.truth("VDI", vdi, "sharable") {
            return false;
        }
        let others = self.database.words("VDI", vdi, "VBDs");
        let users = others.iter().filter(|other| {
            let vm = self.database.text("VBD", other, "VM");
            *other != vbd
                && self.database.text("VM", vm, "power_state") != "Suspended"
                && (self.database.truth("VBD", other, "currently_attached")
                    || !self.current("VBD", other).is_empty())
        });
        let mut modes = users.map(|other| self.database.text("VBD", other, "mode") == "RW").peekable();
        modes.peek().is_some() && (writes || modes.any(|writing| writing))
    }

    /// Whether the guest of a running VM takes devices while it runs; none where it is not asked.
    pub(super) fn hotplug(&self, vm: &str, field: &str) -> Option<bool> {
        let running = self.database.text("VM", vm, "power_state") == "Running";
        if !running || self.database.text("VM", vm, "domain_type") != "hvm" {
            return None;
        }
        let metrics = self.database.text("VM", vm, "guest_metrics");
        Some(match self.database.text("VM_guest_metrics", metrics, field) {
            "yes" => true,
            "no" => false,
            _ => self.database.truth("VM_guest_metrics", metrics, "PV_drivers_detected"),
        })
    }

    /// Whether a disk can be in such a drive at all.
    fn assert_fits(&self, vdi: &str, kind: &str, mode: &str) -> Result<(), Failure> {
        if !self.database.truth("VDI", vdi, "managed") {
            return Err(Failure::new("VDI_NOT_MANAGED", [vdi]));
        }
        let sr = self.database.text("VDI", vdi, "SR");
        let iso = self.database.text("SR", sr, "content_type") == "iso";
        if kind == "CD" && !iso {
            let kind = self.database.text("VDI", vdi, "type");
            return Err(Failure::new("VDI_IS_NOT_ISO", [vdi, kind]));
        }
        if mode == "RW" && self.database.truth("VDI", vdi, "read_only") {
            return Err(Failure::new("VDI_READONLY", [vdi]));
        }
        Ok(())
    }

    /// The number that a new drive gets.
    fn new_device(&self, vm: &str, asked: &str) -> Result<SmolStr, Failure> {
        let free = self.free_drives(vm);
        if asked == "autodetect" {
            return free.first().cloned().ok_or_else(|| Failure::new("INVALID_DEVICE", [asked]));
        }
        // Both forms are in use: `3` and `xvdd`.
        let number = match asked.as_bytes() {
            [b'x', b'v', b'd', letter @ b'a'..=b'p'] => Some(usize::from(letter - b'a')),
            _ => asked.parse().ok(),
        };
        let Some(number) = number.filter(|number| *number < DRIVES) else {
            return Err(Failure::new("INVALID_DEVICE", [asked]));
        };
        let number = format_smolstr!("{number}");
        if free.contains(&number) { Ok(number) } else { Err(Failure::new("DEVICE_ALREADY_EXISTS", [asked])) }
    }

    fn free_drives(&self, vm: &str) -> Vec<SmolStr> {
        let vbds = self.database.words("VM", vm, "VBDs");
        let used: Vec<&str> = vbds.iter().map(|vbd| self.database.text("VBD", vbd, "userdevice")).collect();
        (0..DRIVES)
            .map(|number| format_smolstr!("{number}"))
            .filter(|number| !used.contains(&number.as_str()))
            .collect()
    }
}
