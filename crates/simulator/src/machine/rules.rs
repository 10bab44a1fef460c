//! What may be done with a VM, from its facts alone: one table of operations, and one function that asks it.

use smol_str::SmolStr;
use xapi::codec::Failure;
use xapi::{Struct, Value};

use crate::failures;

/// Operations on VMs that the simulator carries out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Start,
    StartOn,
    CleanShutdown,
    HardShutdown,
    Shutdown,
    CleanReboot,
    HardReboot,
    Suspend,
    Resume,
    ResumeOn,
    Pause,
    Unpause,
    PoolMigrate,
    Clone,
    Copy,
    Snapshot,
    Checkpoint,
    Revert,
    Provision,
    Destroy,
}

/// What the rules look at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) vm: SmolStr,
    pub(crate) power_state: SmolStr,
    pub(crate) template: bool,
    pub(crate) default_template: bool,
    pub(crate) snapshot: bool,
    pub(crate) control_domain: bool,
    /// Tasks with the word of what they do.
    pub(crate) current: Vec<(SmolStr, SmolStr)>,
    pub(crate) blocked: Option<Struct>,
    /// What the guest must offer for some operations; none when it is asked for nothing, as paravirtual ones are.
    pub(crate) features: Option<Features>,
    /// A disk that goes back to what it was at each boot.
    pub(crate) resets: bool,
    /// Devices of the host that were handed to the VM.
    pub(crate) passed_through: bool,
    /// The appliance that it belongs to; empty for none.
    pub(crate) appliance: SmolStr,
    /// The schedule of snapshots that it belongs to; empty for none.
    pub(crate) schedule: SmolStr,
}

/// What the guest agent of a running VM said that it can do; nothing before it speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Features {
    pub(crate) shutdown: bool,
    pub(crate) suspend: bool,
    pub(crate) processors: bool,
}

/// One word of the enumeration `vm_operations` and what must hold for it.
struct Rule {
    word: &'static str,
    /// What carries it out, if we do, and how many seconds that takes at speed 1.
    kind: Option<(Kind, f64)>,
    states: &'static [&'static str],
    /// Whether a template or a snapshot may do it, too.
    template: bool,
    snapshot: bool,
    /// Whether it is told in `allowed_operations`.
    listed: bool,
}

const ANY: &[&str] = &["Halted", "Paused", "Suspended", "Running"];
const ALIVE: &[&str] = &["Paused", "Suspended", "Running"];
const OFF: &[&str] = &["Halted", "Suspended"];

