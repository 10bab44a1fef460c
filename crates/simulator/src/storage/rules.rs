//! What may be done with disks and SRs, from their facts alone.

use smol_str::SmolStr;
use xapi::codec::Failure;

use crate::failures;

/// What the rules of a disk look at.
#[derive(Debug, Clone, Default)]
pub(super) struct DiskFacts {
    pub(super) vdi: SmolStr,
    pub(super) sr: SmolStr,
    pub(super) kind: SmolStr,
    pub(super) current: Vec<(SmolStr, SmolStr)>,
    /// A drive that is in use holds it.
    pub(super) attached: bool,
    /// What is under way on a drive that holds it: task and word.
    pub(super) drive_busy: Option<(SmolStr, SmolStr)>,
    /// Some host reaches its SR.
    pub(super) plugged: bool,
    /// What the SR's driver can do; none when it says nothing.
    pub(super) able: Option<Vec<SmolStr>>,
    pub(super) sharable: bool,
    pub(super) resets: bool,
    /// It is a real drive of a host, and not ours to take away.
    pub(super) physical: bool,
    pub(super) tools: bool,
    pub(super) ha_enabled: bool,
}

/// What the rules of an SR look at.
#[derive(Debug, Clone, Default)]
pub(super) struct RepositoryFacts {
    pub(super) sr: SmolStr,
    pub(super) current: Vec<(SmolStr, SmolStr)>,
    pub(super) plugs: usize,
    pub(super) plugged: bool,
    pub(super) able: Option<Vec<SmolStr>>,
    /// There are disks on it that somebody made.
    pub(super) used: bool,
}

/// Operations on disks: word, what the driver must be able to do, whether it goes while a drive is in use.
const ON_DISKS: &[(&str, &str, bool)] = &[
    ("clone", "VDI_CLONE", true),
    ("copy", "", false),
    ("resize", "VDI_RESIZE", false),
    ("resize_online", "VDI_RESIZE_ONLINE", true),
    ("snapshot", "VDI_SNAPSHOT", true),
    ("mirror", "VDI_MIRROR", true),
    ("destroy", "VDI_DELETE", false),
    ("forget", "", false),
    ("update", "VDI_UPDATE", false),
    ("generate_config", "VDI_GENERATE_CONFIG", false),
    ("set_on_boot", "VDI_RESET_ON_BOOT", false),
];

/// Operations on SRs: word, what the driver must be able to do, whether others may go beside it.
const ON_REPOSITORIES: &[(&str, &str, bool)] = &[
    ("scan", "", true),
    ("destroy", "", false),
    ("forget", "", false),
    ("plug", "", false),
    ("unplug", "", false),
    ("update", "SR_UPDATE", true),
    ("vdi_create", "VDI_CREATE", true),
    ("vdi_introduce", "VDI_INTRODUCE", true),
    ("vdi_destroy", "VDI_DELETE", true),
    ("vdi_resize", "VDI_RESIZE", true),
    ("vdi_clone", "VDI_CLONE", true),
    ("vdi_snapshot", "VDI_SNAPSHOT", true),
    ("vdi_mirror", "VDI_MIRROR", true),
    ("vdi_set_on_boot", "VDI_RESET_ON_BOOT", true),
    ("vdi_copy", "", true),
    ("pbd_create", "", true),
    ("pbd_destroy", "", true),
];

/// What is not told in `allowed_operations`: xapi does it as part of something else.
const UNTOLD: &[&str] = &["mirror", "vdi_mirror", "vdi_copy", "vdi_set_on_boot"];

/// Why an operation on a disk may not begin.
pub(super) fn disk_refusal(facts: &DiskFacts, word: &str) -> Option<Failure> {
    let vdi = facts.vdi.as_str();
    let (_, ability, live) = ON_DISKS.iter().find(|(known, _, _)| *known == word)?;
    if let Some((task, other)) = facts.current.first().or(facts.drive_busy.as_ref()) {
        return Some(Failure::new("OTHER_OPERATION_IN_PROGRESS", ["VDI", vdi, other, task]));
    }
    if !facts.plugged && !["forget", "update"].contains(&word) {
        return Some(Failure::new("SR_HAS_NO_PBDS", [facts.sr.as_str()]));
    }
    if facts.attached && !live {
        return Some(Failure::new("VDI_IN_USE", [vdi, word]));
    }
    let special = ["ha_statefile", "redo_log"].contains(&facts.kind.as_str());
    match word {
        "destroy" if facts.physical => return Some(Failure::new("VDI_IS_A_PHYSICAL_DEVICE", [vdi])),
        "destroy" if facts.tools => {
            return Some(Failure::new("SR_OPERATION_NOT_SUPPORTED", [facts.sr.as_str()]));
        }
        "destroy" | "resize" | "resize_online" if special && facts.ha_enabled => {
            return Some(Failure::new::<SmolStr>("HA_IS_ENABLED", []));
        }
        "snapshot" if facts.sharable => return Some(Failure::new("VDI_IS_SHARABLE", [vdi])),
        "snapshot" if facts.resets => {
            return Some(Failure::new::<SmolStr>("VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION", []));
        }
        "copy" if special => {
            return Some(failures::not_allowed("a disk of HA or of the redo log cannot be copied"));
        }
        _ => {}
    }
    unable(&facts.sr, facts.able.as_deref(), ability)
}

/// What may be done with a disk, last declared first.
pub(super) fn allowed_on_disk(facts: &DiskFacts) -> Vec<&'static str> {
    let words = ON_DISKS.iter().rev().map(|(word, _, _)| *word);
    words.filter(|word| !UNTOLD.contains(word) && disk_refusal(facts, word).is_none()).collect()
}

