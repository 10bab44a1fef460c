//! What may be done with drives and network cards, from their facts alone.

use smol_str::SmolStr;
use xapi::codec::Failure;

use crate::failures;

/// What the rules of a drive look at.
#[derive(Debug, Clone, Default)]
pub(super) struct DriveFacts {
    pub(super) vbd: SmolStr,
    pub(super) vm: SmolStr,
    pub(super) vdi: SmolStr,
    pub(super) current: Vec<(SmolStr, SmolStr)>,
    pub(super) power_state: SmolStr,
    /// What is under way on the VM.
    pub(super) vm_current: Vec<(SmolStr, SmolStr)>,
    /// What is under way on the disk.
    pub(super) vdi_current: Vec<(SmolStr, SmolStr)>,
    pub(super) attached: bool,
    pub(super) unpluggable: bool,
    pub(super) cd: bool,
    pub(super) empty: bool,
    pub(super) managed: bool,
    /// Whether the guest can take a drive while it runs; none where it is not asked.
    pub(super) hotplug: Option<bool>,
    /// Somebody else uses the disk in a way that does not go together with this drive.
    pub(super) taken: bool,
    /// The drive would write to what can only be read.
    pub(super) read_only: bool,
}

/// What the rules of a network card look at.
#[derive(Debug, Clone, Default)]
pub(super) struct CardFacts {
    pub(super) vif: SmolStr,
    pub(super) vm: SmolStr,
    pub(super) current: Vec<(SmolStr, SmolStr)>,
    pub(super) power_state: SmolStr,
    pub(super) vm_current: Vec<(SmolStr, SmolStr)>,
    pub(super) attached: bool,
    pub(super) hotplug: Option<bool>,
}

const ON_DRIVES: &[&str] =
    &["attach", "eject", "unplug", "unplug_force", "insert", "plug", "pause", "unpause"];
const ON_CARDS: &[&str] = &["attach", "plug", "unplug"];
const PLUGGING: &[&str] = &["plug", "unplug", "unplug_force"];
/// While one of these is under way on the VM, nothing is plugged or pulled.
const VM_GOING: &[&str] = &["clean_shutdown", "hard_shutdown", "suspend", "pause"];

/// Why an operation on a drive may not begin, in xapi's order.
pub(super) fn drive_refusal(facts: &DriveFacts, word: &str) -> Option<Failure> {
    let vbd = facts.vbd.as_str();
    if let Some((task, other)) = facts.current.first() {
        return Some(Failure::new("OTHER_OPERATION_IN_PROGRESS", ["VBD", vbd, other, task]));
    }
    let one = |code: &'static str| Some(Failure::new(code, [vbd]));
    match word {
        "unplug" | "unplug_force" if !facts.unpluggable => return one("VBD_NOT_UNPLUGGABLE"),
        "insert" | "eject" if !facts.cd => return one("VBD_NOT_REMOVABLE_MEDIA"),
        "eject" if facts.empty => return one("VBD_IS_EMPTY"),
        "insert" if !facts.empty => return one("VBD_NOT_EMPTY"),
        _ => {}
    }
    if let Some(failure) =
        plug_refusal(vbd, &facts.vm, &facts.power_state, facts.attached, &facts.vm_current, word)
    {
        return Some(failure);
    }
    let pausing = ["pause", "unpause"].contains(&word);
    if pausing && !["Running", "Paused"].contains(&facts.power_state.as_str()) {
        let state = facts.power_state.to_ascii_lowercase();
        return Some(failures::bad_power_state(&facts.vm, "running", &state));
    }
    if PLUGGING.contains(&word) && facts.cd && facts.hotplug.is_some() {
        return Some(failures::not_allowed(
            "HVM CDROMs cannot be hotplugged/unplugged, only inserted or ejected",
        ));
    }
    if PLUGGING.contains(&word) && facts.hotplug == Some(false) {
        return Some(Failure::new("VM_MISSING_PV_DRIVERS", [facts.vm.as_str()]));
    }
    if facts.cd && facts.power_state == "Suspended" && ["insert", "eject"].contains(&word) {
        return Some(failures::bad_power_state(&facts.vm, "halted, running", "suspended"));
    }
    if facts.empty {
        return None;
    }
    if !facts.managed {
        return one("VDI_NOT_MANAGED");
    }
    if ["attach", "plug", "insert"].contains(&word) {
        // A disk can be read by many while it is copied away.
        if let Some((task, other)) = facts.vdi_current.iter().find(|(_, other)| other != "copy") {
            return Some(Failure::new(
                "OTHER_OPERATION_IN_PROGRESS",
                ["VDI", facts.vdi.as_str(), other, task],
            ));
        }
        if facts.taken {
            return Some(Failure::new("VDI_IN_USE", [facts.vdi.as_str(), word]));
        }
        if facts.read_only {
            return Some(Failure::new("VDI_READONLY", [facts.vdi.as_str()]));
        }
    }
    None
}

/// What may be done with a drive, last declared first.
pub(super) fn allowed_on_drive(facts: &DriveFacts) -> Vec<&'static str> {
    ON_DRIVES.iter().rev().copied().filter(|word| drive_refusal(facts, word).is_none()).collect()
}

