//! Which operations and tasks mean that somebody asked for the stop.

use xapiary_sdk::xapi::VmOperations;

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

/// Whether an operation in `current_operations` means that somebody has his hand on the VM.
///
/// More than the shutdowns: whoever moves, suspends or reverts a VM looks after what becomes of it.
pub(crate) fn handles(operation: &VmOperations) -> bool {
    matches!(
        operation,
        VmOperations::Checkpoint
            | VmOperations::CleanReboot
            | VmOperations::CleanShutdown
            | VmOperations::Csvm
            | VmOperations::Destroy
            | VmOperations::HardReboot
            | VmOperations::HardShutdown
            | VmOperations::MigrateSend
            | VmOperations::Pause
            | VmOperations::PoolMigrate
            | VmOperations::PowerStateReset
            | VmOperations::Revert
            | VmOperations::Reverting
            | VmOperations::Shutdown
            | VmOperations::Suspend
            | VmOperations::Sysprep
    )
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
        assert!(
            handles(&"clean_shutdown".into())
                && handles(&"suspend".into())
                && handles(&"pool_migrate".into())
        );
        assert!(
            !handles(&"start".into())
                && !handles(&"snapshot".into())
                && !handles(&"changing_VCPUs_live".into())
        );
    }
}
