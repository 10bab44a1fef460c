//! What may be done with a VM, from its facts alone.

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
}

const KINDS: &[Kind] = &[
    Kind::Start,
    Kind::StartOn,
    Kind::CleanShutdown,
    Kind::HardShutdown,
    Kind::Shutdown,
    Kind::CleanReboot,
    Kind::HardReboot,
    Kind::Suspend,
    Kind::Resume,
    Kind::ResumeOn,
    Kind::Pause,
    Kind::Unpause,
    Kind::PoolMigrate,
    Kind::Clone,
    Kind::Copy,
    Kind::Snapshot,
    Kind::Provision,
    Kind::Destroy,
];

impl Kind {
    /// The word of the enumeration `vm_operations`.
    pub(crate) fn word(self) -> &'static str {
        self.row().0
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        KINDS.iter().copied().find(|kind| kind.word() == word)
    }

    /// How long it takes at speed 1.
    pub(crate) fn seconds(self) -> f64 {
        self.row().1
    }

    /// Power states in which it may begin.
    fn states(self) -> &'static [&'static str] {
        self.row().2
    }

    fn row(self) -> (&'static str, f64, &'static [&'static str]) {
        match self {
            Kind::Start => ("start", 4.0, &["Halted"]),
            Kind::StartOn => ("start_on", 4.0, &["Halted"]),
            Kind::CleanShutdown => ("clean_shutdown", 8.0, &["Running"]),
            Kind::HardShutdown => ("hard_shutdown", 1.5, &["Paused", "Suspended", "Running"]),
            Kind::Shutdown => ("shutdown", 8.0, &["Paused", "Suspended", "Running"]),
            Kind::CleanReboot => ("clean_reboot", 10.0, &["Running"]),
            Kind::HardReboot => ("hard_reboot", 4.0, &["Paused", "Running"]),
            Kind::Suspend => ("suspend", 8.0, &["Running"]),
            Kind::Resume => ("resume", 6.0, &["Suspended"]),
            Kind::ResumeOn => ("resume_on", 6.0, &["Suspended"]),
            Kind::Pause => ("pause", 0.3, &["Running"]),
            Kind::Unpause => ("unpause", 0.3, &["Paused"]),
            Kind::PoolMigrate => ("pool_migrate", 12.0, &["Running"]),
            Kind::Clone => ("clone", 3.0, &["Halted", "Suspended"]),
            Kind::Copy => ("copy", 20.0, &["Halted", "Suspended"]),
            Kind::Snapshot => ("snapshot", 3.0, &["Halted", "Paused", "Suspended", "Running"]),
            Kind::Provision => ("provision", 2.0, &["Halted"]),
            Kind::Destroy => ("destroy", 1.0, &["Halted"]),
        }
    }

    /// What may be done with a template, too.
    fn suits_template(self) -> bool {
        matches!(self, Kind::Clone | Kind::Copy | Kind::Provision | Kind::Destroy)
    }

    /// What may be done with a snapshot, too.
    fn suits_snapshot(self) -> bool {
        matches!(self, Kind::Clone | Kind::Copy | Kind::Provision | Kind::Destroy)
    }

    /// Pulling the plug is possible while the guest is still being asked.
    fn goes_beside(self, other: &str) -> bool {
        self == Kind::HardShutdown && ["clean_shutdown", "clean_reboot", "shutdown"].contains(&other)
    }
}

/// Why an operation may not begin, in xapi's order of checks: blocked, power state, others under way, kind of VM.
pub(crate) fn refusal(facts: &Facts, kind: Kind) -> Option<Failure> {
    let vm = facts.vm.as_str();
    let blocked = facts.blocked.as_ref().and_then(|blocked| blocked.get(kind.word())).and_then(Value::as_str);
    if let Some(reason) = blocked {
        return Some(Failure::new("OPERATION_BLOCKED", [vm, reason]));
    }
    if let Some(failure) = wrong_state(facts, kind) {
        return Some(failure);
    }
    if let Some((task, word)) = facts.current.iter().find(|(_, word)| !kind.goes_beside(word)) {
        return Some(Failure::new("OTHER_OPERATION_IN_PROGRESS", ["VM", vm, word, task]));
    }
    if facts.template && !facts.snapshot && !kind.suits_template() {
        return Some(Failure::new("VM_IS_TEMPLATE", [vm, kind.word()]));
    }
    if facts.default_template && kind == Kind::Destroy {
        return Some(Failure::new("VM_CANNOT_DELETE_DEFAULT_TEMPLATE", [vm]));
    }
    if facts.snapshot && !kind.suits_snapshot() {
        return Some(Failure::new("VM_IS_SNAPSHOT", [vm, kind.word()]));
    }
    if facts.control_domain {
        return Some(failures::not_allowed("This operation is not allowed on dom0"));
    }
    None
}

/// Why an operation that was under way cannot end well: the VM went another way meanwhile.
pub(crate) fn overtaken(facts: &Facts, kind: Kind) -> Option<Failure> {
    let stopping = matches!(kind, Kind::CleanShutdown | Kind::HardShutdown | Kind::Shutdown);
    if stopping && facts.power_state == "Halted" { None } else { wrong_state(facts, kind) }
}