/// Why an operation on a network card may not begin.
pub(super) fn card_refusal(facts: &CardFacts, word: &str) -> Option<Failure> {
    let vif = facts.vif.as_str();
    if let Some((task, other)) = facts.current.first() {
        return Some(Failure::new("OTHER_OPERATION_IN_PROGRESS", ["VIF", vif, other, task]));
    }
    if let Some(failure) =
        plug_refusal(vif, &facts.vm, &facts.power_state, facts.attached, &facts.vm_current, word)
    {
        return Some(failure);
    }
    if PLUGGING.contains(&word) && facts.hotplug == Some(false) {
        return Some(Failure::new("VM_MISSING_PV_DRIVERS", [facts.vm.as_str()]));
    }
    None
}

/// What may be done with a network card, last declared first.
pub(super) fn allowed_on_card(facts: &CardFacts) -> Vec<&'static str> {
    ON_CARDS.iter().rev().copied().filter(|word| card_refusal(facts, word).is_none()).collect()
}

/// Plugging and pulling is for running VMs that stay.
fn plug_refusal(
    device: &str,
    vm: &str,
    power_state: &str,
    attached: bool,
    vm_current: &[(SmolStr, SmolStr)],
    word: &str,
) -> Option<Failure> {
    if !PLUGGING.contains(&word) {
        return None;
    }
    if power_state != "Running" {
        return Some(failures::bad_power_state(vm, "running", &power_state.to_ascii_lowercase()));
    }
    if word == "plug" && attached {
        return Some(Failure::new("DEVICE_ALREADY_ATTACHED", [device]));
    }
    if word != "plug" && !attached {
        return Some(Failure::new("DEVICE_ALREADY_DETACHED", [device]));
    }
    let going = vm_current.iter().find(|(_, other)| VM_GOING.contains(&other.as_str()))?;
    let said = format!("Current operation on VM:{vm} is {}", going.1);
    Some(failures::not_allowed(&said))
}

#[cfg(test)]
mod tests {
    use super::*;
    use xapi::model::schema;

    fn drive() -> DriveFacts {
        DriveFacts {
            vbd: "OpaqueRef:b".into(),
            vm: "OpaqueRef:v".into(),
            vdi: "OpaqueRef:d".into(),
            power_state: "Running".into(),
            unpluggable: true,
            managed: true,
            hotplug: Some(true),
            ..DriveFacts::default()
        }
    }

    #[test]
    fn a_drive_can_do_what_its_state_allows() {
        let attached = DriveFacts { attached: true, ..drive() };
        let cd = DriveFacts { cd: true, empty: true, attached: true, ..drive() };
        let off = DriveFacts { power_state: "Halted".into(), ..drive() };
        for (facts, words) in [
            (drive(), "unpause pause plug attach"),
            (attached, "unpause pause unplug_force unplug attach"),
            (cd.clone(), "unpause pause insert attach"),
            (DriveFacts { empty: false, ..cd }, "unpause pause eject attach"),
            (off, "attach"),
        ] {
            assert_eq!(allowed_on_drive(&facts).join(" "), words);
        }
    }

    #[test]
    fn refusals_of_drives_name_what_is_wrong() {
        let going = vec![("OpaqueRef:t".into(), "clean_shutdown".into())];
        for (facts, word, said) in [
            (DriveFacts { attached: true, ..drive() }, "plug", "DEVICE_ALREADY_ATTACHED [OpaqueRef:b]"),
            (drive(), "unplug", "DEVICE_ALREADY_DETACHED [OpaqueRef:b]"),
            (drive(), "insert", "VBD_NOT_REMOVABLE_MEDIA [OpaqueRef:b]"),
            (DriveFacts { cd: true, empty: true, ..drive() }, "eject", "VBD_IS_EMPTY [OpaqueRef:b]"),
            (DriveFacts { cd: true, ..drive() }, "insert", "VBD_NOT_EMPTY [OpaqueRef:b]"),
            (
                DriveFacts { unpluggable: false, attached: true, ..drive() },
                "unplug",
                "VBD_NOT_UNPLUGGABLE [OpaqueRef:b]",
            ),
            (
                DriveFacts { power_state: "Halted".into(), ..drive() },
                "plug",
                "VM_BAD_POWER_STATE [OpaqueRef:v, running, halted]",
            ),
            (DriveFacts { taken: true, ..drive() }, "plug", "VDI_IN_USE [OpaqueRef:d, plug]"),
            (DriveFacts { read_only: true, ..drive() }, "plug", "VDI_READONLY [OpaqueRef:d]"),
            (DriveFacts { hotplug: Some(false), ..drive() }, "plug", "VM_MISSING_PV_DRIVERS [OpaqueRef:v]"),
            (
                DriveFacts { vm_current: going, ..drive() },
                "plug",
                "OPERATION_NOT_ALLOWED [Current operation on VM:OpaqueRef:v is clean_shutdown]",
            ),
        ] {
            assert_eq!(drive_refusal(&facts, word).unwrap().to_string(), said);
        }
    }

    #[test]
    fn words_are_in_the_datamodel() {
        for (name, table) in [("vbd_operations", ON_DRIVES), ("vif_operations", ON_CARDS)] {
            let words = schema::enumeration(name).unwrap().words;
            assert!(table.iter().all(|word| words.contains(word)), "{name}");
        }
    }
}