const fn done(word: &'static str, kind: Kind, seconds: f64, states: &'static [&'static str]) -> Rule {
    Rule { word, kind: Some((kind, seconds)), states, template: false, snapshot: false, listed: true }
}

const fn only_told(word: &'static str, states: &'static [&'static str]) -> Rule {
    Rule { word, kind: None, states, template: false, snapshot: false, listed: true }
}

impl Rule {
    const fn of_template(self) -> Self {
        Rule { template: true, ..self }
    }

    const fn of_snapshot(self) -> Self {
        Rule { snapshot: true, ..self }
    }

    const fn unlisted(self) -> Self {
        Rule { listed: false, ..self }
    }
}

/// In the order in which xapi looks at them; it lists what is allowed the other way round.
const RULES: &[Rule] = &[
    done("snapshot", Kind::Snapshot, 3.0, ANY),
    done("copy", Kind::Copy, 20.0, OFF).of_template().of_snapshot(),
    done("clone", Kind::Clone, 3.0, OFF).of_template().of_snapshot(),
    done("revert", Kind::Revert, 5.0, ANY).of_snapshot(),
    done("checkpoint", Kind::Checkpoint, 12.0, ALIVE),
    done("start", Kind::Start, 4.0, &["Halted"]),
    done("start_on", Kind::StartOn, 4.0, &["Halted"]),
    done("pause", Kind::Pause, 0.3, &["Running"]),
    done("unpause", Kind::Unpause, 0.3, &["Paused"]),
    done("clean_shutdown", Kind::CleanShutdown, 8.0, &["Running"]),
    done("clean_reboot", Kind::CleanReboot, 10.0, &["Running"]),
    done("hard_shutdown", Kind::HardShutdown, 1.5, ALIVE).of_snapshot(),
    done("hard_reboot", Kind::HardReboot, 4.0, &["Paused", "Running"]),
    done("suspend", Kind::Suspend, 8.0, &["Running"]),
    done("resume", Kind::Resume, 6.0, &["Suspended"]),
    done("resume_on", Kind::ResumeOn, 6.0, &["Suspended"]),
    only_told("export", OFF).of_template().of_snapshot(),
    done("destroy", Kind::Destroy, 1.0, &["Halted"]).of_template().of_snapshot(),
    done("provision", Kind::Provision, 2.0, &["Halted"]).of_template(),
    only_told("changing_VCPUs_live", &["Running"]),
    done("pool_migrate", Kind::PoolMigrate, 12.0, &["Running"]),
    only_told("migrate_send", &["Halted", "Suspended", "Running"]),
    only_told("make_into_template", &["Halted"]),
    only_told("changing_static_range", &["Halted"]).of_template(),
    only_told("changing_shadow_memory", &["Halted"]).of_template(),
    only_told("changing_dynamic_range", &["Halted", "Running"]).of_template(),
    only_told("changing_NVRAM", &["Halted"]).of_template().of_snapshot(),
    only_told("create_vtpm", &["Halted"]),
    done("shutdown", Kind::Shutdown, 8.0, ALIVE).unlisted(),
    only_told("changing_VCPUs", &["Halted"]).of_template().unlisted(),
    only_told("changing_memory_limits", &["Halted"]).of_template().unlisted(),
    only_told("changing_memory_live", &["Running"]).unlisted(),
    only_told("power_state_reset", ANY).unlisted(),
];

impl Kind {
    /// The word of the enumeration `vm_operations`.
    pub(crate) fn word(self) -> &'static str {
        self.rule().map_or("", |rule| rule.word)
    }

    /// How long it takes at speed 1.
    pub(crate) fn seconds(self) -> f64 {
        self.rule().and_then(|rule| rule.kind).map_or(0.0, |(_, seconds)| seconds)
    }

    fn rule(self) -> Option<&'static Rule> {
        RULES.iter().find(|rule| rule.kind.is_some_and(|(kind, _)| kind == self))
    }
}

/// Why an operation may not begin, in xapi's order of checks: blocked, power state, others under way, kind of VM,
/// what the guest can do, what the VM holds.
pub(crate) fn refusal(facts: &Facts, word: &str) -> Option<Failure> {
    let vm = facts.vm.as_str();
    let blocked = facts.blocked.as_ref().and_then(|blocked| blocked.get(word)).and_then(Value::as_str);
    if let Some(reason) = blocked {
        return Some(Failure::new("OPERATION_BLOCKED", [vm, reason]));
    }
    let rule = RULES.iter().find(|rule| rule.word == word)?;
    if let Some(failure) = wrong_state(facts, rule) {
        return Some(failure);
    }
    if let Some((task, other)) = facts.current.iter().find(|(_, other)| !goes_beside(word, other)) {
        return Some(Failure::new("OTHER_OPERATION_IN_PROGRESS", ["VM", vm, other, task]));
    }
    if facts.template && !facts.snapshot {
        if facts.default_template && word == "destroy" {
            return Some(Failure::new("VM_CANNOT_DELETE_DEFAULT_TEMPLATE", [vm]));
        }
        if !rule.template {
            return Some(Failure::new("VM_IS_TEMPLATE", [vm, word]));
        }
    }
    if facts.snapshot && !rule.snapshot {
        return Some(Failure::new("VM_IS_SNAPSHOT", [vm, word]));
    }
    if word == "provision" && !facts.template {
        return Some(Failure::new::<SmolStr>("ONLY_PROVISION_TEMPLATE", []));
    }
    if word == "revert" && !facts.snapshot {
        return Some(Failure::new::<SmolStr>("ONLY_REVERT_SNAPSHOT", []));
    }
    if facts.control_domain && !["changing_dynamic_range", "changing_VCPUs_live"].contains(&word) {
        return Some(failures::not_allowed("This operation is not allowed on dom0"));
    }
    lacking(facts, word).or_else(|| holding(facts, word))
}

