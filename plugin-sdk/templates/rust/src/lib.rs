//! Tags VMs that have stopped, counts how often, and takes the tag off when they run again.

use serde::Deserialize;
use xapiary_sdk::xapi::{self, Vm, VmPowerState};
use xapiary_sdk::{Event, Modified, Outcome, info, plugin, store};

/// What the administrator sets; `plugin.toml` describes it.
#[derive(Deserialize)]
struct {{Type}} {
    tag: String,
}

#[plugin]
impl {{Type}} {
    #[on("power")]
    fn power(&self, event: &Event, vm: Modified<Vm>) -> Outcome {
        let tagged = vm.new.tags()?.contains(&self.tag);
        match (vm.old.power_state()?, vm.new.power_state()?) {
            (VmPowerState::Running, VmPowerState::Halted) if !tagged => {
                xapi::vm::add_tags(&vm.new, &self.tag)?;
                let uuid = vm.new.uuid()?;
                let key = format!("stops/{uuid}");
                let stops = store::get_json::<u32>(&key)?.unwrap_or(0) + 1;
                store::set_json(&key, &stops)?;
                let name = vm.new.name_label()?;
                info!(vm = uuid, stops = stops, gap = event.gap, "{name} has stopped");
            }
            (_, VmPowerState::Running) if tagged => {
                xapi::vm::remove_tags(&vm.new, &self.tag)?;
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