/// Why an operation on an SR may not begin.
pub(super) fn repository_refusal(facts: &RepositoryFacts, word: &str) -> Option<Failure> {
    let sr = facts.sr.as_str();
    let (_, ability, together) = ON_REPOSITORIES.iter().find(|(known, _, _)| *known == word)?;
    let beside = |other: &str| ON_REPOSITORIES.iter().any(|(known, _, beside)| *known == other && *beside);
    if let Some((task, other)) = facts.current.iter().find(|(_, other)| !(*together && beside(other))) {
        return Some(Failure::new("OTHER_OPERATION_IN_PROGRESS", ["SR", sr, other, task]));
    }
    if ["destroy", "forget"].contains(&word) && facts.plugged {
        return Some(Failure::new("SR_HAS_PBD", [sr]));
    }
    if word == "destroy" && facts.plugs == 0 {
        return Some(Failure::new("SR_HAS_NO_PBDS", [sr]));
    }
    if word == "destroy" && facts.used {
        return Some(Failure::new::<SmolStr>("SR_NOT_EMPTY", []));
    }
    unable(sr, facts.able.as_deref(), ability)
}

/// What may be done with an SR, last declared first.
pub(super) fn allowed_on_repository(facts: &RepositoryFacts) -> Vec<&'static str> {
    let words = ON_REPOSITORIES.iter().rev().map(|(word, _, _)| *word);
    words.filter(|word| !UNTOLD.contains(word) && repository_refusal(facts, word).is_none()).collect()
}

fn unable(sr: &str, able: Option<&[SmolStr]>, ability: &str) -> Option<Failure> {
    let lacks = able.is_some_and(|able| !ability.is_empty() && !able.iter().any(|known| known == ability));
    lacks.then(|| Failure::new("SR_OPERATION_NOT_SUPPORTED", [sr]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use xapi::model::schema;

    fn disk() -> DiskFacts {
        DiskFacts {
            vdi: "OpaqueRef:d".into(),
            sr: "OpaqueRef:s".into(),
            plugged: true,
            ..DiskFacts::default()
        }
    }

    fn repository() -> RepositoryFacts {
        RepositoryFacts { sr: "OpaqueRef:s".into(), plugs: 1, ..RepositoryFacts::default() }
    }

    #[test]
    fn a_disk_in_use_can_be_copied_from_and_nothing_else() {
        let busy = DiskFacts {
            attached: true,
            able: Some(vec!["VDI_CLONE".into(), "VDI_SNAPSHOT".into()]),
            ..disk()
        };
        assert_eq!(allowed_on_disk(&busy), ["snapshot", "clone"]);
        let refusal = disk_refusal(&busy, "destroy").unwrap().to_string();
        assert_eq!(refusal, "VDI_IN_USE [OpaqueRef:d, destroy]");
    }

    #[test]
    fn refusals_of_disks_name_what_is_wrong() {
        let under_way = ("OpaqueRef:t".into(), "copy".into());
        for (facts, word, said) in [
            (
                DiskFacts { current: vec![under_way], ..disk() },
                "clone",
                "OTHER_OPERATION_IN_PROGRESS [VDI, OpaqueRef:d, copy, OpaqueRef:t]",
            ),
            (DiskFacts { plugged: false, ..disk() }, "resize", "SR_HAS_NO_PBDS [OpaqueRef:s]"),
            (DiskFacts { physical: true, ..disk() }, "destroy", "VDI_IS_A_PHYSICAL_DEVICE [OpaqueRef:d]"),
            (DiskFacts { sharable: true, ..disk() }, "snapshot", "VDI_IS_SHARABLE [OpaqueRef:d]"),
            (
                DiskFacts { able: Some(vec![]), ..disk() },
                "resize",
                "SR_OPERATION_NOT_SUPPORTED [OpaqueRef:s]",
            ),
            (
                DiskFacts { kind: "ha_statefile".into(), ha_enabled: true, ..disk() },
                "destroy",
                "HA_IS_ENABLED",
            ),
        ] {
            assert_eq!(disk_refusal(&facts, word).unwrap().to_string(), said);
        }
    }

    #[test]
    fn an_sr_goes_only_when_nobody_uses_it() {
        for (facts, word, said) in [
            (RepositoryFacts { plugged: true, ..repository() }, "forget", "SR_HAS_PBD [OpaqueRef:s]"),
            (RepositoryFacts { plugs: 0, ..repository() }, "destroy", "SR_HAS_NO_PBDS [OpaqueRef:s]"),
            (RepositoryFacts { used: true, ..repository() }, "destroy", "SR_NOT_EMPTY"),
            (
                RepositoryFacts { current: vec![("OpaqueRef:t".into(), "scan".into())], ..repository() },
                "unplug",
                "OTHER_OPERATION_IN_PROGRESS [SR, OpaqueRef:s, scan, OpaqueRef:t]",
            ),
        ] {
            assert_eq!(repository_refusal(&facts, word).unwrap().to_string(), said);
        }
        let scanning = RepositoryFacts {
            current: vec![("OpaqueRef:t".into(), "scan".into())],
            plugged: true,
            ..repository()
        };
        assert!(repository_refusal(&scanning, "vdi_create").is_none(), "disks come and go beside a scan");
    }

    #[test]
    fn words_are_in_the_datamodel() {
        for (name, table) in [("vdi_operations", ON_DISKS), ("storage_operations", ON_REPOSITORIES)] {
            let words = schema::enumeration(name).unwrap().words;
            for (word, _, _) in table {
                assert!(words.contains(word), "{word}");
            }
        }
    }
}