/// Why an operation that was under way cannot end well: the VM went another way meanwhile.
pub(crate) fn overtaken(facts: &Facts, kind: Kind) -> Option<Failure> {
    let stopping = matches!(kind, Kind::CleanShutdown | Kind::HardShutdown | Kind::Shutdown);
    if stopping && facts.power_state == "Halted" {
        return None;
    }
    wrong_state(facts, kind.rule()?)
}

/// What may be done now, last looked at first, as xapi lists it. While something is under way, next to nothing.
pub(crate) fn allowed(facts: &Facts) -> Vec<&'static str> {
    RULES
        .iter()
        .rev()
        .filter(|rule| rule.listed && refusal(facts, rule.word).is_none())
        .map(|rule| rule.word)
        .collect()
}

/// Whether an operation may begin while another is under way.
fn goes_beside(word: &str, other: &str) -> bool {
    let both = |group: &[&str]| group.contains(&word) && group.contains(&other);
    match word {
        // Pulling the plug is always possible, once.
        "hard_shutdown" => other != "hard_shutdown",
        "hard_reboot" => other != "hard_shutdown" && other != "hard_reboot",
        _ => both(&["clone", "copy", "export"]) || both(&["snapshot", "checkpoint"]),
    }
}

/// What the guest would have to do and cannot.
fn lacking(facts: &Facts, word: &str) -> Option<Failure> {
    let vm = facts.vm.as_str();
    if facts.power_state != "Running" {
        return None;
    }
    let features = facts.features?;
    let able = match word {
        "clean_shutdown" | "clean_reboot" => features.shutdown,
        "suspend" | "checkpoint" | "pool_migrate" | "migrate_send" => features.suspend,
        "changing_VCPUs_live" => features.processors,
        _ => true,
    };
    (!able).then(|| Failure::new("VM_LACKS_FEATURE", [vm]))
}

/// What the VM has that stands in the way.
fn holding(facts: &Facts, word: &str) -> Option<Failure> {
    let vm = facts.vm.as_str();
    if facts.resets && ["checkpoint", "snapshot", "suspend"].contains(&word) {
        return Some(Failure::new::<SmolStr>("VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION", []));
    }
    if facts.passed_through && ["suspend", "checkpoint", "pool_migrate", "migrate_send"].contains(&word) {
        return Some(Failure::new("VM_HAS_PCI_ATTACHED", [vm]));
    }
    if word == "make_into_template" && !facts.appliance.is_empty() {
        return Some(Failure::new("VM_IS_PART_OF_AN_APPLIANCE", [vm, facts.appliance.as_str()]));
    }
    if word == "make_into_template" && !facts.schedule.is_empty() {
        return Some(Failure::new("VM_ASSIGNED_TO_SNAPSHOT_SCHEDULE", [vm, facts.schedule.as_str()]));
    }
    None
}