/// What may be done now, last declared first, as xapi lists it. While something is under way, next to nothing.
pub(crate) fn allowed(facts: &Facts) -> Vec<&'static str> {
    if facts.control_domain {
        return vec!["changing_dynamic_range", "changing_VCPUs_live"];
    }
    let beside: &[&str] = match facts.power_state.as_str() {
        _ if !facts.current.is_empty() => &[],
        "Halted" if facts.snapshot => &["revert", "create_template", "changing_NVRAM", "export"],
        "Halted" if facts.template => &[
            "changing_NVRAM",
            "changing_dynamic_range",
            "changing_shadow_memory",
            "changing_static_range",
            "export",
        ],
        "Halted" => &[
            "create_vtpm",
            "changing_NVRAM",
            "changing_dynamic_range",
            "changing_shadow_memory",
            "changing_static_range",
            "make_into_template",
            "migrate_send",
            "export",
        ],
        "Running" => &["changing_dynamic_range", "changing_VCPUs_live", "migrate_send", "checkpoint"],
        "Suspended" => &["csvm", "export", "checkpoint"],
        _ => &[],
    };
    let own = KINDS.iter().rev().filter(|kind| refusal(facts, **kind).is_none()).map(|kind| kind.word());
    beside.iter().copied().chain(own).collect()
}

fn wrong_state(facts: &Facts, kind: Kind) -> Option<Failure> {
    if kind.states().contains(&facts.power_state.as_str()) {
        return None;
    }
    let expected: Vec<String> = kind.states().iter().map(|state| state.to_ascii_lowercase()).collect();
    Some(failures::bad_power_state(&facts.vm, &expected.join(", "), &facts.power_state.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use xapi::model::schema;

    fn vm(power_state: &str) -> Facts {
        Facts { vm: "OpaqueRef:v".into(), power_state: power_state.into(), ..Facts::default() }
    }

    #[test]
    fn power_states_decide() {
        for (state, able) in [
            ("Halted", "destroy provision snapshot copy clone start_on start"),
            (
                "Running",
                "snapshot pool_migrate pause suspend hard_reboot clean_reboot shutdown hard_shutdown clean_shutdown",
            ),
            ("Paused", "snapshot unpause hard_reboot shutdown hard_shutdown"),
            ("Suspended", "snapshot copy clone resume_on resume shutdown hard_shutdown"),
        ] {
            let words: Vec<&str> = KINDS
                .iter()
                .rev()
                .filter(|kind| refusal(&vm(state), **kind).is_none())
                .map(|kind| kind.word())
                .collect();
            assert_eq!(words.join(" "), able, "{state}");
        }
    }

    #[test]
    fn refusals_name_what_is_wrong() {
        let busy = Facts { current: vec![("OpaqueRef:t".into(), "clean_shutdown".into())], ..vm("Running") };
        let template = Facts { template: true, default_template: true, ..vm("Halted") };
        let snapshot = Facts { template: true, snapshot: true, ..vm("Halted") };
        let dom0 = Facts { control_domain: true, ..vm("Running") };
        let why: Struct = [("start".into(), "no".into())].into_iter().collect();
        let blocked = Facts { blocked: Some(why), ..vm("Running") };
        for (facts, kind, said) in [
            (vm("Running"), Kind::Start, "VM_BAD_POWER_STATE [OpaqueRef:v, halted, running]"),
            (
                vm("Halted"),
                Kind::HardShutdown,
                "VM_BAD_POWER_STATE [OpaqueRef:v, paused, suspended, running, halted]",
            ),
            (
                busy.clone(),
                Kind::Pause,
                "OTHER_OPERATION_IN_PROGRESS [VM, OpaqueRef:v, clean_shutdown, OpaqueRef:t]",
            ),
            (template.clone(), Kind::Start, "VM_IS_TEMPLATE [OpaqueRef:v, start]"),
            (template, Kind::Destroy, "VM_CANNOT_DELETE_DEFAULT_TEMPLATE [OpaqueRef:v]"),
            (snapshot, Kind::Start, "VM_IS_SNAPSHOT [OpaqueRef:v, start]"),
            (dom0, Kind::Pause, "OPERATION_NOT_ALLOWED [This operation is not allowed on dom0]"),
            (blocked, Kind::Start, "OPERATION_BLOCKED [OpaqueRef:v, no]"),
        ] {
            assert_eq!(refusal(&facts, kind).unwrap().to_string(), said);
        }
        assert!(refusal(&busy, Kind::HardShutdown).is_none(), "the plug can be pulled meanwhile");
        assert!(overtaken(&vm("Halted"), Kind::CleanShutdown).is_none());
        assert!(overtaken(&vm("Halted"), Kind::CleanReboot).is_some());
    }

    #[test]
    fn words_are_in_the_datamodel() {
        let words = schema::enumeration("vm_operations").unwrap().words;
        for state in ["Halted", "Running", "Paused", "Suspended"] {
            for facts in [
                vm(state),
                Facts { template: true, ..vm(state) },
                Facts { snapshot: true, template: true, ..vm(state) },
            ] {
                for word in allowed(&facts) {
                    assert!(words.contains(&word), "{word}");
                }
            }
        }
    }
}
