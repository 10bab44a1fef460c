//! Hears of a VM's power state and of its guest metrics as of one thing, and logs what the guest says.

use xapiary_sdk::{Change, Event, Failure, Outcome, info, plugin};

struct Guest;

#[plugin(manifest = r#"
name = "joined"
version = "0.1.0"
contract = "0.1.0"
description = "Hears of VMs with what their guests say"

[[subscribe]]
name = "vm"
class = "VM"
on = ["modified"]
fields = ["power_state"]
with = ["guest_metrics"]
"#)]
impl Guest {
    #[on("vm")]
    fn changed(event: &Event, change: &Change) -> Outcome {
        let vm = change.new.as_ref().ok_or_else(|| Failure::give_up("no record"))?;
        let metrics = vm.follow("guest_metrics")?;
        let said = metrics.first().map_or(Ok(Vec::new()), |metrics| metrics.pairs("os_version"))?;
        let version =
            said.into_iter().find(|(key, _)| key == "name").map(|(_, name)| name).unwrap_or_default();
        info!(
            class = change.class,
            changed = change.changed.join(","),
            subscription = event.subscription,
            os = version,
            "heard of {}",
            vm.text("name_label")?
        );
        Ok(())
    }
}