fn wrong_state(facts: &Facts, rule: &Rule) -> Option<Failure> {
    let state = facts.power_state.as_str();
    // A checkpoint is a Suspended snapshot, and goes like any other.
    let checkpoint = facts.snapshot && rule.word == "destroy" && state == "Suspended";
    if rule.states.contains(&state) || checkpoint {
        return None;
    }
    let expected: Vec<String> = rule.states.iter().map(|state| state.to_ascii_lowercase()).collect();
    Some(failures::bad_power_state(&facts.vm, &expected.join(", "), &state.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use xapi::model::schema;

    fn vm(power_state: &str) -> Facts {
        Facts { vm: "OpaqueRef:v".into(), power_state: power_state.into(), ..Facts::default() }
    }

    fn able() -> Option<Features> {
        Some(Features { shutdown: true, suspend: true, processors: true })
    }

    #[test]
    fn power_states_decide() {
        for (state, words) in [
            (
                "Halted",
                "create_vtpm changing_NVRAM changing_dynamic_range changing_shadow_memory \
                 changing_static_range make_into_template migrate_send destroy export start_on start clone \
                 copy snapshot",
            ),
            (
                "Running",
                "changing_dynamic_range migrate_send pool_migrate changing_VCPUs_live suspend hard_reboot \
                 hard_shutdown clean_reboot clean_shutdown pause checkpoint snapshot",
            ),
            ("Paused", "hard_reboot hard_shutdown unpause checkpoint snapshot"),
            (
                "Suspended",
                "migrate_send export resume_on resume hard_shutdown checkpoint clone copy snapshot",
            ),
        ] {
            assert_eq!(allowed(&Facts { features: able(), ..vm(state) }).join(" "), words, "{state}");
        }
        let template = Facts { template: true, default_template: true, ..vm("Halted") };
        assert_eq!(
            allowed(&template).join(" "),
            "changing_NVRAM changing_dynamic_range changing_shadow_memory changing_static_range provision \
             export clone copy"
        );
        let checkpoint = Facts { template: true, snapshot: true, ..vm("Suspended") };
        assert_eq!(allowed(&checkpoint).join(" "), "destroy export hard_shutdown revert clone copy");
    }

    #[test]
    fn refusals_name_what_is_wrong() {
        let busy = Facts { current: vec![("OpaqueRef:t".into(), "clean_shutdown".into())], ..vm("Running") };
        let template = Facts { template: true, default_template: true, ..vm("Halted") };
        let snapshot = Facts { template: true, snapshot: true, ..vm("Halted") };
        let dom0 = Facts { control_domain: true, ..vm("Running") };
        let why: Struct = [("start".into(), "no".into())].into_iter().collect();
        let blocked = Facts { blocked: Some(why), ..vm("Running") };
        let silent = Facts { features: Some(Features::default()), ..vm("Running") };
        let loaded = Facts { passed_through: true, ..vm("Running") };
        let member = Facts { appliance: "OpaqueRef:a".into(), ..vm("Halted") };
        for (facts, word, said) in [
            (vm("Running"), "start", "VM_BAD_POWER_STATE [OpaqueRef:v, halted, running]"),
            (
                vm("Halted"),
                "hard_shutdown",
                "VM_BAD_POWER_STATE [OpaqueRef:v, paused, suspended, running, halted]",
            ),
            (
                busy.clone(),
                "pause",
                "OTHER_OPERATION_IN_PROGRESS [VM, OpaqueRef:v, clean_shutdown, OpaqueRef:t]",
            ),
            (template.clone(), "start", "VM_IS_TEMPLATE [OpaqueRef:v, start]"),
            (template, "destroy", "VM_CANNOT_DELETE_DEFAULT_TEMPLATE [OpaqueRef:v]"),
            (snapshot, "start", "VM_IS_SNAPSHOT [OpaqueRef:v, start]"),
            (dom0, "pause", "OPERATION_NOT_ALLOWED [This operation is not allowed on dom0]"),
            (blocked, "start", "OPERATION_BLOCKED [OpaqueRef:v, no]"),
            (vm("Halted"), "provision", "ONLY_PROVISION_TEMPLATE"),
            (vm("Halted"), "revert", "ONLY_REVERT_SNAPSHOT"),
            (silent.clone(), "clean_shutdown", "VM_LACKS_FEATURE [OpaqueRef:v]"),
            (silent, "pool_migrate", "VM_LACKS_FEATURE [OpaqueRef:v]"),
            (loaded, "suspend", "VM_HAS_PCI_ATTACHED [OpaqueRef:v]"),
            (member, "make_into_template", "VM_IS_PART_OF_AN_APPLIANCE [OpaqueRef:v, OpaqueRef:a]"),
        ] {
            assert_eq!(refusal(&facts, word).unwrap().to_string(), said);
        }
        assert!(refusal(&busy, "hard_shutdown").is_none(), "the plug can be pulled meanwhile");
        assert!(overtaken(&vm("Halted"), Kind::CleanShutdown).is_none());
        assert!(overtaken(&vm("Halted"), Kind::CleanReboot).is_some());
    }

    #[test]
    fn words_are_in_the_datamodel() {
        let words = schema::enumeration("vm_operations").unwrap().words;
        for rule in RULES {
            assert!(words.contains(&rule.word), "{}", rule.word);
        }
    }
}
