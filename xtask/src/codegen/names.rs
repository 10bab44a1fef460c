//! Wire names as Rust names: `VM_metrics` is `VmMetrics`, `PV_args` is `pv_args`.

/// The name of a type: every part begins with a capital letter, what is all capitals is one word.
pub(super) fn of_type(wire: &str) -> String {
    let parts = wire.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    parts.map(part).collect()
}

fn part(part: &str) -> String {
    let all_capitals = !part.contains(|letter: char| letter.is_ascii_lowercase());
    let mut letters = part.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    let rest = letters.map(|letter| if all_capitals { letter.to_ascii_lowercase() } else { letter });
    first.into_iter().chain(rest).collect()
}

/// The name of an accessor. Rust has other uses for `type`.
pub(super) fn of_field(wire: &str) -> String {
    match wire {
        "type" => "kind".to_owned(),
        other => other.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_rust() {
        for (wire, name) in [
            ("VM_metrics", "VmMetrics"),
            ("host", "Host"),
            ("PVS_cache_storage", "PvsCacheStorage"),
            ("vm_power_state", "VmPowerState"),
            ("Running", "Running"),
            ("BondMode", "BondMode"),
            ("balance-slb", "BalanceSlb"),
            ("xen_platform-v2", "XenPlatformV2"),
        ] {
            assert_eq!(of_type(wire), name);
        }
        assert_eq!(of_field("PV_args"), "pv_args");
        assert_eq!(of_field("type"), "kind");
    }
}
