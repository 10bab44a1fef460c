//! Which operations and tasks mean that somebody asked for the stop.

/// Operations in a VM's `current_operations` that mean that somebody has his hand on it.
///
/// More than the shutdowns: whoever moves, suspends or reverts a VM looks after what becomes of it.
const HANDLING: [&str; 16] = [
    "checkpoint",
    "clean_reboot",
    "clean_shutdown",
    "csvm",
    "destroy",
    "hard_reboot",
    "hard_shutdown",
    "migrate_send",
    "pause",
    "pool_migrate",
    "power_state_reset",
    "revert",
    "reverting",
    "shutdown",
    "suspend",
    "sysprep",
];

/// Methods that leave a VM halted, or do so on their way. Tasks do not name their VM, so this list is short: a migration of
/// another VM must not keep this one down.
const HALTING: [&str; 9] = [
    "clean_reboot",
    "clean_shutdown",
    "destroy",
    "hard_reboot",
    "hard_shutdown",
    "migrate_send",
    "power_state_reset",
    "revert",
    "shutdown",
];

/// Whether an operation in `current_operations` means that somebody is handling the VM.
pub(crate) fn handles(operation: &str) -> bool {
    HANDLING.contains(&operation)
}

/// Whether a task of this name leaves a VM halted: `VM.clean_shutdown`, `Async.VM.hard_shutdown`, and those of appliances,
/// which stop the VMs in them.
pub(crate) fn halts(task_name: &str) -> bool {
    let name = ["Async.", "InternalAsync."]
        .iter()
        .find_map(|prefix| task_name.strip_prefix(prefix))
        .unwrap_or(task_name);
    match name.split_once('.') {
        Some(("VM" | "VM_appliance", method)) => HALTING.contains(&method),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_halts_by_its_method_however_it_was_called() {
        for name in [
            "VM.clean_shutdown",
            "Async.VM.hard_shutdown",
            "InternalAsync.VM.shutdown",
            "VM_appliance.clean_shutdown",
            "Async.VM.clean_reboot",
        ] {
            assert!(halts(name), "{name}");
        }
        for name in
            ["VM.start", "Async.VM.pool_migrate", "VDI.destroy", "clean_shutdown", "VM", "host.shutdown", ""]
        {
            assert!(!halts(name), "{name}");
        }
    }

    #[test]
    fn an_operation_that_needs_the_vm_to_run_on_is_no_handling() {
        assert!(handles("clean_shutdown") && handles("suspend") && handles("pool_migrate"));
        assert!(!handles("start") && !handles("snapshot") && !handles("changing_VCPUs_live"));
    }
}
