//! What may be done with a host, from its facts alone.

use smol_str::SmolStr;
use xapi::codec::Failure;

/// What the rules look at.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) host: SmolStr,
    pub(super) enabled: bool,
    pub(super) live: bool,
    /// How it can be switched on from afar; empty for not at all.
    pub(super) power_on_mode: SmolStr,
    pub(super) current: Vec<(SmolStr, SmolStr)>,
}

const WORDS: &[&str] = &[
    "provision",
    "evacuate",
    "reboot",
    "shutdown",
    "vm_start",
    "vm_resume",
    "vm_migrate",
    "power_on",
    "apply_updates",
    "enable",
];
/// What brings VMs to a host, and what takes them away: the two do not go together.
const BRINGING: &[&str] = &["provision", "vm_resume", "vm_migrate"];
const TAKING: &[&str] = &["evacuate", "reboot", "shutdown"];
/// These do not go beside each other.
const ENDING: &[&str] = &["reboot", "shutdown", "apply_updates"];

/// Why an operation may not begin.
pub(super) fn refusal(facts: &Facts, word: &str) -> Option<Failure> {
    let host = facts.host.as_str();
    let against = |other: &str| {
        let both = |one: &[&str], two: &[&str]| one.contains(&word) && two.contains(&other);
        both(BRINGING, TAKING)
            || both(TAKING, BRINGING)
            || both(ENDING, ENDING)
            || (word == "provision" && other == "provision")
            || (word == "evacuate" && other == "evacuate")
            || (word == "power_on" && other == "power_on")
            || (word == "enable" && TAKING.contains(&other))
    };
    if let Some((task, other)) = facts.current.iter().find(|(_, other)| against(other)) {
        return Some(Failure::new("OTHER_OPERATION_IN_PROGRESS", ["host", host, other, task]));
    }
    match word {
        "reboot" | "shutdown" | "apply_updates" if facts.enabled => {
            Some(Failure::new::<SmolStr>("HOST_NOT_DISABLED", []))
        }
        "power_on" if facts.live => Some(Failure::new("HOST_IS_LIVE", [host])),
        "power_on" if facts.power_on_mode.is_empty() => {
            Some(Failure::new::<SmolStr>("HOST_POWER_ON_MODE_DISABLED", []))
        }
        _ => None,
    }
}

/// What may be done now, last declared first.
pub(super) fn allowed(facts: &Facts) -> Vec<&'static str> {
    WORDS.iter().rev().copied().filter(|word| refusal(facts, word).is_none()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use xapi::model::schema;

    fn host() -> Facts {
        Facts { host: "OpaqueRef:h".into(), enabled: true, live: true, ..Facts::default() }
    }

    #[test]
    fn states_decide() {
        let words = allowed(&host()).join(" ");
        assert_eq!(words, "enable vm_migrate vm_resume vm_start evacuate provision");
        let words = allowed(&Facts { enabled: false, ..host() }).join(" ");
        assert_eq!(
            words,
            "enable apply_updates vm_migrate vm_resume vm_start shutdown reboot evacuate provision"
        );
        let words = allowed(&Facts {
            enabled: false,
            current: vec![("OpaqueRef:t".into(), "reboot".into())],
            ..host()
        });
        assert_eq!(words.join(" "), "vm_start evacuate");
    }

    #[test]
    fn refusals_name_what_is_wrong() {
        let busy = Facts { current: vec![("OpaqueRef:t".into(), "evacuate".into())], ..host() };
        for (facts, word, said) in [
            (host(), "shutdown", "HOST_NOT_DISABLED"),
            (host(), "power_on", "HOST_IS_LIVE [OpaqueRef:h]"),
            (Facts { live: false, ..host() }, "power_on", "HOST_POWER_ON_MODE_DISABLED"),
            (busy, "provision", "OTHER_OPERATION_IN_PROGRESS [host, OpaqueRef:h, evacuate, OpaqueRef:t]"),
        ] {
            assert_eq!(refusal(&facts, word).unwrap().to_string(), said);
        }
    }

    #[test]
    fn words_are_in_the_datamodel() {
        let words = schema::enumeration("host_allowed_operations").unwrap().words;
        assert!(WORDS.iter().all(|word| words.contains(word)));
    }
}
