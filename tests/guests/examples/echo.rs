//! Answers each change of a VM's description with another one: a loop of its own making.

use xapiary_sdk::{Change, Event, Outcome, args, calls, info, plugin};

struct Guest;

#[plugin(manifest = r#"
name = "echo"
version = "0.1.0"
contract = "0.1.0"
description = "Changes a VM's description whenever it changes"

[[subscribe]]
name = "described"
class = "VM"
on = ["modified"]
fields = ["name_description"]

[[request]]
call = "VM.set_name_description"
reason = "the tests count how often it answers itself"
"#)]
impl Guest {
    #[on("described")]
    fn changed(event: &Event, change: &Change) -> Outcome {
        info!(caused_by = change.caused_by.as_deref().unwrap_or("nobody"), "heard");
        let text = format!("answer to {}", event.sequence);
        calls::call("VM.set_name_description", args![&change.reference, text])?;
        Ok(())
    }
}
