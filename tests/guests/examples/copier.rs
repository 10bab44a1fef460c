//! Starts a copy of the VM and waits for it; says what it was told of the task.

use std::time::Duration;

use xapiary_sdk::{Change, Event, Outcome, args, calls, info, plugin};

struct Guest;

#[plugin(manifest = r#"
name = "copier"
version = "0.1.0"
contract = "0.1.0"
description = "Copies a VM whenever its description changes"

[[subscribe]]
name = "described"
class = "VM"
on = ["modified"]
fields = ["name_description"]

[[request]]
call = "VM.clone"
reason = "the tests count the copies"
"#)]
impl Guest {
    #[on("described")]
    fn changed(event: &Event, change: &Change) -> Outcome {
        info!("begins {}", event.attempt);
        let task = calls::start("VM.clone", args![&change.reference, "a copy"])?;
        task.wait(Duration::from_secs(120)).into_result()?;
        Ok(())
    }
}
